//! Entries of keys that a tool collects (`collect_digits`).
//!
//! While a tool collects, every key belongs to it and none to the keypad's own entries, and so do digits that the caller says and
//! keys of an entry that was pressed before and has no response yet. The first key or digit ends the agent's words, where the caller
//! may interrupt them; without one, the time limit for it begins when the words are played.

use std::time::Duration;

use serde_json::json;

use super::floor::Floor;
use super::keypad::TypedAhead;
use super::timer::Timer;
use super::tool_work::ToolState;
use super::{At, Conversation, DtmfMode, Output, ToolAction};
use crate::dtmf::Digit;
use crate::language::dictated_digits;

/// Keys that follow a masked entry this soon may belong to the secret: the entry was full, or the caller interrupted it.
const AFTER_A_SECRET: Duration = Duration::from_secs(5);

/// How long a collection waits for the words of a caller who speaks.
const WHILE_SPEAKING: Duration = Duration::from_secs(1);

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

    /// A tool begins to collect: the keys that were pressed before are the first ones.
    pub(super) fn begin_collection(&mut self, now: At) {
        match self.keypad.take_ahead() {
            Some(ahead) => self.collect_typed_ahead(now, ahead),
            None => {
                self.end_entry();
                self.await_first_key(now);
            }
        }
    }

    /// A terminator that they begin with belongs to the entry before. Those beyond the entry are for the next one.
    fn collect_typed_ahead(&mut self, now: At, TypedAhead { keys, masked }: TypedAhead) {
        self.timers.stop(Timer::Keys);
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let Some(tool) = response.tools.collecting() else { return };
        let ToolAction::CollectDigits(rules) = &mut tool.call.action else { return };
        rules.masked |= masked;
        let terminator = rules.terminator;
        for key in keys.into_iter().skip_while(|key| terminator == Some(*key)) {
            if self.is_collecting() {
                self.collect_key(now, key);
            } else {
                self.enter_key(now, key);
            }
        }
        self.await_first_key(now);
    }

    /// No key has followed in time. A caller who speaks may be saying digits.
    pub(super) fn collection_timed_out(&mut self, now: At) {
        if self.voice.is_some() || matches!(self.floor, Floor::Agent(_, Some(_))) {
            return self.timers.start(Timer::Keys, now, WHILE_SPEAKING);
        }
        self.collected(now, EndedBy::Timeout);
    }

    /// The digits in the words of a caller who was asked for some; `None` where a tool does not collect, or the words have others.
    pub(super) fn digits_said(&self, text: &str) -> Option<Vec<Digit>> {
        let digits = dictated_digits(text, self.language).filter(|_| self.is_collecting())?;
        digits.chars().map(|digit| Digit::try_from(digit).ok()).collect()
    }

    /// The caller has said digits in place of keys.
    pub(super) fn collect_said(&mut self, now: At, digits: Vec<Digit>) {
        for digit in digits {
            self.collect_key(now, digit);
        }
    }

    /// The caller does not need to hear the rest of the agent's words.
    fn end_words_for_key(&mut self) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        if response.is_pending() && !response.is_protected() && self.settings.lets_interrupt(response) {
            response.drop_words();
            self.filler = None;
            self.timers.stop(Timer::Filler);
            self.hold.flush(&mut self.out);
            if self.floor.is_paused() && !self.hold.is_on() {
                self.out.push(Output::Pause);
            }
        }
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

    /// Forgets the keys of masked entries, which no stored state has.
    pub(super) fn forget_secrets(&mut self) {
        self.keypad.forget_secrets();
        let are_all_masked = self.settings.dtmf == DtmfMode::Masked;
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let Some(tool) = response.tools.collecting() else { return };
        if let (ToolState::Collecting { keys, .. }, ToolAction::CollectDigits(rules)) =
            (&mut tool.state, &tool.call.action)
            && (rules.masked || are_all_masked)
        {
            keys.clear();
        }
    }

    /// Adds a key to the entry that a tool collects.
    pub(super) fn collect_key(&mut self, now: At, key: Digit) {
        if !self.is_collecting() {
            return;
        }
        self.end_words_for_key();
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
