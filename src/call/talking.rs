//! A conversation under way: the state machine with its clock, its pipeline and its media.

mod agents;
mod consultation;
mod leaving;
mod playback;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tracing::warn;

use super::clock::Clock;
use super::live_request::LiveRequest;
use super::media_watch::{MediaAddresses, MediaWatch};
use super::phase::Closing;
use super::pipeline::{Pipeline, PipelineEvent, PlaybackEffect};
use super::record::Times;
use super::records::Records;
use super::task::Waking;
use crate::conversation::{
    CallerSpeech, Command, Conversation, Ending, HoldChange, Input, MuteChange, OperatorRefusal, Output,
    PlaybackEvent, PlaybackProgress, Record, SpeechId, ToolId,
};
use crate::dtmf::{Digit, Tone};
use crate::media::{self, MediaEvent, Port, TapPoint};
use crate::tenancy::{LiveCommand, LiveRefusal};
pub use agents::AgentTools;
use consultation::Consultation;
pub use consultation::{ConsultationEvent, ListenStep};
use playback::NoiseState;

/// Between the last sample that is sent and the hang-up: the time it takes to reach the caller's ear.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A conversation under way.
pub struct Talking {
    conversation: Conversation,
    clock: Clock,
    pipeline: Pipeline,
    port: Port,
    media_watch: MediaWatch,
    caller_voice: CallerVoice,
    agents: AgentTools,
    /// The latest change of the hold that is certain.
    hold: HoldChange,
    /// The party of a transfer that is heard meanwhile.
    consultation: Option<Consultation>,
    /// The commands whose outcomes the conversation has not reported yet, in their order.
    commands: VecDeque<LiveRequest>,
    comfort_noise: NoiseState,
    /// The agent's first sound waits until this moment.
    first_sound: Option<Instant>,
    ending: Option<Ending>,
    /// When the call ends, after the last words.
    end: Option<(Instant, Ending)>,
}

/// The part of an action that concerns Asterisk.
#[derive(Debug, PartialEq, Eq)]
pub enum CallAction {
    None,
    /// Send keys to the caller's side.
    SendDtmf(Vec<Tone>),
    /// Transfer the caller to this target.
    Transfer {
        tool: ToolId,
        target: Arc<str>,
        summary: Option<Arc<str>>,
    },
    /// A party of a transfer speaks, or was announced the call.
    Consultation(ConsultationEvent),
}

/// The voice that the media thread hears, whether or not the conversation listens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallerVoice {
    Silent,
    /// The level is that of its beginning, in dBov.
    Speaking {
        level: i8,
    },
}

impl Talking {
    /// Starts the conversation of a call that was answered now.
    pub fn new(
        conversation: Conversation,
        pipeline: Pipeline,
        port: Port,
        agents: AgentTools,
        addresses: MediaAddresses,
        settings: &media::Settings,
    ) -> Talking {
        let now = Instant::now();
        let mut talking = Talking {
            conversation,
            clock: Clock::starting(now),
            pipeline,
            port,
            media_watch: MediaWatch::new(now, Duration::from_millis(settings.no_media_ms), addresses),
            caller_voice: CallerVoice::Silent,
            agents,
            hold: HoldChange::Resumed,
            consultation: None,
            commands: VecDeque::new(),
            comfort_noise: NoiseState::Off,
            first_sound: Some(now + Duration::from_millis(settings.first_sound_delay_ms)),
            ending: None,
            end: None,
        };
        talking.handle(now, Input::Connected);
        talking
    }

    /// The place at which others listen to the call.
    pub fn tap_point(&self) -> TapPoint {
        self.port.tap_point()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let conversation = self.conversation.deadline().and_then(|(at, _)| self.clock.instant(at));
        let end = self.end.map(|(at, _)| at);
        [conversation, self.media_watch.deadline(), self.first_sound, end].into_iter().flatten().min()
    }

    pub async fn next(&mut self) -> Waking {
        let notify = self.port.notify();
        tokio::select! {
            () = notify.notified() => Waking::Media,
            event = self.pipeline.next() => Waking::Pipeline(event),
            finished = self.agents.tools.next() => Waking::Tool(finished),
            event = Consultation::next(&mut self.consultation) => Waking::Pipeline(event),
        }
    }

