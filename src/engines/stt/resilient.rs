//! An engine with its retries and the engine that stands in for it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Hints, Transcriber};
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::usage::Meter;

/// Asks an engine as patiently as its policy says, then its fallback.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Transcriber>,
    policy: Policy,
    fallback: Option<Arc<dyn Transcriber>>,
}

impl Resilient {
    /// `fallback` is asked once; give it a policy of its own by wrapping it, too.
    pub fn new(
        engine: Arc<dyn Transcriber>,
        settings: Settings,
        fallback: Option<Arc<dyn Transcriber>>,
    ) -> Resilient {
        let policy =
            Policy::new(Kind::Stt, engine.name().clone(), settings).with_fallback(fallback.is_some());
        Resilient { engine, policy, fallback }
    }

    /// The same engine with the same policy, and with a fallback.
    pub fn with_fallback(&self, fallback: Option<&Resilient>) -> Resilient {
        let fallback = fallback.map(|it| Arc::new(it.clone()) as Arc<dyn Transcriber>);
        let policy = self.policy.clone().with_fallback(fallback.is_some());
        Resilient { fallback, policy, engine: self.engine.clone() }
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
            let answer = self
                .policy
                .answer(|| self.engine.transcribe(speech.clone(), hints.clone(), meter.clone()))
                .await;
            match (&self.fallback, answer) {
                // A model's name means nothing to another engine.
                (Some(fallback), Err(error)) => {
                    let hints = Hints { model: None, ..hints };
                    let words = fallback.transcribe(speech, hints, meter.clone()).await?;
                    meter.covered.add(Kind::Stt, self.engine.name(), &error);
                    Ok(words)
                }
                (_, answer) => answer,
            }
        }
        .boxed()
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
