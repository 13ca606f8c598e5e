//! The levels of the voices of a call: the caller's, and another's that is known.
//!
//! Another voice is known where the level of speech changes without a pause, and from two long parts of speech that are far
//! apart in level and have a short pause between them. Speech nearer to its level than to the caller's is not the caller's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::At;

/// Speech that is fainter than the caller's by this, in dB, is another's where no other voice is known.
const FAINTER: i16 = 12;

/// Two parts of speech without a pause between them are of two voices where their levels differ by this, in dB.
const APART: i16 = 7;

/// The least difference from the caller's level, in dB, that makes speech another's where another voice is known.
const LEAST: i16 = 6;

/// Speech that starts this soon after a pause follows without one: it was divided by its level, and both have the same moment. The
/// shortest pause is 120 ms, of which the onset of speech and a late packet leave 60.
const WITHOUT_PAUSE: Duration = Duration::from_millis(30);

/// The same for two parts with a short pause between them, both of them long.
const FAR_APART: i16 = 9;
const LONG: Duration = Duration::from_millis(500);
const SHORTLY: Duration = Duration::from_secs(1);

/// Turns in a row as faint as another voice that are not taken for the caller's.
const FAINT_TURNS: u8 = 2;

/// The start of speech, with its level in dBov.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct SpeechStart {
    at: At,
    level: i8,
    /// It follows words of the caller that lead on.
    leads_on: bool,
}

/// Speech from its start to its pause, with its level in dBov.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct SpeechRun {
    from: At,
    to: At,
    level: i8,
}

impl SpeechRun {
    fn is_long(&self) -> bool {
        self.to.since(self.from) >= LONG
    }
}

/// The levels of the voices of a call, in dBov.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Voices {
    /// Of the caller's latest utterance, or of a louder voice since.
    pub caller: Option<i8>,
    /// Of another voice, which was heard beside the caller's.
    other: Option<i8>,
    /// Turns in a row that were as faint as the other voice.
    faint_turns: u8,
    /// The latest speech, paused or not.
    started: Option<SpeechStart>,
    /// The latest speech that has paused.
    paused: Option<SpeechRun>,
}

impl Voices {
    /// Speech of `level` starts at `at`, after words that lead on or not. Where it follows other speech without a pause, two voices
    /// are known.
    pub fn start(&mut self, at: At, level: i8, leads_on: bool) {
        self.started = Some(SpeechStart { at, level, leads_on });
        if let Some(before) = self.paused.filter(|run| at.0.abs_diff(run.to.0) <= WITHOUT_PAUSE) {
            self.compare(before.level, level, APART);
            self.note_caller(before.level);
        }
    }

    /// Speech of `level` pauses at `to`. Where it and the speech shortly before it were long, two voices may be known.
    pub fn pause(&mut self, to: At, level: i8) {
        let Some(SpeechStart { at: from, .. }) = self.started else { return };
        let run = SpeechRun { from, to, level };
        let follows =
            |before: &SpeechRun| from.since(before.to) <= SHORTLY && before.is_long() && run.is_long();
        if let Some(before) = self.paused.replace(run).filter(follows) {
            self.compare(before.level, level, FAR_APART);
            self.note_caller(before.level);
        }
        self.note_caller(level);
    }

    /// Levels of speech that differ by `apart` dB are those of two voices, unless both are another's that is known.
    fn compare(&mut self, one: i8, two: i8, apart: i16) {
        let (louder, fainter) = (one.max(two), one.min(two));
        if difference(louder, fainter) >= apart && !self.is_others(louder) {
            self.other = Some(fainter);
        }
    }

    /// Whether another voice is known, and `level` is nearer to its level than to the caller's.
    fn is_others(&self, level: i8) -> bool {
        let is_nearer = |caller: &i8| {
            self.other_below(*caller).is_some() && difference(*caller, level) >= self.margin(*caller)
        };
        self.caller.as_ref().is_some_and(is_nearer)
    }

