//! The line between a simulated caller and the network: echo, background voices, packet length and jitter.

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng;

use super::track::Track;
use crate::audio::Clip;

/// How a caller's line differs from a quiet one with a packet every 20 ms.
#[derive(Debug, Clone)]
pub struct LineConditions {
    pub echo: Option<Echo>,
    /// A sound that is heard all the time, in a loop, at its own level.
    pub background: Option<Clip>,
    /// Frames of 20 ms in a packet. Only G.711 payloads can be joined.
    pub packet_frames: usize,
    /// Each packet is delayed by a random time up to this.
    pub jitter: Duration,
}

/// The agent's audio, returned by the caller's telephone or line.
#[derive(Debug, Clone, Copy)]
pub struct Echo {
    /// From the arrival of the agent's audio to its return.
    pub delay: Duration,
    /// The level of the echo relative to the received audio, in dB.
    pub level_db: f64,
}

impl Default for LineConditions {
    fn default() -> Self {
        LineConditions { echo: None, background: None, packet_frames: 1, jitter: Duration::ZERO }
    }
}

impl LineConditions {
    /// Adds echo and background to a frame that is sent at `now`.
    pub(super) fn mix(&self, now: Duration, frame: &[i16], received: &Track) -> Vec<i16> {
        let mut sums: Vec<f64> = frame.iter().map(|&sample| f64::from(sample)).collect();
        if let Some(echo) = &self.echo
            && let Some(since) = now.checked_sub(echo.delay)
        {
            let gain = 10_f64.powf(echo.level_db / 20.0);
            let heard = received.samples.get(index(since, received.rate)..).unwrap_or_default();
            sums.iter_mut().zip(heard).for_each(|(sum, &sample)| *sum += gain * f64::from(sample));
        }
        if let Some(clip) = self.background.as_ref().filter(|clip| !clip.samples.is_empty()) {
            let samples = clip.samples.iter().cycle().skip(index(now, clip.rate) % clip.samples.len());
            sums.iter_mut().zip(samples).for_each(|(sum, &sample)| *sum += f64::from(sample));
        }
        let clamp = |sum: f64| sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
        sums.into_iter().map(clamp).collect()
    }
}

fn index(at: Duration, rate: u32) -> usize {
    (at.as_secs_f64() * f64::from(rate)).round() as usize
}

/// Joins the payloads of several frames to one, and delays packets.
#[derive(Debug, Default)]
pub(super) struct Packets {
    payload: Vec<u8>,
    frames: usize,
    timestamp: u32,
    /// Packets that wait for their time, in the order of their sequence numbers.
    waiting: VecDeque<(Duration, Vec<u8>)>,
}

impl Packets {
    /// Adds the payload of a frame. The payload and timestamp of the packet that it completes.
    pub fn join(&mut self, payload: &[u8], timestamp: u32, frames: usize) -> Option<(u32, Vec<u8>)> {
        if self.frames == 0 {
            self.timestamp = timestamp;
        }
        self.payload.extend(payload);
        self.frames += 1;
        if self.frames < frames {
            return None;
        }
        self.frames = 0;
        Some((self.timestamp, std::mem::take(&mut self.payload)))
    }

    /// Sends `packet` after a random delay up to `jitter`.
    pub fn delay(&mut self, now: Duration, jitter: Duration, packet: Vec<u8>) {
        let delay = if jitter.is_zero() { jitter } else { rand::rng().random_range(Duration::ZERO..=jitter) };
        self.waiting.push_back((now + delay, packet));
    }

    /// The next packet that is due.
    pub fn due(&mut self, now: Duration) -> Option<Vec<u8>> {
        let place = self.waiting.iter().position(|(at, _)| *at <= now)?;
        self.waiting.remove(place).map(|(_, packet)| packet)
    }

    /// When the next packet is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn echo_is_what_was_received_earlier_and_fainter() {
        let mut received = Track::new(8_000);
        received.put(ms(100), &[10_000; 160]);
        let echo = Some(Echo { delay: ms(50), level_db: -20.0 });
        let line = LineConditions { echo, ..LineConditions::default() };
        assert_eq!(line.mix(ms(150), &[5; 160], &received), [1_005; 160]);
        assert_eq!(line.mix(ms(20), &[5; 160], &received), [5; 160], "before the call began");
        assert_eq!(line.mix(ms(400), &[5; 160], &received), [5; 160], "not received yet");
    }

    #[test]
    fn background_is_repeated_and_loud_sums_are_clipped() {
        let clip = Clip::new(8_000, vec![1, 2, 3, 30_000]);
        let line = LineConditions { background: Some(clip), ..LineConditions::default() };
        let received = Track::new(8_000);
        assert_eq!(line.mix(ms(0), &[0; 4], &received), [1, 2, 3, 30_000]);
        assert_eq!(line.mix(ms(1), &[10_000; 3], &received), [10_001, 10_002, 10_003]);
        assert_eq!(line.mix(Duration::ZERO, &[10_000; 4], &received)[3], i16::MAX);
    }

    #[test]
    fn frames_are_joined_and_packets_wait_for_their_time() {
        let mut packets = Packets::default();
        assert_eq!(packets.join(&[1], 160, 3), None);
        assert_eq!(packets.join(&[2], 320, 3), None);
        assert_eq!(packets.join(&[3], 480, 3), Some((160, vec![1, 2, 3])));
        packets.delay(ms(60), ms(20), vec![1]);
        let due = packets.deadline().expect("a packet");
        assert!((ms(60)..=ms(80)).contains(&due), "{due:?}");
        assert_eq!(packets.due(ms(59)), None);
        assert_eq!(packets.due(ms(80)), Some(vec![1]));
        assert_eq!(packets.deadline(), None);
    }
}
