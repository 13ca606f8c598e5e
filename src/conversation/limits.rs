//! The counts that a conversation's limits apply to: turns, failures in a row, prompts of a silent caller.

use serde::{Deserialize, Serialize};

use super::{AgentChoice, Ending, Phrase, Settings};
use crate::language::words;

/// Changes of the agent in one call: a bound for two agents that refer the caller to each other.
const MAX_AGENT_CHANGES: u32 = 5;

/// Changes of the language in one call.
const MAX_LANGUAGE_CHANGES: u32 = 10;

/// Responses to results of tools, in a row and without a turn of the caller.
const MAX_UNASKED: u32 = 5;

/// A turn with fewer words, such as "yes", "Smith" or "seven", does not count towards the limit.
const COUNTED_WORDS: usize = 3;

/// How many turns before the limit the caller is warned.
const WARNED_BEFORE: u32 = 5;

/// Whether a turn of the caller counts towards the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Counted,
    Short,
}

impl Turn {
    /// The turn with these words.
    pub fn of(text: &str) -> Turn {
        if words(text).len() < COUNTED_WORDS { Turn::Short } else { Turn::Counted }
    }
}

/// The warning that the limit of turns is near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum TurnWarning {
    #[default]
    Pending,
    Given,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    /// The caller's turns so far that count.
    turns: u32,
    turn_warning: TurnWarning,
    /// Turns in a row that failing engines left without a response.
    failures: u32,
    /// How often a silent caller was prompted.
    prompts: u32,
    /// How often the agent was changed, and its language.
    agents: u32,
    languages: u32,
    /// Sounds without words in a row, of those that the caller was asked about.
    noises: u32,
    /// Responses in a row to results that were not waited for.
    unasked: u32,
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

    /// The caller was answered, the latest turn included, and may take another turn.
    pub fn had_a_conversation(&self, settings: &Settings) -> bool {
        self.turns > 0 && self.failures == 0 && !self.no_turn_left(settings)
    }

    /// The limit of turns is near: returns true once.
    pub fn is_turn_warning_due(&mut self, settings: &Settings) -> bool {
        let is_near =
            settings.max_turns.checked_sub(WARNED_BEFORE).is_some_and(|near| near > 0 && self.turns >= near);
        let is_due = is_near && self.turn_warning == TurnWarning::Pending;
        if is_due {
            self.turn_warning = TurnWarning::Given;
        }
        is_due
    }

    pub fn turn_taken(&mut self, turn: Turn) {
        self.turns += u32::from(turn == Turn::Counted);
        self.prompts = 0;
        self.noises = 0;
        self.unasked = 0;
    }

    /// The caller was prompted, and only noise followed: how often in a row.
    pub fn noise_heard(&mut self) -> u32 {
        self.noises += 1;
        self.noises
    }

    /// The caller's turn was not over.
    pub fn turn_taken_back(&mut self, turn: Turn) {
        self.turns = self.turns.saturating_sub(u32::from(turn == Turn::Counted));
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

    /// Results of tools are there, and the caller is silent: counts a response to them, unless there were all of them.
    pub fn may_act_unasked(&mut self) -> bool {
        let may = self.unasked < MAX_UNASKED;
        self.unasked += u32::from(may);
        may
    }

    /// The agent wants a change: counts it, unless there were all of them.
    pub fn may_change_agent(&mut self, to: &AgentChoice) -> bool {
        let (count, most) = match to {
            AgentChoice::Agent { .. } => (&mut self.agents, MAX_AGENT_CHANGES),
            AgentChoice::Language { .. } => (&mut self.languages, MAX_LANGUAGE_CHANGES),
        };
        let may = *count < most;
        *count += u32::from(may);
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
