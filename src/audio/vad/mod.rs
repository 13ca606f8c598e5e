//! Voice activity: frames in, "speech started" and "speech paused" out.
//!
//! Two detectors must agree. webrtc-vad costs a microsecond and detects every voice, but also noise, ringback and
//! DTMF; earshot, a small neural network, distinguishes those and is used only while webrtc-vad detects a voice.
//! Both mistake a continuous tone for a voice; its power reveals it.
//!
//! A lasting change of level within speech divides it: the speech pauses there, and another starts (`loudness`).

mod detectors;
mod double;
mod loudness;
mod opinions;
mod tones;

use loudness::{Division, Loudness};
use tones::Tones;

pub use detectors::{Earshot, Webrtc};
pub use opinions::TwoOpinions;

/// Judges one frame of 20 ms.
pub trait VoiceDetector: Send {
    fn is_voice(&mut self, frame: &[i16]) -> bool;

    /// Called shortly before a frame: may fetch the detector's memory into the cache.
    fn prefetch(&self) {}
}

/// A change between speech and silence. The counts are frames back from the newest, which is 1. The level is the mean
/// power of the voiced frames in dBov (RFC 6464): 0 is the loudest that can be encoded, -127 silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechChange {
    /// Speech began `frames` frames back, at this level.
    Started { frames: u32, level: i8 },
    /// The last `frames` frames had no voice in them, or one of another level, which starts with a later frame. The
    /// level is that of the whole utterance.
    Paused { frames: u32, level: i8 },
}

/// The number of frames that make speech, and a pause. A frame has 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// The newest frames, among which voiced ones are counted.
    pub window: u32,
    /// Voiced frames in the window that make speech.
    pub start: u32,
    /// Unvoiced frames in a row that make a pause.
    pub pause: u32,
}

impl Default for Thresholds {
    /// Speech: 60 ms voiced of 100. A pause: 120 ms.
    fn default() -> Self {
        Thresholds { window: 5, start: 3, pause: 6 }
    }
}

/// Derives speech and pauses from the judgement of each frame.
pub struct Vad<D> {
    detector: D,
    thresholds: Thresholds,
    /// The newest frames' judgements; bit 0 is the newest.
    history: u32,
    speaking: bool,
    unvoiced: u32,
    /// Mean square of the loudest frame of this utterance, decaying slowly.
    peak: u32,
    voice_level: VoiceLevel,
    loudness: Loudness,
    /// The power of the newest frames, the newest first.
    powers: [u32; RECENT],
    /// Frames since a lasting change of level, until the speech after it is reported.
    divided: Option<u32>,
    tones: Tones,
}

/// The mean power of an utterance's voiced frames.
#[derive(Default)]
struct VoiceLevel {
    /// Of the frames' mean squares.
    sum: u64,
    frames: u32,
}

impl VoiceLevel {
    fn add(&mut self, power: u32) {
        self.sum += u64::from(power);
        self.frames += 1;
    }

    /// The mean without those of `part`.
    fn without(&self, part: &VoiceLevel) -> VoiceLevel {
        let frames = self.frames.saturating_sub(part.frames);
        VoiceLevel { sum: self.sum.saturating_sub(part.sum), frames }
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / f64::from(self.frames.max(1))
    }

    fn dbov(&self) -> i8 {
        // A cast of a float saturates; that of silence is minus infinity.
        dbov(self.mean()).round() as i8
    }
}

/// A mean square in dBov, -127 to 0.
fn dbov(power: f64) -> f64 {
    (10.0 * (power / FULL_SCALE).log10()).clamp(-127.0, 0.0)
}

/// The mean square of the loudest signal, a square wave at full scale.
const FULL_SCALE: f64 = 32_768.0 * 32_768.0;

/// A frame this much below the utterance's level (30 dB) is echo or decay and counts as unvoiced. Neural detectors
/// detect a voice for some 60 ms more there.
const DECAY: u32 = 1_000;

/// Detectors recognise a voice by its second or third frame. Sound before that belongs to it if it is as loud as this
/// part of the speech (-20 dB), for so many frames at most.
const ONSET: f64 = 0.01;
const ONSET_FRAMES: usize = 2;
/// Speech that starts later than these frames after a lasting change of level is not the speech that changed: a second.
const LONGEST_DIVISION: u32 = 50;
/// The frames of a start and its onset.
const RECENT: usize = 8;

impl<D: VoiceDetector> Vad<D> {
    /// The window has 1 to 32 frames.
    pub fn new(detector: D, thresholds: Thresholds) -> Vad<D> {
        assert!((1..=32).contains(&thresholds.window), "the window has 1 to 32 frames");
        Vad {
            detector,
            thresholds,
            history: 0,
            speaking: false,
            unvoiced: 0,
            peak: 0,
            voice_level: VoiceLevel::default(),
            loudness: Loudness::default(),
            powers: [0; RECENT],
            divided: None,
            tones: Tones::default(),
        }
    }

