//! The call's record, metrics, log lines and saved state, written as the call proceeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use tokio::sync::watch;
use tracing::{debug, error, info};

use super::bridged::BridgedParty;
use super::ending::{EndedHere, Verdict, verdict};
use super::phase::Closing;
use super::pipeline::EngineFault;
use super::record::{RecordWriter, Times, state_of};
use super::tenant_metrics::TenantMetrics;
use crate::ari::topology::End;
use crate::call::agent::Agent;
use crate::conversation::{ContextItem, Latency, MuteChange, Record, TurnId};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::media::{Report, TapPoint};
use crate::state::ConversationState;
use crate::tenancy::{
    AgentChangeCause, CallId, EngineKind, LiveEventKind, TransferEnd, TransferOutcome, TransferTarget,
};
use crate::tools::McpProblem;

/// The number of the last finished turn, and the conversation's state after it.
type Progress = (u32, serde_json::Value);

/// Everything that is kept of a call. A call without a tenant has no record.
pub struct Records {
    writer: Option<RecordWriter>,
    /// Counts the call's engine usage.
    meter: Meter,
    progress: watch::Sender<Progress>,
    is_sip: bool,
}

impl Records {
    pub fn new(writer: Option<RecordWriter>, is_sip: bool) -> Records {
        Records { writer, meter: Meter::default(), progress: watch::Sender::default(), is_sip }
    }

    /// Counts the call's engine usage.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Keeps why the call fails.
    pub fn fail(&mut self, reason: &str) {
        if let Some(writer) = &mut self.writer {
            writer.failed(reason);
        }
    }

    /// Asterisk has answered, and the call can be listened to.
    pub fn answered(&mut self, audio: TapPoint) {
        if let Some(writer) = &mut self.writer {
            writer.answered(Instant::now());
            writer.set_audio(audio);
        }
    }

