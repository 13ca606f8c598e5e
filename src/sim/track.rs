//! The samples of one side of a call, indexed by the time since the call's beginning.

use std::time::Duration;

/// A stream with arrivals that deviate from its timestamps by more than this was interrupted, and is placed anew
/// by its arrival: some senders do not count the time in which they send nothing.
const STRAY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub rate: u32,
    pub samples: Vec<i16>,
}

impl Track {
    pub fn new(rate: u32) -> Track {
        Track { rate, samples: Vec::new() }
    }

    /// Writes samples at a time: replaces earlier samples there, and fills a gap before them with silence.
    pub fn put(&mut self, at: Duration, samples: &[i16]) {
        let start = (at.as_secs_f64() * f64::from(self.rate)).round() as usize;
        let end = start + samples.len();
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        self.samples[start..end].copy_from_slice(samples);
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate))
    }
}

/// Places the packets of a stream in time: by their timestamps, from the arrival of the first one.
#[derive(Debug)]
pub struct Placement {
    clock: u32,
    anchor: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    ssrc: u32,
    timestamp: u32,
    arrival: Duration,
}

impl Placement {
    pub fn new(clock: u32) -> Placement {
        Placement { clock, anchor: None }
    }

    /// The time of a packet's first sample, and its deviation from the stream's rhythm.
    ///
    /// The first packet of a stretch has no deviation.
    pub fn place(&mut self, ssrc: u32, timestamp: u32, arrival: Duration) -> (Duration, Option<Duration>) {
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.ssrc == ssrc) {
            // Timestamps wrap (RFC 3550, section 5.1); a late packet lies before the anchor.
            let ticks = timestamp.wrapping_sub(anchor.timestamp).cast_signed();
            let offset = f64::from(ticks) / f64::from(self.clock);
            let expected = anchor.arrival.as_secs_f64() + offset;
            if expected >= 0.0 {
                let expected = Duration::from_secs_f64(expected);
                let error = arrival.abs_diff(expected);
                if error <= STRAY {
                    return (expected, Some(error));
                }
            }
        }
        self.anchor = Some(Anchor { ssrc, timestamp, arrival });
        (arrival, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_gap_is_silence() {
        let mut track = Track::new(8_000);
        track.put(ms(0), &[1; 160]);
        track.put(ms(40), &[2; 160]);
        assert_eq!(track.samples.len(), 480);
        assert_eq!(track.samples[159..162], [1, 0, 0]);
        assert_eq!(track.duration(), ms(60));
    }

    #[test]
    fn timestamps_place_packets_whatever_their_jitter() {
        let mut placement = Placement::new(8_000);
        assert_eq!(placement.place(1, u32::MAX - 79, ms(1_000)), (ms(1_000), None));
        assert_eq!(placement.place(1, 80, ms(1_023)), (ms(1_020), Some(ms(3))));
        assert_eq!(placement.place(1, 240, ms(1_039)), (ms(1_040), Some(ms(1))));
    }

    #[test]
    fn an_interrupted_stream_or_a_new_one_is_placed_where_it_arrives() {
        let mut placement = Placement::new(8_000);
        placement.place(1, 0, ms(0));
        assert_eq!(placement.place(1, 160, ms(500)), (ms(500), None));
        assert_eq!(placement.place(2, 320, ms(520)), (ms(520), None));
    }
}
