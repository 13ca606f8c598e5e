//! Echo: the agent's own voice, which the caller's telephone returns.
//!
//! The detector does not cancel an echo. It decides for each received frame whether an echo explains it: such a frame is
//! not the caller's voice. Two things are known of the path from what is sent to what is received:
//!
//! - An upper bound of its coupling (received to sent power). Each second in which the agent speaks and little is
//!   received lowers it; it is exact, because an echo would be part of the little. On most calls it is soon below
//!   -30 dB, and this costs a fraction of a microsecond per frame.
//! - Once an echo was found, its lag and its coupling. It is found by correlation, which is computed only while a voice
//!   is heard that could be an echo: before the report of the caller's speech, and now and again during it.
//!
//! A frame is explained if it is not much louder than the coupling and the loudest sent frame of the time that it can be
//! an echo of. So the caller is heard over the agent as far as they are louder than the echo.

mod correlator;
mod history;
mod signs;

pub use correlator::{Correlator, Peak};
use history::{OLDEST, Received, Sent};
use signs::SIGNS;

/// A sent frame of less power makes no echo that matters: -70 dBov.
const AUDIBLE: f32 = 100.0;
/// The power by which an echo exceeds the coupling at most: 5.4 dB. Rooms and filters add to single frames.
const MARGIN: f32 = 3.5;
/// The power by which a frame exceeds that of a known echo and may be one whose path has changed: 5 dB.
const DOUBT: f32 = 3.0;
/// An echo so much fainter than the agent, 30 dB, is never taken for the caller, known or not.
const FAINT: f32 = 1e-3;
/// The coupling at the beginning of a call: -3 dB.
const UNKNOWN: f32 = 0.5;
/// The least upper bound: -45 dB.
const LEAST: f32 = 3e-5;
/// The most by which one look lowers the bound, 6 dB, so that a single moment does not decide.
const STEP: f32 = 0.25;
/// The power of what was received relative to that of its counterpart, with which it is no echo alone: 0 dB. Telephones do not
/// amplify.
const LOUDEST_ECHO: f32 = 1.0;
/// The least share of the received power that an echo has when it is found.
const LEAST_SHARE: f32 = 0.4;
/// Frames between two looks at the bound.
const BOUND_INTERVAL: u64 = 4;
/// The tolerance of the bound, 2 dB: frames of both directions do not begin together.
const TOLERANCE: f32 = 1.6;

/// Frames between two correlations while a start is held, and during speech.
const CHECK_INTERVAL: u64 = 4;
const RECHECK_INTERVAL: u64 = 32;
/// The score of a correlation that proves an echo alone, and of one that does if its lag was found before. Unrelated
/// voices reach 4.7, but not at one lag twice.
const PROOF: f32 = 6.0;
const HINT: f32 = 5.0;
/// The tolerance of a lag, in signs: 1 ms.
const SAME_LAG: i64 = 4;
/// Frames for which the report of speech is held while correlations do not find that it is an echo: without and with a
/// known path.
const HOLD_UNKNOWN: u32 = 20;
const HOLD_KNOWN: u32 = 8;
/// Frames without a start of speech after which one that was held is forgotten: longer than the gap between two syllables.
const FORGOTTEN: u64 = 15;

/// The frames in which an echo may be, relative to its lag: the packets of a telephone are not even, and rooms reverberate.
const EARLIER: i64 = 2;
const LATER: i64 = 12;

/// The origin of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameOrigin {
    /// No echo explains the frame.
    Caller,
    /// An echo could explain it.
    Doubtful,
    /// An echo explains it.
    Echo,
}

/// The decision about a start of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartReview {
    /// It is the caller's. The speech began `frames` frames back.
    Accept { frames: u32 },
    /// Undecided: ask again with the next frame.
    Hold,
    /// It is an echo.
    Reject,
}

/// An echo that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EchoPath {
    /// Between sending and receiving, in milliseconds.
    pub delay_ms: u32,
    /// The power of the echo below that of the agent, in dB.
    pub attenuation_db: f32,
}

/// Knowledge of the path.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Path {
    /// No echo was found. The coupling is at most this.
    Bounded { coupling: f32 },
    /// The position of received audio in the sent audio, in signs, is `shift` more than that in the received audio.
    Found { coupling: f32, shift: i64 },
}

