//! The call's task: waits for events, passes them to the state machines, and carries out their actions.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use metrics::counter;
use tokio::sync::mpsc;
use tracing::{Instrument, error, warn};

use super::bridged::BridgedEvent;
use super::channel_events::{hold_change, note, party, pressed_key};
use super::failover::Failover;
use super::live_request::OperatorsTargets;
use super::phase::{Closing, Phase};
use super::pipeline::PipelineEvent;
use super::prompt_cache::{PromptUse, RATES};
use super::records::Records;
use super::setup::SettingUp;
use super::talking::CallAction;
use super::tasks::{CallTasks, TaskResult};
use super::topology_driver::{TopologyDriver, TopologyEvent};
use super::transferring::ActiveTransfer;
use super::{Agent, CallMessage, CallServices, IncomingCall, Refusal, greeting};
use crate::ari::topology::{End, Input as TopologyInput, LegId};
use crate::ari::{ChannelId, Event, Reason};
use crate::conversation::HoldChange;
use crate::engines::core::EngineError;
use crate::tenancy::{FailoverCase, TransferMethod, TransferOutcome, TransferTarget};
use crate::tools::Finished;

/// One call from its arrival until nothing of it is left in Asterisk.
pub struct Task {
    pub services: Arc<CallServices>,
    messages: mpsc::Receiver<CallMessage>,
    results: mpsc::Receiver<TaskResult>,
    pub tasks: CallTasks,
    topology: TopologyDriver,
    pub records: Records,
    pub failover: Failover,
    pub phase: Phase,
    /// The transfer that is under way.
    pub transfer: Option<ActiveTransfer>,
    /// Whether the caller's side has put the call on hold, as it said last; `Uncertain` where the end may have been missed.
    pub caller_hold: HoldChange,
    pub operators_targets: OperatorsTargets,
}

/// The event that wakes the task.
pub enum Waking {
    Message(Option<CallMessage>),
    Result(TaskResult),
    Media,
    Pipeline(PipelineEvent),
    Bridged(BridgedEvent),
    Tool(Finished),
    Time,
}

impl Task {
    /// A task in the phase `Ending`.
    pub fn new(
        incoming: IncomingCall,
        services: Arc<CallServices>,
        records: Records,
        failover: Failover,
    ) -> Task {
        let (tasks, results) = CallTasks::new();
        let topology = TopologyDriver::new(incoming.topology, services.asterisk.clone());
        let phase = Phase::Ending(None);
        Task {
            services,
            messages: incoming.messages,
            results,
            tasks,
            topology,
            records,
            failover,
            phase,
            transfer: None,
            caller_hold: HoldChange::Resumed,
            operators_targets: OperatorsTargets::default(),
        }
    }

    /// Runs the call to its end.
    pub async fn run(&mut self) {
        self.step();
        while !matches!(self.phase, Phase::Done) {
            match self.wait().await {
                Waking::Message(Some(message)) => self.read(message),
                // The switchboard has stopped, so no further events of Asterisk will arrive.
                Waking::Message(None) => self.hang_up(Reason::NormalClearing),
                Waking::Result(result) => self.take(result),
                Waking::Media => self.phase.listen(&mut self.records),
                Waking::Pipeline(event) => self.phase.take(event, &mut self.records),
                Waking::Bridged(event) => event.record(&mut self.records),
                Waking::Tool(finished) => self.phase.tool_finished(finished),
                Waking::Time => self.tick(),
            }
            self.step();
        }
    }

    async fn wait(&mut self) -> Waking {
        let deadlines = [self.topology.deadline(), self.phase.deadline(), self.transfer_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.messages.recv() => Waking::Message(message),
            Some(result) = self.results.recv() => Waking::Result(result),
            waking = self.phase.next() => waking,
            () = time => Waking::Time,
        }
    }

    /// Carries out the actions of both machines, until there are none left.
    fn step(&mut self) {
        loop {
            if let Some(event) = self.topology.next_event(&mut self.tasks) {
                self.follow(event);
                continue;
            }
            match self.phase.step(&mut self.records) {
                Some(CallAction::None) => {}
                Some(CallAction::SendDtmf(keys)) => {
                    self.control(TopologyInput::SendDtmf { leg: LegId::CALLER, keys });
                }
                Some(CallAction::Transfer { tool, target, summary }) => {
                    self.start_transfer(tool, &target, summary);
                }
                Some(CallAction::Consultation(event)) => self.consulted(event),
                None => break,
            }
        }
        self.phase.feed(Instant::now());
    }

