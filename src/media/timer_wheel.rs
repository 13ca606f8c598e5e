//! The timer wheel of a media thread: 40 slots, half a millisecond apart. A leg has one slot and is served every 20 ms.
//!
//! Due times are absolute, so nothing drifts. After a stall a leg is served once, not once for every turn that it missed.

use std::thread;
use std::time::{Duration, Instant};

use super::caller_stream::FRAME;
use super::path::{FramePath, Scratch};
use super::socket::MediaSocket;
use super::threads::ThreadState;

const SLOTS: u64 = 40;
const SLOT: Duration = Duration::from_micros(500);
/// The packets that a leg takes in one turn at most, so that a flood does not delay the other legs.
const READS: usize = 8;
/// Turns between two reads of a leg's socket for unexpected packets.
const UNEXPECTED_INTERVAL: u64 = 50;
/// Comparisons for echoes in one step at most, a quarter of its time, so that many callers who begin to speak at once do not
/// delay the other legs. Later ones are made in the next turns.
const COMPARISONS: u32 = 4;
/// Longer than any packet in use. A longer one is cut and then refused.
const DATAGRAM: usize = 2_048;

/// A leg in its slot.
struct Entry {
    path: Box<dyn FramePath>,
    socket: MediaSocket,
    /// The turn of the wheel in which the leg was last served.
    turn: u64,
}

pub(super) struct TimerWheel<'a> {
    state: &'a ThreadState,
    slots: Vec<Vec<Entry>>,
    /// The beginning of the lap that `step` belongs to.
    start: Instant,
    /// The step that is due next; one is half a millisecond.
    step: u64,
    buffer: Box<[u8; DATAGRAM]>,
    scratch: Box<Scratch>,
}

