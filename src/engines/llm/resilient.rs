//! An engine with its retries and its fallback.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Deltas, Llm, Prompt};
use crate::engines::core::EngineError;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::usage::Meter;

/// Asks an engine with retries, then its fallback. A reply that breaks off in the middle is not repeated.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Llm>,
    policy: Policy,
    fallback: Option<Arc<dyn Llm>>,
}

impl Resilient {
    /// `fallback` is asked once; give it a policy of its own by wrapping it, too.
    pub fn new(engine: Arc<dyn Llm>, settings: Settings, fallback: Option<Arc<dyn Llm>>) -> Resilient {
        let policy =
            Policy::new(Kind::Llm, engine.name().clone(), settings).with_fallback(fallback.is_some());
        Resilient { engine, policy, fallback }
    }

    /// The same engine with the same policy, and with a fallback.
    pub fn with_fallback(&self, fallback: Option<&Resilient>) -> Resilient {
        let fallback = fallback.map(|it| Arc::new(it.clone()) as Arc<dyn Llm>);
        let policy = self.policy.clone().with_fallback(fallback.is_some());
        Resilient { fallback, policy, engine: self.engine.clone() }
    }
}

impl Llm for Resilient {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        async move {
            let answer = self.policy.stream(|| self.engine.reply(prompt.clone(), meter.clone())).await;
            match (&self.fallback, answer) {
                // A model's name means nothing to another engine.
                (Some(fallback), Err(error)) => {
                    let deltas = fallback.reply(Prompt { model: None, ..prompt }, meter.clone()).await?;
                    meter.covered.add(Kind::Llm, self.engine.name(), &error);
                    Ok(deltas)
                }
                (_, answer) => answer,
            }
        }
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.policy.within(self.engine.probe()).boxed()
    }

    fn remarks(&self) -> Vec<(String, String)> {
        self.engine.remarks()
    }
}
