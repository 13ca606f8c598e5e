//! Decoding of the inbound stream: payloads and losses to frames.

use std::time::Instant;

use super::caller_stream::CallerStream;
use super::leg::LegConfig;
use super::path::Scratch;
use super::port::Backend;
use crate::audio::codec::{BadPayload, Decoder};
use crate::audio::echo::EchoPath;
use crate::audio::frame::Framer;

/// Lost frames in a row that are concealed. Further ones are silence.
const CONCEALED: usize = 3;

pub struct Receiver {
    decoder: Decoder,
    framer: Framer,
    stream: CallerStream,
    frame_len: usize,
    /// Lost samples since the last packet.
    lost_in_a_row: usize,
}

impl Receiver {
    pub fn new(config: &LegConfig) -> Receiver {
        let frame_len = config.format.frame_len();
        Receiver {
            decoder: Decoder::new(config.format),
            framer: Framer::new(frame_len),
            stream: CallerStream::new(config),
            frame_len,
            lost_in_a_row: 0,
        }
    }

    /// Called shortly before a packet: prefetches memory.
    pub fn prefetch(&self) {
        self.stream.prefetch();
    }

    pub fn echo(&self) -> Option<EchoPath> {
        self.stream.echo()
    }

    /// Takes the agent's frame that is sent now.
    pub fn sent(&mut self, frame: &[i16], has_sound: bool, ticks: u32) {
        self.stream.sent(frame, has_sound, ticks);
    }

    /// Takes the next payload in order. Returns the number of its samples.
    pub fn decode(
        &mut self,
        payload: &[u8],
        now: Instant,
        back: &mut Backend,
        scratch: &mut Scratch,
    ) -> Result<u32, BadPayload> {
        back.prefetch_audio(self.frame_len);
        let Scratch { decoded, correlator, .. } = scratch;
        let count = self.decoder.decode(payload, decoded)?;
        self.lost_in_a_row = 0;
        let Receiver { framer, stream, .. } = self;
        framer.push(&decoded[..count], |frame| stream.take(frame, now, back, correlator));
        Ok(count as u32)
    }

    /// Replaces lost samples by the codec's concealment, or by a fading repetition of the last frame.
    pub fn conceal(&mut self, samples: usize, now: Instant, back: &mut Backend, scratch: &mut Scratch) {
        let Receiver { decoder, framer, stream, frame_len, lost_in_a_row } = self;
        let Scratch { decoded, correlator, .. } = scratch;
        let mut left = samples;
        while left > 0 {
            let piece = &mut decoded[..left.min(*frame_len)];
            left -= piece.len();
            *lost_in_a_row += piece.len();
            if *lost_in_a_row > CONCEALED * *frame_len {
                piece.fill(0);
            } else if !decoder.conceal(piece) {
                piece.iter_mut().zip(stream.last()).for_each(|(sample, last)| *sample = *last / 4 * 3);
            }
            framer.push(piece, |frame| stream.take(frame, now, back, correlator));
        }
    }

    /// Takes a frame of silence in place of one that was not sent. An incomplete frame waits for the next packet.
    pub fn push_missing(&mut self, now: Instant, back: &mut Backend) {
        self.stream.take_missing(now, back);
    }

    /// Leaves out `samples` of the next silence: as much was put in for audio that was late.
    pub fn take_back(&mut self, samples: u32) {
        self.stream.take_back(samples as usize);
    }
}
