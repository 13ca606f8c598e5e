//! The two ends of a leg, the call task's and the media thread's: bounded rings and a notification.
//!
//! Neither side ever waits for the other. The media thread notifies; the call drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::Notify;

use super::caller_stream::AudioDelivery;
use super::control::{Control, Piece};
use super::exchange::Exchange;
use super::leg::NoiseSuppression;
use super::report::{EchoReport, Report};
use super::suppression::Suppression;
use super::suppression_places::CallSuppression;
use super::tap::{TapPoint, TapWriter};
use crate::audio::AudioBuffer;
use crate::audio::codec::Format;
use crate::audio::echo::EchoPath;
use crate::audio::prefetch::prefetch;
use crate::rtp::quality::Quality;

/// Identifies one speech of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpeechTag(pub u32);

/// An event for the call. Positions of the caller's audio count received samples; levels are the mean power of the
/// voiced frames in dBov, -127 to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaEvent {
    SpeechStarted {
        at: Instant,
        position: u64,
        level: i8,
    },
    SpeechPaused {
        at: Instant,
        position: u64,
        level: i8,
    },
    PlaybackStarted {
        speech: SpeechTag,
    },
    /// How much of a speech has been sent so far: ten times a second, and when it is paused.
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

/// Pieces that wait to be played.
const PIECES: usize = 64;
const CONTROLS: usize = 32;
const EVENTS: usize = 256;
/// Seconds of the caller's audio that wait to be fetched.
const AUDIO_SECONDS: usize = 2;

/// The media thread's end of a [`Port`].
pub struct Backend {
    pub(super) pieces: Consumer<Piece>,
    pub(super) controls: Consumer<Control>,
    pub(super) events: Producer<MediaEvent>,
    pub(super) audio: Producer<i16>,
    pub(super) played: Producer<Arc<[i16]>>,
    pub(super) notify: Arc<Notify>,
    pub(super) shared: Arc<Shared>,
    tap: Option<Box<TapWriter>>,
    /// Another noise suppression is to be taken over.
    pub(super) suppression_is_due: bool,
    pub(super) delivery: AudioDelivery,
    /// The value of `shared.posted` at the last check.
    seen: u64,
}

impl Backend {
    /// True when the call has queued anything, or tried to, since the last check. One read of memory that is needed anyway,
    /// instead of one of each ring.
    pub(super) fn take_posted(&mut self) -> bool {
        let posted = self.shared.posted.load(Acquire);
        std::mem::replace(&mut self.seen, posted) != posted
    }

    /// Prefetches the memory that is read and written every 20 ms.
    pub(super) fn prefetch(&self) {
        prefetch(&*self.shared);
        prefetch(self.audio.buffer());
    }

    /// Prefetches the memory to which the caller's next samples are written.
    pub(super) fn prefetch_audio(&mut self, samples: usize) {
        if let Ok(mut chunk) = self.audio.write_chunk_uninit(samples) {
            prefetch(chunk.as_mut_slices().0);
        }
    }

    /// Gives a frame to the call, as it was received to the tap. Returns the number of samples that had room; the others are lost
    /// to transcription only.
    pub(super) fn push_audio(&mut self, received: &[i16], for_call: &[i16]) -> u64 {
        if let Some(tap) = &mut self.tap {
            tap.push_caller(received);
        }
        let (written, _) = self.audio.push_partial_slice(for_call);
        written.len() as u64
    }

    /// Gives the agent's frame of a tick to the tap, and takes over an attached or detached one.
    pub(super) fn tap_agent(&mut self, frame: &[i16], ticks: u32) {
        if let Some(tap) = &mut self.tap {
            tap.push_agent(frame, ticks);
        }
        if self.shared.tap.has_changed() {
            self.shared.tap.take_over(&mut self.tap);
        }
    }

    /// Replaces the noise suppression where the call has set another one.
    pub(super) fn renew_suppression(&mut self, current: &mut Option<Box<Suppression>>) {
        if self.suppression_is_due && self.shared.suppression.take_over(current) {
            self.suppression_is_due = false;
        }
    }

    /// Sends an event to the call. The ring holds seconds of events; one that finds it full is dropped and counted.
    pub(super) fn send(&mut self, event: MediaEvent) {
        if self.events.push(event).is_err() {
            self.shared.events_dropped.fetch_add(1, Relaxed);
        }
        self.notify.notify_one();
    }
}

/// Counters that the media thread writes and the call reads. Those used every 20 ms are on one cache line.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct Shared {
    pub closed: AtomicBool,
    pub tap: Exchange<TapWriter>,
    /// The number of times that the call has queued a piece or a control, or tried to.
    posted: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub lost: AtomicU64,
    pub late: AtomicU64,
    pub duplicate: AtomicU64,
    pub malformed: AtomicU64,
    pub unexpected: AtomicU64,
    events_dropped: AtomicU64,
    jitter_us: AtomicU64,
    /// 0 while there is no score.
    mos_thousandths: AtomicU64,
    /// Delay in milliseconds, and the attenuation in tenths of a dB plus 1: 0 while there is no echo.
    echo_delay: AtomicU64,
    echo_attenuation: AtomicU64,
    suppression: Exchange<Suppression>,
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

    pub fn publish_echo(&self, echo: Option<EchoPath>) {
        let Some(echo) = echo else { return };
        self.echo_delay.store(echo.delay_ms.into(), Relaxed);
        self.echo_attenuation.store((echo.attenuation_db * 10.0) as u64 + 1, Relaxed);
    }

    fn echo(&self) -> Option<EchoReport> {
        let attenuation = self.echo_attenuation.load(Relaxed).checked_sub(1)?;
        let delay_ms = self.echo_delay.load(Relaxed);
        Some(EchoReport { delay_ms, attenuation_db: attenuation as f64 / 10.0 })
    }
}

