//! The media threads. Each turns a wheel of 40 slots, half a millisecond apart; a leg sits in one slot
//! and is served every 20 ms.
//!
//! Due times are absolute, so nothing drifts. After a stall a leg is served once, not once for every
//! turn that it missed.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use serde::Deserialize;
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ScheduleParams, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use super::ear::FRAME;
use super::leg::{Leg, LegConfig, Path, Scratch};
use super::line::Line;
use super::port::{Port, link};
use crate::audio::codec::Format;

/// `[media]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Media threads; each carries over a thousand calls on a core of its own, as `./dev bench media` measures.
    /// Default 1.
    pub threads: usize,
    /// The address on which RTP from Asterisk is received. Default 127.0.0.1.
    pub bind_address: IpAddr,
    /// The address that Asterisk is to send to, if it is not `bind_address` (NAT, or 0.0.0.0).
    pub public_address: Option<IpAddr>,
    /// The lowest and the highest UDP port to use; 0 and 0 let the system choose. Default 0, 0.
    pub ports: (u16, u16),
    /// Calls a thread carries at most. Default 1,500.
    pub calls_per_thread: usize,
    /// A call without a packet for this long after its answer is reported, in milliseconds; 0 switches that off.
    /// Default 5,000.
    pub no_media_ms: u64,
    /// The agent's first sound leaves this long after the answer, in milliseconds. Default 350.
    pub first_sound_delay_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            threads: 1,
            bind_address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            public_address: None,
            ports: (0, 0),
            calls_per_thread: 1_500,
            no_media_ms: 5_000,
            first_sound_delay_ms: 350,
        }
    }
}

const SLOTS: u64 = 40;
const SLOT: Duration = Duration::from_micros(500);
/// Packets that a leg takes in one turn at most; a flood cannot hold up the others.
const READS: usize = 8;
/// Turns between two looks at a leg's sentry.
const SENTRY: u64 = 50;
/// Longer than any packet that is in use; what is longer still is cut and then refused.
const DATAGRAM: usize = 2_048;

/// Every media thread is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media threads carry as many calls as they may")]
pub struct Full;

/// The threads. Dropping it ends them, with the legs they carry.
pub struct Engine {
    threads: Vec<Carrier>,
    capacity: usize,
}

struct Carrier {
    inbox: Arc<Inbox>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl Carrier {
    fn is_alive(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| !handle.is_finished())
    }
}

#[derive(Default)]
struct Inbox {
    arrivals: Mutex<Vec<(Box<dyn Path>, Line)>>,
    any: AtomicBool,
    stop: AtomicBool,
    load: AtomicUsize,
    lateness: Lateness,
    /// Counts the thread's rounds: it goes up at least ten times a second.
    beats: AtomicU64,
}

/// How late frames left: counts by upper bound.
#[derive(Default)]
pub struct Lateness {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

const BOUNDS_US: [u64; 9] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

impl Lateness {
    fn record(&self, late: Duration, legs: u64) {
        let micros = late.as_micros() as u64;
        let bucket = BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(legs, Relaxed);
        self.total_us.fetch_add(micros.saturating_mul(legs), Relaxed);
    }
}

impl Engine {
    pub fn start(settings: &Settings) -> io::Result<Engine> {
        let threads = (0..settings.threads.max(1)).map(carrier).collect::<io::Result<Vec<_>>>()?;
        Ok(Engine { threads, capacity: settings.calls_per_thread })
    }

    /// Starts the frame path of a call. `line` is connected already.
    pub fn open(&self, line: Line, format: Format) -> Result<Port, Full> {
        let config = LegConfig {
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp: rand::random(),
            ..LegConfig::new(format)
        };
        let (port, back) = link(format);
        self.carry(line, Box::new(Leg::new(config, back)))?;
        Ok(port)
    }

    /// Serves a frame path on the thread with the fewest. A thread that has ended takes none.
    pub fn carry(&self, line: Line, path: Box<dyn Path>) -> Result<(), Full> {
        let load = |carrier: &&Carrier| carrier.inbox.load.load(Relaxed);
        let carrier =
            self.threads.iter().filter(|carrier| carrier.is_alive()).min_by_key(load).ok_or(Full)?;
        if carrier.inbox.load.fetch_add(1, Relaxed) >= self.capacity {
            carrier.inbox.load.fetch_sub(1, Relaxed);
            return Err(Full);
        }
        carrier.inbox.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((path, line));
        carrier.inbox.any.store(true, Release);
        carrier.thread.unpark();
        Ok(())
    }

