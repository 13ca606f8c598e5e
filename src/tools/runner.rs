//! Runs the tools of one call, each in a task that ends with the call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::builtin::{Remembered, refusal, remembered};
use crate::conversation::{ToolCall, ToolId, ToolOutcome};
use crate::dtmf::{Digit, Tone};
use crate::tenancy::MAX_FIELDS;

/// Tools of one call that run at the same time.
const MAX_RUNNING: usize = 4;

/// The time that a key takes: the tone and the pause after it, as `ari` sends them.
const KEY: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(500);

/// A tool is finished. `result` is the text that the model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub tool: ToolId,
    pub outcome: ToolOutcome,
    pub result: Arc<str>,
}

pub struct Runner {
    tasks: JoinSet<()>,
    reports: mpsc::Sender<Finished>,
    results: mpsc::Receiver<Finished>,
    /// Masked entries of keys, by the reference that the model has.
    entries: HashMap<String, String>,
}

impl Default for Runner {
    fn default() -> Self {
        let (reports, results) = mpsc::channel(MAX_RUNNING);
        Runner { tasks: JoinSet::new(), reports, results, entries: HashMap::new() }
    }
}

impl Runner {
    /// Runs a tool once, and reports its result. A field to remember is returned instead: report it by
    /// [`Runner::remembered`].
    pub fn run(&mut self, tool: ToolId, call: &ToolCall) -> Option<Remembered> {
        match remembered(&call.arguments) {
            Ok(remembered) => return Some(remembered),
            Err(reason) => self.report(tool, ToolOutcome::Refused, refusal(&reason)),
        }
        None
    }

    /// Reports a field as kept, or as one too many.
    pub fn remembered(&mut self, tool: ToolId, is_kept: bool) {
        if is_kept {
            self.report(tool, ToolOutcome::Succeeded, r#"{"status":"kept"}"#.into());
        } else {
            self.report(
                tool,
                ToolOutcome::Refused,
                refusal(&format!("{MAX_FIELDS} fields are kept already")),
            );
        }
    }

    fn report(&mut self, tool: ToolId, outcome: ToolOutcome, result: Arc<str>) {
        self.start(async move { Finished { tool, outcome, result } });
    }

    /// Keeps a masked entry for the tools that follow.
    pub fn keep_entry(&mut self, reference: String, keys: &[Digit]) {
        self.entries.insert(reference, keys.iter().map(|key| key.as_char()).collect());
    }

    /// Reports keys as sent once the last of them is over.
    pub fn dtmf_sent(&mut self, tool: ToolId, keys: &[Tone]) {
        let time = |key: &Tone| match key {
            Tone::Key(_) => KEY,
            Tone::Pause => PAUSE,
        };
        let lasting: Duration = keys.iter().map(time).sum();
        let result = r#"{"status":"sent"}"#.into();
        self.start(async move {
            tokio::time::sleep(lasting).await;
            Finished { tool, outcome: ToolOutcome::Succeeded, result }
        });
    }

    /// The next tool that is finished. Waits for one; dropping the future loses none.
    pub async fn next(&mut self) -> Finished {
        match self.results.recv().await {
            Some(finished) => finished,
            // The runner has a sender of its own, so the queue does not close.
            None => std::future::pending().await,
        }
    }

    fn start(&mut self, task: impl Future<Output = Finished> + Send + 'static) {
        // Removes finished tasks, so that a long call holds no more than a short one.
        while self.tasks.try_join_next().is_some() {}
        let reports = self.reports.clone();
        let task = async move { drop(reports.send(task.await).await) };
        self.tasks.spawn(task.in_current_span());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_are_sent_when_the_last_one_is_over() {
        let mut runner = Runner::default();
        let keys: Vec<Tone> = "1w2".chars().map(|key| Tone::try_from(key).expect("a key")).collect();
        let began = tokio::time::Instant::now();
        runner.dtmf_sent(ToolId(3), &keys);
        let finished = runner.next().await;
        assert_eq!((finished.tool, finished.outcome), (ToolId(3), ToolOutcome::Succeeded));
        assert_eq!(began.elapsed(), Duration::from_millis(900));
    }
}
