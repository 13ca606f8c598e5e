//! Voice activity: frames in, "speech started" and "speech paused" out.
//!
//! Two detectors must agree. webrtc-vad costs a microsecond and hears every voice, but also noise,
//! ringback and DTMF; earshot, a small neural network, tells those apart and is asked only while
//! webrtc-vad hears something.

use earshot::Detector;
use rubato::{Fft, FixedSync, Resampler};
use webrtc_vad::{SampleRate, Vad as WebrtcVad, VadMode};

use audioadapter_buffers::direct::SequentialSlice;

use super::frame::{Framer, MAX_FRAME};

/// Judges one frame of 20 ms.
pub trait VoiceDetector: Send {
    fn is_voice(&mut self, frame: &[i16]) -> bool;
}

/// What a frame changed. The counts say how many frames ago it was, this one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Speech began with the frame `frames` back: 1 is the newest.
    Started { frames: u32 },
    /// The last `frames` frames had no voice in them.
    Paused { frames: u32 },
}

/// When frames become speech, and speech a pause. Counted in frames of 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Frames that are looked back upon.
    pub window: u32,
    /// Voiced ones among them that make speech.
    pub start: u32,
    /// Unvoiced frames in a row that make a pause.
    pub pause: u32,
}

impl Default for Thresholds {
    /// Speech is 60 ms voiced of 100; a pause is 120 ms.
    fn default() -> Self {
        Thresholds { window: 5, start: 3, pause: 6 }
    }
}

/// Turns the judgement of frames into speech and pauses.
pub struct Vad<D> {
    detector: D,
    thresholds: Thresholds,
    /// The newest frames' judgements; bit 0 is the newest.
    history: u32,
    speaking: bool,
    unvoiced: u32,
    /// Mean square of the loudest frame of this utterance, slowly forgotten.
    level: u32,
}

/// A frame this much below the utterance's level is its echo or its decay, not its end: 30 dB. Neural
/// detectors go on hearing a voice for some 60 ms into it.
const DECAY: u32 = 1_000;

impl<D: VoiceDetector> Vad<D> {
    /// The window has 1 to 32 frames.
    pub fn new(detector: D, thresholds: Thresholds) -> Vad<D> {
        assert!((1..=32).contains(&thresholds.window), "the window has 1 to 32 frames");
        Vad { detector, thresholds, history: 0, speaking: false, unvoiced: 0, level: 0 }
    }

    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Judges the next frame.
    pub fn hear(&mut self, frame: &[i16]) -> Option<Change> {
        let voiced = self.detector.is_voice(frame);
        let power = mean_square(frame);
        self.level = if voiced { power.max(self.level - self.level / 256) } else { self.level };
        self.judge(voiced && (!self.speaking || power >= self.level / DECAY))
    }

    /// Takes a frame in which nothing was received: silence, without asking the detector.
    pub fn hear_nothing(&mut self) -> Option<Change> {
        self.judge(false)
    }

    fn judge(&mut self, voiced: bool) -> Option<Change> {
        self.history = self.history << 1 | u32::from(voiced);
        self.unvoiced = if voiced { 0 } else { self.unvoiced.saturating_add(1) };
        if self.speaking { self.check_pause() } else { self.check_start() }
    }

    fn check_start(&mut self) -> Option<Change> {
        if self.unvoiced >= self.thresholds.pause {
            self.level = 0;
        }
        let window = self.history & (u32::MAX >> (32 - self.thresholds.window));
        if window.count_ones() < self.thresholds.start {
            return None;
        }
        self.speaking = true;
        Some(Change::Started { frames: 32 - window.leading_zeros() })
    }

    fn check_pause(&mut self) -> Option<Change> {
        if self.unvoiced < self.thresholds.pause {
            return None;
        }
        self.speaking = false;
        self.history = 0;
        self.level = 0;
        Some(Change::Paused { frames: self.unvoiced })
    }
}

fn mean_square(frame: &[i16]) -> u32 {
    let sum: u64 = frame.iter().map(|sample| u64::from(i32::from(*sample).pow(2).unsigned_abs())).sum();
    u32::try_from(sum / frame.len().max(1) as u64).unwrap_or(u32::MAX)
}