/// A start of speech that is held.
#[derive(Debug, Clone, Copy)]
struct HeldStart {
    /// Frames since the speech began.
    frames: u32,
    /// Frames for which it is held.
    held: u32,
    /// The received frame at the last review.
    reviewed: u64,
}

/// Detects the echo of one call. Both rates of calls are supported, and frames have 20 ms.
pub struct EchoDetector {
    path: Path,
    sent: Sent,
    received: Received,
    /// The newest frames' origins; bit 0 is the newest, and set if it is the caller's.
    callers: u32,
    newest: FrameOrigin,
    power: f32,
    held: Option<HeldStart>,
    /// The received frame of the last correlation.
    checked: u64,
    /// The shift that the last correlation hinted at.
    hint: Option<i64>,
}

impl Default for EchoDetector {
    fn default() -> EchoDetector {
        EchoDetector {
            path: Path::Bounded { coupling: UNKNOWN },
            sent: Sent::default(),
            received: Received::default(),
            callers: u32::MAX,
            newest: FrameOrigin::Caller,
            power: 0.0,
            held: None,
            checked: 0,
            hint: None,
        }
    }
}

impl EchoDetector {
    /// Called shortly before a frame: fetches memory into the cache.
    pub fn prefetch(&self) {
        self.sent.prefetch();
        self.received.prefetch();
    }

    /// Takes the frame that is sent now. `ticks` frames of time have passed since the last one.
    pub fn send(&mut self, frame: &[i16], has_sound: bool, ticks: u32) {
        (1..ticks.min(64)).for_each(|_| self.sent.push_silence());
        if has_sound {
            self.sent.push(frame);
        } else {
            self.sent.push_silence();
        }
    }

    /// Takes the next received frame, with its mean square.
    pub fn receive(&mut self, frame: &[i16], power: u32) -> FrameOrigin {
        self.received.push(frame, power);
        self.power = power as f32;
        let loudest = self.sent.loudest(0, OLDEST);
        self.newest = if loudest < AUDIBLE { FrameOrigin::Caller } else { self.judge(loudest) };
        self.callers = self.callers << 1 | u32::from(self.newest == FrameOrigin::Caller);
        if loudest >= AUDIBLE && self.received.count().is_multiple_of(BOUND_INTERVAL) {
            self.lower_bound();
        }
        self.newest
    }

    /// Counts a frame that was not received.
    pub fn receive_missing(&mut self) {
        self.received.push_missing();
        self.callers <<= 1;
    }

    /// Reviews a start of speech that would be reported now, `frames` frames back. A start that could be an echo is held
    /// until a correlation decides, for some 400 ms at most.
    pub fn review_start(&mut self, frames: u32, correlator: &mut Correlator) -> StartReview {
        let now = self.received.count();
        let held = self.held.take().filter(|held| now - held.reviewed < FORGOTTEN);
        let frames = held.map_or(frames, |held| frames.max(held.frames + (now - held.reviewed) as u32));
        if self.callers & ((1 << frames.min(5)) - 1) != 0 {
            return StartReview::Accept { frames };
        }
        if now - self.checked >= CHECK_INTERVAL && self.check(correlator) {
            match self.judge(self.sent.loudest(0, OLDEST)) {
                FrameOrigin::Echo => return StartReview::Reject,
                FrameOrigin::Caller => return StartReview::Accept { frames },
                FrameOrigin::Doubtful => {}
            }
        }
        let held = held.map_or(1, |held| held.held + 1);
        let most = if matches!(self.path, Path::Found { .. }) { HOLD_KNOWN } else { HOLD_UNKNOWN };
        if held > most {
            return StartReview::Accept { frames };
        }
        self.held = Some(HeldStart { frames, held, reviewed: now });
        StartReview::Hold
    }

    /// Called for each frame of speech that was reported: an echo may have begun since.
    pub fn review_speech(&mut self, correlator: &mut Correlator) {
        if self.received.count() - self.checked >= RECHECK_INTERVAL && self.sent.loudest(0, OLDEST) >= AUDIBLE
        {
            self.check(correlator);
        }
    }

