//! An engine with its retries and the engine that stands in for it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::{Pieces, Tts, Voice};
use crate::engines::core::EngineError;
use crate::engines::core::retry::{Kind, Policy, Settings};
use crate::engines::core::usage::Meter;

/// Asks an engine as patiently as its policy says, then its fallback. An utterance that breaks off in
/// the middle is not begun again.
#[derive(Clone)]
pub struct Resilient {
    engine: Arc<dyn Tts>,
    policy: Policy,
    fallback: Option<Arc<dyn Tts>>,
}

impl Resilient {
    /// `fallback` is asked once; give it a policy of its own by wrapping it, too.
    pub fn new(engine: Arc<dyn Tts>, settings: Settings, fallback: Option<Arc<dyn Tts>>) -> Resilient {
        let policy = Policy::new(Kind::Tts, engine.name().clone(), settings);
        Resilient { engine, policy, fallback }
    }

    /// The same engine with the same policy, and with a fallback.
    pub fn with_fallback(&self, fallback: Option<&Resilient>) -> Resilient {
        let fallback = fallback.map(|it| Arc::new(it.clone()) as Arc<dyn Tts>);
        Resilient { fallback, ..self.clone() }
    }
}

impl Tts for Resilient {
    fn name(&self) -> &Arc<str> {
        self.engine.name()
    }

    fn speak(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async move {
            if text.trim().is_empty() {
                return Ok(stream::empty().boxed());
            }
            let answer =
                self.policy.stream(|| self.engine.speak(text.clone(), voice.clone(), meter.clone())).await;
            match (&self.fallback, answer) {
                // The names of a voice and of a model mean nothing to another engine.
                (Some(fallback), Err(_)) => {
                    let voice = Voice { language: voice.language, ..Voice::default() };
                    fallback.speak(text, voice, meter).await
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
