//! The pipeline of three engines: STT, LLM and TTS.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::warn;

use super::context::prompt;
use super::end_listener::EndListener;
use super::positions::Positions;
use super::recogniser::{Recogniser, recognition};
use super::speech_queue::{NewSpeech, SpeechQueue};
use super::tasks::{EngineResult, EngineTasks, RequestId, SynthesisEvent};
use super::voice::CallVoice;
use super::{Announcer, AudioPiece, EngineFault, PartyListener, PipelineEvent, PlaybackEffect, reply};
use crate::call::{Agent, PromptCache};
use crate::conversation::{
    At, Attempt, Command, ContextItem, Recognition, ResponseEvent, SpeechId, TurnId, UtteranceId,
};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::llm::Delta;
use crate::engines::stt::{SessionConfig, SttEvent, Utterance};
use crate::tenancy::EngineKind;
use crate::tools::Reading;

/// Audio that is kept between turns: enough for the beginning of the next utterance.
const KEPT: Duration = Duration::from_secs(3);

/// Audio before an utterance that is kept with it: recognisers hear the soft start of a word.
const LEAD: Duration = Duration::from_millis(300);

pub struct Cascade {
    agent: Arc<Agent>,
    meter: Meter,
    recogniser: Recogniser,
    positions: Positions,
    /// Listens to the ends of utterances, if the agent goes by their sound.
    listener: Option<EndListener>,
    /// The utterance that has begun.
    open: Option<(UtteranceId, TurnId)>,
    /// Utterances that have ended, until their words are known.
    ended: Vec<(UtteranceId, TurnId)>,
    speech: SpeechQueue,
    tasks: EngineTasks,
    /// The latest request to the model.
    request: RequestId,
    /// The request to the model that has not ended.
    asked: Option<Asked>,
    results: mpsc::Receiver<EngineResult>,
    events: VecDeque<PipelineEvent>,
}

/// A request to the model.
struct Asked {
    /// The agent that asks: the call may have another one before the reply ends.
    agent: Arc<Agent>,
    turn: TurnId,
    request: RequestId,
    handle: AbortHandle,
}

impl Cascade {
    /// A pipeline for a call at `rate` samples a second. Its usage is added to `meter`.
    pub fn new(agent: Arc<Agent>, prompts: Arc<PromptCache>, meter: Meter, rate: u32) -> Cascade {
        let config = session(&agent, &meter, rate);
        let (tasks, results) = EngineTasks::new();
        Cascade {
            recogniser: Recogniser::new(&*agent.engines.stt, config),
            positions: Positions::new(rate),
            listener: EndListener::of(&agent, rate, 0),
            open: None,
            ended: Vec::new(),
            speech: SpeechQueue::new(agent.clone(), prompts, meter.clone(), rate),
            tasks,
            request: RequestId::default(),
            asked: None,
            results,
            events: VecDeque::new(),
            agent,
            meter,
        }
    }

    /// Another agent goes on with the call. Speech that was requested before is still that of the agent before it, and so is the
    /// recognition of utterances that have begun.
    pub fn change_agent(&mut self, agent: Arc<Agent>) {
        // The same engine for the requests of one tenant has the same name in memory.
        let is_same = Arc::ptr_eq(agent.engines.stt.name(), self.agent.engines.stt.name())
            && agent.hints == self.agent.hints;
        if !is_same {
            let config = session(&agent, &self.meter, self.positions.rate());
            self.recogniser.replace(&*agent.engines.stt, config);
        }
        let (rate, end) = (self.positions.rate(), self.positions.before_end(Duration::ZERO));
        self.listener = EndListener::of(&agent, rate, end);
        self.speech.change_agent(agent.clone());
        self.agent = agent;
    }

    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// The session of the speech-to-speech engine of an agent that goes on with the call.
    pub fn open_voice(&self, agent: &Agent) -> Option<CallVoice> {
        CallVoice::open(agent, &self.meter, self.positions.rate(), self.positions.before_end(Duration::ZERO))
    }

