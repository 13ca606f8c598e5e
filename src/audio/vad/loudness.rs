//! Lasting changes of level within speech: a caller stops and a television goes on, or a caller speaks over one.
//!
//! The power of some 100 ms is compared with that of the speech's loud parts. A speaker's weak syllables are as faint
//! as another's voice, but not for half a second: recorded sentences are not divided
//! (`tests/noise/television.rs`).

use super::VoiceLevel;

/// The share of the newest frame in the smoothed power: a time constant of 100 ms.
const SMOOTHING: f32 = 0.2;
/// The difference of level that makes another voice, in dB.
const APART: f32 = 8.0;
/// Frames in a row that are so much fainter, after which the voice before has ended: half a second.
const FALL: u32 = 25;
/// The power relative to the mean of the speech so far, 6 dB, and the frames in a row that have it, after which a
/// louder voice has begun.
const LOUDER: f32 = 4.0;
const RISE: u32 = 8;
/// Frames of a voice before another one may divide the speech: a first weak syllable is no voice of its own.
const SHORTEST: u32 = 25;
/// The level of the loud parts begins this much below the level of the first frames, in dB, and follows a louder voice
/// by this share of the difference and this many dB a frame at most: an automatic gain is too high for the first tenths
/// of a second.
const BEGINNING: f32 = 6.0;
const SHARE: f32 = 0.25;
const ATTACK: f32 = 0.5;
/// It follows a fainter voice by 1 dB a second.
const RELEASE: f32 = 0.02;
/// The level of the loud parts where there was no speech before, in dBov.
const SILENT: f32 = -127.0;
/// The longest pause, in frames, after which speech is compared with the speech before it: half a second.
const SHORT_PAUSE: u32 = 25;
/// Loud parts are this much above the mean level of a voice, in dB.
const ABOVE_MEAN: f32 = 3.0;

/// A place at which the level of speech changed for longer than a syllable.
pub(super) struct Division {
    /// Frames back from the newest, which is 1.
    pub(super) frames: u32,
    /// The level before, in dBov.
    pub(super) before: i8,
    /// The voiced frames since.
    pub(super) after: VoiceLevel,
}

/// Frames in a row that differ from the speech before them.
#[derive(Default)]
struct LevelRun {
    frames: u32,
    level: VoiceLevel,
}

impl LevelRun {
    fn count(&mut self, differs: bool, power: u32, voiced: bool) {
        if !differs {
            *self = LevelRun::default();
            return;
        }
        self.frames += 1;
        if voiced {
            self.level.add(power);
        }
    }
}

/// Follows the level of one speech after the other.
pub(super) struct Loudness {
    /// The smoothed power.
    envelope: f32,
    /// The level of the loud parts of this speech, in dBov. Speech after a short pause begins with that of the speech before.
    loud: f32,
    /// This speech has been as loud as that.
    is_own: bool,
    /// Frames since the speech before.
    silence: u32,
    /// Frames of this speech.
    frames: u32,
    fainter: LevelRun,
    louder: LevelRun,
}

impl Default for Loudness {
    fn default() -> Loudness {
        let (fainter, louder) = (LevelRun::default(), LevelRun::default());
        Loudness { envelope: 0.0, loud: SILENT, is_own: true, silence: 0, frames: 0, fainter, louder }
    }
}

impl Loudness {
    /// Takes a frame, of speech or not.
    pub(super) fn smooth(&mut self, power: u32) {
        self.envelope += SMOOTHING * (power as f32 - self.envelope);
        self.pass();
    }

    /// Takes a frame that was not received, or is not the caller's.
    pub(super) fn pass(&mut self) {
        self.silence = self.silence.saturating_add(1);
    }

    /// Speech begins with `frames` frames at `level`.
    pub(super) fn begin(&mut self, frames: u32, level: &VoiceLevel) {
        let first = f32::from(level.dbov()) - BEGINNING;
        self.is_own = self.silence > SHORT_PAUSE || self.loud <= first;
        self.loud = if self.is_own { first } else { self.loud };
        self.frames = frames;
        (self.fainter, self.louder) = (LevelRun::default(), LevelRun::default());
    }