    fn read(&mut self, message: CallMessage) {
        match message {
            CallMessage::Event(event) => {
                note(&event);
                self.pass_on(&event);
                self.control(TopologyInput::Event(event));
            }
            CallMessage::Reconciled(inventory) => {
                // The events in between are lost.
                if self.caller_hold == HoldChange::HeldByCaller {
                    self.caller_hold = HoldChange::Uncertain;
                }
                self.phase.hold(HoldChange::Uncertain, &mut self.records);
                self.control(TopologyInput::Reconciled(inventory));
            }
            CallMessage::Command(request) => self.operate(request),
            CallMessage::End => {
                if !self.phase.request_end() {
                    self.hang_up(Reason::Congestion);
                }
            }
            CallMessage::Cut => self.hang_up(Reason::NormalClearing),
        }
    }

    /// Passes hold and keys to the conversation. A caller who is being transferred is on hold until they return, and their keys
    /// are not for the agent but, as those of the target, for the transfer.
    fn pass_on(&mut self, event: &Event) {
        let leg = party(event).and_then(|channel| self.topology.leg_of(channel));
        match (leg, hold_change(event), pressed_key(event)) {
            (Some(LegId::CALLER), Some(change), _) => {
                self.caller_hold = change;
                if self.transfer.is_none() {
                    self.phase.hold(change, &mut self.records);
                }
            }
            (Some(LegId::CALLER), _, Some(key)) if self.transfer.is_none() => {
                self.phase.press(key, &mut self.records);
            }
            (Some(LegId::CALLER), _, Some(key)) => self.waiting_caller_pressed(key),
            (Some(leg), _, Some(key)) => self.target_pressed(leg, key),
            _ => {}
        }
    }

    fn take(&mut self, result: TaskResult) {
        match result {
            TaskResult::Asterisk { id, result } => self.control(TopologyInput::Response { id, result }),
            TaskResult::Greeting(Ok(())) => self.admit(),
            TaskResult::Greeting(Err(error)) => self.refuse_without_greeting(error),
            TaskResult::McpProblems(problems) => self.records.tools_missing(&problems),
            TaskResult::Resolved(resolution) => self.target_resolved(resolution),
            TaskResult::TargetChecked(check) => self.target_checked(check),
            TaskResult::ExitCharged(exit) => self.exit_charged(*exit),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.topology.handle(now, TopologyInput::Tick);
        self.tick_transfer(now);
        if let Some(ending) = self.phase.tick(now) {
            let input = self.failover.end(ending);
            self.leave(input);
        }
    }

    fn follow(&mut self, event: TopologyEvent) {
        match event {
            TopologyEvent::Ready { peer } => self.start_conversation(peer),
            TopologyEvent::MediaReady { leg, peer } => self.media_ready(leg, peer),
            TopologyEvent::LegAnswered { leg } => self.leg_answered(leg),
            TopologyEvent::LegEnded { leg, cause } => self.leg_ended(leg, cause),
            TopologyEvent::ReferFailed => self.refer_failed(),
            TopologyEvent::ReferEnded => self.refer_ended(),
            TopologyEvent::Ended(end) => self.close(&end),
            TopologyEvent::Done => self.phase = Phase::Done,
        }
    }

    /// The id that the next dialled leg will have.
    pub fn next_leg(&self) -> Option<LegId> {
        self.topology.next_leg()
    }

    /// The channel of a leg of the call.
    pub fn channel_of(&self, leg: LegId) -> Option<&ChannelId> {
        self.topology.channel_of(leg)
    }

    /// Passes an input to the machine that controls the call in Asterisk.
    pub fn control(&mut self, input: TopologyInput) {
        self.topology.handle(Instant::now(), input);
    }

    fn hang_up(&mut self, reason: Reason) {
        self.control(TopologyInput::HangUp { reason });
    }

    /// The call cannot go on: keeps the reason on the record, and hangs up or has the dialplan continue.
    pub fn fail(&mut self, failure: &str, case: FailoverCase, reason: Reason) {
        self.records.fail(failure);
        let input = self.failover.break_off(case, reason);
        self.leave(input);
    }

    /// Refuses the call, or has the dialplan continue with it.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.phase = Phase::Ending(Some(refusal));
        let input = self.failover.refuse(refusal);
        self.leave(input);
    }

    /// Has the call continue at a transfer target, unanswered.
    pub fn forward(&mut self, target: &TransferTarget) {
        self.phase = Phase::Ending(Some(Refusal::Forwarded));
        let handed_over = TransferTarget { method: TransferMethod::Dialplan, ..target.clone() };
        self.records.transfer_began(&handed_over, None, TransferOutcome::HandedOver);
        self.records.transfer_ended(None, None);
        let input = self.failover.forward(target);
        self.leave_to(Some(handed_over), input);
    }

