//! The tools that one response calls, round by round: after each round the model is asked again, with the results.
//!
//! | from | event | to |
//! |---|---|---|
//! | waiting | the response is committed, and the words before it are said where the tool waits for them | running, collecting |
//! | waiting | it is refused | done |
//! | running | its result, also after the turn | done |
//! | running, not waited for | – | counts as done |
//! | collecting | the entry is complete, or times out | done |
//! | waiting, collecting | the turn ends | done: abandoned |
//!
//! Only a committed response runs tools, and a response that has run one is not taken back.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{At, ContextItem, ToolAction, ToolEffect, ToolId, ToolOutcome, ToolRequest, ToolUse, TurnId};
use crate::dtmf::Digit;

/// Requests to the model in one turn.
pub(super) const MAX_ROUNDS: usize = 5;

/// Calls in one round; more are ignored.
const MAX_CALLS: usize = 8;

/// The result of a tool that still runs when the turn is over.
const STILL_RUNNING: &str = r#"{"status":"still running"}"#;

/// The result, until there is one, of a tool that the conversation does not wait for.
const RESULT_FOLLOWS: &str = r#"{"status":"started: the result follows later"}"#;

/// The results of a tool that the turn ended before.
const INTERRUPTED: &str = r#"{"status":"not carried out: the caller interrupted"}"#;
const TURN_OVER: &str = r#"{"status":"not carried out: the turn was over"}"#;

/// A call of a tool and how far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RequestedTool {
    pub id: ToolId,
    pub turn: TurnId,
    pub call: ToolRequest,
    pub state: ToolState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum ToolState {
    Waiting,
    Running {
        since: At,
    },
    /// Keys are collected: those so far.
    Collecting {
        since: At,
        keys: Vec<Digit>,
    },
    Done(ToolUse),
}

/// The part of the agent's words that precedes the start of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// More text may arrive.
    Streaming,
    /// The text of the round is complete, and is still played.
    Complete,
    /// Everything was played.
    Played,
}

/// The rounds of one response. The last one is current.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ToolWork {
    rounds: Vec<Vec<RequestedTool>>,
}

impl Default for ToolWork {
    fn default() -> Self {
        ToolWork { rounds: vec![Vec::new()] }
    }
}

impl ToolWork {
    /// The number of the current round, from 0.
    pub fn round(&self) -> usize {
        self.rounds.len() - 1
    }

    /// The calls of a round.
    pub fn of_round(&self, round: usize) -> &[RequestedTool] {
        self.rounds.get(round).map_or(&[], Vec::as_slice)
    }