    /// Takes the frame that was smoothed last, of speech at `level` so far. Returns the place where its level changed.
    pub(super) fn divide(&mut self, power: u32, voiced: bool, level: &VoiceLevel) -> Option<Division> {
        let now = super::dbov(f64::from(self.envelope)) as f32;
        self.frames += 1;
        self.silence = 0;
        self.is_own |= now > self.loud;
        self.loud += if now > self.loud { (SHARE * (now - self.loud)).min(ATTACK) } else { -RELEASE };
        self.fainter.count(now < self.loud - APART, power, voiced);
        self.louder.count(self.envelope >= LOUDER * level.mean() as f32, power, voiced);
        if self.fainter.frames >= FALL {
            // A fainter voice that was heard before it does not count as the louder one's.
            let mean = level.without(&self.fainter.level).dbov();
            let before = if self.is_own { mean.max((self.loud - ABOVE_MEAN) as i8) } else { mean };
            self.loud = SILENT;
            return Some(Division::at(&mut self.fainter, before));
        }
        let before = self.frames.saturating_sub(self.louder.frames);
        if self.louder.frames >= RISE && before >= SHORTEST {
            let before = level.without(&self.louder.level).dbov();
            return Some(Division::at(&mut self.louder, before));
        }
        None
    }
}

impl Division {
    fn at(run: &mut LevelRun, before: i8) -> Division {
        let LevelRun { frames, level } = std::mem::take(run);
        Division { frames, before, after: level }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::super::{SpeechChange, Thresholds, Vad, VoiceDetector, mean_square};

    /// Every sound is a voice.
    struct Sound;

    impl VoiceDetector for Sound {
        fn is_voice(&mut self, frame: &[i16]) -> bool {
            frame[0] != 0
        }
    }

    /// Syllables of a quarter of a second that rise and fall by 14 dB, with stresses that differ by 6 dB; the mean power
    /// is some `level` dB below full scale.
    fn voice(frames: usize, level: f64, random: &mut StdRng) -> Vec<f64> {
        let mut stress = 0.0;
        let syllable = |n: usize| {
            if n.is_multiple_of(12) {
                stress = random.random_range(-3.0..3.0);
            }
            let phase = (n % 12) as f64 / 12.0 * std::f64::consts::PI;
            let db = stress + 14.0 * (phase.sin() - 0.75) - level;
            32_768.0 * 10_f64.powf(db / 20.0)
        };
        (0..frames).map(syllable).collect()
    }

    /// Amplitudes whose powers add up.
    fn mixed(one: &[f64], other: &[f64]) -> Vec<f64> {
        one.iter().zip(other).map(|(a, b)| a.hypot(*b)).collect()
    }

    /// The changes of speech, with the number of the frame at which each was noticed.
    fn changes(amplitudes: &[f64]) -> Vec<(usize, SpeechChange)> {
        let mut vad = Vad::new(Sound, Thresholds::default());
        let judge = |(n, amplitude): (usize, &f64)| {
            let frame = [*amplitude as i16; 160];
            vad.push(&frame, mean_square(&frame)).map(|change| (n, change))
        };
        amplitudes.iter().enumerate().filter_map(judge).collect()
    }

    /// A caller speaks from the third to the sixth second, at -22 dBov; a television is `below` dB fainter throughout.
    fn over_a_television(below: f64, seed: u64) -> Vec<(usize, SpeechChange)> {
        let mut random = StdRng::seed_from_u64(seed);
        let caller = voice(150, 22.0, &mut random);
        let television = voice(600, 22.0 + below, &mut random);
        let silent = |frames| vec![0.0; frames];
        changes(&mixed(&[silent(150), caller, silent(300)].concat(), &television))
    }

    #[test]
    fn a_caller_who_speaks_over_a_television_is_divided_from_it() {
        for (below, seed) in [12.0, 15.0, 18.0, 24.0].into_iter().flat_map(|db| [1, 2, 3, 4].map(|n| (db, n)))
        {
            let changes = over_a_television(below, seed);
            let case = format!("{below} dB below, seed {seed}: {changes:?}");
            let [_, (louder, _), (_, rise), (stopped, end), (_, rest), ..] = changes[..] else {
                panic!("{case}")
            };
            let SpeechChange::Started { frames, level } = rise else { panic!("{case}") };
            let begin = louder + 2 - frames as usize;
            assert!((150..=160).contains(&begin) && louder <= 165, "noticed within 300 ms: {case}");
            let SpeechChange::Paused { frames, level: caller } = end else { panic!("{case}") };
            let last = stopped + 1 - frames as usize;
            assert!((298..=325).contains(&last) && stopped <= 335, "noticed within 700 ms: {case}");
            let SpeechChange::Started { level: television, .. } = rest else { panic!("{case}") };
            assert!((-25..=-19).contains(&caller) && level > television, "{case}");
            assert!(i16::from(caller) - i16::from(television) >= 8, "{case}");
        }
    }

    #[test]
    fn one_speaker_is_not_divided() {
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let changes = changes(&voice(3_000, 22.0, &mut random));
            assert_eq!(changes.len(), 1, "seed {seed}: {changes:?}");
        }
    }

