//! Requests to engines, by turn. Each reports through one bounded queue and ends with the pipeline.

use std::collections::HashMap;
use std::future::Future;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument;

use crate::conversation::{At, EndJudge, SpeechId, TurnId};
use crate::engines::core::EngineError;
use crate::engines::core::timing::WordEnd;
use crate::engines::llm::Delta;

/// A report of a request.
#[derive(Debug)]
pub enum EngineResult {
    /// `None` is the end of the stream.
    Reply {
        request: RequestId,
        delta: Option<Result<Delta, EngineError>>,
    },
    /// The text of a reply pauses.
    ReplyPaused {
        request: RequestId,
    },
    /// The utterance that paused at `to` sounds unfinished.
    SoundsUnfinished {
        to: At,
        by: EndJudge,
    },
    Synthesis {
        speech: SpeechId,
        event: SynthesisEvent,
    },
}

/// A request to the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestId(u32);

impl RequestId {
    /// Advances to the next request.
    pub fn next(&mut self) -> RequestId {
        self.0 = self.0.wrapping_add(1);
        *self
    }
}

/// The progress of a synthesis.
#[derive(Debug)]
pub enum SynthesisEvent {
    /// At the call's rate.
    Samples(Vec<i16>),
    /// The words so far, by the letters of the text and the time in the samples.
    Words(Vec<WordEnd>),
    Finished,
    Failed(EngineError),
}

/// Reports that wait for the call; a task that finds the queue full waits.
const QUEUE: usize = 64;

pub struct EngineTasks {
    tasks: JoinSet<()>,
    by_turn: HashMap<TurnId, Vec<AbortHandle>>,
    reports: mpsc::Sender<EngineResult>,
}

impl EngineTasks {
    pub fn new() -> (EngineTasks, mpsc::Receiver<EngineResult>) {
        let (reports, results) = mpsc::channel(QUEUE);
        (EngineTasks { tasks: JoinSet::new(), by_turn: HashMap::new(), reports }, results)
    }

    /// Starts a task that lasts no longer than a turn.
    pub fn start<F>(
        &mut self,
        turn: TurnId,
        task: impl FnOnce(mpsc::Sender<EngineResult>) -> F,
    ) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Removes finished tasks, so that a long call holds no more than a short one.
        while self.tasks.try_join_next().is_some() {}
        let handle = self.tasks.spawn(task(self.reports.clone()).in_current_span());
        self.by_turn.retain(|_, handles| {
            handles.retain(|handle| !handle.is_finished());
            !handles.is_empty()
        });
        self.by_turn.entry(turn).or_default().push(handle.clone());
        handle
    }

    /// Ends the tasks of a turn.
    pub fn cancel(&mut self, turn: TurnId) {
        for handle in self.by_turn.remove(&turn).unwrap_or_default() {
            handle.abort();
        }
    }

    /// Forgets a turn that is over; its tasks end by themselves.
    pub fn forget(&mut self, turn: TurnId) {
        self.by_turn.remove(&turn);
    }
}