    fn current(&self) -> &[RequestedTool] {
        self.of_round(self.round())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut RequestedTool> {
        self.rounds.iter_mut().flatten()
    }

    /// Adds a call, unless the round has it already or is full.
    pub fn add(&mut self, id: ToolId, turn: TurnId, call: ToolRequest) {
        let known = self.current().iter().any(|known| known.call.id == call.id);
        let is_full = self.current().len() >= MAX_CALLS;
        if let Some(round) = self.rounds.last_mut().filter(|_| !known && !is_full) {
            round.push(RequestedTool { id, turn, call, state: ToolState::Waiting });
        }
    }

    /// The next call of the current round to start. Calls start in their order; one that waits for words waits for earlier calls
    /// as well.
    pub fn next_to_start(&mut self, spoken: Spoken) -> Option<&mut RequestedTool> {
        let round = self.rounds.last_mut()?;
        let next = round.iter().position(|tool| matches!(tool.state, ToolState::Waiting))?;
        let is_first = round[..next].iter().all(RequestedTool::is_settled);
        let may_start = match round[next].call.action {
            ToolAction::Run(_) | ToolAction::Start(_) | ToolAction::Refuse { .. } => true,
            ToolAction::CollectDigits(_) => is_first && spoken != Spoken::Streaming,
            ToolAction::SendDtmf { .. } | ToolAction::Transfer { .. } | ToolAction::ChangeAgent(_) => {
                is_first && spoken == Spoken::Played
            }
        };
        round.get_mut(next).filter(|_| may_start)
    }

    /// The current round calls tools.
    pub fn has_calls(&self) -> bool {
        !self.current().is_empty()
    }

    /// All calls of the current round are done, or not waited for.
    pub fn is_settled(&self) -> bool {
        self.current().iter().all(RequestedTool::is_settled)
    }

    /// A tool of this response was started.
    pub fn has_acted(&self) -> bool {
        self.rounds.iter().flatten().any(|tool| !matches!(tool.state, ToolState::Waiting))
    }

    /// The number of the rounds up to the last one that has acted.
    pub fn rounds_with_actions(&self) -> usize {
        let acted = |round: &Vec<RequestedTool>| round.iter().any(RequestedTool::has_acted);
        self.rounds.iter().rposition(acted).map_or(0, |last| last + 1)
    }

    /// Another request to the model is allowed. Begins the round.
    pub fn begin_round(&mut self) -> bool {
        let may = self.rounds.len() < MAX_ROUNDS;
        if may {
            self.rounds.push(Vec::new());
        }
        may
    }

    pub fn find(&mut self, id: ToolId) -> Option<&mut RequestedTool> {
        self.all_mut().find(|tool| tool.id == id)
    }

    /// The call that collects keys.
    pub fn collecting(&mut self) -> Option<&mut RequestedTool> {
        self.all_mut().find(|tool| matches!(tool.state, ToolState::Collecting { .. }))
    }

    pub fn is_collecting(&self) -> bool {
        self.current().iter().any(|tool| matches!(tool.state, ToolState::Collecting { .. }))
    }

    /// A call that the driver runs, with words for a delay that were not said yet.
    pub fn take_delayed_words(&mut self) -> Option<Arc<str>> {
        self.all_mut().find_map(|tool| match (&tool.state, &mut tool.call.action) {
            (ToolState::Running { .. }, ToolAction::Run(words)) => words.delayed.take(),
            _ => None,
        })
    }

    /// The delay of words of that kind, where it is not the filler's.
    pub fn delay(&self) -> Option<Duration> {
        self.running().find_map(|tool| match &tool.call.action {
            ToolAction::Run(words) => words.delayed.as_ref().and(words.delayed_after),
            _ => None,
        })
    }

    /// Abandons the calls that have not been started: the response breaks off.
    pub fn drop_waiting(&mut self) {
        if let Some(round) = self.rounds.last_mut() {
            round.retain(|tool| !matches!(tool.state, ToolState::Waiting));
        }
    }

    /// The turn ends: calls that the driver does not run are over.
    pub fn close(&mut self, now: At, interrupted: bool) {
        let result = if interrupted { INTERRUPTED } else { TURN_OVER };
        for tool in self.all_mut() {
            if matches!(tool.state, ToolState::Waiting | ToolState::Collecting { .. }) {
                tool.finish(now, ToolOutcome::Abandoned, result.into());
            }
        }
    }

    /// The calls that still run.
    pub fn running(&self) -> impl Iterator<Item = &RequestedTool> {
        self.rounds.iter().flatten().filter(|tool| matches!(tool.state, ToolState::Running { .. }))
    }

    /// The finished calls.
    pub fn uses(&self) -> impl Iterator<Item = &ToolUse> {
        self.rounds.iter().flatten().filter_map(RequestedTool::result)
    }
}

impl RequestedTool {
    fn is_settled(&self) -> bool {
        matches!(self.state, ToolState::Done(_)) || self.is_in_background()
    }

    fn has_acted(&self) -> bool {
        self.call.effect != ToolEffect::None && !matches!(self.state, ToolState::Waiting)
    }

    /// It runs, and the conversation does not wait for it.
    pub fn is_in_background(&self) -> bool {
        matches!((&self.state, &self.call.action), (ToolState::Running { .. }, ToolAction::Start(_)))
    }

    pub fn result(&self) -> Option<&ToolUse> {
        match &self.state {
            ToolState::Done(result) => Some(result),
            _ => None,
        }
    }

    /// The words for a failure, once.
    pub fn take_failure_words(&mut self) -> Option<Arc<str>> {
        let outcome = self.result()?.outcome;
        match &mut self.call.action {
            ToolAction::Run(words) if matches!(outcome, ToolOutcome::Failed | ToolOutcome::TimedOut) => {
                words.failed.take()
            }
            _ => None,
        }
    }

    /// Keeps the outcome. Returns false for a call that is done already.
    pub fn finish(&mut self, now: At, outcome: ToolOutcome, result: Arc<str>) -> bool {
        let at = match self.state {
            ToolState::Done(_) => return false,
            ToolState::Waiting => now,
            ToolState::Running { since } | ToolState::Collecting { since, .. } => since,
        };
        self.state = ToolState::Done(ToolUse {
            tool: self.id,
            turn: self.turn,
            name: self.call.name.clone(),
            arguments: self.call.arguments.clone(),
            outcome,
            result,
            at,
            took: now.since(at),
        });
        true
    }

    /// The call and its result as the model reads them.
    pub fn items(&self) -> [ContextItem; 2] {
        let status = if self.is_in_background() { RESULT_FOLLOWS } else { STILL_RUNNING };
        let content = self.result().map_or_else(|| status.into(), |done| done.result.clone());
        let ToolRequest { id, name, arguments, .. } = self.call.clone();
        [
            ContextItem::ToolCall { tool: self.id, call: id.clone(), name, arguments },
            ContextItem::ToolResult { tool: self.id, call: id, content },
        ]
    }
}

/// The calls of a round as the model reads them: all requests, then all results.
pub(super) fn items_of(round: &[RequestedTool]) -> Vec<ContextItem> {
    let (calls, results): (Vec<_>, Vec<_>) =
        round.iter().map(RequestedTool::items).map(|[a, b]| (a, b)).unzip();
    calls.into_iter().chain(results).collect()
}
