//! The caller's audio against the time that passes: how much silence stands for audio that is not received.
//!
//! Some devices send nothing in silence, and the audio has to be as long as the time. But a packet that is merely late
//! holds audio: silence in its place would be in the middle of a word. So silence begins late, after the length of two
//! packets and the delay that was observed, and silence that was put in for a late packet is taken back.

use crate::audio::codec::Format;

/// A frame, in milliseconds.
const FRAME_MS: u32 = 20;
/// The delay that is expected before any was observed, and the longest one that is waited for, in seconds.
const FIRST_DELAY: f32 = 0.04;
const LONGEST_DELAY: f32 = 0.4;
/// Silence begins later than the longest delay that was observed by a quarter of it: the next one may be longer.
const RESERVE: f32 = 1.25;
/// The share of an observed delay that each packet removes from memory: with packets of 20 ms half of it in a minute.
const FORGET: f32 = 1.0 / 4_096.0;
/// The clocks of two devices differ by less than this: 500 parts in a million.
const DRIFT: f32 = 500e-6;
/// A timestamp this far ahead, in seconds, or a packet this late, belongs to a new timeline.
const LONGEST_PAUSE: u64 = 60;
const LATEST: f32 = 0.5;

/// Decides on silence for one received stream.
pub struct Pace {
    /// Samples a second, and ticks of the RTP timestamp a second.
    rate: u32,
    clock: u32,
    /// Ticks of silence that make a pause in the caller's speech: less has no effect, so silence never begins sooner.
    pause: u32,
    delays: Delays,
    /// Samples of the last packet.
    packet: u32,
    /// The timestamp that continues the audio, once there is any.
    next: Option<u32>,
    /// A packet was used since the last tick.
    is_fresh: bool,
    /// Ticks in a row without one.
    quiet: u32,
    /// Samples of silence put in since the last packet.
    silence: u32,
}

impl Pace {
    /// `pause` is in ticks of 20 ms.
    pub fn new(format: Format, pause: u32) -> Pace {
        Pace {
            rate: format.rate(),
            clock: format.clock(),
            pause,
            delays: Delays::new(format.clock()),
            packet: format.rate() / 1_000 * FRAME_MS,
            next: None,
            is_fresh: false,
            quiet: 0,
            silence: 0,
        }
    }

    /// Takes the arrival of a packet, in ticks of the RTP clock.
    pub fn arrived(&mut self, timestamp: u32, arrival: i64) {
        self.delays.arrived(timestamp, arrival);
    }

    /// A new stream begins: its timestamps have nothing to do with those before.
    pub fn restarted(&mut self) {
        (self.next, self.silence, self.quiet) = (None, 0, 0);
        self.delays.restarted();
    }

    /// Frames of silence that belong before the packet with this timestamp and were not put in yet.
    pub fn silence_before(&mut self, timestamp: u32) -> u32 {
        let elapsed = self.quiet.saturating_mul(self.frame());
        let missing = self.gap(timestamp).min(elapsed).saturating_sub(self.silence);
        self.put_in(missing / self.frame())
    }

    /// Takes the next packet in order. Returns the samples of silence that were put in although the packet held audio.
    pub fn received(&mut self, timestamp: u32, samples: u32) -> u32 {
        let surplus = std::mem::take(&mut self.silence).saturating_sub(self.gap(timestamp));
        self.next = Some(timestamp.wrapping_add(self.ticks(samples)));
        (self.packet, self.is_fresh, self.quiet) = (samples, true, 0);
        if surplus as f32 > LATEST * self.rate as f32 { 0 } else { surplus }
    }

    /// A packet is lost. Returns the samples to conceal: its length, without the silence that was put in already.
    pub fn lost(&mut self) -> u32 {
        let ticks = self.ticks(self.packet);
        self.next = self.next.map(|next| next.wrapping_add(ticks));
        self.is_fresh = true;
        let covered = self.silence.min(self.packet);
        self.silence -= covered;
        self.packet - covered
    }

    /// 20 ms have passed. Returns the frames of silence to put in. `has_gap`: packets wait for a missing one.
    pub fn tick(&mut self, has_gap: bool) -> u32 {
        if std::mem::take(&mut self.is_fresh) || has_gap || self.next.is_none() {
            self.quiet = 0;
            return 0;
        }
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet < self.patience() {
            return 0;
        }
        let missing = self.quiet.saturating_mul(self.frame()).saturating_sub(self.silence);
        self.put_in(missing / self.frame())
    }

    /// Ticks without a packet after which the caller is taken to send nothing.
    fn patience(&self) -> u32 {
        let seconds = 2.0 * self.packet as f32 / self.rate as f32 + RESERVE * self.delays.longest();
        self.pause.max((seconds * 1_000.0 / FRAME_MS as f32).ceil() as u32)
    }

    /// Samples of silence between the last packet and one with this timestamp.
    fn gap(&self, timestamp: u32) -> u32 {
        let ahead = self.next.map_or(0, |next| timestamp.wrapping_sub(next) as i32);
        let ahead = u64::try_from(ahead).unwrap_or(0);
        let samples = ahead * u64::from(self.rate) / u64::from(self.clock);
        if ahead > LONGEST_PAUSE * u64::from(self.clock) { 0 } else { u32::try_from(samples).unwrap_or(0) }
    }

