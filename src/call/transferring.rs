//! The call's side of a transfer: which target, how it is reached, and what the record has of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;
use tracing::{info, warn};

use super::dialled_legs::CountedLeg;
use super::failover::at_place;
use super::leg_spend::LegCharge;
use super::phase::{Closing, Phase};
use super::talking::{ConsultationEvent, ListenStep, Talking};
use super::task::Task;
use super::transfer::{Transfer, TransferStep, TransferTimes};
use crate::ari::Reason;
use crate::ari::topology::{DialSpec, End, Input as TopologyInput, LegId, LegSpec, Wanted};
use crate::conversation::{Ending, HoldChange, ToolId, ToolOutcome};
use crate::dtmf::Digit;
use crate::tenancy::{
    AfterBridge, CallerIdPolicy, DialplanRoute, Did, TransferEnd, TransferOutcome, TransferRoute,
    TransferRules, TransferStyle, TransferTarget,
};
use crate::tools::Finished;

/// The time between the last sample of the agent's words and their end in the caller's ear.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Asterisk gives up this long after VCA has.
const BACKSTOP: Duration = Duration::from_secs(5);
/// Transfers of one call.
const MOST_TRANSFERS: usize = 5;

/// A transfer that is under way, with its target.
pub struct ActiveTransfer {
    pub(super) transfer: Transfer,
    pub(super) target: TransferTarget,
    /// The agent's words about the call, for the target.
    pub(super) summary: Option<Arc<str>>,
    /// Its place among the dialled legs, until its outcome is known.
    pub(super) leg: Option<CountedLeg>,
    /// Its part of the tenant's spend of the day.
    pub(super) charge: Option<LegCharge>,
    /// The leg by which the waiting caller is heard.
    pub(super) snoop: Option<LegId>,
}

impl ActiveTransfer {
    /// The tool that has asked for it.
    pub(super) fn tool(&self) -> ToolId {
        self.transfer.tool
    }

    /// The caller goes to this target in place of the one that has led to it.
    pub(super) fn following(self, target: TransferTarget, leg: Option<CountedLeg>) -> ActiveTransfer {
        ActiveTransfer { target, leg, charge: None, ..self }
    }
}

impl Task {
    /// When the transfer has to be looked at.
    pub(super) fn transfer_deadline(&self) -> Option<Instant> {
        self.transfer.as_ref().and_then(|active| active.transfer.deadline())
    }

    /// The agent transfers the caller to one of the tenant's targets, after its last words.
    pub(super) fn start_transfer(&mut self, tool: ToolId, name: &str, summary: Option<Arc<str>>) {
        if self.transfer.is_some() {
            return self.refuse_transfer(tool, name, "another transfer is in progress");
        }
        let Some(target) = self.target_named(name) else {
            return self.refuse_transfer(tool, name, "there is no such target");
        };
        match self.admitted_route(&target) {
            Ok((route, leg)) => {
                info!(to = %target.name, method = %target.method, style = %target.style, "transferring the caller");
                self.records.transfer_began(&target, summary.as_deref(), TransferOutcome::Ringing);
                self.phase.hold(HoldChange::Held, &mut self.records);
                let times = TransferTimes::of(&self.services.transfer_rules.get());
                let until = Instant::now() + LAST_WORDS;
                let transfer = Transfer::new(tool, route, target.style, times, until);
                let (charge, snoop) = (None, None);
                self.transfer = Some(ActiveTransfer { transfer, target, summary, leg, charge, snoop });
            }
            Err(problem) => {
                if self.records.transfers() < MOST_TRANSFERS {
                    self.records.transfer_began(&target, summary.as_deref(), TransferOutcome::Refused);
                }
                self.refuse_transfer(tool, name, &problem);
            }
        }
    }

    fn refuse_transfer(&mut self, tool: ToolId, name: &str, problem: &str) {
        warn!(to = name, problem, "transfer refused");
        self.phase.tool_finished(failed(tool, TransferOutcome::Refused, problem));
    }

    fn target_named(&self, name: &str) -> Option<TransferTarget> {
        if let Some(target) = self.operators_targets.find(name) {
            return Some(target.clone());
        }
        self.known_targets().iter().find(|target| target.name.as_str() == name).cloned()
    }

    /// The targets of the present agent's version, as the tenant had them when the call began.
    pub(super) fn known_targets(&self) -> &[TransferTarget] {
        self.phase.targets()
    }