    /// Legs that are served now.
    pub fn legs(&self) -> usize {
        self.threads.iter().map(|carrier| carrier.inbox.load.load(Relaxed)).sum()
    }

    /// A count of rounds for each thread. One that stands still for a second belongs to a thread that hangs.
    pub fn beats(&self) -> Vec<u64> {
        self.threads.iter().map(|carrier| carrier.inbox.beats.load(Relaxed)).collect()
    }

    /// How late frames have left so far: frames by upper bound in microseconds, the last without bound.
    pub fn lateness(&self) -> BTreeMap<u64, u64> {
        let bounds = BOUNDS_US.into_iter().chain([u64::MAX]);
        let count = |n: usize| self.threads.iter().map(|c| c.inbox.lateness.buckets[n].load(Relaxed)).sum();
        bounds.enumerate().map(|(n, bound)| (bound, count(n))).collect()
    }

    /// The sum of the delays with which frames have left so far.
    pub fn total_lateness(&self) -> Duration {
        Duration::from_micros(self.threads.iter().map(|c| c.inbox.lateness.total_us.load(Relaxed)).sum())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for carrier in &mut self.threads {
            carrier.inbox.stop.store(true, Relaxed);
            carrier.thread.unpark();
        }
        for carrier in &mut self.threads {
            if let Some(handle) = carrier.handle.take() {
                drop(handle.join());
            }
        }
    }
}

fn carrier(number: usize) -> io::Result<Carrier> {
    let inbox = Arc::new(Inbox::default());
    let inside = inbox.clone();
    let handle = thread::Builder::new().name(format!("media-{number}")).spawn(move || {
        prefer_this_thread();
        Wheel::new(&inside).run();
    })?;
    Ok(Carrier { inbox, thread: handle.thread().clone(), handle: Some(handle) })
}

/// Asks to be run before everything that is not real-time: a compiler or a recogniser on the same core must
/// not delay a frame. Where that is not allowed, a better place in the ordinary queue has to do.
fn prefer_this_thread() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let lowest = ThreadPriority::from_posix(ScheduleParams { sched_priority: 1 });
    if set_thread_priority_and_policy(thread_native_id(), lowest, policy).is_ok() {
        return;
    }
    let raised = setpriority_process(Some(gettid()), -15).is_ok();
    tracing::info!(
        raised,
        "media threads are not real-time: LimitRTPRIO would allow it, and frames leave more evenly on a busy machine"
    );
}

struct Seat {
    path: Box<dyn Path>,
    line: Line,
    /// The turn of the wheel in which it was last served.
    turn: u64,
}

struct Wheel<'a> {
    inbox: &'a Inbox,
    slots: Vec<Vec<Seat>>,
    /// When the lap that `step` is in began.
    start: Instant,
    /// The step that is due next; one is half a millisecond.
    step: u64,
    buffer: Box<[u8; DATAGRAM]>,
    scratch: Box<Scratch>,
}