impl<'a> TimerWheel<'a> {
    pub fn new(state: &'a ThreadState) -> TimerWheel<'a> {
        TimerWheel {
            state,
            slots: (0..SLOTS).map(|_| Vec::with_capacity(64)).collect(),
            start: Instant::now(),
            step: 0,
            buffer: Box::new([0; DATAGRAM]),
            scratch: Box::default(),
        }
    }

    pub fn run(&mut self) {
        while self.state.begin_round() {
            if self.state.has_arrivals() {
                self.add_arrivals();
            }
            let Some(due) = self.next_due() else {
                thread::park_timeout(Duration::from_millis(100));
                continue;
            };
            let now = Instant::now();
            match due.checked_duration_since(now) {
                // An early or spurious wake-up is followed by another look.
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
        // Missed turns are not made up for: the legs are served once, with the number of turns.
        let missed = late.as_micros() as u64 / FRAME.as_micros() as u64;
        let (buffer, scratch) = (&mut *self.buffer, &mut *self.scratch);
        scratch.correlator.permit(COMPARISONS);
        let slot = &mut self.slots[slot_of(self.step)];
        self.state.lateness.record(late, slot.len() as u64);
        let mut place = 0;
        while place < slot.len() {
            if let Some(next) = slot.get(place + 1) {
                next.path.prefetch_self();
            }
            if slot[place].serve(turn + missed, now, buffer, scratch) {
                place += 1;
            } else {
                slot.swap_remove(place);
                self.state.leg_closed();
            }
        }
        self.advance(1 + missed * SLOTS);
    }

    /// The only place that moves the wheel while it turns. The origin moves too when a lap ends, so that the numbers stay
    /// small.
    fn advance(&mut self, steps: u64) {
        let before = self.step / STEPS_A_LAP;
        self.step += steps;
        let laps = self.step / STEPS_A_LAP - before;
        self.start += SLOT * STEPS_A_LAP as u32 * laps as u32;
    }

    fn add_arrivals(&mut self) {
        if self.slots.iter().all(Vec::is_empty) {
            // The wheel stood still: it starts again now.
            self.step -= self.step % STEPS_A_LAP;
            self.start = Instant::now();
        }
        for (path, socket) in self.state.take_arrivals() {
            let emptiest =
                (0..SLOTS).min_by_key(|ahead| self.slots[slot_of(self.step + ahead)].len()).unwrap_or(0);
            let step = self.step + emptiest;
            let turn = (step / SLOTS).saturating_sub(1);
            self.slots[slot_of(step)].push(Entry { path, socket, turn });
        }
    }
}

/// An hour of steps: a whole number of turns.
const STEPS_A_LAP: u64 = 3_600 * 50 * SLOTS;

fn slot_of(step: u64) -> usize {
    (step % SLOTS) as usize
}

impl Entry {
    /// Serves the leg once; false when it is closed.
    fn serve(&mut self, turn: u64, now: Instant, buffer: &mut [u8; DATAGRAM], scratch: &mut Scratch) -> bool {
        self.path.prefetch_buffers();
        for _ in 0..READS {
            match self.socket.receive(&mut buffer[..]) {
                Some(len) => self.path.receive(&buffer[..len], now, scratch),
                None => break,
            }
        }
        // Checked only now: the memory has been fetched during the kernel's work above.
        if self.path.is_closed() {
            return false;
        }
        if turn.is_multiple_of(UNEXPECTED_INTERVAL)
            && let Some(unexpected) = self.socket.drain_unexpected()
        {
            self.path.count_unexpected(unexpected);
        }
        let ticks = turn.saturating_sub(self.turn).max(1);
        self.turn = turn;
        let packet = self.path.tick(now, u32::try_from(ticks).unwrap_or(u32::MAX), scratch);
        self.socket.send(packet);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::mpsc::{Receiver, channel};

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::media::test_path::{TickingPath, test_socket};

    /// A wheel with so many steps left of its hour, and a leg that reports its ticks in each of these slots.
    fn wheel(
        state: &ThreadState,
        slots: BTreeSet<usize>,
        left: u64,
    ) -> (TimerWheel<'_>, Receiver<(usize, u32)>) {
        let (ticked, ticks) = channel();
        let mut wheel = TimerWheel::new(state);
        wheel.step = STEPS_A_LAP - left;
        for slot in slots {
            let ticked = ticked.clone();
            let path = Box::new(TickingPath(move |ticks| ticked.send((slot, ticks)).expect("a receiver")));
            wheel.slots[slot].push(Entry { path, socket: test_socket(), turn: 0 });
        }
        (wheel, ticks)
    }

    fn arrive(wheel: &mut TimerWheel<'_>) {
        wheel.state.push(Box::new(TickingPath(|_| ())), test_socket());
        wheel.add_arrivals();
    }

    #[test]
    fn an_hour_that_ends_in_an_empty_slot_is_followed_by_the_next() {
        let state = ThreadState::default();
        let (mut wheel, _ticks) = wheel(&state, [3].into(), 100);
        let mut due = wheel.next_due().expect("a leg");
        for _ in 0..10 {
            wheel.serve_step(due, due);
            let next = wheel.next_due().expect("a leg");
            assert_eq!(next.checked_duration_since(due), Some(FRAME));
            due = next;
        }
    }

    #[test]
    fn a_leg_that_arrives_as_the_hour_ends_is_served_at_once() {
        let state = ThreadState::default();
        let (mut wheel, _ticks) = wheel(&state, [3].into(), 1);
        let next_hour = wheel.start + SLOT * STEPS_A_LAP as u32;
        let due = wheel.next_due().expect("a leg");
        assert_eq!(due, next_hour + 3 * SLOT);
        arrive(&mut wheel);
        wheel.serve_step(due, due);
        assert_eq!(wheel.next_due(), Some(next_hour + 4 * SLOT));
    }

    #[test]
    fn a_wheel_that_stood_still_for_hours_starts_again_now() {
        let state = ThreadState::default();
        let (mut wheel, _ticks) = wheel(&state, BTreeSet::new(), 1);
        wheel.start -= 3 * SLOT * STEPS_A_LAP as u32;
        assert_eq!(wheel.next_due(), None);
        let before = Instant::now();
        arrive(&mut wheel);
        let due = wheel.next_due().expect("a leg");
        assert!((before..=Instant::now()).contains(&due));
    }

    /// A delay of the thread: mostly none, sometimes nearly an hour.
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
            let state = ThreadState::default();
            let (mut wheel, served_legs) = wheel(&state, slots, left);
            let mut due = wheel.next_due().expect("a leg");
            let (mut now, mut missed, mut served) = (due, 0, BTreeMap::new());
            for stall in stalls {
                now = now.max(due) + stall;
                let late = (now - due).as_micros() / FRAME.as_micros();
                missed += late as u32;
                wheel.serve_step(due, now);
                let (slot, ticks) = served_legs.try_recv().expect("one leg");
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
