//! A call as its caller experienced it: the audio of both sides on one time axis, and measurements.

use std::path::Path;
use std::time::Duration;

use super::track::Track;
use super::voice;

/// Pauses of the agent below this belong to one response.
const BRIDGE: Duration = Duration::from_millis(250);

/// An utterance of the caller and the agent's response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredResponse {
    /// First and last voiced sample that the caller sent.
    pub asked: (Duration, Duration),
    /// First voiced sample received after it; `None` when the caller spoke again before a response.
    pub answered: Option<Duration>,
}

impl MeasuredResponse {
    /// From the end of the caller's speech to the beginning of the agent's.
    pub fn latency(&self) -> Option<Duration> {
        self.answered.map(|at| at - self.asked.1)
    }
}

/// An utterance of the caller that interrupts the agent's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredInterruption {
    /// First voiced sample that the caller sent.
    pub began: Duration,
    /// Last voiced sample of the agent's interrupted speech.
    pub silent: Duration,
}

impl MeasuredInterruption {
    /// From the caller's first voiced sample to the agent's last.
    pub fn latency(&self) -> Duration {
        self.silent.saturating_sub(self.began)
    }
}

/// All times are since the caller's start.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    pub sent: Track,
    pub received: Track,
    /// Start and end of each `Say`, including silence at its edges.
    pub said: Vec<(Duration, Duration)>,
    /// Time of the first received packet, voiced or not.
    pub first_packet: Option<Duration>,
    /// The deviation of each received packet from its stream's rhythm.
    pub pacing_errors: Vec<Duration>,
    /// Received packets, and skipped sequence numbers.
    pub packets: u64,
    pub lost: u64,
    /// Steps of the script that reached their time limit.
    pub missed: Vec<String>,
    /// Keys that the agent sent (RFC 4733).
    pub keys: Vec<char>,
    /// Whether the script's `HangUp` was reached.
    pub hung_up: bool,
}

impl RecordedCall {
    /// When the agent's first voiced sample was received.
    pub fn first_voiced(&self) -> Option<Duration> {
        self.agent().first().map(|stretch| stretch.0)
    }

    /// Start and end of each stretch in which the agent spoke.
    pub fn agent(&self) -> Vec<(Duration, Duration)> {
        voice::stretches(&self.received.samples, self.received.rate, BRIDGE)
    }

    /// First and last voiced sample of each `Say`; a clip without voice is left out.
    pub fn caller(&self) -> Vec<(Duration, Duration)> {
        self.said.iter().filter_map(|&said| self.voiced_part(said)).collect()
    }

    /// Each utterance of the caller with the response to it.
    pub fn responses(&self) -> Vec<MeasuredResponse> {
        let (caller, agent) = (self.caller(), self.agent());
        let answer = |n: usize| {
            let end = caller[n].1;
            let until = caller.get(n + 1).map_or(Duration::MAX, |next| next.0);
            agent.iter().map(|stretch| stretch.0).find(|&start| start >= end && start < until)
        };
        (0..caller.len()).map(|n| MeasuredResponse { asked: caller[n], answered: answer(n) }).collect()
    }

    /// Each utterance of the caller that began while the agent spoke.
    pub fn interruptions(&self) -> Vec<MeasuredInterruption> {
        let agent = voice::stretches(&self.received.samples, self.received.rate, BRIDGE);
        let interrupted = |began: Duration| {
            agent.iter().find(|stretch| stretch.0 < began && stretch.1 > began).map(|s| s.1)
        };
        self.caller()
            .into_iter()
            .filter_map(|(began, _)| Some(MeasuredInterruption { began, silent: interrupted(began)? }))
            .collect()
    }

    /// The pacing error that the given share (0 to 1) of packets stays within; zero without packets.
    pub fn pacing_error(&self, share: f64) -> Duration {
        percentile(&self.pacing_errors, share)
    }

    /// Writes both sides as a stereo WAV, the caller left, the agent right.
    pub fn write_wav(&self, path: &Path) -> Result<(), hound::Error> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: self.sent.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec)?;
        let sample = |track: &Track, n: usize| track.samples.get(n).copied().unwrap_or(0);
        for n in 0..self.sent.samples.len().max(self.received.samples.len()) {
            writer.write_sample(sample(&self.sent, n))?;
            writer.write_sample(sample(&self.received, n))?;
        }
        writer.finalize()
    }

    fn voiced_part(&self, (from, to): (Duration, Duration)) -> Option<(Duration, Duration)> {
        let index = |at: Duration| (at.as_secs_f64() * f64::from(self.sent.rate)).round() as usize;
        let end = index(to).min(self.sent.samples.len());
        let samples = self.sent.samples.get(index(from)..end)?;
        let voiced = voice::stretches(samples, self.sent.rate, Duration::ZERO);
        Some((from + voiced.first()?.0, from + voiced.last()?.1))
    }
}

/// The value that the given share (0 to 1) of values does not exceed; zero when there are none.
pub fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn track(stretches: &[(u64, u64)], end: u64) -> Track {
        let voiced = |at: u64| stretches.iter().any(|&(from, to)| at >= from && at < to);
        Track { rate: 8_000, samples: (0..end * 8).map(|n| if voiced(n / 8) { 4_000 } else { 0 }).collect() }
    }

    fn conversation() -> RecordedCall {
        RecordedCall {
            sent: track(&[(2_000, 2_800), (4_500, 5_000)], 6_000),
            received: track(&[(500, 1_500), (3_400, 4_650), (5_600, 6_000)], 6_000),
            said: vec![(ms(1_950), ms(2_900)), (ms(4_500), ms(5_100))],
            first_packet: Some(ms(400)),
            pacing_errors: (1..=100).map(ms).collect(),
            packets: 100,
            lost: 0,
            missed: vec![],
            keys: Vec::new(),
            hung_up: true,
        }
    }

    #[test]
    fn figures_are_read_from_the_tracks() {
        let conversation = conversation();
        assert_eq!(conversation.first_voiced(), Some(ms(500)));
        let latencies: Vec<_> = conversation.responses().iter().map(MeasuredResponse::latency).collect();
        assert_eq!(latencies, [Some(ms(600)), Some(ms(600))]);
        let barged: Vec<_> = conversation.interruptions().iter().map(MeasuredInterruption::latency).collect();
        assert_eq!(barged, [ms(150)]);
        assert_eq!(conversation.pacing_error(0.99), ms(99));
    }

    #[test]
    fn percentiles_of_nothing_and_of_all() {
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
        assert_eq!(percentile(&[ms(3), ms(1), ms(2)], 1.0), ms(3));
        assert_eq!(percentile(&[ms(3), ms(1), ms(2)], 0.0), ms(1));
    }
}
