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

/// Frames between two notifications of the call while the caller speaks, and while not.
const NOTIFY_SPEAKING: u32 = 5;
const NOTIFY_SILENT: u32 = 25;

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
}

impl Receiver {
    pub fn new(format: Format, thresholds: Thresholds) -> Receiver {
        Receiver {
            decoder: Decoder::new(format),
            framer: Framer::new(format.frame_len()),
            vad: Vad::new(TwoOpinions::new(format.rate()), thresholds),
            last: vec![0; format.frame_len()].into(),
            lost_in_a_row: 0,
            position: 0,
            since_notify: 0,
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
        let Receiver { framer, vad, last, position, since_notify, .. } = self;
        framer.push(&scratch.decoded[..count], |frame| {
            frames += 1;
            last.copy_from_slice(frame);
            let change = vad.push(frame);
            *position += back.push_audio(frame);
            notify(change, now, *position, frame.len(), back, since_notify, vad.is_speaking());
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
        let speaking = self.vad.is_speaking();
        notify(change, now, self.position, self.last.len(), back, &mut self.since_notify, speaking);
    }
}

/// Sends a change of speech to the call, and notifies it from time to time so that it fetches the audio.
fn notify(
    change: Option<SpeechChange>,
    now: Instant,
    position: u64,
    frame_len: usize,
    back: &mut Backend,
    since_notify: &mut u32,
    speaking: bool,
) {
    // A packet has waited half a frame for this tick, on average.
    let ago = |frames: u32| now.checked_sub(FRAME * frames + FRAME / 2).unwrap_or(now);
    let before = |frames: u32| position.saturating_sub(u64::from(frames) * frame_len as u64);
    match change {
        Some(SpeechChange::Started { frames }) => {
            back.send(MediaEvent::SpeechStarted { at: ago(frames), position: before(frames) });
        }
        Some(SpeechChange::Paused { frames }) => {
            back.send(MediaEvent::SpeechPaused { at: ago(frames), position: before(frames) });
        }
        None => {
            *since_notify += 1;
            if *since_notify < if speaking { NOTIFY_SPEAKING } else { NOTIFY_SILENT } {
                return;
            }
            back.notify.notify_one();
        }
    }
    *since_notify = 0;
}