    /// Carries out one action of the conversation. `None` when there is none.
    pub fn step(&mut self, records: &mut Records) -> Option<CallAction> {
        if let Some(event) = self.consultation.as_mut().and_then(Consultation::next_event) {
            return Some(CallAction::Consultation(event));
        }
        let output = self.conversation.poll()?;
        match output {
            Output::Pipeline(command) => self.command(command, records),
            Output::Pause => self.control_playback(Port::pause),
            Output::Resume => self.control_playback(Port::resume),
            Output::Flush => {
                self.pipeline.flush();
                self.control_playback(Port::flush);
            }
            Output::RunTool { request, tool, call, .. } => self.run_tool(tool, request, &call, records),
            Output::SendDtmf { tool, keys } => {
                self.agents.tools.dtmf_sent(tool, &keys);
                return Some(CallAction::SendDtmf(keys));
            }
            Output::Transfer { tool, target, summary } => {
                return Some(CallAction::Transfer { tool, target, summary });
            }
            Output::ChangeAgent { tool, to } => self.change_agent(tool, &to, records),
            Output::KeepEntry { reference, keys } => self.agents.tools.keep_entry(reference, &keys),
            Output::Operator(outcome) => self.answer_command(outcome, records),
            Output::AgentMuted(change) => self.agent_muted(change, records),
            Output::NoticeHeard => records.notice_heard(),
            Output::EmergencyNoticed => {
                warn!("the caller speaks of an emergency");
                records.emergency_noticed();
            }
            Output::Rated { rating } => records.rated(rating),
            Output::TurnFinished(record) => self.finish_turn(&record, records),
            Output::HangUp { ending } => {
                self.ending = Some(ending);
                self.end = Some((Instant::now() + LAST_WORDS, ending));
            }
        }
        Some(CallAction::None)
    }

    pub fn listen(&mut self, records: &mut Records) {
        let now = Instant::now();
        self.fetch_audio();
        while let Some(event) = self.port.next_event() {
            self.media_event(now, event, records);
        }
    }

    pub fn take(&mut self, event: PipelineEvent, records: &mut Records) {
        let input = match event {
            PipelineEvent::Recognition { utterance, event } => {
                self.detect_language(&event, records);
                Input::Recognition { utterance, event }
            }
            PipelineEvent::SoundsUnfinished { to, by } => Input::SoundsUnfinished { to, by },
            PipelineEvent::Response { turn, event } => Input::Response { turn, event },
            PipelineEvent::Audio => return,
            PipelineEvent::Synthesised { speech } => {
                Input::Playback { speech, event: PlaybackEvent::Synthesised }
            }
            PipelineEvent::SpeechSkipped { speech } => {
                Input::Playback { speech, event: PlaybackEvent::Ended }
            }
            PipelineEvent::SynthesisFailed { speech } => {
                Input::Playback { speech, event: PlaybackEvent::SynthesisFailed }
            }
            PipelineEvent::EngineFailed(fault) => return records.engine_failed(&fault),
        };
        self.handle(Instant::now(), input);
    }

    pub fn hold(&mut self, change: HoldChange, records: &mut Records) {
        // Audio received until now is handled first.
        self.listen(records);
        self.handle(Instant::now(), Input::Hold(change));
        if change != HoldChange::Uncertain {
            self.hold = change;
        }
        if change == HoldChange::Resumed {
            self.report_voice();
        }
    }

    /// The caller is heard again, and may be speaking already.
    fn report_voice(&mut self) {
        if let CallerVoice::Speaking { level } = self.caller_voice {
            let now = Instant::now();
            let started = CallerSpeech::Started { at: self.clock.at(now), level };
            self.handle(now, Input::CallerSpeech(started));
        }
    }

    /// Passes a command of an operator to the conversation.
    pub fn operate(&mut self, request: LiveRequest, records: &mut Records) {
        if self.ending.is_some() {
            let is_end = matches!(request.command, LiveCommand::End(_));
            return request.answer(if is_end { Ok(()) } else { Err(LiveRefusal::Ending) });
        }
        self.listen(records);
        let Some(command) = request.command.for_conversation() else {
            return request.answer(Err(LiveRefusal::NoTransfer));
        };
        self.commands.push_back(request);
        self.handle(Instant::now(), Input::Operator(command));
    }

    fn answer_command(&mut self, outcome: Result<(), OperatorRefusal>, records: &Records) {
        let Some(request) = self.commands.pop_front() else { return };
        if outcome.is_ok() {
            records.command_accepted(request.command.as_str());
        }
        request.answer(outcome.map_err(LiveRefusal::from));
    }

    fn agent_muted(&mut self, change: MuteChange, records: &Records) {
        records.agent_muted(change);
        if change == MuteChange::Unmuted {
            self.report_voice();
        }
    }

    pub fn press(&mut self, key: Digit, records: &mut Records) {
        // Audio received until now is handled first.
        self.listen(records);
        self.handle(Instant::now(), Input::Dtmf { key });
    }

    pub fn request_end(&mut self) {
        self.handle(Instant::now(), Input::EndRequested);
    }

