//! One response of the model: its audio, its words, and where each of its items begins.

use std::time::Duration;

use super::events::{ClientEvent, audio_bytes};
use super::history::LONGEST_ID;
use super::session::ResponseKey;
use crate::audio::codec::ulaw_sample;
use crate::audio::resample::Stream;
use crate::engines::core::EngineError;
use crate::engines::llm::ToolCall;
use crate::engines::stt::realtime::{PCM_RATE, RealtimeEncoding};

/// The longest audio of a response, in seconds: the most tokens of a response last for about 200.
const LONGEST: u64 = 240;
/// The most items of a response.
const MOST_ITEMS: usize = 64;

/// A part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoicePart {
    /// The next words of its transcript. The audio is not aligned with them.
    Words(String),
    /// Samples at the call's rate.
    Audio(Vec<i16>),
    /// The model writes a call of a tool that is not complete.
    Writing,
    ToolCall(ToolCall),
    /// The response is complete. The last part.
    End,
}

/// The audio of a response: its items, in order.
pub struct ResponseAudio {
    pub key: ResponseKey,
    encoding: RealtimeEncoding,
    resampler: Stream,
    rate: u32,
    items: Vec<AudioItem>,
}

struct AudioItem {
    id: String,
    content_index: u32,
    /// Samples as the server sent them.
    samples: u64,
}

impl ResponseAudio {
    /// For a call at `rate` samples a second.
    pub fn new(key: ResponseKey, rate: u32) -> ResponseAudio {
        let encoding = RealtimeEncoding::of(rate);
        let from = match encoding {
            RealtimeEncoding::Mulaw => rate,
            RealtimeEncoding::Pcm => PCM_RATE,
        };
        ResponseAudio { key, encoding, resampler: Stream::new(from, rate), rate: from, items: Vec::new() }
    }

    /// The samples of an audio delta, at the call's rate.
    ///
    /// # Errors
    /// It is no audio, or more than a response may have.
    pub fn take(&mut self, id: &str, content_index: u32, delta: &str) -> Result<Vec<i16>, EngineError> {
        let bytes = audio_bytes(delta)?;
        let samples: Vec<i16> = match self.encoding {
            RealtimeEncoding::Mulaw => bytes.iter().map(|byte| ulaw_sample(*byte)).collect(),
            RealtimeEncoding::Pcm => {
                let (pairs, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(EngineError::Temporary("audio with half a sample".into()));
                }
                pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
            }
        };
        if !self.items.iter().any(|item| item.id == id) {
            if self.items.len() >= MOST_ITEMS || id.len() > LONGEST_ID {
                return Err(endless());
            }
            self.items.push(AudioItem { id: id.to_owned(), content_index, samples: 0 });
        }
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            item.samples += samples.len() as u64;
        }
        if self.samples() > LONGEST * u64::from(self.rate) {
            return Err(endless());
        }
        let mut converted = Vec::new();
        self.resampler.push(&samples, &mut converted);
        Ok(converted)
    }

    /// Samples so far, as the server sent them.
    fn samples(&self) -> u64 {
        self.items.iter().map(|item| item.samples).sum()
    }

    /// Milliseconds so far.
    pub fn length_ms(&self) -> u64 {
        self.samples() * 1_000 / u64::from(self.rate)
    }

    /// The rest of the samples. No more are taken.
    pub fn finish(&mut self) -> Vec<i16> {
        let resampler = std::mem::replace(&mut self.resampler, Stream::new(self.rate, self.rate));
        let mut rest = Vec::new();
        resampler.finish(&mut rest);
        rest
    }

    /// The requests that cut the response on the server after the part that was heard. An item of which nothing was heard is
    /// left: the conversation that follows does not have it. A response that goes on has more audio than was received.
    pub fn cut(&self, heard: Duration, goes_on: bool) -> Option<ClientEvent> {
        let mut left = heard.as_millis() as u64;
        let last = self.items.last().map(|item| &item.id);
        for item in &self.items {
            let length = item.samples * 1_000 / u64::from(self.rate);
            if left < length || goes_on && last == Some(&item.id) {
                let (id, content_index) = (item.id.clone(), item.content_index);
                let audio_end_ms = left.min(length);
                return (left > 0).then_some(ClientEvent::Truncate { id, content_index, audio_end_ms });
            }
            left -= length;
        }
        None
    }
}

/// The failure of a response that has more than any response.
pub fn endless() -> EngineError {
    EngineError::Temporary("a response that does not end".into())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn delta(bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(bytes)
    }

    #[test]
    fn a_response_is_cut_where_it_was_heard() {
        let mut audio = ResponseAudio::new(ResponseKey(1), 8_000);
        let second = delta(&[0xff; 8_000]);
        for id in ["a", "b"] {
            assert_eq!(audio.take(id, 0, &second).expect("audio").len(), 8_000);
        }
        let cut = |heard, goes_on| audio.cut(Duration::from_millis(heard), goes_on);
        let at = |id: &str, audio_end_ms| {
            Some(ClientEvent::Truncate { id: id.into(), content_index: 0, audio_end_ms })
        };
        assert_eq!(cut(400, false), at("a", 400));
        assert_eq!(cut(1_250, false), at("b", 250));
        assert_eq!((cut(0, true), cut(1_000, false), cut(2_000, false)), (None, None, None));
        assert_eq!(cut(2_000, true), at("b", 1_000));
    }

    #[test]
    fn wideband_audio_has_the_rate_of_the_call() {
        let mut audio = ResponseAudio::new(ResponseKey(1), 16_000);
        let mut count = audio.take("a", 0, &delta(&[0; 48_000])).expect("audio").len();
        count += audio.finish().len();
        assert!((15_900..=16_100).contains(&count), "{count}");
        assert!(audio.take("a", 0, &delta(&[0; 3])).is_err());
        assert!(audio.take("a", 0, "*").is_err());
    }

    #[test]
    fn a_response_of_many_items_fails() {
        let mut audio = ResponseAudio::new(ResponseKey(1), 8_000);
        let take = |audio: &mut ResponseAudio, item: usize| audio.take(&item.to_string(), 0, "").is_ok();
        assert!((0..MOST_ITEMS).all(|item| take(&mut audio, item)) && take(&mut audio, 0));
        assert!(!take(&mut audio, MOST_ITEMS));
    }

    #[test]
    fn a_response_without_end_fails() {
        let mut audio = ResponseAudio::new(ResponseKey(1), 8_000);
        let minute = delta(&[0xff; 480_000]);
        assert!((0..4).all(|_| audio.take("a", 0, &minute).is_ok()));
        assert!(audio.take("a", 0, &minute).is_err());
    }
}
