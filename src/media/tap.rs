//! A second consumer of a call's audio, both directions on one clock: for live listening, and later for recordings.
//!
//! A [`Tap`] is attached and detached by other threads while the call goes on. The media thread takes the change over at its
//! next tick, without waiting for a lock and without allocating or freeing. Without a tap it costs one branch per frame.
//!
//! Positions count samples of the media thread's time since the tap was attached. The agent's frame of a tick begins at the
//! tick; the caller's frames follow each other, and stay within [`MAX_SKEW`] of the tick in which they were received.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The exchange of writers between the threads that attach taps and the media thread.
#[derive(Default)]
pub(super) struct TapExchange {
    /// Set with each change; the media thread clears it when it has taken the change over.
    has_changed: AtomicBool,
    /// Boxed, to keep the counters beside it on their cache line.
    state: Box<Mutex<ExchangeState>>,
}

/// Written by the threads that attach and detach, which may wait for the lock, and by the media thread, which does not wait.
#[derive(Default)]
struct ExchangeState {
    is_attached: bool,
    /// The writer that the media thread is to use; `None` when it is to stop.
    next: Option<Box<TapWriter>>,
    /// The writer that the media thread has replaced. It is freed with the next change, or at the end of the call.
    former: Option<Box<TapWriter>>,
}

impl TapExchange {
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Acquire)
    }

    /// Replaces the media thread's writer. If the lock is held, tries again at the next tick. `former` is empty here: each
    /// change empties it, and is taken over once.
    pub fn take_over(&self, current: &mut Option<Box<TapWriter>>) {
        let Ok(mut state) = self.state.try_lock() else { return };
        self.has_changed.store(false, Relaxed);
        state.former = std::mem::replace(current, state.next.take());
    }

    /// False when a tap is attached already.
    fn attach(&self, writer: Box<TapWriter>) -> bool {
        let state = self.lock();
        let is_free = !state.is_attached;
        if is_free {
            self.change(state, Some(writer));
        }
        is_free
    }

    fn detach(&self) {
        self.change(self.lock(), None);
    }

    fn change(&self, mut state: MutexGuard<'_, ExchangeState>, next: Option<Box<TapWriter>>) {
        state.is_attached = next.is_some();
        state.next = next;
        state.former = None;
        self.has_changed.store(true, Release);
    }

    fn lock(&self) -> MutexGuard<'_, ExchangeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.shared.closed.load(Relaxed) || !self.shared.tap.attach(Box::new(writer)) {
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
        self.point.shared.tap.detach();
    }
}

#[cfg(test)]
mod tests;