    /// Starts the call in Asterisk once its first prompts can be played, which is at once if they are cached.
    pub fn prepare_greeting(&mut self, mut texts: Vec<(Arc<str>, PromptUse)>, since: Instant) {
        let Phase::SettingUp(SettingUp { agent, format, .. }) = &self.phase else { return };
        let (agent, prompts) = (agent.clone(), self.services.prompts.clone());
        let find = |text: &Arc<str>| prompts.find(agent.prompt_voice(), text, format.rate());
        texts.retain(|(text, _)| !text.trim().is_empty() && find(text).is_none());
        if texts.is_empty() {
            return self.admit();
        }
        let limit = (self.services.set_up * 2 / 3).saturating_sub(since.elapsed());
        self.tasks.start(|reports| async move {
            let all = texts.into_iter();
            let all = all.map(|text| greeting::synthesise(agent.clone(), prompts.clone(), text, limit));
            let outcome = try_join_all(all).await.map(drop);
            drop(reports.send(TaskResult::Greeting(outcome)).await);
        });
    }

    /// Has Asterisk create the call's media and bridge, and answer.
    fn admit(&mut self) {
        let Phase::SettingUp(SettingUp { external_host, format, .. }) = &self.phase else { return };
        let input = TopologyInput::admit(*external_host, format.name().to_owned());
        self.control(input);
    }

    /// Has the message for a failure of engines synthesised while they work, also after the end of a short call.
    pub fn keep_message(&self, agent: Arc<Agent>) {
        let Some(message) = self.failover.message(FailoverCase::Engines) else { return };
        let (text, prompts) = (message.text().clone(), self.services.prompts.clone());
        let kept = async move {
            if let Err(error) = prompts.prepare(agent.prompt_voice(), &text, &RATES).await {
                warn!(%error, "the message of a failover route could not be pre-synthesised");
            }
        };
        // Not tracked: a drain does not wait for it.
        tokio::spawn(kept.in_current_span());
    }

    /// The greeting cannot be played: the caller hears the route's message, if that is cached, or returns to the dialplan
    /// unanswered.
    fn refuse_without_greeting(&mut self, error: EngineError) {
        let Phase::SettingUp(setting_up) = &mut self.phase else { return };
        let engine = setting_up.agent.engines.tts.name().clone();
        warn!(%error, %engine, "no greeting: the call is not answered");
        let refusal = match self.failover.announced() {
            Some(refusal) => refusal,
            None if setting_up.is_announcement() && self.failover.message(FailoverCase::Closed).is_some() => {
                Refusal::Closed
            }
            None => Refusal::NoGreeting,
        };
        if self.failover.announced().is_none() {
            counter!("vca_refusals_total", "reason" => refusal.as_str()).increment(1);
        }
        self.records.greeting_failed(&engine, error);
        let message = self.failover.message(FailoverCase::Engines).filter(|_| refusal == Refusal::NoGreeting);
        if let Some(message) = message
            && setting_up.can_announce(message, &self.services.prompts)
        {
            setting_up.announce(message);
            self.failover.announce(refusal);
            return self.admit();
        }
        self.refuse(refusal);
    }

    /// Asterisk has answered: the media flows and the conversation begins.
    fn start_conversation(&mut self, peer: std::net::SocketAddr) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ending(None));
        let Phase::SettingUp(setting_up) = phase else {
            self.phase = phase;
            return;
        };
        match setting_up.start(peer, &self.services, self.records.meter(), &self.failover) {
            Ok(talking) => {
                self.records.answered(talking.tap_point());
                self.phase = Phase::Talking(Box::new(talking));
            }
            Err(failure) => {
                error!(error = %failure, remedy = failure.remedy(), "no media for the call");
                self.fail(failure.on_record(), failure.case(), failure.reason());
            }
        }
    }

    /// The call is over in Asterisk: the conversation ends, and the record is closed.
    fn close(&mut self, end: &End) {
        let continued = self.failover.continued();
        let transferred = self.close_transfer(end);
        let closing = match std::mem::replace(&mut self.phase, Phase::Ending(None)) {
            Phase::Talking(talking) => {
                let refusal = self.failover.announced();
                Closing { refusal, ..talking.close(&mut self.records) }
            }
            Phase::Transferred(closing) => *closing,
            Phase::Bridged(bridged) => bridged.close(),
            Phase::Ending(refusal) => Closing { refusal, ..Closing::default() },
            Phase::SettingUp(_) | Phase::Done => Closing::default(),
        };
        self.records.end(
            end,
            Closing { continued, ending: transferred.or(closing.ending), ..closing },
            &self.services.tenant_metrics,
        );
    }
}
