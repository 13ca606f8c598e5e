//! The two ends between the call's task and the media thread: bounded rings and a notification.
//!
//! Neither side ever waits for the other. The media thread notifies; the call drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};
use serde::Serialize;
use tokio::sync::Notify;

use super::hearing::Hearing;
use crate::audio::ahead;
use crate::audio::codec::Format;
use crate::rtp::quality::Quality;

/// Names one utterance of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpeechTag(pub u32);

/// An event for the call. Positions of the caller's audio count received samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    SpeechStarted {
        at: Instant,
        position: u64,
    },
    SpeechPaused {
        at: Instant,
        position: u64,
    },
    PlaybackStarted {
        speech: SpeechTag,
    },
    /// How much of an utterance has left so far: ten times a second, and when it is paused.
    Played {
        speech: SpeechTag,
        position: Duration,
    },
    PlaybackEnded {
        speech: SpeechTag,
        position: Duration,
    },
    /// The first packets from another address than Asterisk's were dropped.
    UnexpectedPackets {
        from: SocketAddr,
    },
}

/// Samples of an utterance on their way out.
pub(super) struct Piece {
    pub speech: SpeechTag,
    pub samples: Arc<[i16]>,
    pub last: bool,
    /// Pieces of an epoch that was flushed are dropped.
    pub epoch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Pause,
    Resume,
    /// Drop every piece of an epoch before this one.
    Flush(u32),
}

/// Pieces that wait to be played.
const PIECES: usize = 64;
const CONTROLS: usize = 32;
const EVENTS: usize = 256;
/// Seconds of the caller's audio that wait to be fetched.
const HEARD_SECONDS: usize = 2;

/// The media thread's end.
pub struct Backend {
    pub(super) pieces: Consumer<Piece>,
    pub(super) controls: Consumer<Control>,
    pub(super) events: Producer<Event>,
    pub(super) heard: Producer<i16>,
    pub(super) spent: Producer<Arc<[i16]>>,
    pub(super) bell: Arc<Notify>,
    pub(super) shared: Arc<Shared>,
    /// The value of `shared.posted` at the last look.
    seen: u64,
}

impl Backend {
    /// Has the call queued anything, or tried to, since this was asked last? One look at memory that is needed anyway, instead
    /// of one at each ring.
    pub(super) fn take_news(&mut self) -> bool {
        let posted = self.shared.posted.load(Acquire);
        std::mem::replace(&mut self.seen, posted) != posted
    }

    /// Has fetched what is looked at and written every 20 ms.
    pub(super) fn arrive(&self) {
        ahead::fetch(&*self.shared);
        ahead::fetch(self.heard.buffer());
    }

    /// Has fetched where the next of the caller's samples go.
    pub(super) fn expect_heard(&mut self, samples: usize) {
        if let Ok(mut chunk) = self.heard.write_chunk_uninit(samples) {
            ahead::fetch(chunk.as_mut_slices().0);
        }
    }

    /// Tells the call. An event that finds the ring full is counted; the ring holds seconds of them.
    pub(super) fn tell(&mut self, event: Event) {
        if self.events.push(event).is_err() {
            self.shared.missed.fetch_add(1, Relaxed);
        }
        self.bell.notify_one();
    }
}

/// Counters that the media thread writes and the call reads. Those used every 20 ms are on one cache line.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct Shared {
    pub closed: AtomicBool,
    /// How often the call has queued a piece or a control, or tried to.
    posted: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub lost: AtomicU64,
    pub late: AtomicU64,
    pub duplicate: AtomicU64,
    pub malformed: AtomicU64,
    pub strangers: AtomicU64,
    pub missed: AtomicU64,
    jitter_us: AtomicU64,
    /// 0 while there is no score.
    mos_thousandths: AtomicU64,
}

impl Shared {
    pub fn publish(&self, quality: &Quality, clock: u32) {
        self.received.store(quality.received, Relaxed);
        self.lost.store(quality.lost, Relaxed);
        self.late.store(quality.late, Relaxed);
        self.duplicate.store(quality.duplicate, Relaxed);
        self.malformed.store(quality.malformed, Relaxed);
        self.jitter_us.store(quality.jitter(clock).as_micros() as u64, Relaxed);
        self.mos_thousandths.store((quality.mos(clock).unwrap_or(0.0) * 1_000.0) as u64, Relaxed);
    }
}

/// How a leg fared, for the call record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub format: &'static str,
    pub received: u64,
    pub lost: u64,
    pub late: u64,
    pub duplicate: u64,
    /// No RTP, or not of the call's format.
    pub malformed: u64,
    /// Packets from anyone but Asterisk; they were dropped.
    pub strangers: u64,
    pub sent: u64,
    pub jitter_ms: f64,
    /// Estimated mean opinion score of the received audio, 1.0 to 4.5; absent when nothing was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
}