    /// The echo that was found.
    pub fn path(&self) -> Option<EchoPath> {
        let Path::Found { coupling, shift } = self.path else { return None };
        let delay_ms = u32::try_from(self.lag(shift) * 1_000 / signs::RATE as i64).unwrap_or(0);
        Some(EchoPath { delay_ms, attenuation_db: (-10.0 * coupling.log10()).max(0.0) })
    }

    /// `loudest` is the power of the loudest sent frame that an echo can be of.
    fn judge(&self, loudest: f32) -> FrameOrigin {
        match self.path {
            Path::Bounded { coupling } if self.power > MARGIN * coupling * loudest => FrameOrigin::Caller,
            Path::Bounded { coupling } if coupling > FAINT => FrameOrigin::Doubtful,
            Path::Bounded { .. } => FrameOrigin::Echo,
            Path::Found { coupling, shift } => {
                let age = self.lag(shift) / SIGNS as i64;
                let frame = |age: i64| usize::try_from(age).unwrap_or(0);
                let near = self.sent.loudest(frame(age - EARLIER), frame(age + LATER));
                if self.power <= MARGIN * coupling * near {
                    FrameOrigin::Echo
                } else if self.power <= DOUBT * MARGIN * coupling * loudest {
                    FrameOrigin::Doubtful
                } else {
                    FrameOrigin::Caller
                }
            }
        }
    }

    /// The signs between the newest sent frame's end and the counterpart of the newest received frame's end.
    fn lag(&self, shift: i64) -> i64 {
        (self.sent.count() as i64 - self.received.count() as i64) * SIGNS as i64 - shift
    }

    /// While the agent spoke at every moment that an echo could be of, the coupling is at most the ratio of what was
    /// received to the least that was sent.
    fn lower_bound(&mut self) {
        let (Some(received), least) = (self.received.unbroken_mean(), self.sent.quietest_mean()) else {
            return;
        };
        if least < 10.0 * AUDIBLE {
            return;
        }
        let bound = (TOLERANCE * received / least).max(LEAST);
        let (Path::Bounded { coupling } | Path::Found { coupling, .. }) = &mut self.path;
        *coupling = coupling.min(bound.max(STEP * *coupling));
    }

    /// Correlates, where that is permitted now; otherwise the next frame asks again. Returns true when it finds an echo.
    fn check(&mut self, correlator: &mut Correlator) -> bool {
        if !correlator.take_permit() {
            return false;
        }
        self.checked = self.received.count();
        let Some(peak) = correlator.compare(&self.sent, &self.received) else { return false };
        let shift = self.lag(0) - peak.lag as i64;
        let is_near = |other: i64| (shift - other).abs() <= SAME_LAG;
        let known = matches!(self.path, Path::Found { shift, .. } if is_near(shift));
        let is_proven =
            peak.score >= PROOF || peak.score >= HINT && (known || self.hint.is_some_and(is_near));
        let is_echo = is_proven && self.ratio(&peak) <= LOUDEST_ECHO;
        self.hint = (peak.score >= HINT).then_some(shift);
        if is_echo {
            self.found(&peak, shift);
        }
        is_echo
    }

    /// The received power relative to that of its counterpart.
    fn ratio(&self, peak: &Peak) -> f32 {
        let age = peak.lag / SIGNS;
        self.received.mean() / self.sent.mean(age.min(OLDEST)).max(AUDIBLE)
    }

    /// In a room an echo is spread, and its direct sound explains a part of it: when it is found first, it is taken to be
    /// twice that part, and 40 % of the received power at least, as far as the bound permits.
    fn found(&mut self, peak: &Peak, shift: i64) {
        let (share, ratio) = (peak.share, self.ratio(peak));
        let coupling = match self.path {
            Path::Bounded { coupling } => {
                ((2.0 * share).min(1.0) * ratio).max(coupling.min(LEAST_SHARE * ratio))
            }
            Path::Found { coupling, .. } => coupling.max(share * ratio),
        };
        self.path = Path::Found { coupling: coupling.clamp(LEAST, 1.0), shift };
    }
}

#[cfg(test)]
mod tests;
