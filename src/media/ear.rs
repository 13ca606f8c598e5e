//! The way in: payloads to frames, frames to the caller's audio and to speech started and paused.

use std::time::{Duration, Instant};

use super::leg::Scratch;
use super::port::{Backend, Event};
use crate::audio::ahead;
use crate::audio::codec::{BadPayload, Decoder, Format};
use crate::audio::frame::Framer;
use crate::audio::vad::{SpeechChange, Thresholds, TwoOpinions, Vad};

/// The length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// How often the call is called while the caller speaks, and while not, in frames.
const BELL_SPEAKING: u32 = 5;
const BELL_SILENT: u32 = 25;

/// Lost frames in a row that are filled with what was before.
const CONCEALED: u32 = 3;

pub struct Ear {
    decoder: Decoder,
    framer: Framer,
    vad: Vad<TwoOpinions>,
    last: Box<[i16]>,
    lost_in_a_row: u32,
    /// Samples given to the call so far.
    position: u64,
    since_bell: u32,
}

impl Ear {
    pub fn new(format: Format, thresholds: Thresholds) -> Ear {
        Ear {
            decoder: Decoder::new(format),
            framer: Framer::new(format.frame_len()),
            vad: Vad::new(TwoOpinions::new(format.rate()), thresholds),
            last: vec![0; format.frame_len()].into(),
            lost_in_a_row: 0,
            position: 0,
            since_bell: 0,
        }
    }

    /// Called shortly before a packet: prefetches memory.
    pub fn expect(&self) {
        self.vad.expect();
        ahead::fetch(&*self.last);
    }

    /// Takes the next payload in order. Returns the frames that it completed.
    pub fn hear(
        &mut self,
        payload: &[u8],
        now: Instant,
        back: &mut Backend,
        scratch: &mut Scratch,
    ) -> Result<u32, BadPayload> {
        back.expect_heard(self.last.len());
        let count = self.decoder.decode(payload, &mut scratch.decoded)?;
        self.lost_in_a_row = 0;
        let mut frames = 0;
        let Ear { framer, vad, last, position, since_bell, .. } = self;
        framer.push(&scratch.decoded[..count], |frame| {
            frames += 1;
            last.copy_from_slice(frame);
            let change = vad.hear(frame);
            *position += publish(frame, back);
            tell(change, now, *position, frame.len(), back, since_bell, vad.is_speaking());
        });
        Ok(frames)
    }

    /// Takes a frame that is lost: a fading repetition of the last, or what the codec makes of it.
    pub fn conceal(&mut self, now: Instant, back: &mut Backend) {
        self.lost_in_a_row += 1;
        let frame = &mut *self.last;
        if self.lost_in_a_row > CONCEALED {
            frame.fill(0);
        } else if !self.decoder.conceal(frame) {
            frame.iter_mut().for_each(|sample| *sample = *sample / 4 * 3);
        }
        let change = self.vad.hear(frame);
        self.position += publish(frame, back);
        let speaking = self.vad.is_speaking();
        tell(change, now, self.position, self.last.len(), back, &mut self.since_bell, speaking);
    }

    /// Takes a frame in which nothing was sent. `ago` is how long since it ended.
    pub fn hear_nothing(&mut self, now: Instant, back: &mut Backend) {
        self.last.fill(0);
        let change = self.vad.hear_nothing();
        self.position += publish(&self.last, back);
        let speaking = self.vad.is_speaking();
        tell(change, now, self.position, self.last.len(), back, &mut self.since_bell, speaking);
    }
}

/// Gives a frame to the call. Samples without room are lost to transcription only.
fn publish(frame: &[i16], back: &mut Backend) -> u64 {
    let (written, _) = back.heard.push_partial_slice(frame);
    written.len() as u64
}

/// Tells what changed, and rings the bell from time to time so that the audio is fetched.
fn tell(
    change: Option<SpeechChange>,
    now: Instant,
    position: u64,
    frame_len: usize,
    back: &mut Backend,
    since_bell: &mut u32,
    speaking: bool,
) {
    // A packet has waited half a frame for this tick, on average.
    let ago = |frames: u32| now.checked_sub(FRAME * frames + FRAME / 2).unwrap_or(now);
    let before = |frames: u32| position.saturating_sub(u64::from(frames) * frame_len as u64);
    match change {
        Some(SpeechChange::Started { frames }) => {
            back.tell(Event::SpeechStarted { at: ago(frames), position: before(frames) });
        }
        Some(SpeechChange::Paused { frames }) => {
            back.tell(Event::SpeechPaused { at: ago(frames), position: before(frames) });
        }
        None => {
            *since_bell += 1;
            if *since_bell < if speaking { BELL_SPEAKING } else { BELL_SILENT } {
                return;
            }
            back.bell.notify_one();
        }
    }
    *since_bell = 0;
}
