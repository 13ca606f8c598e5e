//! Entries of keys that a tool collects (`collect_digits`).
//!
//! While a tool collects, every key belongs to it and none to the keypad's own entries. Keys count from the start, also
//! during the agent's words; the time limit for the first key begins when those are played.

use std::time::Duration;

use serde_json::json;

use super::floor::Floor;
use super::timer::Timer;
use super::tool_work::ToolState;
use super::{At, Conversation, ToolAction};
use crate::dtmf::Digit;

/// Keys that follow a masked entry this soon may belong to the secret: the entry was full, or the caller interrupted it.
const AFTER_A_SECRET: Duration = Duration::from_secs(5);

/// Why an entry is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndedBy {
    Terminator,
    Length,
    Timeout,
}

impl EndedBy {
    /// The result that the model reads: the keys, or their number and a reference for other tools.
    pub fn result(self, keys: &[Digit], reference: Option<&str>) -> String {
        let ended_by = match self {
            EndedBy::Terminator => "terminator",
            EndedBy::Length => "length",
            EndedBy::Timeout => "timeout",
        };
        let digits: String = match reference {
            _ if keys.is_empty() => String::new(),
            Some(reference) => reference.to_owned(),
            None => keys.iter().map(|key| key.as_char()).collect(),
        };
        let masked = reference.is_some();
        json!({ "digits": digits, "count": keys.len(), "masked": masked, "ended_by": ended_by }).to_string()
    }
}

impl Conversation {
    /// A tool collects keys now.
    pub(super) fn is_collecting(&self) -> bool {
        matches!(&self.floor, Floor::Agent(response, _) if response.tools.is_collecting())
    }

    /// Starts the time limit for the first key, once the agent's words are played.
    pub(super) fn await_first_key(&mut self, now: At) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        if response.is_pending() {
            return;
        }
        let Some(tool) = response.tools.collecting() else { return };
        if let (ToolState::Collecting { keys, .. }, ToolAction::CollectDigits(rules)) =
            (&tool.state, &tool.call.action)
            && keys.is_empty()
        {
            self.timers.start(Timer::Keys, now, rules.first);
        }
    }

    /// Whether a key that no tool collects follows a masked entry. If so, those that follow it are masked as well.
    pub(super) fn follows_a_secret(&mut self, now: At) -> bool {
        let follows = self.masked_key.is_some_and(|last| now.since(last) <= AFTER_A_SECRET);
        self.masked_key = follows.then_some(now);
        follows
    }

    /// Adds a key to the entry that a tool collects.
    pub(super) fn collect_key(&mut self, now: At, key: Digit) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let Some(tool) = response.tools.collecting() else { return };
        let (ToolState::Collecting { keys, .. }, ToolAction::CollectDigits(rules)) =
            (&mut tool.state, &tool.call.action)
        else {
            return;
        };
        if rules.masked {
            self.masked_key = Some(now);
        }
        if rules.terminator == Some(key) {
            return self.collected(now, EndedBy::Terminator);
        }
        keys.push(key);
        if keys.len() >= rules.most {
            self.collected(now, EndedBy::Length);
        } else {
            self.timers.start(Timer::Keys, now, rules.between);
        }
    }
}
