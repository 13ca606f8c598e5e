//! Tasks of a call: requests to Asterisk and to engines. Each reports through one bounded queue and ends with the
//! call.

use std::collections::HashMap;
use std::future::Future;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument;

use crate::ari::answer::AriError;
use crate::ari::topology::RequestId;
use crate::conversation::{SpeechId, TurnId, UtteranceId};
use crate::engines::core::EngineError;
use crate::engines::llm::Delta;

/// The result of a task.
#[derive(Debug)]
pub enum TaskResult {
    Asterisk {
        id: RequestId,
        result: Result<Value, AriError>,
    },
    /// The first prompt can be played, or not.
    Greeting(Result<(), EngineError>),
    Words {
        utterance: UtteranceId,
        result: Result<String, EngineError>,
    },
    Reply {
        turn: TurnId,
        delta: Option<Result<Delta, EngineError>>,
    },
    Sound {
        speech: SpeechId,
        sound: Sound,
    },
}

/// The progress of a synthesis.
#[derive(Debug)]
pub enum Sound {
    /// At the leg's rate.
    Samples(Vec<i16>),
    End,
    Failed(EngineError),
}

/// Reports that wait for the call; a task that finds the queue full waits its turn.
const QUEUE: usize = 64;

pub struct CallTasks {
    tasks: JoinSet<()>,
    by_turn: HashMap<TurnId, Vec<AbortHandle>>,
    reports: mpsc::Sender<TaskResult>,
}

impl CallTasks {
    pub fn new() -> (CallTasks, mpsc::Receiver<TaskResult>) {
        let (reports, results) = mpsc::channel(QUEUE);
        (CallTasks { tasks: JoinSet::new(), by_turn: HashMap::new(), reports }, results)
    }

    /// Starts a task that lasts as long as the call.
    pub fn start<F>(&mut self, task: impl FnOnce(mpsc::Sender<TaskResult>) -> F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Removes finished tasks, so that a long call holds no more than a short one.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task(self.reports.clone()).in_current_span())
    }

    /// Starts a task that lasts as long as a turn.
    pub fn start_for<F>(&mut self, turn: TurnId, task: impl FnOnce(mpsc::Sender<TaskResult>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = self.start(task);
        let handles = self.by_turn.entry(turn).or_default();
        handles.retain(|handle| !handle.is_finished());
        handles.push(handle);
    }

    /// Ends what is under way for a turn.
    pub fn cancel(&mut self, turn: TurnId) {
        for handle in self.by_turn.remove(&turn).unwrap_or_default() {
            handle.abort();
        }
    }

    /// Forgets a turn that is over; what it still has under way ends by itself.
    pub fn forget(&mut self, turn: TurnId) {
        self.by_turn.remove(&turn);
    }
}
