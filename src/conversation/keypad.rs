//! The keys that the caller presses (DTMF). Consecutive keys are one entry, and an entry is a turn of the caller's.
//!
//! | the floor, when an entry is complete | then |
//! |---|---|
//! | free | the entry gets a response |
//! | the caller's | the entry waits for the commit: it precedes their words, and one response answers both. Without words it gets a response of its own |
//! | the agent's, heard, where the caller may interrupt it | the agent stops, and the entry gets a response |
//! | the agent's otherwise | the entry waits for the end of the agent's turn |
//!
//! A key proves that the caller is there, so earlier silence no longer counts. Speech completes an entry.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::limits::Turn;
use super::response::Response;
use super::timer::Timer;
use super::{At, Attempt, Command, Conversation, Latency, Output, Record, SpokenBy, ToolUse};
use crate::dtmf::Digit;

/// The longest pause within an entry. People need about a second to find the next key.
const PAUSE: Duration = Duration::from_secs(2);

/// The most keys of an entry: card numbers have 19 digits.
const LONGEST: usize = 64;

/// The key that completes an entry, by the custom of telephone menus.
const ENTER: char = '#';

/// How much of the caller's keys a conversation keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DtmfMode {
    /// The model and the transcript have the keys.
    #[default]
    Shown,
    /// The model and the transcript have the number of keys.
    Masked,
    /// Keys have no effect.
    Ignored,
}

impl DtmfMode {
    /// The values, as they are written.
    pub const NAMES: [&str; 3] = ["shown", "masked", "ignored"];
}

/// An entry. `Debug` shows the number of its keys only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    Shown(String),
    Masked { count: usize },
}

impl Keys {
    fn none(mode: DtmfMode) -> Keys {
        match mode {
            DtmfMode::Shown => Keys::Shown(String::new()),
            DtmfMode::Masked | DtmfMode::Ignored => Keys::Masked { count: 0 },
        }
    }

    fn add(&mut self, key: Digit) {
        match self {
            Keys::Shown(keys) => keys.push(key.as_char()),
            Keys::Masked { count } => *count += 1,
        }
    }

    fn count(&self) -> usize {
        match self {
            Keys::Shown(keys) => keys.len(),
            Keys::Masked { count } => *count,
        }
    }

    fn followed_by(self, later: Keys) -> Keys {
        match (self, later) {
            (Keys::Shown(keys), Keys::Shown(later)) => Keys::Shown(keys + &later),
            (keys, later) => Keys::Masked { count: keys.count() + later.count() },
        }
    }

    /// The same entry without its keys, as logs have it.
    pub fn masked(&self) -> Keys {
        Keys::Masked { count: self.count() }
    }
}

/// As the model and the transcript have it: `[pressed 1 2 3 #]`, or `[pressed 4 keys]`.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keys::Shown(keys) => {
                f.write_str("[pressed")?;
                keys.chars().try_for_each(|key| write!(f, " {key}"))?;
                f.write_str("]")
            }
            Keys::Masked { count: 1 } => f.write_str("[pressed 1 key]"),
            Keys::Masked { count } => write!(f, "[pressed {count} keys]"),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.count())
    }
}

/// The entry that is being made, or that waits for the floor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) enum Keypad {
    #[default]
    Idle,
    /// More keys may follow.
    Entering(Entry),
    /// The entry waits for the end of the agent's turn.
    Complete(Entry),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    keys: Keys,
    /// The keys themselves, for a tool that collects them; none where the model has read the entry before.
    pressed: Vec<Digit>,
    /// When the last key was pressed.
    last: At,
}

/// Keys that a caller pressed before they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypedAhead {
    pub keys: Vec<Digit>,
    /// The model may have their number only.
    pub masked: bool,
}

impl Keypad {
    pub fn is_entering(&self) -> bool {
        matches!(self, Keypad::Entering(_))
    }

    pub fn is_complete(&self) -> bool {
        matches!(self, Keypad::Complete(_))
    }