/// webrtc-vad first, earshot where it hears a voice.
///
/// The second opinion costs ten times the first, so it is asked where it matters: about every frame until both
/// have agreed on speech for a while, and then only now and again, or when the voice grows faint: what follows
/// on speech and is no speech, such as the noise of a street, is found out by that.
pub struct TwoOpinions {
    first: Webrtc,
    second: Earshot,
    stance: Stance,
    /// Frames in a row without a voice by the first opinion.
    gap: u32,
    /// Mean square of the loudest frame that was trusted, slowly forgotten.
    loud: u32,
    /// Frames in a row that are far below it.
    faint: u32,
    /// The second detector has heard the frame before this one.
    follows: bool,
}

/// What is held of the voice that the first opinion hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// Nothing: every frame is asked about. So many in a row were agreed on.
    Asking { agreed: u32 },
    /// That it is speech, for so many frames more.
    Trusting { left: u32 },
    /// That it was speech; so many frames were asked about in vain since.
    Doubting { vain: u32 },
}

/// Frames of agreement that earn trust, and frames for which it lasts.
const TRUST_AFTER: u32 = 6;
const TRUST_LASTS: u32 = 40;
/// Frames that are asked about in vain before trust is lost.
const DOUBT_LASTS: u32 = 5;
/// Faint frames in a row that raise a doubt, and what faint is: 15 dB below the loudest.
const FAINT_FRAMES: u32 = 3;
const FAINT: u32 = 32;
/// Frames without a voice after which nothing is held any more: what a pause takes.
const GAP: u32 = 6;

impl TwoOpinions {
    /// For frames of 20 ms at 8,000 or 16,000 samples a second.
    pub fn new(rate: u32) -> TwoOpinions {
        TwoOpinions {
            first: Webrtc::new(rate),
            second: Earshot::new(rate),
            stance: Stance::Asking { agreed: 0 },
            gap: 0,
            loud: 0,
            faint: 0,
            follows: false,
        }
    }

    fn ask_second(&mut self, frame: &[i16]) -> bool {
        if !std::mem::replace(&mut self.follows, true) {
            self.second.reset();
        }
        self.second.is_voice(frame)
    }

    fn trust(&mut self, frame: &[i16]) {
        self.stance = Stance::Trusting { left: TRUST_LASTS };
        (self.loud, self.faint) = (self.loud.max(mean_square(frame)), 0);
    }

    fn hear_nothing(&mut self) {
        self.follows = false;
        self.gap += 1;
        if self.gap >= GAP {
            self.stance = Stance::Asking { agreed: 0 };
            self.loud = 0;
        }
    }

    fn ask(&mut self, frame: &[i16], agreed: u32) -> bool {
        let voiced = self.ask_second(frame);
        self.stance = Stance::Asking { agreed: if voiced { agreed + 1 } else { 0 } };
        if voiced && agreed + 1 >= TRUST_AFTER {
            self.trust(frame);
        }
        voiced
    }

    fn doubt(&mut self, frame: &[i16], vain: u32) -> bool {
        if self.ask_second(frame) {
            // What was found to be a voice is not faint any more.
            self.loud = self.loud.min(mean_square(frame).saturating_mul(FAINT));
            self.trust(frame);
            return true;
        }
        let lost = vain + 1 >= DOUBT_LASTS;
        self.stance = if lost { Stance::Asking { agreed: 0 } } else { Stance::Doubting { vain: vain + 1 } };
        !lost
    }

    fn believe(&mut self, frame: &[i16], left: u32) -> bool {
        self.follows = false;
        let power = mean_square(frame);
        self.loud = power.max(self.loud - self.loud / 256);
        self.faint = if power < self.loud / FAINT { self.faint + 1 } else { 0 };
        let doubtful = left == 0 || self.faint >= FAINT_FRAMES;
        self.stance =
            if doubtful { Stance::Doubting { vain: 0 } } else { Stance::Trusting { left: left - 1 } };
        true
    }
}

impl VoiceDetector for TwoOpinions {
    fn is_voice(&mut self, frame: &[i16]) -> bool {
        if !self.first.is_voice(frame) {
            self.hear_nothing();
            return false;
        }
        self.gap = 0;
        match self.stance {
            Stance::Asking { agreed } => self.ask(frame, agreed),
            Stance::Trusting { left } => self.believe(frame, left),
            Stance::Doubting { vain } => self.doubt(frame, vain),
        }
    }
}