    /// The notice was played to its end.
    pub fn notice_heard(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.notice_heard(Instant::now());
        }
    }

    /// The caller speaks of an emergency.
    pub fn emergency_noticed(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.emergency_noticed(Instant::now());
        }
    }

    /// The caller has rated the call, from 1 to 5.
    pub fn rated(&mut self, rating: u8) {
        counter!("vca_ratings_total", "rating" => rating.to_string()).increment(1);
        if let Some(writer) = &self.writer {
            writer.rated(rating, Instant::now());
        }
    }

    /// A transfer begins, or is refused. `summary` is the agent's, for the target.
    pub fn transfer_began(
        &mut self,
        target: &TransferTarget,
        summary: Option<&str>,
        outcome: TransferOutcome,
    ) {
        if outcome != TransferOutcome::Refused {
            counter!("vca_transfers_total", "method" => target.method.as_str()).increment(1);
        }
        if let Some(writer) = &mut self.writer {
            writer.transfer_began(target, summary, outcome, Instant::now());
        }
    }

    /// The endpoint of the transfer's target has named a place.
    pub fn transfer_resolved(&mut self, place: String, target: &TransferTarget) {
        if let Some(writer) = &mut self.writer {
            writer.transfer_resolved(place, target);
        }
    }

    /// The target of the transfer has answered.
    pub fn transfer_answered(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.transfer_answered(Instant::now());
        }
    }

    /// The caller talks to the target.
    pub fn transfer_connected(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.transfer_connected(Instant::now());
        }
    }

    /// The attempt is over, with an outcome; or the conversation with the target is, and who ended it.
    pub fn transfer_ended(&mut self, outcome: Option<TransferOutcome>, by: Option<TransferEnd>) {
        if let Some(writer) = &mut self.writer {
            writer.transfer_ended(outcome, by, Instant::now());
        }
    }

    /// The call has accepted a command of an operator.
    pub fn command_accepted(&self, command: &str) {
        info!(command, "an operator intervenes");
        self.publish(LiveEventKind::Command { command: command.to_owned() });
    }

    /// An operator has muted the agent, or it hears again.
    pub fn agent_muted(&self, change: MuteChange) {
        info!(?change, "the agent is muted or hears again");
        self.publish(match change {
            MuteChange::Muted => LiveEventKind::Muted,
            MuteChange::Unmuted => LiveEventKind::Unmuted,
        });
    }

    fn publish(&self, event: LiveEventKind) {
        if let Some(writer) = &self.writer {
            writer.publish(event, Instant::now());
        }
    }

    /// Another agent goes on with the call, or the same one in another language.
    pub fn agent_changed(&mut self, agent: &Agent, cause: AgentChangeCause) {
        counter!("vca_agent_changes_total", "cause" => cause.as_str()).increment(1);
        let language = agent.voice.language.as_deref();
        info!(%cause, profile = %agent.profile, language, "agent changed");
        if let Some(writer) = &mut self.writer {
            writer.agent_changed(agent, cause, Instant::now());
        }
    }

    /// The number of transfers so far.
    pub fn transfers(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.call().transfers.len())
    }

    /// The caller's number, where it is known.
    pub fn call_id(&self) -> Option<CallId> {
        Some(self.writer.as_ref()?.call().id)
    }

    pub fn caller_number(&self) -> Option<&str> {
        self.writer.as_ref()?.call().caller_number.as_deref()
    }

    /// The response of a turn begins.
    pub fn response_begins(&mut self, turn: TurnId, context: &[ContextItem]) {
        if let Some(writer) = &mut self.writer {
            writer.response_begins(turn.0, context, Instant::now());
        }
    }

    pub fn engine_failed(&mut self, fault: &EngineFault) {
        if let Some(writer) = &mut self.writer {
            writer.engine_failed(fault.kind, &fault.engine, &fault.error, Instant::now());
        }
    }

    /// Tools of MCP servers are not offered to the model.
    pub fn tools_missing(&mut self, problems: &[McpProblem]) {
        if let Some(writer) = &mut self.writer {
            writer.tools_missing(problems, Instant::now());
        }
    }

    /// The call is not answered by its agent, because the greeting cannot be synthesised.
    pub fn greeting_failed(&mut self, engine: &Arc<str>, error: EngineError) {
        self.engine_failed(&EngineFault { kind: EngineKind::Tts, engine: engine.clone(), error });
        self.fail("the greeting could not be synthesised");
    }

    /// Writes a finished turn to the record, the metrics and the log. Its words go to the record, and to the log only
    /// under the target `vca::transcript`.
    /// `items` is the number of the context's items with this turn.
    pub fn turn(&mut self, record: &Record, items: usize, times: Times) {
        if let Some(writer) = &mut self.writer {
            writer.turn(record, items, &self.meter, times);
        }
        for used in &record.tools {
            let outcome = used.outcome.as_str();
            counter!("vca_tool_calls_total", "outcome" => outcome).increment(1);
            histogram!("vca_tool_seconds").record(used.took.as_secs_f64());
            info!(tool = %used.name, outcome, ms = used.took.as_millis() as u64, "tool finished");
        }
        let latency = &record.latency;
        count_stages(latency);
        let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        info!(
            turn = record.turn.0,
            interrupted = record.interrupted,
            pause_ms = millis(latency.pause),
            transcript_ms = millis(latency.transcript),
            reply_ms = millis(latency.reply),
            clause_ms = millis(latency.clause),
            speech_ms = millis(latency.speech),
            commit_ms = millis(latency.commit),
            audio_ms = millis(latency.audio),
            "turn finished"
        );
        // Keys may be a PIN: the log has their number only.
        let keys = record.keys.as_ref().map(|keys| keys.masked().to_string());
        debug!(target: "vca::transcript", turn = record.turn.0, caller = record.caller, keys, agent = record.agent);
    }

    /// The caller and a person talk to each other, and one of them has spoken. The words go to the record, and to the log only
    /// under the target `vca::transcript`.
    pub fn bridged_turn(&mut self, party: BridgedParty, words: String) {
        debug!(target: "vca::transcript", ?party, words);
        if let Some(writer) = &mut self.writer {
            writer.bridged_turn(party, words, &self.meter, Instant::now());
        }
    }

    /// Counts the time that each engine of the agent took in a turn.
    pub fn engine_stages(&self, latency: &Latency, [stt, llm, tts]: &[Arc<str>; 3]) {
        for (stage, engine, time) in [
            ("transcript", stt, between(latency.pause, latency.transcript)),
            ("reply", llm, between(latency.transcript, latency.reply)),
            ("speech", tts, between(latency.clause, latency.speech)),
        ] {
            if let Some(time) = time {
                let labels = [("stage", stage.to_owned()), ("engine", engine.to_string())];
                histogram!("vca_turn_stage_seconds", &labels).record(time.as_secs_f64());
            }
        }
    }

    /// Keeps a field of the call's record. Returns false when it has too many.
    pub fn remember(&mut self, field: String, value: String) -> bool {
        self.writer.as_mut().is_some_and(|writer| writer.remember(field, value))
    }

    /// Has the conversation's state saved after a turn.
    pub fn save(&self, turn: TurnId, context: &[ContextItem]) {
        self.progress.send_replace((turn.0, state_of(context)));
    }

    /// Closes the record of a call that is over in Asterisk.
    pub fn end(&mut self, end: &End, closing: Closing, metrics: &TenantMetrics) {
        let now = Instant::now();
        let Closing { refusal, ending, continued, .. } = closing;
        let mut verdict = verdict(end, EndedHere { conversation: ending, refusal, continued });
        if let Some(cause) = closing.missing_media {
            self.fail(&format!("no media: {}", cause.as_str()));
            verdict = verdict.without_media();
        }
        verdict.sip_status = verdict.sip_status.filter(|_| self.is_sip);
        counter!("vca_calls_total", "disposition" => verdict.disposition).increment(1);
        self.log_end(&verdict, closing.media.as_ref(), now);
        if let End::Failed(failure) = end {
            error!(%failure, "the call broke off");
            self.fail(&failure.to_string());
        }
        if let Some(writer) = &mut self.writer {
            writer.ended(verdict, closing.media, &self.meter, now);
            let call = writer.call();
            metrics.ended(call.tenant_id, call.status, writer.talked());
        }
    }

    fn log_end(&self, verdict: &Verdict, media: Option<&Report>, now: Instant) {
        let lasted = self.writer.as_ref().map(|writer| writer.lasted(now));
        info!(
            disposition = verdict.disposition,
            ended_by = %verdict.ended_by,
            cause = verdict.cause,
            seconds = lasted.map(|lasted| lasted.num_milliseconds() as f64 / 1_000.0),
            mos = media.and_then(|report| report.mos),
            lost = media.map(|report| report.lost),
            unexpected = media.map(|report| report.unexpected),
            echo_db = media.and_then(|report| report.echo).map(|echo| -echo.attenuation_db),
            "call ended"
        );
    }
}

/// The stages of a turn, each from the end of the caller's speech.
fn count_stages(latency: &Latency) {
    for (stage, time) in [
        ("pause", latency.pause),
        ("transcript", latency.transcript),
        ("reply", latency.reply),
        ("clause", latency.clause),
        ("speech", latency.speech),
        ("commit", latency.commit),
        ("audio", latency.audio),
    ] {
        if let Some(time) = time {
            histogram!("vca_turn_seconds", "stage" => stage).record(time.as_secs_f64());
        }
    }
}

/// From the end of a stage to that of the next one, where both were reached.
fn between(from: Option<Duration>, to: Option<Duration>) -> Option<Duration> {
    to?.checked_sub(from?)
}

/// Saves the state of a conversation after every turn; a slow server skips outdated states.
pub async fn save_progress(
    states: Arc<dyn ConversationState>,
    id: CallId,
    mut progress: watch::Receiver<Progress>,
) {
    while progress.changed().await.is_ok() {
        let (turns, state) = progress.borrow_and_update().clone();
        states.save(id, turns, &state).await;
    }
}
