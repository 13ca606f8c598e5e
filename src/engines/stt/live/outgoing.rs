//! The caller's audio on its way to a live engine: kept until its words are known, and sent in frames.

use std::sync::Arc;
use std::time::Duration;

use crate::audio::AudioBuffer;

/// The audio of a session. Positions count the samples since the session began.
pub struct OutgoingAudio {
    kept: AudioBuffer,
    /// Samples that were sent so far, on all connections.
    total: u64,
}

/// The sizes of frames, in samples.
#[derive(Clone, Copy)]
pub struct FrameSize {
    pub least: u64,
    pub most: u64,
}

impl OutgoingAudio {
    pub fn new(rate: u32) -> OutgoingAudio {
        OutgoingAudio { kept: AudioBuffer::new(rate), total: 0 }
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.kept.rate()
    }

    /// The position after the newest sample.
    pub fn end(&self) -> u64 {
        self.kept.end()
    }

    /// The number of samples in a time.
    pub fn samples_in(&self, time: Duration) -> u64 {
        self.kept.samples_in(time)
    }

    pub fn append(&mut self, samples: &[i16]) {
        self.kept.append(samples);
    }

    /// Audio before a position is not sent any more.
    pub fn forget(&mut self, position: u64) {
        self.kept.forget(position);
    }

    /// The next frame of the audio from `sent` to `stop`; `sent` moves behind it. Audio that is no longer kept is skipped:
    /// an empty frame would end the stream.
    pub fn next_frame(&mut self, sent: &mut u64, stop: u64, size: FrameSize) -> Option<Arc<[i16]>> {
        while stop.saturating_sub(*sent) >= size.least {
            let to = stop.min(*sent + size.most);
            let samples = self.kept.clip(*sent, to).samples;
            *sent = to;
            if !samples.is_empty() {
                self.total += samples.len() as u64;
                return Some(samples);
            }
        }
        None
    }

    /// A frame of silence.
    pub fn silence(&mut self, samples: u64) -> Arc<[i16]> {
        self.total += samples;
        vec![0; samples as usize].into()
    }

    /// The length of all frames.
    pub fn sent_ms(&self) -> u64 {
        self.total * 1_000 / u64::from(self.rate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_audio_that_is_kept() {
        let mut audio = OutgoingAudio::new(8_000);
        audio.append(&[7; 1_000]);
        audio.forget(250);
        let (mut sent, size) = (0, FrameSize { least: 80, most: 200 });
        let mut next = || {
            let frame = audio.next_frame(&mut sent, 1_000, size);
            frame.map(|samples| samples.len())
        };
        let frames: Vec<usize> = std::iter::from_fn(&mut next).collect();
        assert_eq!(frames, [150, 200, 200, 200], "the first 200 samples are not kept");
        assert_eq!((sent, audio.sent_ms()), (1_000, 93));
        audio.append(&[7; 79]);
        assert_eq!(audio.next_frame(&mut sent, 1_079, size), None, "less than a frame");
        assert_eq!(audio.silence(8).len(), 8);
        assert_eq!(audio.sent_ms(), 94);
    }
}
