//! The inbound stream of a leg: payloads to frames, frames to the caller's audio and to changes of speech.

use std::time::{Duration, Instant};

use super::path::Scratch;
use super::port::{Backend, MediaEvent};
use crate::audio::codec::{BadPayload, Decoder, Format};
use crate::audio::frame::Framer;
use crate::audio::prefetch::prefetch;
use crate::audio::vad::{SpeechChange, Thresholds, TwoOpinions, Vad};

/// The length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// How soon the call needs the caller's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioDelivery {
    /// The audio is used when an utterance ends: the call is notified every 100 ms while the caller speaks, and every 500 ms
    /// while not.
    Buffered,
    /// The audio is streamed to an engine: the call is notified every 40 ms, in silence as in speech.
    Live,
}

impl AudioDelivery {
    /// Frames between two notifications.
    fn interval(self, speaking: bool) -> u32 {
        match (self, speaking) {
            (AudioDelivery::Live, _) => 2,
            (AudioDelivery::Buffered, true) => 5,
            (AudioDelivery::Buffered, false) => 25,
        }
    }
}

/// Lost frames in a row that are concealed. Further ones are silence.
const CONCEALED: u32 = 3;

pub struct Receiver {
    decoder: Decoder,
    framer: Framer,
    vad: Vad<TwoOpinions>,
    /// The last frame, from which a lost one is concealed.
    last: Box<[i16]>,
    lost_in_a_row: u32,
    /// Samples given to the call so far.
    position: u64,
    since_notify: u32,
    delivery: AudioDelivery,
}

impl Receiver {
    pub fn new(format: Format, thresholds: Thresholds, delivery: AudioDelivery) -> Receiver {
        Receiver {
            decoder: Decoder::new(format),
            framer: Framer::new(format.frame_len()),
            vad: Vad::new(TwoOpinions::new(format.rate()), thresholds),
            last: vec![0; format.frame_len()].into(),
            lost_in_a_row: 0,
            position: 0,
            since_notify: 0,
            delivery,
        }
    }

    /// Called shortly before a packet: prefetches memory.
    pub fn prefetch(&self) {
        self.vad.prefetch();
        prefetch(&*self.last);
    }

    /// Takes the next payload in order. Returns the number of frames that it completed.
    pub fn decode(
        &mut self,
        payload: &[u8],
        now: Instant,
        back: &mut Backend,
        scratch: &mut Scratch,
    ) -> Result<u32, BadPayload> {
        back.prefetch_audio(self.last.len());
        let count = self.decoder.decode(payload, &mut scratch.decoded)?;
        self.lost_in_a_row = 0;
        let mut frames = 0;
        let Receiver { framer, vad, last, position, since_notify, delivery, .. } = self;
        framer.push(&scratch.decoded[..count], |frame| {
            frames += 1;
            last.copy_from_slice(frame);
            let change = vad.push(frame);
            *position += back.push_audio(frame);
            let interval = delivery.interval(vad.is_speaking());
            notify(change, now, *position, frame.len(), back, since_notify, interval);
        });
        Ok(frames)
    }

    /// Replaces a lost frame by the codec's concealment, or by a fading repetition of the last frame.
    pub fn conceal(&mut self, now: Instant, back: &mut Backend) {
        self.lost_in_a_row += 1;
        let frame = &mut *self.last;
        if self.lost_in_a_row > CONCEALED {
            frame.fill(0);
        } else if !self.decoder.conceal(frame) {
            frame.iter_mut().for_each(|sample| *sample = *sample / 4 * 3);
        }
        let change = self.vad.push(frame);
        self.publish_last(change, now, back);
    }

    /// Takes a frame of silence in place of one that was not sent.
    pub fn push_missing(&mut self, now: Instant, back: &mut Backend) {
        self.last.fill(0);
        let change = self.vad.push_missing();
        self.publish_last(change, now, back);
    }

    fn publish_last(&mut self, change: Option<SpeechChange>, now: Instant, back: &mut Backend) {
        self.position += back.push_audio(&self.last);
        let interval = self.delivery.interval(self.vad.is_speaking());
        notify(change, now, self.position, self.last.len(), back, &mut self.since_notify, interval);
    }
}

/// Sends a change of speech to the call, and notifies it every `interval` frames so that it fetches the audio.
fn notify(
    change: Option<SpeechChange>,
    now: Instant,
    position: u64,
    frame_len: usize,
    back: &mut Backend,
    since_notify: &mut u32,
    interval: u32,
) {
    // A packet has waited half a frame for this tick, on average.
    let ago = |frames: u32| now.checked_sub(FRAME * frames + FRAME / 2).unwrap_or(now);
    let before = |frames: u32| position.saturating_sub(u64::from(frames) * frame_len as u64);
    match change {
        Some(SpeechChange::Started { frames, level }) => {
            back.send(MediaEvent::SpeechStarted { at: ago(frames), position: before(frames), level });
        }
        Some(SpeechChange::Paused { frames, level }) => {
            back.send(MediaEvent::SpeechPaused { at: ago(frames), position: before(frames), level });
        }
        None => {
            *since_notify += 1;
            if *since_notify < interval {
                return;
            }
            back.notify.notify_one();
        }
    }
    *since_notify = 0;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::media::link;

    /// How often the call is notified in two seconds of silence.
    fn notifications(delivery: AudioDelivery) -> usize {
        let (port, mut back) = link(Format::Ulaw);
        let mut receiver = Receiver::new(Format::Ulaw, Thresholds::default(), delivery);
        let (notify, now) = (port.notify(), Instant::now());
        let mut was_notified = || {
            receiver.push_missing(now, &mut back);
            notify.notified().now_or_never().is_some()
        };
        (0..100).filter(|_| was_notified()).count()
    }

    #[test]
    fn a_live_consumer_is_notified_every_40_ms_of_silence() {
        assert_eq!((notifications(AudioDelivery::Live), notifications(AudioDelivery::Buffered)), (50, 4));
    }
}