    /// The position of a moment in the caller's audio.
    pub fn position(&self, at: At) -> u64 {
        self.positions.of(at)
    }

    /// Adds an event that is not its own.
    pub fn report(&mut self, event: PipelineEvent) {
        self.events.push_back(event);
    }

    /// An announcement to the target of a transfer: for whom the call is, the agent's summary, and how to accept it.
    pub fn announcer(&self, tenant: &str, summary: Option<&str>) -> Announcer {
        let prompts = &self.agent.language.prompts;
        let call = prompts.transfer_call.replace("{name}", tenant);
        let parts = [Some(call.as_str()), summary, Some(prompts.transfer_choice)];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Announcer::new(self.speech.another(), text)
    }

    /// Listens to a party of a transfer, which has the call's media from now on.
    pub fn party_listener(&self) -> PartyListener {
        self.listener_from(self.positions.before_end(Duration::ZERO))
    }

    /// Listens to a party from this position of its own media on.
    pub fn listener_from(&self, from: u64) -> PartyListener {
        let config = session(&self.agent, &self.meter, self.positions.rate());
        PartyListener::new(&*self.agent.engines.stt, config, from)
    }

    /// Carries out a command of the conversation.
    pub fn command(&mut self, command: Command) -> PlaybackEffect {
        match command {
            Command::Recognise { utterance, turn, from } => {
                self.open = Some((utterance, turn));
                self.recogniser.begin(Utterance(utterance.0), self.positions.of(from));
            }
            Command::EndUtterance { utterance, at } => self.end_utterance(utterance, at),
            Command::Respond { turn, context, attempt } => self.respond(turn, &context, attempt),
            Command::JudgeEnd { turn, from, to } => self.judge_end(turn, from, to),
            Command::Cancel { turn } => return self.cancel(turn),
            Command::Speak { speech, turn, what, held } => {
                let added = NewSpeech { speech, turn, what: &what, held };
                if !self.speech.add(added, &mut self.tasks) {
                    self.events.push_back(PipelineEvent::SpeechSkipped { speech });
                }
            }
            Command::Replace { failed, speech, turn, what, held } => {
                self.speech.replace(failed, NewSpeech { speech, turn, what: &what, held }, &mut self.tasks);
            }
            Command::Release { turn } => self.speech.release(turn),
        }
        PlaybackEffect::Unchanged
    }

    /// Takes the next samples of the caller, silence included.
    pub fn caller_audio(&mut self, samples: &[i16]) {
        self.positions.advance(samples.len());
        if let Some(listener) = &mut self.listener {
            listener.push(samples);
        }
        self.recogniser.audio(samples);
    }

    /// The moment `at` is at `position` of the caller's audio.
    pub fn mark(&mut self, at: At, position: u64) {
        self.positions.mark(at, position);
    }