/// webrtc-vad in its most sceptical mode.
pub struct Webrtc(WebrtcVad);

// SAFETY: the wrapped C state has no thread affinity; it is !Send only for holding a raw pointer, and
// this wrapper has a single owner and hands out no reference to it.
unsafe impl Send for Webrtc {}

impl Webrtc {
    /// For 8,000 or 16,000 samples a second.
    pub fn new(rate: u32) -> Webrtc {
        let rate = if rate == 8_000 { SampleRate::Rate8kHz } else { SampleRate::Rate16kHz };
        Webrtc(WebrtcVad::new_with_rate_and_mode(rate, VadMode::VeryAggressive))
    }
}

impl VoiceDetector for Webrtc {
    fn is_voice(&mut self, frame: &[i16]) -> bool {
        // The C code insists on 10, 20 or 30 ms and panics on nothing at all.
        !frame.is_empty() && self.0.is_voice_segment(frame).unwrap_or(false)
    }
}

/// Samples that earshot judges at once: 16 ms at 16 kHz.
const EARSHOT_FRAME: usize = 256;

/// earshot, fed at 16 kHz.
pub struct Earshot {
    detector: Box<Detector>,
    upsampler: Option<Box<Upsampler>>,
    framer: Framer,
    voiced: bool,
}

impl Earshot {
    /// For 8,000 or 16,000 samples a second.
    pub fn new(rate: u32) -> Earshot {
        Earshot {
            detector: Detector::default_boxed(),
            upsampler: (rate == 8_000).then(|| Box::new(Upsampler::new())),
            framer: Framer::new(EARSHOT_FRAME),
            voiced: false,
        }
    }

    /// Forgets what was heard, after a gap.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.framer = Framer::new(EARSHOT_FRAME);
        if let Some(upsampler) = &mut self.upsampler {
            upsampler.engine.reset();
        }
    }
}

impl VoiceDetector for Earshot {
    fn is_voice(&mut self, frame: &[i16]) -> bool {
        let wide = match &mut self.upsampler {
            Some(upsampler) => upsampler.double(frame),
            None => frame,
        };
        let (detector, voiced) = (&mut self.detector, &mut self.voiced);
        self.framer.push(wide, |samples| *voiced = detector.predict_i16(samples) >= 0.5);
        self.voiced
    }
}

/// 8 kHz to 16 kHz, a frame at a time, without allocating.
struct Upsampler {
    engine: Fft<f32>,
    narrow: [f32; MAX_FRAME / 2],
    wide: [f32; MAX_FRAME],
    samples: [i16; MAX_FRAME],
}

impl Upsampler {
    fn new() -> Upsampler {
        let engine =
            Fft::new(8_000, 16_000, MAX_FRAME / 2, 1, FixedSync::Both).expect("both rates are above zero");
        Upsampler { engine, narrow: [0.0; MAX_FRAME / 2], wide: [0.0; MAX_FRAME], samples: [0; MAX_FRAME] }
    }

    fn double(&mut self, frame: &[i16]) -> &[i16] {
        for (wide, sample) in self.narrow.iter_mut().zip(frame) {
            *wide = f32::from(*sample);
        }
        let source = SequentialSlice::new(&self.narrow, 1, MAX_FRAME / 2).expect("the array has this length");
        let mut target =
            SequentialSlice::new_mut(&mut self.wide, 1, MAX_FRAME).expect("the array has this length");
        self.engine
            .process_into_buffer(&source, &mut target, None)
            .expect("the buffers have the engine's sizes");
        for (sample, wide) in self.samples.iter_mut().zip(&self.wide) {
            *sample = wide.clamp(-32_768.0, 32_767.0) as i16;
        }
        &self.samples
    }
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

    fn changes(script: &str) -> Vec<(usize, Change)> {
        let mut vad = Vad::new(Told, Thresholds::default());
        let judge = |(n, c)| vad.hear(&[i16::from(c == 'v')]).map(|change| (n, change));
        script.chars().enumerate().filter_map(judge).collect()
    }

    #[test]
    fn speech_is_three_voiced_frames_of_five() {
        assert_eq!(changes("..v..v.v."), []);
        assert_eq!(changes("..v.vv"), [(5, Change::Started { frames: 4 })]);
        assert_eq!(changes("vvv"), [(2, Change::Started { frames: 3 })]);
    }