    /// Called shortly before a frame: fetches the detector's memory into the cache.
    pub fn prefetch(&self) {
        self.detector.prefetch();
    }

    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// True when no voice was heard lately.
    pub fn is_silent(&self) -> bool {
        !self.speaking && self.window() == 0
    }

    /// The frames with sound right before a start of speech `frames` frames back, which was just returned.
    pub fn onset(&self, frames: u32) -> u32 {
        let least = ONSET * self.voice_level.mean();
        let before = self.powers.iter().skip(frames as usize).take(ONSET_FRAMES);
        before.take_while(|power| f64::from(**power) >= least).count() as u32
    }

    /// Judges the next frame, with its mean square.
    pub fn push(&mut self, frame: &[i16], power: u32) -> Option<SpeechChange> {
        let tone = self.tones.is_tone(power);
        let voiced = self.detector.is_voice(frame) && !tone;
        self.peak = if voiced { power.max(self.peak - self.peak / 256) } else { self.peak };
        let voiced = voiced && (!self.speaking || power >= self.peak / DECAY);
        if voiced {
            self.voice_level.add(power);
        }
        self.note_power(power);
        self.loudness.smooth(power);
        let was_speaking = self.speaking;
        let change = self.judge(voiced);
        if change.is_some() || !was_speaking {
            return change;
        }
        let division = self.loudness.divide(power, voiced, &self.voice_level)?;
        Some(self.divide(division))
    }

    /// The speech so far pauses where its level changed. That of the other level starts with the next voiced frame.
    fn divide(&mut self, Division { frames, before, after }: Division) -> SpeechChange {
        self.speaking = false;
        self.voice_level = after;
        self.divided = Some(frames);
        SpeechChange::Paused { frames, level: before }
    }

    /// Counts a frame that was not received, or is not the caller's, as silence, without the detector.
    pub fn push_unvoiced(&mut self) -> Option<SpeechChange> {
        self.note_power(0);
        self.loudness.pass();
        self.judge(false)
    }

    fn note_power(&mut self, power: u32) {
        self.powers.rotate_right(1);
        self.powers[0] = power;
    }

    /// Takes back a start of speech that was just returned, for now: the next frame returns it again, if it is still speech.
    pub fn hold_start(&mut self) {
        self.speaking = false;
    }

    /// Takes back a start of speech that was just returned: it was no speech of the caller.
    pub fn reject_start(&mut self) {
        (self.speaking, self.history) = (false, 0);
        self.forget_level();
    }

    /// The newest frames' judgements, among which voiced ones are counted.
    fn window(&self) -> u32 {
        self.history & (u32::MAX >> (32 - self.thresholds.window))
    }

    fn judge(&mut self, voiced: bool) -> Option<SpeechChange> {
        self.history = self.history << 1 | u32::from(voiced);
        self.unvoiced = if voiced { 0 } else { self.unvoiced.saturating_add(1) };
        self.divided = self.divided.map(|frames| frames + 1).filter(|frames| *frames <= LONGEST_DIVISION);
        if self.speaking { self.check_pause() } else { self.check_start() }
    }

    fn check_start(&mut self) -> Option<SpeechChange> {
        if self.unvoiced >= self.thresholds.pause {
            self.forget_level();
        }
        let window = self.window();
        if window.count_ones() < self.thresholds.start {
            return None;
        }
        self.speaking = true;
        let frames = self.divided.take().unwrap_or(32 - window.leading_zeros());
        self.loudness.begin(frames, &self.voice_level);
        Some(SpeechChange::Started { frames, level: self.voice_level.dbov() })
    }

    fn check_pause(&mut self) -> Option<SpeechChange> {
        if self.unvoiced < self.thresholds.pause {
            return None;
        }
        self.speaking = false;
        self.history = 0;
        let level = self.voice_level.dbov();
        self.forget_level();
        Some(SpeechChange::Paused { frames: self.unvoiced, level })
    }

    fn forget_level(&mut self) {
        self.peak = 0;
        self.voice_level = VoiceLevel::default();
        self.divided = None;
    }
}

