//! Puts packets in order and decides which of them are lost.
//!
//! Packets in order pass at once: nothing waits to be played at an even pace. Only a gap waits, for as long as a
//! reordered packet may take.
//!
//! A missing sequence number is not always a lost packet: the events of pressed keys (RFC 4733) share the sequence numbers
//! of the audio, and Asterisk forwards the audio without them but with the gap. The timestamps decide: a gap is loss only
//! if as much audio is missing as packets are.

use super::packet::Packet;

/// Packets that can wait behind a gap. A power of two that divides the sequence space.
const SLOTS: usize = 16;

/// A step in the sequence beyond this is a new stream, not loss (RFC 3550, appendix A.1).
const MAX_DROPOUT: i16 = 3_000;

/// A gap of more packets than this is loss only if the timestamps advance accordingly: a second of packets of 20 ms.
const MAX_TRUSTED: i16 = 50;

/// A step back beyond this is a new stream, not a late packet.
const MAX_MISORDER: i16 = 100;

/// The outcome of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketOutcome {
    /// The packet was due and nothing waits: use it now, it is not kept.
    Due,
    /// Kept behind a gap.
    Kept,
    Duplicate,
    /// Its place was given up before it arrived.
    Late,
    /// The sequence jumped: the packets that were waiting are dropped, and this packet begins anew, to be used now like a
    /// `Due` one. `lost` packets before it are missing; 0 when the stream is a new one.
    Restarted {
        lost: u32,
    },
}

/// The next packet in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    Payload {
        payload: &'a [u8],
        timestamp: u32,
    },
    /// One packet is lost: conceal it.
    Lost,
    /// Nothing yet.
    Wait,
}

struct Slot<const N: usize> {
    sequence: Option<u16>,
    timestamp: u32,
    len: usize,
    payload: [u8; N],
}

/// A reordering buffer for payloads of up to `N` bytes. It allocates only when it is created.
pub struct Jitter<const N: usize> {
    slots: Box<[Slot<N>; SLOTS]>,
    ssrc: Option<u32>,
    /// The sequence number that is due.
    due: u16,
    waiting: usize,
    /// Ticks that the gap before the first waiting packet has lasted.
    gap_ticks: u32,
    reorder_ticks: u32,
    timeline: Timeline,
}

impl<const N: usize> Jitter<N> {
    /// `reorder_ticks` is how many ticks of 20 ms a missing packet is waited for; `clock` is in ticks of the RTP timestamp a
    /// second.
    pub fn new(reorder_ticks: u32, clock: u32) -> Jitter<N> {
        let slot = || Slot { sequence: None, timestamp: 0, len: 0, payload: [0; N] };
        Jitter {
            slots: Box::new(std::array::from_fn(|_| slot())),
            ssrc: None,
            due: 0,
            waiting: 0,
            gap_ticks: 0,
            reorder_ticks,
            timeline: Timeline::new(clock),
        }
    }

    /// Takes a packet. A payload longer than `N` bytes is cut; no format in use has one.
    pub fn insert(&mut self, packet: &Packet<'_>) -> PacketOutcome {
        let Packet { ssrc, sequence, .. } = *packet;
        let ahead = sequence.wrapping_sub(self.due) as i16;
        if self.ssrc != Some(ssrc) {
            let first = self.ssrc.is_none();
            self.restart(packet);
            return if first { PacketOutcome::Due } else { PacketOutcome::Restarted { lost: 0 } };
        }
        match ahead {
            _ if ahead < -MAX_MISORDER => {
                self.restart(packet);
                PacketOutcome::Restarted { lost: 0 }
            }
            ..0 => PacketOutcome::Late,
            _ if self.waiting == 0 && (ahead == 0 || self.timeline.continues_at(packet.timestamp)) => {
                self.due = sequence.wrapping_add(1);
                self.timeline.pass(ahead == 0, packet.timestamp);
                PacketOutcome::Due
            }
            _ if ahead as usize >= SLOTS => {
                // The gap is wider than the buffer: the missing packets are given up.
                let lost = self.lost_before(ahead, packet.timestamp);
                self.restart(packet);
                PacketOutcome::Restarted { lost }
            }
            _ if self.slots[slot_of(sequence)].sequence == Some(sequence) => PacketOutcome::Duplicate,
            _ => {
                self.keep(packet);
                PacketOutcome::Kept
            }
        }
    }