    #[test]
    fn a_speaker_who_trails_off_is_not_divided() {
        for fade in [4.0, 8.0, 12.0] {
            let mut speech = voice(150, 22.0, &mut StdRng::seed_from_u64(5));
            let gain = |n: usize| 10_f64.powf(-fade * n as f64 / 40.0 / 20.0);
            speech[110..].iter_mut().enumerate().for_each(|(n, amplitude)| *amplitude *= gain(n));
            speech.resize(170, 0.0);
            assert_eq!(changes(&speech).len(), 2, "it starts and pauses, {fade} dB fainter");
        }
    }

    #[test]
    fn a_soft_word_after_a_pause_is_speech_of_its_own() {
        let mut random = StdRng::seed_from_u64(6);
        let pause = vec![0.0; 10];
        let speech =
            [voice(60, 22.0, &mut random), pause.clone(), voice(24, 32.0, &mut random), pause].concat();
        let changes = changes(&speech);
        let starts =
            changes.iter().filter(|(_, change)| matches!(change, SpeechChange::Started { .. })).count();
        assert_eq!((starts, changes.len()), (2, 4), "{changes:?}");
    }

    #[test]
    fn a_fainter_voice_after_a_short_pause_is_divided_at_its_beginning() {
        let mut random = StdRng::seed_from_u64(8);
        let speech =
            [voice(60, 22.0, &mut random), vec![0.0; 10], voice(50, 36.0, &mut random), vec![0.0; 10]]
                .concat();
        let changes = changes(&speech);
        let [_, _, (_, begun), (noticed, SpeechChange::Paused { frames, level }), (_, rest), _] = changes[..]
        else {
            panic!("{changes:?}")
        };
        let (SpeechChange::Started { level: first, .. }, SpeechChange::Started { level: whole, .. }) =
            (begun, rest)
        else {
            panic!("{changes:?}")
        };
        assert!(noticed - frames as usize <= 76 && level <= first + 3 && whole < -30, "{changes:?}");
    }

    #[test]
    fn speech_after_frames_that_were_not_received_is_compared_with_none() {
        let mut random = StdRng::seed_from_u64(8);
        let (first, second) = (voice(60, 22.0, &mut random), voice(50, 36.0, &mut random));
        let mut vad = Vad::new(Sound, Thresholds::default());
        let push = |vad: &mut Vad<Sound>, amplitude: &f64| {
            let frame = [*amplitude as i16; 160];
            vad.push(&frame, mean_square(&frame))
        };
        assert_eq!(first.iter().filter_map(|amplitude| push(&mut vad, amplitude)).count(), 1);
        assert_eq!((0..30).filter_map(|_| vad.push_unvoiced()).count(), 1, "it pauses");
        let changes = second.iter().filter_map(|amplitude| push(&mut vad, amplitude));
        assert_eq!(changes.count(), 1, "it starts, and is not divided");
    }

    /// The gain is 12 dB too high after each pause, and falls within a tenth of a second.
    #[test]
    fn an_automatic_gain_does_not_divide_a_speaker() {
        let mut random = StdRng::seed_from_u64(7);
        let mut track = Vec::new();
        for _ in 0..20 {
            let gain = |n: usize| 10_f64.powf(12.0 * (-(n as f64) / 5.0).exp() / 20.0);
            let sentence = voice(100, 26.0, &mut random);
            track.extend(sentence.iter().enumerate().map(|(n, amplitude)| amplitude * gain(n)));
            track.extend([0.0; 25]);
        }
        assert_eq!(changes(&track).len(), 40);
    }
}
