//! The two detectors: webrtc-vad and earshot.

use earshot::Detector;
use webrtc_vad::{SampleRate, Vad as WebrtcVad, VadMode};

use super::VoiceDetector;
use super::double::Doubler;
use crate::audio::frame::{Framer, MAX_FRAME};
use crate::audio::prefetch::{prefetch, prefetch_run};

/// webrtc-vad in its strictest mode.
pub struct Webrtc(WebrtcVad);

// SAFETY: the wrapped C state has no thread affinity; it is !Send only because it holds a raw pointer, and this
// wrapper has a single owner and hands out no reference to it.
unsafe impl Send for Webrtc {}

impl Webrtc {
    /// For 8,000 or 16,000 samples a second.
    pub fn new(rate: u32) -> Webrtc {
        let rate = if rate == 8_000 { SampleRate::Rate8kHz } else { SampleRate::Rate16kHz };
        Webrtc(WebrtcVad::new_with_rate_and_mode(rate, VadMode::VeryAggressive))
    }
}

/// The size of libfvad's state for a call, in bytes (`struct Fvad`). A wrong figure would only cost time.
const FVAD: usize = 740;

impl VoiceDetector for Webrtc {
    fn prefetch(&self) {
        const { assert!(size_of::<WebrtcVad>() == size_of::<*const u8>()) };
        // SAFETY: it is of a pointer's size and has one field, which is the pointer to the C state. Nothing is read
        // through it.
        let state: *const u8 = unsafe { std::mem::transmute_copy(&self.0) };
        prefetch_run(state, FVAD);
    }

    fn is_voice(&mut self, frame: &[i16]) -> bool {
        // The C code accepts 10, 20 or 30 ms only, and panics on an empty frame.
        !frame.is_empty() && self.0.is_voice_segment(frame).unwrap_or(false)
    }
}

/// Samples that earshot judges together: 16 ms at 16 kHz.
const EARSHOT_FRAME: usize = 256;

/// earshot, fed at 16 kHz.
pub struct Earshot {
    detector: Box<Detector>,
    /// For frames at 8 kHz.
    doubler: Option<Doubler>,
    framer: Framer,
    voiced: bool,
}

impl Earshot {
    /// For 8,000 or 16,000 samples a second.
    pub fn new(rate: u32) -> Earshot {
        Earshot {
            detector: Detector::default_boxed(),
            doubler: (rate == 8_000).then(Doubler::default),
            framer: Framer::new(EARSHOT_FRAME),
            voiced: false,
        }
    }

    /// Clears the state, after a gap.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.framer.clear();
        if let Some(doubler) = &mut self.doubler {
            *doubler = Doubler::default();
        }
    }
}

impl VoiceDetector for Earshot {
    fn prefetch(&self) {
        prefetch(&*self.detector);
    }

    fn is_voice(&mut self, frame: &[i16]) -> bool {
        let mut doubled = [0; MAX_FRAME];
        let wide = match &mut self.doubler {
            Some(doubler) => {
                let len = doubler.double(frame, &mut doubled);
                &doubled[..len]
            }
            None => frame,
        };
        let (detector, voiced) = (&mut self.detector, &mut self.voiced);
        self.framer.push(wide, |samples| *voiced = detector.predict_i16(samples) >= 0.5);
        self.voiced
    }
}