    /// The next event. Waits for one; dropping the future loses none.
    pub async fn next(&mut self) -> PipelineEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            tokio::select! {
                event = poll_fn(|cx| self.recogniser.poll_event(cx)) => self.recognised(event),
                Some(result) = self.results.recv() => self.take(result),
            }
        }
    }

    /// The next event that needs no wait.
    pub fn next_ready(&mut self) -> Option<PipelineEvent> {
        self.events.pop_front()
    }

    /// The next audio for playback, if there is any that is not held.
    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        self.speech.next_audio()
    }

    /// The length of a speech, once it is known.
    pub fn length(&self, speech: SpeechId) -> Option<Duration> {
        self.speech.length_of(speech)
    }

    /// How many letters of its text a speech has up to a position, where the TTS engine reports its words.
    pub fn letters_until(&self, speech: SpeechId, position: Duration) -> Option<u32> {
        self.speech.letters_until(speech, position)
    }

    /// The turn of a speech, until it has been played to its end.
    pub fn turn_of(&self, speech: SpeechId) -> Option<TurnId> {
        self.speech.turn_of(speech)
    }

    /// A speech was played to its end.
    pub fn played(&mut self, speech: SpeechId) {
        self.speech.played(speech);
    }

    /// Drops all speech that has not been played.
    pub fn flush(&mut self) {
        self.speech.flush();
    }

    /// A turn is over: only the newest of the caller's audio may still be asked for, and that of an utterance that began at
    /// `open_from`. Returns the position from which it is kept; the recogniser bounds its length.
    pub fn turn_finished(&mut self, turn: TurnId, open_from: Option<At>) -> u64 {
        let open = open_from.map(|from| self.positions.of(At(from.0.saturating_sub(LEAD))));
        let newest = self.positions.before_end(KEPT);
        let kept_from = open.map_or(newest, |open| open.min(newest));
        self.tasks.forget(turn);
        self.speech.end_turn(turn);
        self.recogniser.forget(kept_from);
        kept_from
    }

    fn end_utterance(&mut self, utterance: UtteranceId, at: At) {
        if let Some(open) = self.open.take_if(|(open, _)| *open == utterance) {
            self.ended.push(open);
            self.recogniser.end(Utterance(utterance.0), self.positions.of(at));
        }
    }

    /// Has the utterance judged by its sound, up to the beginning of its pause: a longer one would sound finished.
    fn judge_end(&mut self, turn: TurnId, from: At, to: At) {
        let Some(listener) = &self.listener else { return };
        let judgement = listener.judge(&self.positions, from, to);
        self.tasks.start(turn, |reports| async move {
            if let Some(by) = judgement.await {
                // Without a receiver the call is over.
                let _ = reports.send(EngineResult::SoundsUnfinished { to, by }).await;
            }
        });
    }

    fn cancel(&mut self, turn: TurnId) -> PlaybackEffect {
        let open = self.open.take_if(|(_, of)| *of == turn);
        let ended = self.ended.extract_if(.., |(_, of)| *of == turn);
        for (utterance, _) in open.into_iter().chain(ended) {
            self.recogniser.cancel(Utterance(utterance.0));
        }
        self.tasks.cancel(turn);
        self.asked.take_if(|asked| asked.turn == turn);
        self.drop_events(turn);
        self.speech.cancel(turn, &mut self.tasks)
    }

    fn respond(&mut self, turn: TurnId, context: &[ContextItem], attempt: Attempt) {
        self.drop_response(turn);
        let prompt = prompt(&self.agent, context, attempt);
        let (llm, meter) = (self.agent.engines.llm.clone(), self.meter.clone());
        let request = self.request.next();
        self.speech.begin_reply(turn);
        let handle = self.tasks.start(turn, |reports| async move {
            let deltas = llm.reply(prompt, meter).await;
            reply::report(deltas, request, &reports).await;
        });
        self.asked = Some(Asked { agent: self.agent.clone(), turn, request, handle });
    }

    /// Abandons a request for this turn that has not ended.
    fn drop_response(&mut self, turn: TurnId) {
        if let Some(asked) = self.asked.take_if(|asked| asked.turn == turn) {
            asked.handle.abort();
            self.drop_events(turn);
        }
    }

    fn drop_events(&mut self, turn: TurnId) {
        self.events.retain(|event| !matches!(event, PipelineEvent::Response { turn: of, .. } if *of == turn));
    }

    fn recognised(&mut self, (event, engine): (SttEvent, Arc<str>)) {
        let (utterance, result) = recognition(event);
        let is_this = |it: &mut (UtteranceId, TurnId)| it.0 == utterance;
        let is_awaited = match &result {
            Ok(Recognition::Final { .. }) | Err(_) => self.ended.extract_if(.., is_this).count() > 0,
            Ok(Recognition::TurnEnded { .. }) => {
                self.open.take_if(is_this).is_some() || self.ended.extract_if(.., is_this).count() > 0
            }
            Ok(_) => self.open.is_some_and(|(open, _)| open == utterance),
        };
        if !is_awaited {
            return;
        }
        let event = result.unwrap_or_else(|error| {
            warn!(%error, %engine, "no transcript");
            self.engine_failed(EngineKind::Stt, engine, error);
            Recognition::Failed
        });
        self.events.push_back(PipelineEvent::Recognition { utterance, event });
    }

    fn take(&mut self, result: EngineResult) {
        match result {
            EngineResult::Reply { request, delta } => self.replied(request, delta),
            EngineResult::ReplyPaused { request } => self.reply_paused(request),
            EngineResult::SoundsUnfinished { to, by } => {
                self.events.push_back(PipelineEvent::SoundsUnfinished { to, by });
            }
            EngineResult::Synthesis { speech, event } => self.synthesised(speech, event),
        }
    }

    /// The next part of a speech.
    pub(super) fn synthesised(&mut self, speech: SpeechId, event: SynthesisEvent) {
        let was_silent = self.speech.is_silent(speech);
        match self.speech.take(speech, event, &mut self.tasks) {
            None => {
                let begins = was_silent && !self.speech.is_silent(speech);
                self.events.extend(begins.then_some(PipelineEvent::Synthesised { speech }));
                self.events.push_back(PipelineEvent::Audio);
            }
            Some((error, engine)) => {
                warn!(%error, %engine, "synthesis failed");
                self.engine_failed(EngineKind::Tts, engine, error);
                self.events.push_back(PipelineEvent::SynthesisFailed { speech });
            }
        }
    }

    /// The next part of a response, unless it is of an abandoned request.
    fn replied(&mut self, request: RequestId, delta: Option<Result<Delta, EngineError>>) {
        let is_last = matches!(delta, None | Some(Err(_) | Ok(Delta::End)));
        let asked = self.asked.as_ref().filter(|asked| asked.request == request);
        let Some((agent, turn)) = asked.map(|asked| (asked.agent.clone(), asked.turn)) else { return };
        self.asked.take_if(|_| is_last);
        let event = match delta {
            Some(Ok(Delta::Text(text))) => {
                self.speech.add_words(turn, &text, &mut self.tasks);
                ResponseEvent::Text(text)
            }
            Some(Ok(Delta::ToolCall(call))) => match agent.toolbox.read(call) {
                Reading::EndCall => ResponseEvent::EndCall,
                Reading::Call(call) => ResponseEvent::ToolCall(call),
            },
            Some(Ok(Delta::Writing)) => ResponseEvent::Writing,
            Some(Ok(Delta::Declined)) => ResponseEvent::Text(agent.language.prompts.declined.to_owned()),
            Some(Err(error)) => {
                let engine = agent.engines.llm.name().clone();
                warn!(%error, %engine, "no reply");
                self.engine_failed(EngineKind::Llm, engine, error);
                ResponseEvent::Failed
            }
            None | Some(Ok(Delta::End)) => ResponseEvent::Finished,
        };
        self.events.push_back(PipelineEvent::Response { turn, event });
    }

    fn reply_paused(&mut self, request: RequestId) {
        if let Some(asked) = self.asked.as_ref().filter(|asked| asked.request == request) {
            self.events.push_back(PipelineEvent::Response { turn: asked.turn, event: ResponseEvent::Paused });
        }
    }

    pub(super) fn engine_failed(&mut self, kind: EngineKind, engine: Arc<str>, error: EngineError) {
        self.events.push_back(PipelineEvent::EngineFailed(EngineFault { kind, engine, error }));
    }
}

/// The terms on which the caller's speech is recognised.
fn session(agent: &Agent, meter: &Meter, rate: u32) -> SessionConfig {
    SessionConfig { rate, hints: agent.hints.clone(), meter: meter.clone() }
}
