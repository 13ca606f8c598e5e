//! Puts packets in order and says which are lost.
//!
//! Nobody listens to the agent's ear, so nothing waits to be played at an even pace: packets in
//! order pass at once. Only a gap waits, for as long as a reordered packet may take.

/// Packets that can wait behind a gap. A power of two that divides the sequence space.
const SLOTS: usize = 16;

/// A step in the sequence beyond this is a new stream, not loss (RFC 3550, appendix A.1).
const MAX_DROPOUT: i16 = 50;

/// A step back beyond this is a new stream, not a late packet.
const MAX_MISORDER: i16 = 100;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the packet that was due and nothing waits: use it now, it is not kept.
    Due,
    /// Kept behind a gap.
    Kept,
    Duplicate,
    /// It came after its place had been given up.
    Late,
    /// The sequence jumped: what was waiting is gone, and this packet begins anew, to be used now like a
    /// `Due` one. `lost` packets between are known to be missing; 0 when the stream is a new one.
    Restarted {
        lost: u32,
    },
}

/// What is next in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    Payload(&'a [u8]),
    /// One packet is lost: conceal it.
    Lost,
    /// Nothing yet.
    Wait,
}

struct Slot<const N: usize> {
    sequence: Option<u16>,
    len: usize,
    payload: [u8; N],
}

/// A reordering buffer for payloads of up to `N` bytes. All its memory is its own from the start.
pub struct Jitter<const N: usize> {
    slots: Box<[Slot<N>; SLOTS]>,
    ssrc: Option<u32>,
    /// The sequence number that is due.
    due: u16,
    waiting: usize,
    /// Ticks that the gap before the first waiting packet has lasted.
    gap_ticks: u32,
    patience: u32,
}

impl<const N: usize> Jitter<N> {
    /// `patience` is how many ticks of 20 ms a missing packet is waited for.
    pub fn new(patience: u32) -> Jitter<N> {
        let slot = || Slot { sequence: None, len: 0, payload: [0; N] };
        Jitter {
            slots: Box::new(std::array::from_fn(|_| slot())),
            ssrc: None,
            due: 0,
            waiting: 0,
            gap_ticks: 0,
            patience,
        }
    }

    /// Takes a packet. A payload longer than `N` bytes is cut; no format in use has one.
    pub fn insert(&mut self, ssrc: u32, sequence: u16, payload: &[u8]) -> Verdict {
        let ahead = sequence.wrapping_sub(self.due) as i16;
        let jumped = !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead);
        if self.ssrc != Some(ssrc) || jumped {
            let first = self.ssrc.is_none();
            self.restart(ssrc, sequence);
            return if first { Verdict::Due } else { Verdict::Restarted { lost: 0 } };
        }
        if ahead < 0 {
            return Verdict::Late;
        }
        if ahead as usize >= SLOTS {
            // The gap is wider than the buffer: what is missing will not come any more.
            self.restart(ssrc, sequence);
            return Verdict::Restarted { lost: ahead as u32 };
        }
        if ahead == 0 && self.waiting == 0 {
            self.due = self.due.wrapping_add(1);
            return Verdict::Due;
        }
        if self.slots[slot_of(sequence)].sequence == Some(sequence) {
            return Verdict::Duplicate;
        }
        self.keep(sequence, payload);
        Verdict::Kept
    }

    /// What is due, if it can be said. Call it until it says `Wait`.
    pub fn pop(&mut self) -> Next<'_> {
        if self.waiting == 0 {
            return Next::Wait;
        }
        let slot = slot_of(self.due);
        if self.slots[slot].sequence == Some(self.due) {
            self.due = self.due.wrapping_add(1);
            self.waiting -= 1;
            self.gap_ticks = 0;
            let slot = &mut self.slots[slot];
            slot.sequence = None;
            return Next::Payload(&slot.payload[..slot.len]);
        }
        if self.gap_ticks >= self.patience {
            self.due = self.due.wrapping_add(1);
            return Next::Lost;
        }
        Next::Wait
    }

    /// 20 ms have passed.
    pub fn tick(&mut self) {
        if self.waiting > 0 {
            self.gap_ticks += 1;
        }
    }

    /// Is a packet waiting behind a gap?
    pub fn has_gap(&self) -> bool {
        self.waiting > 0
    }

    fn restart(&mut self, ssrc: u32, sequence: u16) {
        self.slots.iter_mut().for_each(|slot| slot.sequence = None);
        self.ssrc = Some(ssrc);
        self.due = sequence.wrapping_add(1);
        self.waiting = 0;
        self.gap_ticks = 0;
    }

    fn keep(&mut self, sequence: u16, payload: &[u8]) {
        let slot = &mut self.slots[slot_of(sequence)];
        slot.len = payload.len().min(N);
        slot.payload[..slot.len].copy_from_slice(&payload[..slot.len]);
        slot.sequence = Some(sequence);
        self.waiting += 1;
    }
}