/// The call's end.
pub struct Port {
    format: Format,
    pieces: Producer<Piece>,
    controls: Producer<Control>,
    events: Consumer<Event>,
    heard: Consumer<i16>,
    spent: Consumer<Arc<[i16]>>,
    bell: Arc<Notify>,
    shared: Arc<Shared>,
    epoch: u32,
}

/// Writes the caller's ring once from end to end: a media thread that is the first to touch a page waits for the kernel
/// to clear it, and a large one takes long.
fn claim(heard: &mut Producer<i16>, read: &mut Consumer<i16>) {
    let all = heard.slots();
    if let Ok(chunk) = heard.write_chunk(all) {
        chunk.commit_all();
    }
    if let Ok(chunk) = read.read_chunk(all) {
        chunk.commit_all();
    }
}

/// Both ends of a leg in `format`.
pub fn link(format: Format) -> (Port, Backend) {
    let (pieces_in, pieces) = RingBuffer::new(PIECES);
    let (controls_in, controls) = RingBuffer::new(CONTROLS);
    let (events, events_out) = RingBuffer::new(EVENTS);
    let (mut heard, mut heard_out) = RingBuffer::new(HEARD_SECONDS * format.rate() as usize);
    claim(&mut heard, &mut heard_out);
    let (spent, spent_out) = RingBuffer::new(2 * PIECES);
    let (bell, shared) = (Arc::new(Notify::new()), Arc::new(Shared::default()));
    let port = Port {
        format,
        pieces: pieces_in,
        controls: controls_in,
        events: events_out,
        heard: heard_out,
        spent: spent_out,
        bell: bell.clone(),
        shared: shared.clone(),
        epoch: 0,
    };
    (port, Backend { pieces, controls, events, heard, spent, bell, shared, seen: 0 })
}

impl Port {
    pub fn format(&self) -> Format {
        self.format
    }

    /// Queues samples, at the format's rate, behind what is queued already. `last` ends the utterance; the
    /// samples may be none. False when the queue is full: try again after the next event.
    #[must_use]
    pub fn play(&mut self, speech: SpeechTag, samples: Arc<[i16]>, last: bool) -> bool {
        let queued = self.pieces.push(Piece { speech, samples, last, epoch: self.epoch }).is_ok();
        self.shared.posted.fetch_add(1, Release);
        queued
    }

    /// Is there room for another piece?
    pub fn has_room(&self) -> bool {
        self.pieces.slots() > 0
    }

    /// Stops the playback where it is.
    pub fn pause(&mut self) {
        self.control(Control::Pause);
    }

    /// Goes on where `pause` stopped.
    pub fn resume(&mut self) {
        self.control(Control::Resume);
    }

    /// Drops all that is queued or playing, and ends a pause.
    pub fn flush(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.control(Control::Flush(self.epoch));
    }

    /// The media thread empties the ring every 20 ms, and a call gives a few controls a second at most.
    fn control(&mut self, control: Control) {
        if self.controls.push(control).is_err() {
            tracing::error!("the media thread does not take its controls");
        }
        self.shared.posted.fetch_add(1, Release);
    }

    /// Rings when something may have happened. Then drain [`Port::next_event`] and [`Port::fetch`].
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    pub fn next_event(&mut self) -> Option<Event> {
        // Played samples are freed here, not on the media thread.
        while self.spent.pop().is_ok() {}
        self.events.pop().ok()
    }

    /// Moves what was heard of the caller into `hearing`.
    pub fn fetch(&mut self, hearing: &mut Hearing) {
        let count = self.heard.slots();
        if let Ok(chunk) = self.heard.read_chunk(count) {
            let (first, second) = chunk.as_slices();
            hearing.append(first);
            hearing.append(second);
            chunk.commit_all();
        }
    }

    pub fn report(&self) -> Report {
        let shared = &self.shared;
        let mos = shared.mos_thousandths.load(Relaxed);
        Report {
            format: self.format.name(),
            received: shared.received.load(Relaxed),
            lost: shared.lost.load(Relaxed),
            late: shared.late.load(Relaxed),
            duplicate: shared.duplicate.load(Relaxed),
            malformed: shared.malformed.load(Relaxed),
            strangers: shared.strangers.load(Relaxed),
            sent: shared.sent.load(Relaxed),
            jitter_ms: shared.jitter_us.load(Relaxed) as f64 / 1_000.0,
            mos: (mos > 0).then_some(mos as f64 / 1_000.0),
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shared.closed.store(true, Relaxed);
    }
}