/// The call's end.
pub struct Port {
    format: Format,
    pieces: Producer<Piece>,
    controls: Producer<Control>,
    events: Consumer<MediaEvent>,
    audio: Consumer<i16>,
    played: Consumer<Arc<[i16]>>,
    notify: Arc<Notify>,
    shared: Arc<Shared>,
    epoch: u32,
    suppression: CallSuppression,
    delivery: AudioDelivery,
}

/// Writes an empty ring once from end to end, so that the kernel clears its pages now and not on the media thread: a huge page
/// takes long.
pub(super) fn claim<T: Copy + Default>(write: &mut Producer<T>, read: &mut Consumer<T>) {
    let all = write.slots();
    if let Ok(chunk) = write.write_chunk(all) {
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
    let (mut audio, mut audio_out) = RingBuffer::new(AUDIO_SECONDS * format.rate() as usize);
    claim(&mut audio, &mut audio_out);
    let (played, played_out) = RingBuffer::new(2 * PIECES);
    let (notify, shared) = (Arc::new(Notify::new()), Arc::new(Shared::default()));
    let port = Port {
        format,
        pieces: pieces_in,
        controls: controls_in,
        events: events_out,
        audio: audio_out,
        played: played_out,
        notify: notify.clone(),
        shared: shared.clone(),
        epoch: 0,
        suppression: CallSuppression::default(),
        delivery: AudioDelivery::default(),
    };
    let back = Backend {
        pieces,
        controls,
        events,
        audio,
        played,
        notify,
        shared,
        tap: None,
        suppression_is_due: false,
        delivery: AudioDelivery::default(),
        seen: 0,
    };
    (port, back)
}

impl Port {
    pub fn format(&self) -> Format {
        self.format
    }

    /// The place at which other threads attach a second consumer of the call's audio.
    pub fn tap_point(&self) -> TapPoint {
        TapPoint { format: self.format, shared: self.shared.clone() }
    }

    /// Queues samples, at the format's rate, behind those that are queued. `last` ends the speech; `samples` may
    /// be empty. Returns false when the queue is full: try again after the next event.
    #[must_use]
    pub fn play(&mut self, speech: SpeechTag, samples: Arc<[i16]>, last: bool) -> bool {
        let queued = self.pieces.push(Piece { speech, samples, last, epoch: self.epoch }).is_ok();
        self.shared.posted.fetch_add(1, Release);
        queued
    }

    /// True when there is room for another piece.
    pub fn has_room(&self) -> bool {
        self.pieces.slots() > 0
    }

    /// Pauses the playback.
    pub fn pause(&mut self) {
        self.control(Control::Pause);
    }

    /// Continues a paused playback.
    pub fn resume(&mut self) {
        self.control(Control::Resume);
    }

    /// Drops all samples that are queued or playing, and ends a pause.
    pub fn flush(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.control(Control::Flush(self.epoch));
    }

    /// Fills pauses of the agent with comfort noise from now on, until [`Port::end_noise`]. Not while playback is paused.
    pub fn begin_noise(&mut self) {
        self.control(Control::BeginNoise);
    }

    pub fn end_noise(&mut self) {
        self.control(Control::EndNoise);
    }

    /// From now on the call shares places for noise suppression with others.
    pub(super) fn share_places(&mut self, suppression: CallSuppression) {
        self.suppression = suppression;
    }

    /// Sets the consumers of the caller's audio that get it without its noise from now on. Where no place is left for such a call, the
    /// audio keeps its noise.
    pub fn suppress_noise(&mut self, wanted: NoiseSuppression) {
        let Some(kind) = self.suppression.change(wanted) else { return };
        self.shared.suppression.set(Suppression::new(kind, self.format.frame_len()));
        self.control(Control::ChangeSuppression);
    }

    /// Sets how soon the call needs the caller's audio from now on.
    pub fn deliver(&mut self, delivery: AudioDelivery) {
        if self.delivery != delivery {
            self.delivery = delivery;
            self.control(Control::Deliver(delivery));
        }
    }

    /// The media thread empties the ring every 20 ms, and a call gives a few controls a second at most.
    fn control(&mut self, control: Control) {
        if self.controls.push(control).is_err() {
            tracing::error!("queue of media controls full: control dropped");
        }
        self.shared.posted.fetch_add(1, Release);
    }

    /// Notified when there may be events or audio: drain [`Port::next_event`] and [`Port::fetch`] then.
    pub fn notify(&self) -> Arc<Notify> {
        self.notify.clone()
    }

    pub fn next_event(&mut self) -> Option<MediaEvent> {
        // Played samples are freed here, not on the media thread.
        while self.played.pop().is_ok() {}
        self.events.pop().ok()
    }

    /// Moves the caller's audio into `buffer`.
    pub fn fetch(&mut self, buffer: &mut AudioBuffer) {
        self.fetch_with(|samples| buffer.append(samples));
    }

    /// Passes on the caller's audio since the last time, in order.
    pub fn fetch_with(&mut self, mut take: impl FnMut(&[i16])) {
        let count = self.audio.slots();
        if let Ok(chunk) = self.audio.read_chunk(count) {
            let (first, second) = chunk.as_slices();
            take(first);
            take(second);
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
            unexpected: shared.unexpected.load(Relaxed),
            sent: shared.sent.load(Relaxed),
            jitter_ms: shared.jitter_us.load(Relaxed) as f64 / 1_000.0,
            mos: (mos > 0).then_some(mos as f64 / 1_000.0),
            echo: shared.echo(),
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let dropped = self.shared.events_dropped.load(Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "queue of media events was full: events dropped");
        }
        self.shared.closed.store(true, Relaxed);
    }
}