impl<'a> Wheel<'a> {
    fn new(inbox: &'a Inbox) -> Wheel<'a> {
        Wheel {
            inbox,
            slots: (0..SLOTS).map(|_| Vec::with_capacity(64)).collect(),
            start: Instant::now(),
            step: 0,
            buffer: Box::new([0; DATAGRAM]),
            scratch: Box::default(),
        }
    }

    fn run(&mut self) {
        while !self.inbox.stop.load(Relaxed) {
            self.inbox.beats.fetch_add(1, Relaxed);
            if self.inbox.any.swap(false, Acquire) {
                self.seat_arrivals();
            }
            let Some(due) = self.next_due() else {
                thread::park_timeout(Duration::from_millis(100));
                continue;
            };
            let now = Instant::now();
            match due.checked_duration_since(now) {
                // Woken early by an arrival or by nothing, it looks again.
                Some(wait) if !wait.is_zero() => thread::park_timeout(wait),
                _ => self.serve_step(due, now),
            }
        }
    }

    /// Moves on to the next occupied slot and returns when it is due.
    fn next_due(&mut self) -> Option<Instant> {
        let ahead = (0..SLOTS).find(|ahead| !self.slots[slot_of(self.step + ahead)].is_empty())?;
        self.advance(ahead);
        Some(self.due())
    }

    fn due(&self) -> Instant {
        self.start + SLOT * u32::try_from(self.step % STEPS_A_LAP).unwrap_or(0)
    }

    fn serve_step(&mut self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        let turn = self.step / SLOTS;
        // Missed turns are over: the legs receive their number, and are served once.
        let missed = late.as_micros() as u64 / FRAME.as_micros() as u64;
        let (buffer, scratch) = (&mut *self.buffer, &mut *self.scratch);
        let slot = &mut self.slots[slot_of(self.step)];
        self.inbox.lateness.record(late, slot.len() as u64);
        let mut place = 0;
        while place < slot.len() {
            if let Some(next) = slot.get(place + 1) {
                next.path.approach();
            }
            if slot[place].serve(turn + missed, now, buffer, scratch) {
                place += 1;
            } else {
                slot.swap_remove(place);
                self.inbox.load.fetch_sub(1, Relaxed);
            }
        }
        self.advance(1 + missed * SLOTS);
    }

    /// Every move of a wheel that turns is made here. The origin moves with it when a lap ends, so that the
    /// arithmetic never grows.
    fn advance(&mut self, steps: u64) {
        let before = self.step / STEPS_A_LAP;
        self.step += steps;
        let laps = self.step / STEPS_A_LAP - before;
        self.start += SLOT * STEPS_A_LAP as u32 * laps as u32;
    }

    fn seat_arrivals(&mut self) {
        if self.slots.iter().all(Vec::is_empty) {
            // The wheel stood still. It starts again now.
            self.step -= self.step % STEPS_A_LAP;
            self.start = Instant::now();
        }
        let arrivals =
            std::mem::take(&mut *self.inbox.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, line) in arrivals {
            let emptiest =
                (0..SLOTS).min_by_key(|ahead| self.slots[slot_of(self.step + ahead)].len()).unwrap_or(0);
            let step = self.step + emptiest;
            let turn = (step / SLOTS).saturating_sub(1);
            self.slots[slot_of(step)].push(Seat { path, line, turn });
        }
    }
}

/// An hour of steps: a whole number of turns.
const STEPS_A_LAP: u64 = 3_600 * 50 * SLOTS;

fn slot_of(step: u64) -> usize {
    (step % SLOTS) as usize
}

impl Seat {
    /// Serves the leg once; false when it is closed.
    fn serve(&mut self, turn: u64, now: Instant, buffer: &mut [u8; DATAGRAM], scratch: &mut Scratch) -> bool {
        self.path.arrive();
        for _ in 0..READS {
            match self.line.receive(&mut buffer[..]) {
                Some(len) => self.path.receive(&buffer[..len], now, scratch),
                None => break,
            }
        }
        // Checked only now: the memory has been fetched during the kernel's work above.
        if self.path.is_closed() {
            return false;
        }
        if turn.is_multiple_of(SENTRY)
            && let Some(unexpected) = self.line.unexpected()
        {
            self.path.count_unexpected(unexpected);
        }
        let ticks = turn.saturating_sub(self.turn).max(1);
        self.turn = turn;
        let packet = self.path.tick(now, u32::try_from(ticks).unwrap_or(u32::MAX), scratch);
        self.line.send(packet);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc::{Receiver, channel};

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::media::Unexpected;

    /// A frame path that does something with its ticks.
    struct Doing<F>(F);

    impl<F: FnMut(u32) + Send> Path for Doing<F> {
        fn receive(&mut self, _: &[u8], _: Instant, _: &mut Scratch) {}

        fn tick<'a>(&'a mut self, _: Instant, ticks: u32, _: &'a mut Scratch) -> &'a [u8] {
            (self.0)(ticks);
            &[]
        }

        fn count_unexpected(&mut self, _: Unexpected) {}

        fn is_closed(&self) -> bool {
            false
        }
    }

    fn lasting() -> Box<dyn Path> {
        Box::new(Doing(|_| ()))
    }

    fn broken() -> Box<dyn Path> {
        let alas: fn(u32) = |_| panic!("a bug that ends the thread");
        Box::new(Doing(alas))
    }

    fn line(settings: &Settings) -> Line {
        Line::bind(settings.bind_address, settings.ports, 0).expect("a port")
    }

    #[test]
    fn a_thread_that_has_ended_takes_no_calls() {
        let settings = Settings { threads: 2, ..Settings::default() };
        let engine = Engine::start(&settings).expect("threads");
        engine.carry(line(&settings), broken()).expect("a place");
        while engine.threads.iter().all(Carrier::is_alive) {
            thread::yield_now();
        }
        let alive = engine.threads.iter().position(Carrier::is_alive).expect("the other one");
        for _ in 0..3 {
            engine.carry(line(&settings), lasting()).expect("a place");
        }
        assert_eq!(
            engine.threads[alive].inbox.load.load(Relaxed),
            3,
            "though it carries more than the dead one"
        );
        engine.carry(line(&settings), broken()).expect("a place");
        while engine.threads[alive].is_alive() {
            thread::yield_now();
        }
        assert_eq!(engine.carry(line(&settings), lasting()), Err(Full));
    }

    /// A wheel with so many steps left of its hour, and in each of these slots a leg that tells its ticks.
    fn wheel(inbox: &Inbox, slots: BTreeSet<usize>, left: u64) -> (Wheel<'_>, Receiver<(usize, u32)>) {
        let (tell, told) = channel();
        let mut wheel = Wheel::new(inbox);
        wheel.step = STEPS_A_LAP - left;
        for slot in slots {
            let tell = tell.clone();
            let path = Box::new(Doing(move |ticks| tell.send((slot, ticks)).expect("a listener")));
            wheel.slots[slot].push(Seat { path, line: line(&Settings::default()), turn: 0 });
        }
        (wheel, told)
    }

    fn arrive(wheel: &mut Wheel<'_>) {
        wheel.inbox.arrivals.lock().expect("arrivals").push((lasting(), line(&Settings::default())));
        wheel.seat_arrivals();
    }

    #[test]
    fn an_hour_that_ends_in_an_empty_slot_is_followed_by_the_next() {
        let inbox = Inbox::default();
        let (mut wheel, _told) = wheel(&inbox, [3].into(), 100);
        let mut due = wheel.next_due().expect("a leg");
        for _ in 0..10 {
            wheel.serve_step(due, due);
            let next = wheel.next_due().expect("a leg");
            assert_eq!(next.checked_duration_since(due), Some(FRAME));
            due = next;
        }
    }

    #[test]
    fn a_leg_that_comes_as_the_hour_ends_is_served_at_once() {
        let inbox = Inbox::default();
        let (mut wheel, _told) = wheel(&inbox, [3].into(), 1);
        let next_hour = wheel.start + SLOT * STEPS_A_LAP as u32;
        let due = wheel.next_due().expect("a leg");
        assert_eq!(due, next_hour + 3 * SLOT);
        arrive(&mut wheel);
        wheel.serve_step(due, due);
        assert_eq!(wheel.next_due(), Some(next_hour + 4 * SLOT));
    }

    #[test]
    fn a_wheel_that_stood_still_for_hours_starts_again_now() {
        let inbox = Inbox::default();
        let (mut wheel, _told) = wheel(&inbox, BTreeSet::new(), 1);
        wheel.start -= 3 * SLOT * STEPS_A_LAP as u32;
        assert_eq!(wheel.next_due(), None);
        let before = Instant::now();
        arrive(&mut wheel);
        let due = wheel.next_due().expect("a leg");
        assert!((before..=Instant::now()).contains(&due));
    }

    /// How long the thread may be kept from a turn: mostly not at all, sometimes nearly for an hour.
    fn stall() -> impl Strategy<Value = Duration> {
        let micros = prop_oneof![20 => Just(0), 4 => 0..70_000u64, 1 => 3_599_900_000..3_600_000_000u64];
        micros.prop_map(Duration::from_micros)
    }

    proptest! {
        #[test]
        fn every_leg_has_every_turn_that_the_thread_did_not_miss(
            slots in btree_set(0..SLOTS as usize, 1..=SLOTS as usize),
            left in 1..400u64,
            stalls in vec(stall(), 1..400),
        ) {
            let inbox = Inbox::default();
            let (mut wheel, told) = wheel(&inbox, slots, left);
            let mut due = wheel.next_due().expect("a leg");
            let (mut now, mut missed, mut served) = (due, 0, BTreeMap::new());
            for stall in stalls {
                now = now.max(due) + stall;
                let late = (now - due).as_micros() / FRAME.as_micros();
                missed += late as u32;
                wheel.serve_step(due, now);
                let (slot, ticks) = told.try_recv().expect("one leg");
                let turn = due + FRAME * late as u32;
                if let Some((turn_before, missed_before)) = served.insert(slot, (turn, missed)) {
                    prop_assert_eq!(ticks, 1 + missed - missed_before);
                    prop_assert_eq!(turn.checked_duration_since(turn_before), Some(FRAME * ticks));
                }
                let next = wheel.next_due().expect("a leg");
                prop_assert!(next > due, "back in time");
                prop_assert!(next + FRAME > now, "behind by more than a turn");
                due = next;
            }
        }
    }
}
