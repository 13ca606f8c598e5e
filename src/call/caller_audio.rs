//! The call's buffer of the caller's audio, and the position of each moment in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::audio::Clip;
use crate::media::{AudioBuffer, Port};

/// Audio before the first voiced frame that goes to transcription too: the start of a word is soft.
const BEFORE: Duration = Duration::from_millis(240);
/// And after the last.
const AFTER: Duration = Duration::from_millis(100);
/// Kept while the caller is silent: enough for the next beginning.
const KEPT: Duration = Duration::from_secs(3);
/// Moments that are remembered: several turns' worth.
const MARKS: usize = 64;

pub struct CallerAudio {
    hearing: AudioBuffer,
    /// Moments of the conversation and the audio's positions at them, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl CallerAudio {
    pub fn new(rate: u32) -> CallerAudio {
        CallerAudio { hearing: AudioBuffer::new(rate), marks: VecDeque::new() }
    }

    pub fn fetch(&mut self, port: &mut Port) {
        port.fetch(&mut self.hearing);
    }

    /// Remembers where in the audio a moment is.
    pub fn mark(&mut self, at: Instant, position: u64) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((at, position));
    }

    /// The audio between two moments, with a little on both sides.
    pub fn between(&self, from: Instant, to: Instant) -> Clip {
        let from = self.position(from).saturating_sub(self.samples(BEFORE));
        let to = self.position(to).saturating_add(self.samples(AFTER));
        self.hearing.clip(from, to)
    }

    /// Nobody will ask for what is old any more: the turn is over and the caller silent.
    pub fn forget_old(&mut self) {
        self.hearing.forget(self.hearing.end().saturating_sub(self.samples(KEPT)));
    }

    /// Exact at a mark, counted from the nearest elsewhere; the newest audio when there is none.
    fn position(&self, at: Instant) -> u64 {
        let distance = |mark: &&(Instant, u64)| mark.0.max(at) - mark.0.min(at);
        match self.marks.iter().min_by_key(distance) {
            None => self.hearing.end(),
            Some((mark, position)) if at >= *mark => position + self.samples(at - *mark),
            Some((mark, position)) => position.saturating_sub(self.samples(*mark - at)),
        }
    }

    fn samples(&self, time: Duration) -> u64 {
        time.as_micros() as u64 * u64::from(self.hearing.rate()) / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_found_in_the_audio() {
        let mut caller_audio = CallerAudio::new(8_000);
        let start = Instant::now();
        let samples: Vec<i16> = (0..32_000).collect();
        caller_audio.hearing.append(&samples);
        caller_audio.mark(start, 8_000);
        caller_audio.mark(start + Duration::from_secs(1), 16_000);
        let clip = caller_audio.between(start, start + Duration::from_secs(1));
        assert_eq!(clip.samples[0], 8_000 - 1_920);
        assert_eq!(clip.samples.len(), 1_920 + 8_000 + 800);
        let later =
            caller_audio.between(start + Duration::from_millis(1_500), start + Duration::from_millis(1_600));
        assert_eq!(later.samples[0], 20_000 - 1_920);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut caller_audio = CallerAudio::new(8_000);
        caller_audio.hearing.append(&vec![0; 80_000]);
        caller_audio.forget_old();
        assert_eq!(caller_audio.hearing.clip(0, 80_000).samples.len(), 24_000);
    }
}