    /// The way to a target, and a place among the dialled legs where it is one that is dialled, by any method.
    ///
    /// # Errors
    /// Why the target is not attempted, for the model.
    pub(super) fn admitted_route(
        &self,
        target: &TransferTarget,
    ) -> Result<(TransferRoute, Option<CountedLeg>), String> {
        if self.records.transfers() >= MOST_TRANSFERS {
            return Err("there were too many transfers in this call".to_owned());
        }
        self.open_route(target)
    }

    /// The way to a target that is open and that the operator allows.
    pub(super) fn open_route(
        &self,
        target: &TransferTarget,
    ) -> Result<(TransferRoute, Option<CountedLeg>), String> {
        if !target.is_open(Utc::now()) {
            return Err("it cannot be reached at this time".to_owned());
        }
        let rules = self.services.transfer_rules.get();
        let route = rules.route(target).map_err(|refusal| refusal.to_string())?;
        if !target.kind.is_dialled() {
            return Ok((route, None));
        }
        let leg = self.services.dialled_legs.count(target.tenant_id, &rules);
        let leg = leg.ok_or_else(|| "all lines are in use".to_owned())?;
        Ok((route, Some(leg)))
    }

    pub(super) fn tick_transfer(&mut self, now: Instant) {
        let step = self.transfer.as_mut().and_then(|active| active.transfer.tick(now));
        self.carry_out(step);
    }

    pub(super) fn leg_answered(&mut self, leg: LegId) {
        let Some(active) = &mut self.transfer else { return };
        let step = active.transfer.leg_answered(leg, Instant::now());
        if let (Some(_), Some(charge)) = (&step, &mut active.charge) {
            charge.answered();
        }
        self.carry_out(step);
    }

    pub(super) fn leg_ended(&mut self, leg: LegId, cause: Option<u16>) {
        let step = self.transfer.as_mut().and_then(|active| active.transfer.leg_ended(leg, cause));
        self.carry_out(step);
    }

    /// The target presses a key.
    pub(super) fn target_pressed(&mut self, leg: LegId, key: Digit) {
        let now = Instant::now();
        let step = self.transfer.as_mut().and_then(|active| active.transfer.pressed(leg, key, now));
        self.carry_out(step);
    }

    /// Returns the caller to the agent, unless there is no transfer that can be cancelled. Returns whether there was one.
    pub(super) fn cancel_transfer(&mut self, by: TransferEnd) -> bool {
        let step = self.transfer.as_mut().and_then(|active| active.transfer.cancel(by));
        let is_cancelled = step.is_some();
        self.carry_out(step);
        is_cancelled
    }

    /// The waiting caller speaks; or the target, joined with the agent, speaks, answers or was announced the call.
    pub(super) fn consulted(&mut self, event: ConsultationEvent) {
        let Some(ActiveTransfer { transfer, .. }) = &mut self.transfer else { return };
        let now = Instant::now();
        let step = match event {
            ConsultationEvent::VoiceStarted { from } => transfer.voice_started(now, from),
            ConsultationEvent::Words(consent) => transfer.answered_in_words(now, consent),
            ConsultationEvent::CallersWords { cancel } => transfer.caller_said(now, cancel),
            ConsultationEvent::VoicePaused { to } => {
                transfer.voice_paused(now, to);
                None
            }
            ConsultationEvent::Announced => {
                transfer.announced(now);
                None
            }
        };
        self.carry_out(step);
    }

    pub(super) fn refer_ended(&mut self) {
        if let Some(active) = &mut self.transfer {
            active.transfer.refer_ended(Instant::now());
        }
    }

    pub(super) fn refer_failed(&mut self) {
        let step = self.transfer.as_mut().and_then(|active| active.transfer.refer_failed());
        self.carry_out(step);
    }

    pub(super) fn carry_out(&mut self, step: Option<TransferStep>) {
        match step {
            None => {}
            Some(TransferStep::Check) => self.check_target(),
            Some(TransferStep::Ask) => self.ask_endpoint(),
            Some(TransferStep::Dial { endpoint }) => self.dial(endpoint),
            Some(TransferStep::Refer { uri }) => self.refer(uri),
            Some(TransferStep::HandOver(place)) => self.hand_over(place),
            Some(TransferStep::Consult { leg }) => self.consult(leg),
            Some(TransferStep::Announce) => self.phase.announce(),
            Some(TransferStep::BeginWords { from }) => {
                self.phase.listen_to_party(ListenStep::Begin { from });
            }
            Some(TransferStep::EndWords { to }) => self.phase.listen_to_party(ListenStep::End { to }),
            Some(TransferStep::DropWords) => self.phase.listen_to_party(ListenStep::Drop),
            Some(TransferStep::Connect { leg }) => self.connect(leg),
            Some(TransferStep::Return { outcome, by, release }) => self.return_caller(outcome, by, release),
            Some(TransferStep::End { by }) => {
                self.records.transfer_ended(None, Some(by));
                self.transfer = None;
                self.control(TopologyInput::HangUp { reason: Reason::NormalClearing });
            }
        }
    }

