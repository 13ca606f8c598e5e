//! The part of a speech-to-speech engine in a call: its session, and the utterances, requests and speeches that are its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use super::context::prompt;
use super::tasks::SynthesisEvent;
use crate::call::Agent;
use crate::conversation::{At, Attempt, ContextItem, SpeechId, TurnId, UtteranceId};
use crate::engines::core::usage::Meter;
use crate::engines::realtime::{ResponseKey, VoiceEngine, VoiceEvent, VoiceSession};
use crate::engines::stt::Utterance;

pub struct CallVoice {
    engine: Arc<VoiceEngine>,
    session: VoiceSession,
    /// The session's audio begins with this sample of the call's.
    begins_at: u64,
    /// Utterances without their words.
    pub utterances: Vec<VoiceUtterance>,
    /// The number of the latest request.
    number: u32,
    pub request: Option<VoiceRequest>,
    /// Speeches that are not played to their end.
    speeches: Vec<VoiceSpeech>,
}

/// An utterance that the session recognises.
#[derive(Clone, Copy)]
pub struct VoiceUtterance {
    pub utterance: UtteranceId,
    pub turn: TurnId,
    pub from: At,
    pub end: Option<At>,
}

/// The latest request to the model.
pub struct VoiceRequest {
    key: ResponseKey,
    pub turn: TurnId,
    pub context: Arc<[ContextItem]>,
    pub attempt: Attempt,
    pub progress: RequestProgress,
    pub audio: RequestAudio,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RequestProgress {
    /// The conversation knows nothing of the response.
    Awaited,
    Begun,
    Complete,
}

/// The place of a response's audio.
pub enum RequestAudio {
    /// The conversation has not named its speech yet.
    Waiting(Vec<SynthesisEvent>),
    Speech(SpeechId),
}

struct VoiceSpeech {
    speech: SpeechId,
    turn: TurnId,
    key: ResponseKey,
    /// How much of it was played.
    heard: Duration,
}

impl CallVoice {
    /// Opens the session of an agent, if it has such an engine. It hears the caller from position `begins_at` on.
    pub fn open(agent: &Agent, meter: &Meter, rate: u32, begins_at: u64) -> Option<CallVoice> {
        let engine = agent.engines.realtime.clone()?;
        let session = engine.open(&agent.voice_terms(meter, rate));
        let (utterances, speeches) = (Vec::new(), Vec::new());
        Some(CallVoice { engine, session, begins_at, utterances, number: 0, request: None, speeches })
    }

    pub fn engine(&self) -> &Arc<VoiceEngine> {
        &self.engine
    }

    pub fn audio(&mut self, samples: &[i16]) {
        self.session.audio(samples);
    }

    /// An utterance begins at `position` of the call's audio.
    pub fn begin(&mut self, utterance: VoiceUtterance, position: u64) {
        self.utterances.push(utterance);
        self.session.begin(Utterance(utterance.utterance.0), self.place(position));
    }

    pub fn end(&mut self, utterance: UtteranceId, at: At, position: u64) {
        let place = self.place(position);
        if let Some(open) = self.utterances.iter_mut().find(|it| it.utterance == utterance) {
            open.end = Some(at);
            self.session.end(Utterance(utterance.0), place);
        }
    }

    /// The beginning of the oldest utterance without words.
    pub fn oldest_utterance(&self) -> Option<At> {
        self.utterances.iter().map(|it| it.from).min()
    }

    pub fn forget(&mut self, position: u64) {
        self.session.forget(self.place(position));
    }

    /// Asks for a response.
    pub fn respond(&mut self, agent: &Agent, turn: TurnId, context: Arc<[ContextItem]>, attempt: Attempt) {
        self.number = self.number.wrapping_add(1);
        let key = ResponseKey(self.number);
        self.session.respond(key, prompt(agent, &context, attempt));
        let (progress, audio) = (RequestProgress::Awaited, RequestAudio::Waiting(Vec::new()));
        self.request = Some(VoiceRequest { key, turn, context, attempt, progress, audio });
    }

    /// Whether its latest request is of this turn.
    pub fn was_asked_in(&self, turn: TurnId) -> bool {
        self.request.as_ref().is_some_and(|request| request.turn == turn)
    }

    /// The request with this key, if it is the latest one and not complete.
    pub fn pending(&mut self, key: ResponseKey) -> Option<&mut VoiceRequest> {
        let is_pending =
            |request: &&mut VoiceRequest| request.key == key && request.progress != RequestProgress::Complete;
        self.request.as_mut().filter(is_pending)
    }

    /// The response to the latest request is this speech. Returns its audio so far; none if there is no such response.
    pub fn speak(&mut self, speech: SpeechId, turn: TurnId) -> Option<Vec<SynthesisEvent>> {
        let request = self.request.as_mut().filter(|request| request.turn == turn)?;
        let waiting = std::mem::replace(&mut request.audio, RequestAudio::Speech(speech));
        self.speeches.push(VoiceSpeech { speech, turn, key: request.key, heard: Duration::ZERO });
        match waiting {
            RequestAudio::Waiting(audio) => Some(audio),
            RequestAudio::Speech(_) => None,
        }
    }

    /// So much of a speech was played.
    pub fn heard(&mut self, speech: SpeechId, position: Duration) {
        if let Some(speech) = self.speeches.iter_mut().find(|it| it.speech == speech) {
            speech.heard = position;
        }
    }

    /// A speech was played to its end.
    pub fn played(&mut self, speech: SpeechId) {
        self.speeches.retain(|it| it.speech != speech);
    }

    /// All work for a turn is abandoned. The model has said as much as was heard.
    pub fn cancel(&mut self, turn: TurnId) {
        for cancelled in self.utterances.extract_if(.., |it| it.turn == turn) {
            self.session.cancel(Utterance(cancelled.utterance.0));
        }
        self.cut(|speech| speech.turn == turn);
        if let Some(request) = self.request.take_if(|request| request.turn == turn) {
            self.session.stop(request.key, Duration::ZERO);
        }
    }

    /// All speech that was not played is dropped.
    pub fn flush(&mut self) {
        self.cut(|_| true);
    }

    fn cut(&mut self, is_cut: impl Fn(&VoiceSpeech) -> bool) {
        for speech in self.speeches.extract_if(.., |speech| is_cut(speech)) {
            self.session.stop(speech.key, speech.heard);
        }
    }

    /// The next event of the session. Dropping the future loses none.
    pub async fn next(&mut self) -> VoiceEvent {
        poll_fn(|cx| self.session.poll_event(cx)).await
    }

    /// A position of the call's audio in that of the session.
    fn place(&self, position: u64) -> u64 {
        position.saturating_sub(self.begins_at)
    }
}
