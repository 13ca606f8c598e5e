//! A whole call in one piece: sipp signals, the scripted caller talks.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use vca::sim::{Codec, LineConditions, RecordedCall, RunningCaller, SimulatedCaller, Step};

use super::asterisk::Asterisk;
use super::sipp::{Dial, Progress, Referral, Side, SipCall};

/// What is to be called, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    pub to: String,
    pub from: String,
    /// The address of the trunk; by the codec when absent.
    pub trunk: Option<Ipv4Addr>,
    /// Keys that are reported by SIP INFO, each after a pause.
    pub info_keys: Vec<(Duration, char)>,
    /// Lines of the INVITE beside those of every call.
    pub headers: Vec<String>,
    /// How long after the answer the caller puts the call on hold, if they do.
    pub holds_after: Option<Duration>,
    /// The answer to a REFER, which ends the call when absent.
    pub referral: Option<Referral>,
    pub codec: Codec,
    pub script: Vec<Step>,
    pub suppress_silence: bool,
    pub conditions: LineConditions,
    /// After this the caller hangs up whatever is said.
    pub at_most: Duration,
    /// Suspends sipp while both sides talk: it wakes a thousand times a second, so that a hundred of them take more than two
    /// cores. The agent's BYE is not read then.
    pub suspends_signalling: bool,
}

/// After this the answer of a call is acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);

impl Plan {
    pub fn new(to: &str, codec: Codec, script: Vec<Step>) -> Plan {
        let from = "4930123456".to_owned();
        Plan {
            to: to.to_owned(),
            from,
            trunk: None,
            info_keys: Vec::new(),
            headers: Vec::new(),
            holds_after: None,
            referral: None,
            codec,
            script,
            suppress_silence: false,
            conditions: LineConditions::default(),
            at_most: Duration::from_secs(60),
            suspends_signalling: false,
        }
    }
}

/// A call that is over.
#[derive(Debug)]
pub struct Report {
    /// Final SIP status: 200 when it was answered.
    pub status: Option<u16>,
    /// Who hung up; `None` for a call that was refused.
    pub ended_by: Option<Side>,
    /// When it was answered and when it ended, in the time of `conversation`.
    pub answered: Option<Duration>,
    pub ended: Option<Duration>,
    /// From the INVITE to its final answer.
    pub setup: Option<Duration>,
    pub conversation: RecordedCall,
    /// sipp's own log, for a failing test.
    pub log: String,
}

impl Report {
    /// From the 200 OK to the first packet that came.
    pub fn answer_to_first_packet(&self) -> Option<Duration> {
        Some(self.conversation.first_packet?.saturating_sub(self.answered?))
    }

    /// From the 200 OK to the first voiced sample that came.
    pub fn answer_to_first_voice(&self) -> Option<Duration> {
        Some(self.conversation.first_voiced()?.saturating_sub(self.answered?))
    }
}

/// A call in progress.
#[derive(Debug)]
pub struct Call {
    sip: SipCall,
    line: RunningCaller,
    plan: Plan,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Dialling,
    Talking,
    /// Both sides talk, and sipp is suspended.
    Suspended,
}

impl Call {
    /// Dials. Narrow-band codecs come over the narrow-band trunk, the others over the wideband one.
    pub fn place(asterisk: &Asterisk, plan: Plan) -> Call {
        let wideband = matches!(plan.codec, Codec::Slin16 | Codec::Opus);
        let options = asterisk.options();
        let by_codec = if wideband { options.wideband_trunk } else { options.trunk };
        let from_address = plan.trunk.unwrap_or(by_codec);
        let mut caller = SimulatedCaller::bind(Ipv4Addr::LOCALHOST, plan.codec).expect("a free UDP port");
        caller.suppress_silence = plan.suppress_silence;
        caller.conditions = plan.conditions.clone();
        let media = caller.address();
        let line = caller.start(plan.script.clone());
        let (from, to) = (plan.from.clone(), plan.to.clone());
        let keys = plan.info_keys.clone();
        let (headers, holds_after) = (plan.headers.clone(), plan.holds_after);
        let (codec, referral) = (plan.codec, plan.referral);
        let dial = Dial { from_address, from, to, codec, media, keys, headers, holds_after, referral };
        let sip = SipCall::place(asterisk, &dial);
        Call { sip, line, plan, stage: Stage::Dialling }
    }

    /// Lets both sides know of each other; whether the call is over.
    pub fn step(&mut self) -> bool {
        let is_over = self.stage != Stage::Suspended && self.follow_signalling();
        let too_long = self.line.started().elapsed() > self.plan.at_most;
        if !is_over && (self.line.has_hung_up() || too_long) {
            self.sip.hang_up();
            return true;
        }
        is_over
    }

    fn follow_signalling(&mut self) -> bool {
        let progress = self.sip.progress();
        if let (Stage::Dialling, Some(peer), Some(_)) = (self.stage, progress.media, progress.answered()) {
            self.line.connect(peer);
            self.stage = Stage::Talking;
        }
        let is_acknowledged = progress.answered().is_some_and(|at| at.elapsed() >= ACKNOWLEDGED);
        if self.plan.suspends_signalling && is_acknowledged && !progress.is_over() {
            self.sip.suspend();
            self.stage = Stage::Suspended;
        }
        progress.is_over()
    }

    /// Hangs up now, whatever the script says.
    pub fn hang_up(&mut self) {
        self.sip.hang_up();
    }

    /// How many of the script's `Say` have begun.
    pub fn utterances(&self) -> usize {
        self.line.utterances()
    }

    /// How far the signalling is.
    pub fn progress(&self) -> Progress {
        self.sip.progress()
    }

    /// Sees the call to its end.
    pub fn finish(mut self) -> Report {
        while !self.step() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let started = self.line.started();
        let conversation = self.line.finish();
        let progress = self.sip.progress();
        let since = |at: Instant| at.saturating_duration_since(started);
        Report {
            status: progress.status.map(|status| status.0),
            ended_by: progress.ended.map(|ended| ended.0),
            answered: progress.answered().map(since),
            ended: progress.ended.map(|ended| since(ended.1)),
            setup: progress.status.zip(progress.invited).map(|((_, end), begin)| end - begin),
            conversation,
            log: self.sip.log(),
        }
    }
}

/// Places a call and sees it to its end.
pub fn call(asterisk: &Asterisk, plan: Plan) -> Report {
    Call::place(asterisk, plan).finish()
}
