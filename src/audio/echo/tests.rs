//! An agent who speaks in syllables of noise, a path that returns it, and a caller.

use super::*;
use crate::audio::vad::mean_square;

const FRAME: usize = 160;

/// White noise from a seed, 200 ms on and 80 ms off.
struct Syllables {
    state: u32,
    at: usize,
    amplitude: f32,
}

impl Syllables {
    fn new(state: u32, dbov: f32) -> Syllables {
        // The mean square of a uniform distribution is a third of its square.
        Syllables { state, at: 0, amplitude: 32_768.0 * 3f32.sqrt() * 10f32.powf(dbov / 20.0) }
    }

    fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.at += 1;
        let is_on = self.at % 2_240 < 1_600;
        if is_on { self.state as i32 as f32 / i32::MAX as f32 * self.amplitude } else { 0.0 }
    }
}

struct Line {
    detector: EchoDetector,
    correlator: Correlator,
    agent: Syllables,
    /// All that the agent has said.
    sent: Vec<f32>,
    delay_ms: usize,
    gain: f32,
    /// Frames in a row that are loud enough for a voice.
    loud: u32,
}

impl Line {
    fn new(delay_ms: usize, echo_db: f32) -> Line {
        Line {
            detector: EchoDetector::default(),
            correlator: Correlator::default(),
            agent: Syllables::new(0x1234_5678, -20.0),
            sent: Vec::new(),
            delay_ms,
            gain: 10f32.powf(echo_db / 20.0),
            loud: 0,
        }
    }

    fn echo(&self, n: usize) -> f32 {
        let at = (self.sent.len() + n).checked_sub(FRAME + self.delay_ms * 8);
        at.and_then(|at| self.sent.get(at)).copied().unwrap_or(0.0) * self.gain
    }

    /// 20 ms. Returns true when a start of speech is accepted.
    fn step(&mut self, caller: Option<&mut Syllables>) -> bool {
        let agent: Vec<i16> = (0..FRAME).map(|_| self.agent.next() as i16).collect();
        self.detector.send(&agent, true, 1);
        self.sent.extend(agent.iter().map(|sample| f32::from(*sample)));
        let mut received: Vec<f32> = (0..FRAME).map(|n| self.echo(n)).collect();
        if let Some(caller) = caller {
            received.iter_mut().for_each(|sample| *sample += caller.next());
        }
        let received: Vec<i16> = received.into_iter().map(|sample| sample as i16).collect();
        let power = mean_square(&received);
        let is_voice = self.detector.receive(&received, power) != FrameOrigin::Echo && power > 1_000;
        self.loud = if is_voice { self.loud + 1 } else { 0 };
        self.loud >= 3
            && matches!(self.detector.review_start(3, &mut self.correlator), StartReview::Accept { .. })
    }

    /// The agent is silent.
    fn pause(&mut self, frames: usize) {
        for _ in 0..frames {
            self.detector.send(&[0; FRAME], false, 1);
            self.sent.extend([0.0; FRAME]);
            self.detector.receive(&[0; FRAME], 0);
        }
    }

    fn accepted(&mut self, frames: usize) -> usize {
        (0..frames).filter(|_| self.step(None)).count()
    }

    /// Frames until a caller at this level is heard.
    fn heard_after(&mut self, dbov: f32) -> Option<usize> {
        let mut caller = Syllables::new(0x0BAD_CAFE, dbov);
        (0..50).find(|_| self.step(Some(&mut caller)))
    }
}

#[test]
fn an_echo_is_found_and_is_not_the_caller() {
    for delay in [50, 130, 250, 400, 600] {
        for level in [-6.0, -12.0, -20.0, -26.0] {
            let mut line = Line::new(delay, level);
            assert_eq!(line.accepted(1_000), 0, "{delay} ms, {level} dB");
            let path = line.detector.path().unwrap_or_else(|| panic!("not found: {delay} ms, {level} dB"));
            assert!(path.delay_ms.abs_diff(delay as u32) <= 2, "{delay} ms: {path:?}");
            assert!((path.attenuation_db + level).abs() < 4.0, "{level} dB: {path:?}");
        }
    }
}

#[test]
fn a_faint_echo_is_not_the_caller() {
    for level in [-30.0, -35.0, -40.0] {
        assert_eq!(Line::new(300, level).accepted(1_000), 0, "{level} dB");
    }
}

#[test]
fn the_caller_is_heard_over_the_agent_at_once_where_there_is_no_echo() {
    let mut line = Line::new(0, -120.0);
    line.accepted(150);
    assert_eq!(line.heard_after(-26.0), Some(2));
    assert_eq!(line.detector.path(), None);
}

#[test]
fn the_caller_is_heard_over_an_echo_that_is_fainter() {
    for level in [-20.0, -26.0] {
        let mut line = Line::new(250, level);
        line.accepted(500);
        let after = line.heard_after(-20.0);
        assert!(after.is_some_and(|frames| frames <= 8), "{level} dB: {after:?}");
    }
}

#[test]
fn a_path_that_changes_is_not_the_caller() {
    let mut line = Line::new(120, -20.0);
    assert_eq!(line.accepted(500), 0);
    for (delay, level) in [(420, -20.0), (180, -20.0), (180, -14.0), (560, -14.0)] {
        (line.delay_ms, line.gain) = (delay, 10f32.powf(level / 20.0));
        assert_eq!(line.accepted(500), 0, "{delay} ms, {level} dB");
    }
}

/// Little of the sent second has sound then, and any sound resembles it, relative to the silence at all other lags.
#[test]
fn a_caller_who_speaks_soon_after_the_agent_begins_is_heard() {
    for (seed, begun) in (1..9).flat_map(|seed| [5, 15, 25, 35].map(|begun| (seed * 0x0101_0101, begun))) {
        let mut line = Line::new(200, -90.0);
        line.agent = Syllables::new(0x1234_5678 ^ seed, -20.0);
        line.pause(100);
        line.accepted(begun);
        let mut caller = Syllables::new(seed, -26.0);
        let heard = (0..50).position(|_| line.step(Some(&mut caller)));
        assert!(heard.is_some_and(|frames| frames < 35), "seed {seed:x}, {begun} frames: {heard:?}");
    }
}

#[test]
fn a_comparison_that_is_not_permitted_is_made_as_soon_as_it_is() {
    let mut line = Line::new(250, -10.0);
    line.correlator.permit(0);
    assert!(line.accepted(200) > 0, "a start is not held for ever");
    assert_eq!(line.detector.path(), None);
    line.correlator.permit(100);
    line.accepted(100);
    assert!(line.detector.path().is_some());
    assert_eq!(line.accepted(500), 0);
}

#[test]
fn the_callers_first_syllables_over_an_echo_are_no_louder_echo() {
    let mut line = Line::new(250, -20.0);
    line.accepted(500);
    for seed in 1..20 {
        let mut caller = Syllables::new(seed, -30.0);
        for _ in 0..20 {
            line.step(Some(&mut caller));
        }
        let path = line.detector.path().expect("an echo");
        assert!(path.attenuation_db > 17.0, "after {seed}: {path:?}");
        line.accepted(30);
    }
}