    /// Adds a key. Returns whether it completes the entry.
    fn press(&mut self, now: At, key: Digit, mode: DtmfMode) -> bool {
        let begun = self.take().map(|entry| (entry.keys, entry.pressed));
        let (mut keys, mut pressed) = begun.unwrap_or_else(|| (Keys::none(mode), Vec::new()));
        if keys.count() < LONGEST {
            keys.add(key);
            pressed.push(key);
        }
        let ends = key.as_char() == ENTER || keys.count() >= LONGEST;
        *self = Keypad::Entering(Entry { keys, pressed, last: now });
        ends
    }

    /// No more keys follow.
    fn complete(&mut self) {
        if let Some(entry) = self.take() {
            *self = Keypad::Complete(entry);
        }
    }

    /// The keys of a complete entry.
    pub fn complete_keys(&self) -> Option<&Keys> {
        match self {
            Keypad::Complete(entry) => Some(&entry.keys),
            Keypad::Idle | Keypad::Entering(_) => None,
        }
    }

    /// An entry waits again: the caller's turn that it was a part of is not over.
    pub fn put_back(&mut self, keys: Keys, last: At) {
        let (keys, last) = match self.take() {
            Some(later) => (keys.followed_by(later.keys), later.last),
            None => (keys, last),
        };
        *self = Keypad::Complete(Entry { keys, pressed: Vec::new(), last });
    }

    /// Takes the keys that were pressed before a tool began to collect.
    pub fn take_ahead(&mut self) -> Option<TypedAhead> {
        let (Keypad::Entering(entry) | Keypad::Complete(entry)) = &*self else { return None };
        if entry.pressed.len() < entry.keys.count() {
            return None;
        }
        let masked = matches!(entry.keys, Keys::Masked { .. });
        Some(TypedAhead { keys: self.take()?.pressed, masked })
    }

    /// Forgets the keys of a masked entry; their number stays.
    pub fn forget_secrets(&mut self) {
        if let Keypad::Entering(entry) | Keypad::Complete(entry) = self
            && matches!(entry.keys, Keys::Masked { .. })
        {
            entry.pressed.clear();
        }
    }

    fn take(&mut self) -> Option<Entry> {
        match std::mem::take(self) {
            Keypad::Idle => None,
            Keypad::Entering(entry) | Keypad::Complete(entry) => Some(entry),
        }
    }
}

impl Conversation {
    pub(super) fn key_pressed(&mut self, now: At, key: Digit) {
        let mode = self.settings.dtmf;
        if mode == DtmfMode::Ignored || self.operator.is_muted() || matches!(self.floor, Floor::NotConnected)
        {
            return;
        }
        self.limits.caller_is_there();
        self.timers.stop(Timer::Silence);
        if self.survey.is_open() {
            return self.rating_key(now, key);
        }
        if self.is_collecting() {
            return self.collect_key(now, key);
        }
        if self.menu.is_open() && !self.hold.is_on() {
            return self.menu_key(now, key);
        }
        // A digit soon after a masked entry may belong to the secret.
        let may_be_secret = key.as_char().is_ascii_digit() && self.follows_a_secret(now);
        if self.opens_main_menu(key) && !may_be_secret {
            return self.open_main_menu(now, key);
        }
        self.enter_key(now, key);
    }

    /// Adds a key to the entry that is being made.
    pub(super) fn enter_key(&mut self, now: At, key: Digit) {
        let mode = if self.follows_a_secret(now) { DtmfMode::Masked } else { self.settings.dtmf };
        if self.keypad.press(now, key, mode) {
            self.complete_entry(now);
        } else {
            self.timers.start(Timer::Keys, now, PAUSE);
        }
    }

    /// Makes an entry of the key of a menu's choice. A digit soon after a masked entry may belong to the secret all the same.
    pub(super) fn enter_choice(&mut self, now: At, key: Digit) {
        let is_masked = key.as_char().is_ascii_digit() && self.follows_a_secret(now);
        let mode = if is_masked { DtmfMode::Masked } else { self.settings.dtmf };
        self.keypad.press(now, key, mode);
        self.end_entry();
    }

