//! The noise suppression of a leg.

use super::leg::NoiseSuppression;
use crate::audio::suppression::Suppressor;

/// A suppressor of noise, by the consumers that it serves.
pub(super) enum Suppression {
    Recognition(Suppressor),
    RecognitionAndVoice(Suppressor),
}

impl Suppression {
    /// For frames of `frame_len` samples; `None` where noise is not suppressed.
    pub fn new(kind: NoiseSuppression, frame_len: usize) -> Option<Box<Suppression>> {
        let suppressor = || Suppressor::new(frame_len);
        match kind {
            NoiseSuppression::Off => None,
            NoiseSuppression::Recognition => Some(Box::new(Suppression::Recognition(suppressor()))),
            NoiseSuppression::RecognitionAndVoice => {
                Some(Box::new(Suppression::RecognitionAndVoice(suppressor())))
            }
        }
    }

    /// Takes the next frame.
    pub fn take(&mut self, frame: &[i16]) {
        let (Suppression::Recognition(suppressor) | Suppression::RecognitionAndVoice(suppressor)) = self;
        suppressor.suppress(frame);
    }

    /// The last frame for the call.
    pub fn for_call(&self) -> &[i16] {
        let (Suppression::Recognition(suppressor) | Suppression::RecognitionAndVoice(suppressor)) = self;
        suppressor.last()
    }

    /// The last frame for voice detection, where it is another than the received one.
    pub fn for_voice(&self) -> Option<&[i16]> {
        match self {
            Suppression::Recognition(_) => None,
            Suppression::RecognitionAndVoice(suppressor) => Some(suppressor.last()),
        }
    }
}
