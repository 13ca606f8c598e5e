//! An engine that has always known what would be said: for tests and the simulator.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Hints, Transcriber};
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

/// One answer, and how long it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub delay: Duration,
    pub answer: Result<String, EngineError>,
}

/// Returns the steps in order, for any audio; after the last one, no words.
#[derive(Debug)]
pub struct Scripted {
    name: Arc<str>,
    steps: Mutex<VecDeque<Step>>,
}

impl Scripted {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Scripted {
        Scripted { name: "scripted".into(), steps: Mutex::new(steps.into_iter().collect()) }
    }
}

impl Transcriber for Scripted {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn transcribe(&self, _: Clip, _: Hints, _: Meter) -> BoxFuture<'_, Result<String, EngineError>> {
        let step = self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        async move {
            let Some(step) = step else { return Ok(String::new()) };
            tokio::time::sleep(step.delay).await;
            step.answer
        }
        .boxed()
    }
}
