//! The operator's engines of one kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Fallbacks;
use crate::engines::core::retry::{EngineState, Policy};
use crate::engines::core::shares::TenantShares;
use crate::violation::Violation;

/// The engines of one kind, with their fallbacks.
pub(super) struct EngineSet<E> {
    engines: Arc<BTreeMap<Arc<str>, E>>,
    default: Arc<str>,
    fallbacks: Arc<[Arc<str>]>,
}

impl<E> Clone for EngineSet<E> {
    fn clone(&self) -> Self {
        let (default, fallbacks) = (self.default.clone(), self.fallbacks.clone());
        EngineSet { engines: self.engines.clone(), default, fallbacks }
    }
}

impl<E: Clone> EngineSet<E> {
    /// `link` gives an engine its fallbacks.
    pub(super) fn new(
        engines: Vec<(Arc<str>, E)>,
        default: &str,
        fallbacks: &Fallbacks,
        link: impl Fn(&E, &[&E]) -> E,
    ) -> EngineSet<E> {
        let find = |wanted: &str| engines.iter().find(|(name, _)| **name == *wanted);
        let chain: Vec<&(Arc<str>, E)> = fallbacks.names().filter_map(find).collect();
        let linked = engines.iter().map(|(name, engine)| {
            let others = chain.iter().filter(|(of, _)| of != name).map(|(_, engine)| engine);
            (name.clone(), link(engine, &others.collect::<Vec<_>>()))
        });
        let fallbacks = chain.iter().map(|(name, _)| name.clone()).collect();
        EngineSet { engines: Arc::new(linked.collect()), default: default.into(), fallbacks }
    }

    pub(super) fn take(
        &self,
        name: Option<&str>,
        shares: Option<&Arc<TenantShares>>,
        within: impl Fn(&E, &Arc<TenantShares>) -> E,
    ) -> Option<E> {
        let engine = self.engines.get(name.unwrap_or(&self.default))?;
        Some(shares.map_or_else(|| engine.clone(), |shares| within(engine, shares)))
    }

    /// The states of the engines, the default one first.
    pub(super) fn states(&self, policy: impl Fn(&E) -> &Policy) -> impl Iterator<Item = EngineState> {
        let engines = self.names().into_iter().filter_map(|name| self.engines.get(name));
        engines.map(move |engine| {
            let state = policy(engine).engine_state();
            let others = self.fallbacks.iter().filter(|name| **name != state.engine);
            EngineState { fallbacks: others.cloned().collect(), ..state }
        })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let others = self.engines.keys().map(|name| &**name).filter(|name| **name != *self.default);
        std::iter::once(&*self.default).chain(others).collect()
    }

    /// A violation for the default and for each fallback, where there is no such engine.
    pub(super) fn violations(&self, kind: &str, fallbacks: &Fallbacks) -> Vec<Violation> {
        let wanted = fallbacks.names().map(|name| ("fallback", name));
        let wanted = std::iter::once(("default", &*self.default)).chain(wanted);
        let missing = wanted.filter(|(_, name)| !self.engines.contains_key(*name));
        let known = self.engines.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
        missing
            .map(|(key, name)| {
                let hint = if name == "openai" { "; openai needs openai.key or openai.base_url" } else { "" };
                let problem = format!("there is no {kind} engine {name:?}: choose one of {known}{hint}");
                Violation::new(format!("{kind}.{key}"), problem)
            })
            .collect()
    }
}