    /// Speech, or the next turn, ends the entry: it is a part of that turn.
    pub(super) fn end_entry(&mut self) {
        self.timers.stop(Timer::Keys);
        self.keypad.complete();
    }

    pub(super) fn complete_entry(&mut self, now: At) {
        if self.is_collecting() {
            return self.collection_timed_out(now);
        }
        self.end_entry();
        match &self.floor {
            // The entry of a caller who is not heard waits.
            Floor::Free if self.operator.is_muted() => self.settle(now, None),
            Floor::Free => self.answer_entry(now),
            Floor::Caller(_) => self.join_entry(now),
            Floor::Agent(response, None)
                if self.settings.lets_interrupt(response) && response.yields_to_keys() =>
            {
                self.interrupt_for_entry(now);
            }
            Floor::Agent(..) | Floor::NotConnected | Floor::Ended => {}
        }
    }

    /// An entry is not complete: the commit of the caller's words waits for it.
    pub(super) fn awaits_keys(&mut self, now: At) -> bool {
        let waits = self.keypad.is_entering();
        if waits {
            self.timers.start(Timer::Commit, now, PAUSE);
        }
        waits
    }

    /// Asks for a response to the entry.
    pub(super) fn answer_entry(&mut self, now: At) {
        let Some(Entry { keys, last, .. }) = self.keypad.take() else { return };
        self.timers.stop(Timer::Silence);
        self.limits.turn_taken(Turn::Counted);
        self.transcript.add_keys(&keys);
        let turn = self.out.new_turn();
        let context = self.transcript.context();
        self.ask_model(turn, context, Attempt::First);
        let mut response = Response::to_keys(turn, keys, last);
        response.commit(now);
        self.floor = Floor::Agent(response, None);
        self.await_response(now);
    }

    /// The caller's words will be answered together with the entry, which waits for their commit. A response that was prepared
    /// without it is of no use.
    fn join_entry(&mut self, now: At) {
        self.discard_early_response();
        if matches!(&self.floor, Floor::Caller(utterance) if utterance.is_judged()) {
            self.timers.start(Timer::Commit, now, self.settings.commit_finished_ms);
        }
    }

    fn interrupt_for_entry(&mut self, now: At) {
        let Floor::Agent(mut response, _) = std::mem::replace(&mut self.floor, Floor::Free) else { return };
        self.stop_responding();
        self.hold.flush(&mut self.out);
        self.out.command(Command::Cancel { turn: response.turn });
        self.conclude(now, &mut response, true);
        self.settle(now, None);
    }

    /// Moves the entry, if there is one, to the transcript.
    pub(super) fn take_entry(&mut self) -> Option<Keys> {
        self.timers.stop(Timer::Keys);
        let Entry { keys, .. } = self.keypad.take()?;
        self.transcript.add_keys(&keys);
        Some(keys)
    }

    /// Keeps the entry, and `tools` that have no record yet, as a turn without a response: the conversation ends.
    pub(super) fn note_rest(&mut self, tools: Vec<ToolUse>) {
        let keys = self.take_entry();
        if keys.is_none() && tools.is_empty() {
            return;
        }
        let turn = self.out.new_turn();
        self.out.push(Output::TurnFinished(Record {
            turn,
            caller: String::new(),
            keys,
            agent: String::new(),
            tools,
            interrupted: false,
            spoken_by: SpokenBy::Agent,
            latency: Latency::default(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_key() {
        let key = Digit::parse("7").expect("a key");
        let mut keys = Keys::none(DtmfMode::Shown);
        keys.add(key);
        assert_eq!(format!("{key:?} {keys:?} {}", keys.masked()), "Digit(masked) Keys(1) [pressed 1 key]");
        assert_eq!(keys.to_string(), "[pressed 7]");
    }

    #[test]
    fn an_entry_is_bounded() {
        let mut keypad = Keypad::default();
        let key = Digit::parse("1").expect("a key");
        let completed = (1..=LONGEST).find(|_| keypad.press(At::default(), key, DtmfMode::Masked));
        assert_eq!(completed, Some(LONGEST));
    }
}