    fn ticks(&self, samples: u32) -> u32 {
        (u64::from(samples) * u64::from(self.clock) / u64::from(self.rate)) as u32
    }

    fn frame(&self) -> u32 {
        self.rate / 1_000 * FRAME_MS
    }

    fn put_in(&mut self, frames: u32) -> u32 {
        self.silence = self.silence.saturating_add(frames.saturating_mul(self.frame()));
        frames
    }
}

/// How much later than the quickest the packets arrive, in ticks of the RTP clock.
struct Delays {
    clock: f32,
    /// Timestamp and arrival of the last packet.
    last: Option<(u32, i64)>,
    /// The delay of the last packet relative to the quickest.
    delay: f32,
    /// The longest, which is forgotten slowly.
    longest: f32,
}

impl Delays {
    fn new(clock: u32) -> Delays {
        let clock = clock as f32;
        Delays { clock, last: None, delay: 0.0, longest: FIRST_DELAY * clock }
    }

    fn restarted(&mut self) {
        (self.last, self.delay) = (None, 0.0);
    }

    fn arrived(&mut self, timestamp: u32, arrival: i64) {
        let Some((last_timestamp, last_arrival)) = self.last.replace((timestamp, arrival)) else { return };
        let step = i64::from(timestamp.wrapping_sub(last_timestamp) as i32);
        let change = (arrival.saturating_sub(last_arrival)).saturating_sub(step) as f32;
        if change.abs() > LATEST * self.clock {
            // Another timeline.
            self.delay = 0.0;
            return;
        }
        let drift = DRIFT * step.unsigned_abs() as f32;
        self.delay = (self.delay + change - drift).clamp(0.0, LONGEST_DELAY * self.clock);
        self.longest = self.delay.max(self.longest * (1.0 - FORGET));
    }

    /// In seconds.
    fn longest(&self) -> f32 {
        self.longest / self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u32 = 160;

    /// A stream with packets of 20 ms, of which the first was received.
    fn pace() -> Pace {
        let mut pace = Pace::new(Format::Ulaw, 6);
        assert_eq!(pace.received(0, FRAME), 0);
        assert_eq!(pace.tick(false), 0);
        pace
    }

    #[test]
    fn silence_begins_with_a_pause_and_stands_for_all_that_is_missing() {
        let mut pace = pace();
        let silence: Vec<u32> = (0..8).map(|_| pace.tick(false)).collect();
        assert_eq!(silence, [0, 0, 0, 0, 0, 6, 1, 1]);
        assert_eq!(pace.silence_before(9 * FRAME), 0);
        assert_eq!(pace.received(9 * FRAME, FRAME), 0, "nothing was sent in the meantime");
    }

    #[test]
    fn a_short_pause_is_filled_up_when_it_ends() {
        let mut pace = pace();
        (0..3).for_each(|_| assert_eq!(pace.tick(false), 0));
        assert_eq!(pace.silence_before(4 * FRAME), 3);
        assert_eq!(pace.received(4 * FRAME, FRAME), 0);
    }

    #[test]
    fn silence_for_a_late_packet_is_taken_back() {
        let mut pace = pace();
        assert_eq!((0..7).map(|_| pace.tick(false)).sum::<u32>(), 7);
        assert_eq!(pace.silence_before(FRAME), 0);
        assert_eq!(pace.received(FRAME, FRAME), 7 * FRAME);
        assert_eq!(pace.received(2 * FRAME, FRAME), 0);
    }

    #[test]
    fn a_packet_that_was_late_delays_silence_from_then_on() {
        let mut pace = pace();
        pace.arrived(0, 0);
        pace.arrived(FRAME, i64::from(FRAME) + 1_440);
        pace.received(FRAME, FRAME);
        pace.tick(false);
        let silence: Vec<u32> = (0..15).map(|_| pace.tick(false)).collect();
        assert_eq!(silence[..13], [0; 13], "two packets of 20 ms, and 180 ms with a reserve");
        assert_eq!(silence[13..], [14, 1]);
    }

    #[test]
    fn lost_packets_need_no_concealment_where_silence_stands_for_them() {
        let mut pace = pace();
        assert_eq!((0..6).map(|_| pace.tick(false)).sum::<u32>(), 6);
        assert_eq!((0..8).map(|_| pace.lost()).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, FRAME, FRAME]);
        assert_eq!(pace.received(9 * FRAME, FRAME), 0);
    }

    #[test]
    fn a_lost_packet_is_as_long_as_its_predecessor() {
        let mut pace = pace();
        pace.received(FRAME, 480);
        assert_eq!(pace.lost(), 480);
    }

    #[test]
    fn timestamps_of_another_timeline_are_no_silence() {
        let mut pace = pace();
        assert_eq!((0..50).map(|_| pace.tick(false)).sum::<u32>(), 50);
        assert_eq!(pace.silence_before(0x8000_0000), 0);
        assert_eq!(pace.received(0x8000_0000, FRAME), 0);
    }
}