    fn dial(&mut self, endpoint: String) {
        let rules = self.services.transfer_rules.get();
        let wanted = self.waiting_sound(&rules).map(|sound| self.part_caller(sound));
        let (Some(leg), Some(wanted)) = (self.next_leg(), wanted) else {
            return self.return_caller(TransferOutcome::Unreachable, None, None);
        };
        let ring = Duration::from_secs(rules.ring_s);
        let caller_id = self.caller_id(rules.caller_id);
        let variables = Vec::from_iter(self.summary_header(&rules, &endpoint));
        let dial = LegSpec::Dial(DialSpec { endpoint, caller_id, timeout: ring + BACKSTOP, variables });
        self.control(TopologyInput::Arrange { legs: vec![dial], wanted });
        if let Some(active) = &mut self.transfer {
            active.transfer.ringing(leg, Instant::now() + ring);
        }
    }

    /// The function that adds the agent's summary to the INVITE, and its value, which is one line.
    fn summary_header(&self, rules: &TransferRules, endpoint: &str) -> Option<(String, String)> {
        let summary = self.transfer.as_ref()?.summary.as_deref()?;
        let is_sent = !rules.summary_header.is_empty() && endpoint.starts_with("PJSIP/");
        is_sent.then(|| (format!("PJSIP_HEADER(add,{})", rules.summary_header), summary.to_owned()))
    }

    /// The target has answered and is announced the call; the caller waits.
    fn consult(&mut self, leg: LegId) {
        let Some(waiting) = self.waiting_sound(&self.services.transfer_rules.get()) else { return };
        self.release_snoop();
        let wanted = Wanted::together([LegId::MEDIA, leg]).with_waiting(waiting);
        self.control(TopologyInput::Arrange { legs: vec![], wanted });
        self.records.transfer_answered();
        let Some(ActiveTransfer { target, summary, .. }) = &self.transfer else { return };
        let summary = summary.as_deref().filter(|_| target.style == TransferStyle::Warm);
        let tenant = self.failover.called().map_or("", |(route, _)| route.tenant.name.as_str());
        self.phase.consult(tenant, summary);
        info!(to = %target.name, "the target answered: it is asked to accept the call");
    }

    fn refer(&mut self, uri: String) {
        self.control(TopologyInput::Arrange { legs: vec![], wanted: Wanted::apart(None) });
        self.control(TopologyInput::Refer { uri });
        if let Some(active) = &mut self.transfer {
            active.transfer.referring(Instant::now());
        }
    }

    fn hand_over(&mut self, place: DialplanRoute) {
        let Some(ActiveTransfer { transfer, target, leg, charge, .. }) = self.transfer.take() else { return };
        self.leave_leg(leg, charge);
        self.records.transfer_ended(Some(TransferOutcome::HandedOver), None);
        self.finish_conversation(transfer.tool, "handed over");
        let rules = self.services.transfer_rules.get();
        let exit = at_place(self.failover.exit("transfer", target.name.to_string()), place, &rules);
        self.control(TopologyInput::ContinueInDialplan { exit, reason: Reason::NormalClearing });
    }

    fn connect(&mut self, leg: LegId) {
        let Some(ActiveTransfer { transfer, target, .. }) = &self.transfer else { return };
        let (tool, style, after_bridge) = (transfer.tool, target.style, target.after_bridge);
        if style == TransferStyle::Cold {
            self.records.transfer_answered();
        }
        self.records.transfer_connected();
        match after_bridge {
            AfterBridge::Leave => self.leave_caller_to(leg, tool),
            AfterBridge::Stay => self.stay_with(leg, tool),
        }
        info!(%after_bridge, "the target has the call: it talks to the caller");
    }

