//! An engine with its retries and the engine that stands in for it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Hints, Transcriber};
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::covered::NamedEngine;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::shares::TenantShares;
use crate::engines::core::usage::Meter;

/// Asks an engine as patiently as its policy says, then its fallback.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Transcriber>,
    policy: Policy,
    /// In order, without fallbacks of their own.
    fallbacks: Arc<[Resilient]>,
}

impl Resilient {
    /// `fallback` is another engine, with the default policy.
    pub fn new(
        engine: Arc<dyn Transcriber>,
        settings: Settings,
        fallback: Option<Arc<dyn Transcriber>>,
    ) -> Resilient {
        let policy = Policy::new(Kind::Stt, engine.name().clone(), settings);
        let single = Resilient { engine, policy, fallbacks: [].into() };
        match fallback {
            Some(other) => single.with_fallbacks(&[&Resilient::new(other, Settings::default(), None)]),
            None => single,
        }
    }

    /// Whether it has no fallbacks.
    pub fn is_alone(&self) -> bool {
        self.fallbacks.is_empty()
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same engine with the same policy, and with these fallbacks in place of its own.
    pub fn with_fallbacks(&self, fallbacks: &[&Resilient]) -> Resilient {
        let single = |engine: &Resilient, is_last: bool| {
            let policy = engine.policy.clone().with_fallback(!is_last);
            Resilient { engine: engine.engine.clone(), policy, fallbacks: [].into() }
        };
        let last = fallbacks.len().saturating_sub(1);
        let chain = fallbacks.iter().enumerate().map(|(at, engine)| single(engine, at == last)).collect();
        Resilient { fallbacks: chain, ..single(self, fallbacks.is_empty()) }
    }

    /// The same engines for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: &Arc<TenantShares>) -> Resilient {
        let single = |engine: &Resilient| Resilient {
            engine: engine.engine.clone(),
            policy: engine.policy.clone().with_shares(shares),
            fallbacks: [].into(),
        };
        Resilient { fallbacks: self.fallbacks.iter().map(single).collect(), ..single(self) }
    }

    /// Asks the engine without its fallbacks.
    async fn alone(&self, speech: Clip, hints: Hints, meter: Meter) -> Result<String, EngineError> {
        let ask = || self.engine.transcribe(speech.clone(), hints.clone(), meter.clone());
        self.policy.answer(ask).await
    }

    /// The engine and its fallbacks.
    fn chain(&self) -> impl Iterator<Item = &Resilient> {
        std::iter::once(self).chain(self.fallbacks.iter())
    }
}

impl NamedEngine for Resilient {
    fn engine_name(&self) -> &Arc<str> {
        self.engine.name()
    }
}

impl Transcriber for Resilient {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn transcribe(
        &self,
        speech: Clip,
        hints: Hints,
        meter: Meter,
    ) -> BoxFuture<'_, Result<String, EngineError>> {
        async move {
            let answer = meter.covered.first_answer(Kind::Stt, self.chain(), |engine, place| {
                let (speech, meter) = (speech.clone(), meter.clone());
                let model = hints.model.clone().filter(|_| place.is_first);
                let hints = Hints { model, ..hints.clone() };
                async move { engine.alone(speech, hints, meter).await }
            });
            answer.await
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.engine.connect()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.policy.within(self.engine.probe()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::scripted::{Scripted, Step};
    use super::*;

    fn heard(text: &str) -> Step {
        Step { delay: Duration::ZERO, answer: Ok(text.into()) }
    }

    fn failing(error: EngineError) -> Step {
        Step { delay: Duration::ZERO, answer: Err(error) }
    }

    async fn transcribed(engine: Vec<Step>, fallback: Vec<Step>) -> Result<String, EngineError> {
        let fallback = Arc::new(Scripted::new(fallback));
        let engine = Resilient::new(Arc::new(Scripted::new(engine)), Settings::default(), Some(fallback));
        engine.transcribe(Clip::new(8_000, [0; 800]), Hints::default(), Meter::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn retries_first() {
        let down = || failing(EngineError::Temporary("down".into()));
        let words = transcribed(vec![down(), down(), heard("main")], vec![heard("fallback")]).await;
        assert_eq!(words.as_deref(), Ok("main"));
    }

    #[tokio::test(start_paused = true)]
    async fn then_the_fallback() {
        let slow = || Step { delay: Duration::from_secs(60), answer: Ok("too late".into()) };
        let words = transcribed(vec![slow(), slow(), slow()], vec![heard("fallback")]).await;
        assert_eq!(words.as_deref(), Ok("fallback"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_fallback_has_the_last_word() {
        let wrong = |text: &str| failing(EngineError::Permanent(text.into()));
        let words = transcribed(vec![wrong("main")], vec![wrong("fallback")]).await;
        assert_eq!(words, Err(EngineError::Permanent("fallback".into())));
    }
}