/// The mean of the samples' squares, which is the frame's power.
pub fn mean_square(frame: &[i16]) -> u32 {
    let sum: u64 = frame.iter().map(|sample| u64::from(i32::from(*sample).pow(2).unsigned_abs())).sum();
    u32::try_from(sum / frame.len().max(1) as u64).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads its judgement from the frame's first sample.
    struct Told;

    impl VoiceDetector for Told {
        fn is_voice(&mut self, frame: &[i16]) -> bool {
            frame[0] != 0
        }
    }

    /// The level of frames of one sample, whose loudness is 1: 10 log10(1 / 32,768^2).
    const FAINTEST: i8 = -90;

    fn started(frames: u32, level: i8) -> SpeechChange {
        SpeechChange::Started { frames, level }
    }

    fn paused(frames: u32, level: i8) -> SpeechChange {
        SpeechChange::Paused { frames, level }
    }

    fn changes(script: &str) -> Vec<(usize, SpeechChange)> {
        let mut vad = Vad::new(Told, Thresholds::default());
        let judge = |(n, c)| vad.push(&[i16::from(c == 'v')], u32::from(c == 'v')).map(|change| (n, change));
        script.chars().enumerate().filter_map(judge).collect()
    }

    fn changes_at(levels: impl Iterator<Item = i16>) -> Vec<SpeechChange> {
        let mut vad = Vad::new(Told, Thresholds::default());
        let judge = |level| vad.push(&[level; 160], mean_square(&[level; 160]));
        levels.filter_map(judge).collect()
    }

    #[test]
    fn a_start_that_is_held_is_returned_again_and_a_rejected_one_is_not() {
        let mut vad = Vad::new(Told, Thresholds::default());
        let push = |vad: &mut Vad<Told>| vad.push(&[1], 1);
        assert_eq!((push(&mut vad), push(&mut vad)), (None, None));
        assert_eq!(push(&mut vad), Some(started(3, FAINTEST)));
        vad.hold_start();
        assert!(!vad.is_speaking() && !vad.is_silent());
        assert_eq!(push(&mut vad), Some(started(4, FAINTEST)));
        vad.reject_start();
        assert!(vad.is_silent());
        assert_eq!((push(&mut vad), push(&mut vad)), (None, None));
    }

    #[test]
    fn speech_is_three_voiced_frames_of_five() {
        assert_eq!(changes("..v..v.v."), []);
        assert_eq!(changes("..v.vv"), [(5, started(4, FAINTEST))]);
        assert_eq!(changes("vvv"), [(2, started(3, FAINTEST))]);
    }

    #[test]
    fn a_pause_is_six_unvoiced_frames_in_a_row() {
        assert_eq!(
            changes("vvv.....v......vvv"),
            [(2, started(3, FAINTEST)), (14, paused(6, FAINTEST)), (17, started(3, FAINTEST))]
        );
    }

    #[test]
    fn the_decay_of_a_word_is_no_part_of_it() {
        let changes = changes_at([9_000; 10].into_iter().chain([200; 3]).chain([0; 3]));
        assert_eq!(changes, [started(3, -11), paused(6, -11)]);
    }

    #[test]
    fn the_onset_is_the_sound_right_before_the_first_voiced_frames() {
        let onset = |soft: i16, count: usize| {
            let mut vad = Vad::new(Told, Thresholds::default());
            // The detector goes by the first sample.
            let frame = |voiced: bool, level: i16| {
                let mut frame = [level; 160];
                frame[0] = i16::from(voiced);
                frame
            };
            let frames =
                [(false, 0); 4].into_iter().chain(vec![(false, soft); count]).chain([(true, 6_000); 3]);
            let changes = frames.filter_map(|(voiced, level)| {
                let frame = frame(voiced, level);
                vad.push(&frame, mean_square(&frame))
            });
            assert_eq!(changes.count(), 1);
            vad.onset(3)
        };
        assert_eq!((onset(1_500, 0), onset(1_500, 1), onset(1_500, 4)), (0, 1, 2));
        assert_eq!(onset(300, 4), 0, "noise far below the voice");
    }

    #[test]
    fn a_shout_before_does_not_make_a_quiet_caller_unheard() {
        let changes = changes_at([20_000; 2].into_iter().chain([0; 10]).chain([400; 10]));
        assert_eq!(changes, [started(3, -38)], "and its level is their own");
    }

    #[test]
    fn the_level_is_the_mean_power_of_the_voiced_frames() {
        let voice = |level: i16| changes_at([level; 5].into_iter().chain([0; 6]));
        assert_eq!(voice(i16::MIN), [started(3, 0), paused(6, 0)]);
        assert_eq!(voice(3_277), [started(3, -20), paused(6, -20)]);
        // Three frames at -20 dBov and one at -6: the mean power is that of -12.
        let louder = changes_at([3_277, 3_277, 3_277, 16_422].into_iter().chain([0; 6]));
        assert_eq!(louder, [started(3, -20), paused(6, -12)]);
        // The gap within speech counts as little as the pause after it.
        let gap = changes_at([3_277; 5].into_iter().chain([0; 4]).chain([3_277; 5]).chain([0; 6]));
        assert_eq!(gap, [started(3, -20), paused(6, -20)]);
    }
}