    /// Joins the caller with the target. VCA's part is over but for the record of the call's end.
    fn leave_caller_to(&mut self, leg: LegId, tool: ToolId) {
        self.control(TopologyInput::Arrange { legs: vec![], wanted: Wanted::together([LegId::CALLER, leg]) });
        self.control(TopologyInput::Release { leg: LegId::MEDIA });
        self.finish_conversation(tool, "connected");
    }

    /// The agent has the caller again, and reads why.
    fn return_caller(&mut self, outcome: TransferOutcome, by: Option<TransferEnd>, release: Option<LegId>) {
        self.release_snoop();
        let Some(ActiveTransfer { transfer, target, .. }) = self.transfer.take() else { return };
        info!(to = %target.name, %outcome, "transfer failed: the caller returns to the agent");
        if let Some(leg) = release {
            self.control(TopologyInput::Release { leg });
        }
        self.records.transfer_ended(Some(outcome), by);
        let wanted = Wanted::together([LegId::CALLER, LegId::MEDIA]);
        self.control(TopologyInput::Arrange { legs: vec![], wanted });
        self.phase.end_consultation();
        self.phase.hold(HoldChange::Resumed, &mut self.records);
        self.hold_again();
        let problem = match outcome {
            TransferOutcome::Cancelled if by == Some(TransferEnd::Caller) => {
                "the caller did not want to wait any longer"
            }
            TransferOutcome::Cancelled => "an operator cancelled the transfer",
            TransferOutcome::Busy => "the target is busy",
            TransferOutcome::NoAnswer => "the target does not answer",
            TransferOutcome::Declined => "the target declined the call",
            TransferOutcome::NotAccepted => "the target answered, but did not accept the call",
            TransferOutcome::SpendLimit => "the limit on the cost of transfers a day is reached",
            _ => "the target cannot be reached",
        };
        self.phase.tool_finished(failed(transfer.tool, outcome, problem));
    }

    /// Holds the conversation again for a caller who is still on hold by their own telephone.
    fn hold_again(&mut self) {
        match self.caller_hold {
            HoldChange::Resumed => {}
            HoldChange::Held | HoldChange::HeldByCaller => {
                self.phase.hold(self.caller_hold, &mut self.records);
            }
            HoldChange::Uncertain => {
                self.phase.hold(HoldChange::HeldByCaller, &mut self.records);
                self.phase.hold(HoldChange::Uncertain, &mut self.records);
            }
        }
    }

    /// Takes the conversation out of its phase, for the one that follows. Its tool has ended with this status.
    pub(super) fn take_conversation(&mut self, tool: ToolId, status: &str) -> Option<Box<Talking>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ending(None));
        let Phase::Talking(mut talking) = phase else {
            self.phase = phase;
            return None;
        };
        let result = json!({ "status": status }).to_string().into();
        talking.tool_finished(Finished { tool, outcome: ToolOutcome::Succeeded, result });
        Some(talking)
    }

    /// The agent's part is over; the record has its words.
    fn finish_conversation(&mut self, tool: ToolId, status: &str) {
        let Some(talking) = self.take_conversation(tool, status) else { return };
        let closing = talking.close(&mut self.records);
        let closing = Closing { ending: Some(Ending::Transferred), ..closing };
        self.phase = Phase::Transferred(Box::new(closing));
    }

    /// The call is over in Asterisk: closes the record of the transfer. Returns the ending that follows from it.
    pub(super) fn close_transfer(&mut self, end: &End) -> Option<Ending> {
        let ActiveTransfer { transfer, .. } = self.transfer.take()?;
        let by = match end {
            End::CallerLeft { .. } => TransferEnd::Caller,
            _ => TransferEnd::System,
        };
        let outcome = transfer.call_ended(by);
        self.records.transfer_ended(outcome, Some(by));
        (outcome == Some(TransferOutcome::HandedOver)).then_some(Ending::Transferred)
    }

    /// Digits with a plus sign, of the caller's number or the called one.
    fn caller_id(&self, policy: CallerIdPolicy) -> String {
        let caller = self.records.caller_number().and_then(|number| number.parse::<Did>().ok());
        let called = || self.failover.called().map(|(_, did)| did.clone());
        let number = match policy {
            CallerIdPolicy::Caller => caller.or_else(called),
            CallerIdPolicy::Called => called(),
        };
        number.map(|number| number.to_string()).unwrap_or_default()
    }
}

fn failed(tool: ToolId, outcome: TransferOutcome, problem: &str) -> Finished {
    let result = json!({ "error": problem, "outcome": outcome }).to_string().into();
    Finished { tool, outcome: ToolOutcome::Failed, result }
}