    /// The next packet, once its turn is decided. Call it until it returns `Wait`.
    pub fn pop(&mut self) -> Next<'_> {
        if self.waiting == 0 {
            return Next::Wait;
        }
        let given_up = self.gap_ticks >= self.reorder_ticks;
        if given_up {
            self.skip_events();
        }
        let slot = slot_of(self.due);
        if self.slots[slot].sequence == Some(self.due) {
            self.due = self.due.wrapping_add(1);
            self.waiting -= 1;
            self.gap_ticks = 0;
            let slot = &mut self.slots[slot];
            slot.sequence = None;
            self.timeline.pass(true, slot.timestamp);
            return Next::Payload { payload: &slot.payload[..slot.len], timestamp: slot.timestamp };
        }
        if given_up {
            self.due = self.due.wrapping_add(1);
            self.timeline.lose();
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

    /// Passes over missing packets that held no audio.
    fn skip_events(&mut self) {
        let kept = (0..SLOTS as u16).find_map(|missing| {
            let sequence = self.due.wrapping_add(missing);
            let slot = &self.slots[slot_of(sequence)];
            (slot.sequence == Some(sequence)).then_some((missing, slot.timestamp))
        });
        if let Some((missing, timestamp)) = kept
            && !self.timeline.lacks(missing.into(), timestamp)
        {
            self.due = self.due.wrapping_add(missing);
        }
    }

    /// How many audio packets are lost in a gap of `ahead` before a packet.
    fn lost_before(&self, ahead: i16, timestamp: u32) -> u32 {
        let count = i64::from(ahead);
        let is_same_stream =
            ahead <= MAX_TRUSTED || ahead <= MAX_DROPOUT && self.timeline.is_near(count, timestamp);
        if is_same_stream && self.timeline.lacks(count, timestamp) {
            u32::from(ahead.unsigned_abs()).saturating_sub(self.waiting as u32)
        } else {
            0
        }
    }

    fn restart(&mut self, packet: &Packet<'_>) {
        self.slots.iter_mut().for_each(|slot| slot.sequence = None);
        self.ssrc = Some(packet.ssrc);
        self.due = packet.sequence.wrapping_add(1);
        self.waiting = 0;
        self.gap_ticks = 0;
        self.timeline.pass(false, packet.timestamp);
    }

    fn keep(&mut self, packet: &Packet<'_>) {
        let slot = &mut self.slots[slot_of(packet.sequence)];
        slot.len = packet.payload.len().min(N);
        slot.payload[..slot.len].copy_from_slice(&packet.payload[..slot.len]);
        slot.sequence = Some(packet.sequence);
        slot.timestamp = packet.timestamp;
        self.waiting += 1;
    }
}

fn slot_of(sequence: u16) -> usize {
    usize::from(sequence) % SLOTS
}

/// The timestamps of the packets that passed, and the length of a packet, which is learned from them.
struct Timeline {
    /// The timestamp of the last packet, lost ones included.
    last: u32,
    /// The length of a packet in ticks of the RTP clock: the step of two packets in a row that was seen twice.
    packet: u32,
    step: u32,
    /// The longest packet that is in use: 120 ms.
    longest: u32,
}

impl Timeline {
    fn new(clock: u32) -> Timeline {
        let packet = clock / 50;
        Timeline { last: 0, packet, step: packet, longest: clock / 1_000 * 120 }
    }

    /// A packet passes. `follows` says whether its predecessor passed just before.
    fn pass(&mut self, follows: bool, timestamp: u32) {
        let step = timestamp.wrapping_sub(self.last);
        if follows && (1..=self.longest).contains(&step) {
            if step == self.step {
                self.packet = step;
            }
            self.step = step;
        }
        self.last = timestamp;
    }

    fn lose(&mut self) {
        self.last = self.last.wrapping_add(self.packet);
    }

    /// Ticks of audio between the last packet and one with this timestamp.
    fn missing(&self, timestamp: u32) -> i64 {
        i64::from(timestamp.wrapping_sub(self.last.wrapping_add(self.packet)) as i32)
    }

    fn continues_at(&self, timestamp: u32) -> bool {
        self.missing(timestamp) == 0
    }

    /// Is as much audio missing as `count` packets hold? Of an event at least two packets have the timestamp of another:
    /// its last one is sent three times (RFC 4733, section 2.5.1.4). Timestamps that run backwards say nothing.
    fn lacks(&self, count: i64, timestamp: u32) -> bool {
        let (missing, packet) = (self.missing(timestamp), i64::from(self.packet));
        missing < -packet || missing + packet / 2 >= count * packet
    }

    /// Is at most twice the audio of `count` packets missing? Timestamps of another stream are far away.
    fn is_near(&self, count: i64, timestamp: u32) -> bool {
        (0..=2 * count * i64::from(self.packet)).contains(&self.missing(timestamp))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: u32 = 8_000;
    const PACKET: u32 = CLOCK / 50;

    fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> Packet<'_> {
        Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 1, payload }
    }