    /// Speech that is that much louder than another voice is the caller's.
    fn note_caller(&mut self, level: i8) {
        if self.other.is_some_and(|other| difference(level, other) >= APART) {
            self.caller = self.caller.max(Some(level));
        }
    }

    /// A turn of `level` is over. One as faint as another voice may be that voice's; several are a caller's who is farther away.
    pub fn take_turn(&mut self, level: Option<i8>) {
        let Some(level) = level else { return };
        let is_faint = self.other.is_some_and(|other| difference(level, other) < APART);
        self.faint_turns = if is_faint { self.faint_turns + 1 } else { 0 };
        if !is_faint || self.caller.is_none() || self.faint_turns > FAINT_TURNS {
            (self.caller, self.faint_turns) = (Some(level), 0);
        }
    }

    /// The caller's level in an utterance of `level`, which may be another voice's where one is known.
    pub fn caller_in(&self, level: Option<i8>) -> Option<i8> {
        if self.other.is_some() { level.max(self.caller) } else { level.or(self.caller) }
    }

    /// Whether speech of `level` is not the caller's, though it began as loud as their voice, which has the level `caller`.
    pub fn turns_out_fainter(&self, caller: i8, level: i8) -> bool {
        let margin = self.margin(caller);
        let began_loud = self.started.is_some_and(|it| !it.leads_on && difference(caller, it.level) < margin);
        began_loud && difference(caller, level) >= margin
    }

    /// How much fainter than the caller's level speech is that is not theirs, in dB.
    pub fn margin(&self, caller: i8) -> i16 {
        self.other_below(caller).map_or(FAINTER, |apart| (apart / 2).clamp(LEAST, FAINTER))
    }

    /// By how much another voice is fainter than the caller's level, in dB, where one is known.
    pub fn other_below(&self, caller: i8) -> Option<i16> {
        self.other.map(|other| difference(caller, other)).filter(|apart| *apart >= APART)
    }
}

pub fn difference(louder: i8, fainter: i8) -> i16 {
    i16::from(louder) - i16::from(fainter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> At {
        At(Duration::from_millis(ms))
    }

    /// Voices after speech of these times in ms and levels.
    fn after(runs: &[(u64, u64, i8)]) -> Voices {
        let mut voices = Voices::default();
        for (from, to, level) in runs {
            voices.start(at(*from), *level, false);
            voices.pause(at(*to), *level);
        }
        voices
    }

    #[test]
    fn two_long_parts_far_apart_are_of_two_voices() {
        let voices = after(&[(0, 600, -34), (900, 2_000, -23)]);
        assert_eq!((voices.caller, voices.other), (Some(-23), Some(-34)));
        assert_eq!(voices.margin(-23), LEAST, "half of the 11 dB between them is less");
    }

    #[test]
    fn short_distant_or_similar_parts_are_of_one_voice() {
        for runs in [
            [(0, 400, -34), (700, 2_000, -23)],
            [(0, 600, -34), (900, 1_300, -23)],
            [(0, 600, -34), (1_700, 3_000, -23)],
            [(0, 600, -31), (900, 2_000, -23)],
        ] {
            assert_eq!(after(&runs).other, None, "{runs:?}");
        }
    }

    #[test]
    fn another_voice_that_changes_its_level_remains_one() {
        for runs in [[(3_100, 3_700, -47), (3_700, 5_000, -34)], [(3_100, 3_700, -33), (3_700, 4_300, -42)]] {
            let voices = after(&[&[(0, 600, -34), (900, 2_000, -23)], &runs[..]].concat());
            assert_eq!((voices.caller, voices.other), (Some(-23), Some(-34)), "{runs:?}");
        }
    }

    #[test]
    fn turns_as_faint_as_another_voice_are_the_callers_after_three() {
        let mut voices = after(&[(0, 600, -34), (900, 2_000, -23)]);
        for expected in [-23, -23, -33] {
            voices.take_turn(Some(-33));
            assert_eq!(voices.caller, Some(expected));
        }
    }
}
