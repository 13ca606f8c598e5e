//! A second consumer of a call's audio, both directions on one clock: for live listening, and later for recordings.
//!
//! A [`Tap`] is attached and detached by other threads while the call goes on. The media thread takes the change over at its
//! next tick, without waiting for a lock and without allocating or freeing. Without a tap it costs one branch per frame.
//!
//! Positions count samples of the media thread's time since the tap was attached. The agent's frame of a tick begins at the
//! tick; the caller's frames follow each other, and stay within [`MAX_SKEW`] of the tick in which they were received.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rtrb::{Consumer, Producer, RingBuffer};

use super::port::{Shared, claim};
use crate::audio::codec::Format;
use crate::audio::frame::MAX_FRAME;

/// Frames that wait to be read: two seconds of both directions.
const FRAMES: usize = 200;
/// The greatest distance of the caller's frames from the clock, in frames. More than a leg reads in one turn.
pub const MAX_SKEW: u64 = 10;

/// The one who is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Caller,
    Agent,
}

/// 20 ms of one speaker.
#[derive(Clone, Copy)]
pub struct TapFrame {
    pub speaker: Speaker,
    /// The position of the first sample.
    pub position: u64,
    len: usize,
    samples: [i16; MAX_FRAME],
}

impl TapFrame {
    /// A frame of at most [`MAX_FRAME`] samples; others are cut off.
    pub fn new(speaker: Speaker, position: u64, samples: &[i16]) -> TapFrame {
        let len = samples.len().min(MAX_FRAME);
        let mut frame = TapFrame { speaker, position, len, ..TapFrame::default() };
        frame.samples[..len].copy_from_slice(&samples[..len]);
        frame
    }

    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.len]
    }
}

impl Default for TapFrame {
    fn default() -> TapFrame {
        TapFrame { speaker: Speaker::Caller, position: 0, len: 0, samples: [0; MAX_FRAME] }
    }
}

/// The media thread's end of a tap.
pub(super) struct TapWriter {
    frames: Producer<TapFrame>,
    dropped: Arc<AtomicU64>,
    /// The position of the present tick.
    clock: u64,
    /// The position after the caller's last frame.
    caller_end: Option<u64>,
}

impl TapWriter {
    /// Writes a frame of the caller. After a gap it begins at the clock; a frame too far ahead of the clock is dropped.
    pub fn push_caller(&mut self, frame: &[i16]) {
        let skew = MAX_SKEW * frame.len() as u64;
        let position = match self.caller_end {
            Some(end) if end > self.clock + skew => {
                self.dropped.fetch_add(1, Relaxed);
                return;
            }
            Some(end) if end + skew >= self.clock => end,
            _ => self.clock,
        };
        self.caller_end = Some(position + frame.len() as u64);
        self.push(Speaker::Caller, position, frame);
    }

    /// Writes the agent's frame and moves the clock by `ticks` frames. After a stall the frame is that of the last tick.
    pub fn push_agent(&mut self, frame: &[i16], ticks: u32) {
        let len = frame.len() as u64;
        self.clock += len * u64::from(ticks.max(1));
        self.push(Speaker::Agent, self.clock - len, frame);
    }

    fn push(&mut self, speaker: Speaker, position: u64, samples: &[i16]) {
        if self.frames.push(TapFrame::new(speaker, position, samples)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The place at which a tap is attached to a call.
#[derive(Clone)]
pub struct TapPoint {
    pub(super) format: Format,
    pub(super) shared: Arc<Shared>,
}

impl TapPoint {
    /// Attaches a tap; `None` when the call has one, or has ended.
    pub fn attach(&self) -> Option<Tap> {
        let (mut frames, mut frames_out) = RingBuffer::new(FRAMES);
        claim(&mut frames, &mut frames_out);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = TapWriter { frames, dropped: dropped.clone(), clock: 0, caller_end: None };
        if self.shared.closed.load(Relaxed) || !self.shared.tap.set_first(Box::new(writer)) {
            return None;
        }
        Some(Tap { point: self.clone(), frames: frames_out, dropped })
    }
}

/// A consumer of a call's audio. Dropping it detaches it.
pub struct Tap {
    point: TapPoint,
    frames: Consumer<TapFrame>,
    dropped: Arc<AtomicU64>,
}

impl Tap {
    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.point.format.rate()
    }

    /// Samples of a frame.
    pub fn frame_len(&self) -> usize {
        self.point.format.frame_len()
    }

    /// The next frame, of either speaker. Does not wait: the media thread writes 100 frames a second.
    pub fn next_frame(&mut self) -> Option<TapFrame> {
        self.frames.pop().ok()
    }

    /// Frames that were dropped because this end did not read, or because they did not fit the clock.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// True when the call has ended. Frames may still be there.
    pub fn is_closed(&self) -> bool {
        self.point.shared.closed.load(Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.point.shared.tap.set(None);
    }
}

#[cfg(test)]
mod tests;