    pub fn tick(&mut self, now: Instant) -> Option<Ending> {
        if let Some(cause) = self.media_watch.check(now, &self.port.report()) {
            counter!("vca_calls_without_media_total", "cause" => cause.as_str()).increment(1);
            warn!(%cause, "no media from the caller since the answer");
        }
        self.handle(now, Input::Tick);
        self.end.take_if(|(at, _)| *at <= now).map(|(_, ending)| ending)
    }

    fn end(&mut self, records: &mut Records) -> Closing {
        self.handle(Instant::now(), Input::CallerLeft);
        while let Some(output) = self.conversation.poll() {
            match output {
                Output::TurnFinished(record) => {
                    records.turn(&record, self.conversation.context().len(), self.times());
                }
                Output::HangUp { ending } => self.ending = self.ending.or(Some(ending)),
                _ => {}
            }
        }
        let report = self.port.report();
        if report.echo.is_some() {
            counter!("vca_calls_with_echo_total").increment(1);
        }
        Closing {
            ending: self.ending,
            missing_media: self.media_watch.missing(&report),
            media: Some(report),
            ..Closing::default()
        }
    }

    fn handle(&mut self, now: Instant, input: Input) {
        self.conversation.handle(self.clock.at(now), input);
    }

    fn command(&mut self, command: Command, records: &mut Records) {
        // An utterance may end with audio that was received just now.
        self.fetch_audio();
        if self.pipeline.command(command) == PlaybackEffect::Flush {
            self.control_playback(Port::flush);
        }
        while let Some(event) = self.pipeline.next_ready() {
            self.take(event, records);
        }
    }

    fn fetch_audio(&mut self) {
        let pipeline = &mut self.pipeline;
        match &mut self.consultation {
            Some(consultation) => self.port.fetch_with(|samples| {
                consultation.audio(samples);
                pipeline.caller_away(samples.len());
            }),
            None => self.port.fetch_with(|samples| pipeline.caller_audio(samples)),
        }
    }

    fn media_event(&mut self, now: Instant, event: MediaEvent, records: &mut Records) {
        if let Some(consultation) = &mut self.consultation {
            consultation.media_event(event);
            if !consultation.is_of_target() {
                self.follow_voice(event);
            }
            return;
        }
        self.follow_voice(event);
        match event {
            MediaEvent::SpeechStarted { at, position, level } => {
                let at = self.clock.at(at);
                self.pipeline.mark(at, position);
                self.handle(now, Input::CallerSpeech(CallerSpeech::Started { at, level }));
            }
            MediaEvent::SpeechPaused { at, position, level } => {
                let at = self.clock.at(at);
                self.pipeline.mark(at, position);
                self.handle(now, Input::CallerSpeech(CallerSpeech::Paused { at, level }));
            }
            MediaEvent::PlaybackStarted { speech } => self.playback_started(now, SpeechId(speech.0), records),
            MediaEvent::Played { speech, position } => {
                self.pipeline.heard(SpeechId(speech.0), position);
                let speech = SpeechId(speech.0);
                let total = self.pipeline.length(speech);
                self.played(now, speech, position, total);
            }
            MediaEvent::PlaybackEnded { speech, position } => {
                let (speech, total) = (SpeechId(speech.0), Some(position));
                self.played(now, speech, position, total);
                self.pipeline.played(speech);
                self.playback(now, speech, PlaybackEvent::Ended);
            }
            MediaEvent::UnexpectedPackets { from } => self.media_watch.dropped(from),
        }
    }

    fn played(&mut self, now: Instant, speech: SpeechId, position: Duration, total: Option<Duration>) {
        let letters = self.pipeline.letters_until(speech, position);
        let progress = PlaybackProgress { position, total, letters };
        self.playback(now, speech, PlaybackEvent::Progress(progress));
    }

    fn playback(&mut self, now: Instant, speech: SpeechId, event: PlaybackEvent) {
        self.handle(now, Input::Playback { speech, event });
    }

    /// The response begins: readers of the call's events learn the caller's words.
    fn playback_started(&mut self, now: Instant, speech: SpeechId, records: &mut Records) {
        let turn = self.pipeline.turn_of(speech);
        self.playback(now, speech, PlaybackEvent::Started);
        if let Some(turn) = turn {
            records.response_begins(turn, self.conversation.context());
        }
    }

    fn times(&self) -> Times {
        let now = Instant::now();
        Times { now, conversation: self.clock.at(now) }
    }

    fn finish_turn(&mut self, record: &Record, records: &mut Records) {
        self.pipeline.turn_finished(record.turn);
        let context = self.conversation.context();
        records.turn(record, context.len(), self.times());
        records.engine_stages(&record.latency, &self.pipeline.stage_engines());
        records.save(record.turn, context);
    }
}
