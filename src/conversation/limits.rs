//! The counts that a conversation's limits apply to: turns, failures in a row, prompts of a silent caller.

use serde::{Deserialize, Serialize};

use super::{Ending, Phrase, Settings};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    /// The caller's turns so far.
    turns: u32,
    /// Turns in a row that failing engines left without a response.
    failures: u32,
    /// How often a silent caller was prompted.
    prompts: u32,
    /// Sounds without words in a row, of those that the caller was asked about.
    noises: u32,
}

impl Limits {
    /// The goodbye and the ending that are due between two turns.
    pub fn reached(&self, settings: &Settings) -> Option<(Phrase, Ending)> {
        if self.failures >= settings.max_failures.max(1) {
            Some((Phrase::Goodbye, Ending::EngineFailure))
        } else if self.no_turn_left(settings) {
            Some((Phrase::TurnLimitGoodbye, Ending::TurnLimit))
        } else {
            None
        }
    }

    pub fn no_turn_left(&self, settings: &Settings) -> bool {
        self.turns >= settings.max_turns
    }

    pub fn turn_taken(&mut self) {
        self.turns += 1;
        self.prompts = 0;
        self.noises = 0;
    }

    /// The caller was prompted, and only noise followed: how often in a row.
    pub fn noise_heard(&mut self) -> u32 {
        self.noises += 1;
        self.noises
    }

    /// The caller's turn was not over.
    pub fn turn_taken_back(&mut self) {
        self.turns = self.turns.saturating_sub(1);
    }

    /// The caller has shown that they are there: earlier silence no longer counts.
    pub fn caller_is_there(&mut self) {
        self.prompts = 0;
    }

    /// The caller is silent: counts a prompt, unless they have had all of them.
    pub fn may_prompt(&mut self, settings: &Settings) -> bool {
        let may = self.prompts < settings.silence_prompts;
        self.prompts += u32::from(may);
        may
    }

    /// A turn has no response because of an engine.
    pub fn turn_failed(&mut self) {
        self.failures += 1;
    }

    pub fn too_many_failures(&self, settings: &Settings) -> bool {
        self.failures >= settings.max_failures
    }

    /// A response was heard.
    pub fn turn_succeeded(&mut self) {
        self.failures = 0;
    }
}