    /// Scripts: numbers are packets, `.` a tick. Returns the packets in their order, `x` for a loss.
    fn run(script: &str) -> String {
        let mut jitter = Jitter::<4>::new(2, CLOCK);
        let mut out = String::new();
        for word in script.split_whitespace() {
            match word.parse::<u16>() {
                Ok(sequence) => {
                    let payload = sequence.to_be_bytes();
                    let verdict = jitter.insert(&packet(sequence, u32::from(sequence) * PACKET, &payload));
                    match verdict {
                        PacketOutcome::Kept => {}
                        PacketOutcome::Due => out.push_str(&format!("{sequence} ")),
                        PacketOutcome::Restarted { .. } => out.push_str(&format!("{verdict:?} {sequence} ")),
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
                Next::Payload { payload, .. } => {
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
    fn late_and_doubled_packets_are_counted() {
        assert_eq!(run("1 3 3 . . 2"), "1 Duplicate x 3 Late");
        assert_eq!(run("1 1"), "1 Late");
    }

    #[test]
    fn a_jump_begins_anew() {
        assert_eq!(run("1 2 25 26"), "1 2 Restarted { lost: 22 } 25 26");
        assert_eq!(run("1 2 900 901"), "1 2 Restarted { lost: 897 } 900 901");
        assert_eq!(run("1 2 9000 9001"), "1 2 Restarted { lost: 0 } 9000 9001");
        assert_eq!(run("1000 5"), "1000 Restarted { lost: 0 } 5");
    }

    /// A stretch of a stream without reordering.
    #[derive(Debug, Clone)]
    enum Stretch {
        Audio(u16),
        Lost(u16),
        /// Nothing is sent for as long as so many packets last, without a gap in the sequence.
        Suppressed(u16),
        /// A key is held for as long as so many packets last. The last event packet is sent three times.
        Key(u16),
        /// The same while audio is sent as well: every other sequence number is an event.
        KeyInAudio(u16),
    }

    fn stretch() -> impl Strategy<Value = Stretch> {
        prop_oneof![
            (1..15u16).prop_map(Stretch::Lost),
            (51..900u16).prop_map(Stretch::Lost),
            (1..200u16).prop_map(Stretch::Suppressed),
            (2..90u16).prop_map(Stretch::Key),
            (1..30u16).prop_map(Stretch::KeyInAudio),
        ]
    }

    struct Stream {
        jitter: Jitter<4>,
        sequence: u16,
        timestamp: u32,
        lost: u64,
    }

    impl Stream {
        fn send(&mut self, length: u32) {
            self.sequence = self.sequence.wrapping_add(1);
            if let PacketOutcome::Restarted { lost } =
                self.jitter.insert(&packet(self.sequence, self.timestamp, &[1]))
            {
                self.lost += u64::from(lost);
            }
            self.timestamp = self.timestamp.wrapping_add(length);
            self.jitter.tick();
            loop {
                match self.jitter.pop() {
                    Next::Lost => self.lost += 1,
                    Next::Payload { .. } => {}
                    Next::Wait => return,
                }
            }
        }

        fn skip(&mut self, packets: u16, audio: u16, length: u32) {
            self.sequence = self.sequence.wrapping_add(packets);
            self.timestamp = self.timestamp.wrapping_add(u32::from(audio) * length);
        }

        fn run(&mut self, stretch: &Stretch, length: u32) {
            match *stretch {
                Stretch::Audio(count) => (0..count).for_each(|_| self.send(length)),
                Stretch::Lost(count) => self.skip(count, count, length),
                Stretch::Suppressed(count) => self.skip(0, count, length),
                Stretch::Key(count) => self.skip(count + 2, count, length),
                Stretch::KeyInAudio(count) => (0..count).for_each(|_| {
                    self.skip(1, 0, length);
                    self.send(length);
                }),
            }
        }
    }

    proptest! {
        #[test]
        fn lost_packets_are_counted_and_keypresses_and_pauses_are_not(
            stretches in proptest::collection::vec(stretch(), 0..12),
            packets_of_10_ms in 1..=6u32,
            start in any::<(u16, u32)>(),
        ) {
            let length = packets_of_10_ms * CLOCK / 100;
            let (sequence, timestamp) = start;
            let mut stream = Stream { jitter: Jitter::new(2, CLOCK), sequence, timestamp, lost: 0 };
            stream.run(&Stretch::Audio(4), length);
            let mut lost = 0;
            for stretch in &stretches {
                stream.run(stretch, length);
                stream.run(&Stretch::Audio(8), length);
                lost += if let Stretch::Lost(count) = stretch { u64::from(*count) } else { 0 };
                prop_assert_eq!(stream.lost, lost, "after {:?}", stretch);
            }
        }

        #[test]
        fn order_is_kept_for_any_packets(
            packets in proptest::collection::vec((0u32..2, any::<u16>(), any::<u32>(), any::<bool>()), 0..300)
        ) {
            let mut jitter = Jitter::<4>::new(2, CLOCK);
            for (ssrc, sequence, timestamp, tick) in packets {
                let payload = sequence.to_be_bytes();
                jitter.insert(&Packet { ssrc, ..packet(sequence % 64, timestamp, &payload) });
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