fn slot_of(sequence: u16) -> usize {
    usize::from(sequence) % SLOTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scripts: numbers are packets, `.` a tick. Gives back what came out, `x` for a loss.
    fn run(script: &str) -> String {
        let mut jitter = Jitter::<4>::new(2);
        let mut out = String::new();
        for word in script.split_whitespace() {
            match word.parse::<u16>() {
                Ok(sequence) => {
                    let verdict = jitter.insert(1, sequence, &sequence.to_be_bytes());
                    match verdict {
                        Verdict::Kept => {}
                        Verdict::Due => out.push_str(&format!("{sequence} ")),
                        Verdict::Restarted { .. } => out.push_str(&format!("{verdict:?} {sequence} ")),
                        other => out.push_str(&format!("{other:?} ")),
                    }
                }
                Err(_) => jitter.tick(),
            }
            drain(&mut jitter, &mut out);
        }
        out.trim_end().to_owned()
    }

    fn drain(jitter: &mut Jitter<4>, out: &mut String) {
        loop {
            match jitter.pop() {
                Next::Payload(payload) => {
                    out.push_str(&format!("{} ", u16::from_be_bytes([payload[0], payload[1]])));
                }
                Next::Lost => out.push_str("x "),
                Next::Wait => return,
            }
        }
    }

    #[test]
    fn packets_in_order_pass_at_once() {
        assert_eq!(run("7 8 9"), "7 8 9");
        assert_eq!(run("65534 65535 0 1"), "65534 65535 0 1");
    }

    #[test]
    fn reordered_packets_are_put_in_order() {
        assert_eq!(run("1 3 . 2 4"), "1 2 3 4");
        assert_eq!(run("1 4 3 . 2"), "1 2 3 4");
    }

    #[test]
    fn a_gap_is_given_up_after_two_ticks() {
        assert_eq!(run("1 4 . 5 . 6"), "1 x x 4 5 6");
    }

    #[test]
    fn late_and_doubled_packets_are_told() {
        assert_eq!(run("1 3 3 . . 2"), "1 Duplicate x 3 Late");
        assert_eq!(run("1 1"), "1 Late");
    }

    #[test]
    fn a_jump_begins_anew() {
        assert_eq!(run("1 2 900 901"), "1 2 Restarted { lost: 0 } 900 901");
        assert_eq!(run("1 2 25 26"), "1 2 Restarted { lost: 22 } 25 26");
        assert_eq!(run("1000 5"), "1000 Restarted { lost: 0 } 5");
    }

    proptest! {
        #[test]
        fn whatever_comes_order_is_kept(
            packets in proptest::collection::vec((0u32..2, any::<u16>(), any::<bool>()), 0..300)
        ) {
            let mut jitter = Jitter::<4>::new(2);
            for (ssrc, sequence, tick) in packets {
                jitter.insert(ssrc, sequence % 64, &sequence.to_be_bytes());
                if tick {
                    jitter.tick();
                }
                let mut steps = 0;
                while jitter.pop() != Next::Wait {
                    steps += 1;
                    prop_assert!(steps <= SLOTS + 1, "the buffer never ends");
                }
                prop_assert!(jitter.waiting < SLOTS);
            }
        }
    }
}