    #[test]
    fn a_pause_is_six_unvoiced_frames_in_a_row() {
        assert_eq!(
            changes("vvv.....v......vvv"),
            [
                (2, Change::Started { frames: 3 }),
                (14, Change::Paused { frames: 6 }),
                (17, Change::Started { frames: 3 })
            ]
        );
    }

    #[test]
    fn the_decay_of_a_word_is_no_part_of_it() {
        let mut vad = Vad::new(Told, Thresholds::default());
        let levels = [9_000; 10].into_iter().chain([200; 3]).chain([0; 3]);
        let changes: Vec<Change> = levels.filter_map(|level| vad.hear(&[level; 160])).collect();
        assert_eq!(changes, [Change::Started { frames: 3 }, Change::Paused { frames: 6 }]);
    }

    #[test]
    fn a_shout_before_does_not_make_a_quiet_caller_unheard() {
        let mut vad = Vad::new(Told, Thresholds::default());
        let levels = [20_000; 2].into_iter().chain([0; 10]).chain([400; 10]);
        let changes: Vec<Change> = levels.filter_map(|level| vad.hear(&[level; 160])).collect();
        assert_eq!(changes, [Change::Started { frames: 3 }]);
    }

    /// White noise from a fixed seed.
    fn noise(frames: usize, len: usize) -> Vec<i16> {
        let mut state = 0x2545_F491_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as i16) / 16
        };
        (0..frames * len).map(|_| next()).collect()
    }

    fn voiced_frames(rate: u32, samples: &[i16]) -> usize {
        let mut detector = TwoOpinions::new(rate);
        samples.chunks(rate as usize / 50).filter(|frame| detector.is_voice(frame)).count()
    }

    #[test]
    fn noise_is_no_speech() {
        for (rate, len) in [(8_000, 160), (16_000, 320)] {
            let voiced = voiced_frames(rate, &noise(100, len));
            assert!(voiced <= 6, "at {rate} Hz {voiced} of 100 frames of noise were called voice");
        }
    }

    /// The detectors have just agreed on speech of this mean square, and trust it. Noise follows: when does it end?
    fn trusted_frames_of_noise(rate: u32, len: usize, loud: u32) -> usize {
        let stance = Stance::Trusting { left: TRUST_LASTS };
        let mut detector = TwoOpinions { stance, loud, ..TwoOpinions::new(rate) };
        let judged: Vec<bool> = noise(100, len).chunks(len).map(|frame| detector.is_voice(frame)).collect();
        judged.iter().rposition(|voiced| *voiced).unwrap_or(0)
    }

    #[test]
    fn noise_after_speech_ends_it() {
        let loud = 8_000 * 8_000;
        for (rate, len) in [(8_000, 160), (16_000, 320)] {
            let last = trusted_frames_of_noise(rate, len, loud);
            assert!(last < 20, "at {rate} Hz noise passed for speech until frame {last}");
        }
    }

    #[test]
    fn noise_as_loud_as_speech_ends_it_later() {
        for (rate, len) in [(8_000, 160), (16_000, 320)] {
            let last = trusted_frames_of_noise(rate, len, 0);
            assert!(last < 60, "at {rate} Hz noise passed for speech until frame {last}");
        }
    }

    /// At 8 kHz, where keypresses do come in the audio of a trunk. (earshot hears half a second of voice
    /// in a clean wideband tone; there DTMF comes as events.)
    #[test]
    fn a_keypress_is_no_speech() {
        let wave = |n: usize, hz: f32| (n as f32 * hz * std::f32::consts::TAU / 8_000.0).sin() * 6_000.0;
        let tones: Vec<i16> = (0..16_000).map(|n| (wave(n, 770.0) + wave(n, 1_336.0)) as i16).collect();
        let voiced = voiced_frames(8_000, &tones);
        assert!(voiced <= 6, "{voiced} of 100 frames of DTMF were called voice");
    }

    #[test]
    fn frames_of_a_wrong_length_are_no_voice() {
        let mut detector = TwoOpinions::new(8_000);
        assert!(!detector.is_voice(&[]));
        assert!(!detector.is_voice(&[1; 7]));
    }
}
