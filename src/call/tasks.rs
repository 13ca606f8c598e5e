//! Tasks of a call: requests to Asterisk and the synthesis of the greeting. Each reports through one bounded queue and
//! ends with the call.

use std::future::Future;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::handed_over::ChargedExit;
use super::target_check::TargetCheck;
use super::target_resolution::TargetResolution;
use crate::ari::answer::AriError;
use crate::ari::topology::RequestId;
use crate::engines::core::EngineError;
use crate::tools::McpProblem;

/// The result of a task.
#[derive(Debug)]
pub enum TaskResult {
    Asterisk {
        id: RequestId,
        result: Result<Value, AriError>,
    },
    /// The first prompt can be played, or not.
    Greeting(Result<(), EngineError>),
    /// Tools of MCP servers that the call lacks.
    McpProblems(Vec<McpProblem>),
    /// The endpoint of a transfer target has responded, or has not.
    Resolved(TargetResolution),
    /// Whether the tenant still has the target of a transfer.
    TargetChecked(TargetCheck),
    /// The leg that the dialplan is about to dial is charged, or not.
    ExitCharged(Box<ChargedExit>),
}

/// Results that wait for the call; a task that finds the queue full waits.
const QUEUE: usize = 64;

pub struct CallTasks {
    tasks: JoinSet<()>,
    reports: mpsc::Sender<TaskResult>,
}

impl CallTasks {
    pub fn new() -> (CallTasks, mpsc::Receiver<TaskResult>) {
        let (reports, results) = mpsc::channel(QUEUE);
        (CallTasks { tasks: JoinSet::new(), reports }, results)
    }

    /// Starts a task that lasts as long as the call.
    pub fn start<F>(&mut self, task: impl FnOnce(mpsc::Sender<TaskResult>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Removes finished tasks, so that a long call holds no more than a short one.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task(self.reports.clone()).in_current_span());
    }
}
