//! Quality of a received stream: loss, jitter and an estimate of its perceived quality.

use std::time::Duration;

/// Counts of one received stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    pub received: u64,
    /// Lost, or received too late.
    pub lost: u64,
    pub late: u64,
    pub duplicate: u64,
    /// Packets that were no RTP or no audio of the call's format.
    pub malformed: u64,
    /// Interarrival jitter (RFC 3550, section 6.4.1) in ticks of the RTP clock.
    jitter: f64,
    last_transit: Option<i64>,
}

impl Quality {
    /// Takes the arrival of a packet: its RTP timestamp and the time since the stream began, both in
    /// ticks of the RTP clock (RFC 3550, appendix A.8).
    pub fn arrived(&mut self, timestamp: u32, arrival: i64) {
        self.received += 1;
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        if let Some(last) = self.last_transit {
            let change = transit.wrapping_sub(last).unsigned_abs() as f64;
            // A jump of seconds is a new timeline, not jitter.
            if change < 100_000.0 {
                self.jitter += (change - self.jitter) / 16.0;
            }
        }
        self.last_transit = Some(transit);
    }

    /// A new stream, or a pause in it: the next packet's transit time has no predecessor.
    pub fn restarted(&mut self) {
        self.last_transit = None;
    }

    /// `clock` is in ticks a second.
    pub fn jitter(&self, clock: u32) -> Duration {
        Duration::from_secs_f64(self.jitter / f64::from(clock.max(1)))
    }

    /// The share of lost packets, 0 to 1.
    pub fn loss(&self) -> f64 {
        let expected = self.received + self.lost;
        if expected == 0 { 0.0 } else { self.lost as f64 / expected as f64 }
    }

    /// Mean opinion score, 1.0 to 4.5, by the E-model (ITU-T G.107) with G.711 and concealment
    /// (G.113: Ie 0, Bpl 25.1) and a delay of one packet plus twice the jitter. `None` when nothing was received.
    pub fn mos(&self, clock: u32) -> Option<f64> {
        if self.received == 0 {
            return None;
        }
        let delay_ms = 20.0 + 2.0 * self.jitter(clock).as_secs_f64() * 1_000.0;
        let delay_impairment =
            0.024 * delay_ms + if delay_ms > 177.3 { 0.11 * (delay_ms - 177.3) } else { 0.0 };
        let percent = 100.0 * self.loss();
        let loss_impairment = 95.0 * percent / (percent + 25.1);
        let r = (93.2 - delay_impairment - loss_impairment).clamp(0.0, 100.0);
        Some((1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_has_no_jitter_and_sounds_well() {
        let mut quality = Quality::default();
        (0..100).for_each(|n| quality.arrived(n * 160, i64::from(n) * 160));
        assert_eq!(quality.jitter(8_000), Duration::ZERO);
        assert!(quality.mos(8_000) > Some(4.3), "{:?}", quality.mos(8_000));
    }

    #[test]
    fn jitter_follows_the_arrivals() {
        let mut quality = Quality::default();
        (0..400).for_each(|n| quality.arrived(n * 160, i64::from(n) * 160 + i64::from(n % 2) * 80));
        let millis = quality.jitter(8_000).as_secs_f64() * 1_000.0;
        assert!((9.5..10.5).contains(&millis), "{millis}");
    }

    #[test]
    fn loss_is_heard() {
        let quality = |lost| Quality { received: 100 - lost, lost, ..Quality::default() };
        assert_eq!(quality(5).loss(), 0.05);
        assert!(quality(1).mos(8_000) > quality(5).mos(8_000));
        assert!(quality(40).mos(8_000) < Some(2.2), "{:?}", quality(40).mos(8_000));
        assert_eq!(Quality::default().loss(), 0.0);
    }

    #[test]
    fn nothing_received_has_no_score() {
        assert_eq!(Quality::default().mos(8_000), None);
        assert_eq!(Quality { malformed: 9, ..Quality::default() }.mos(8_000), None);
    }
}
