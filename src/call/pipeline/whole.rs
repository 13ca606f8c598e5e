//! The pipeline of a call: the cascade, and before it a speech-to-speech engine, where the agent has one.
//!
//! | command | with a session | without, or after its failure |
//! |---|---|---|
//! | recognise | the session hears the utterance and transcribes it | STT |
//! | respond | the model answers what it heard, and speaks itself | LLM |
//! | speak its own words | the session's audio | – |
//! | speak a prompt or a text | TTS | TTS |
//!
//! The cascade hears the caller all the time. When the session fails, it recognises the utterances without words and answers the
//! request without a response: the conversation hears of a failure only if a part of the response was reported before.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::warn;

use super::recogniser::recognition;
use super::tasks::SynthesisEvent;
use super::voice::{CallVoice, RequestAudio, RequestProgress, VoiceUtterance};
use super::{Announcer, AudioPiece, Cascade, PartyListener, PipelineEvent, PlaybackEffect};
use crate::call::{Agent, PromptCache};
use crate::conversation::{At, Attempt, Command, Recognition, ResponseEvent, Say, SpeechId, TurnId};
use crate::engines::core::usage::Meter;
use crate::engines::core::{EngineError, label};
use crate::engines::realtime::{ResponseKey, VoiceEvent, VoicePart};
use crate::engines::stt::SttEvent;
use crate::tenancy::EngineKind;
use crate::tools::Reading;

pub struct Pipeline {
    cascade: Cascade,
    /// The session of the agent's speech-to-speech engine, until it fails.
    voice: Option<CallVoice>,
}

impl Pipeline {
    /// A pipeline for a call at `rate` samples a second. Its usage is added to `meter`.
    pub fn new(agent: Arc<Agent>, prompts: Arc<PromptCache>, meter: Meter, rate: u32) -> Pipeline {
        let voice = CallVoice::open(&agent, &meter, rate, 0);
        Pipeline { cascade: Cascade::new(agent, prompts, meter, rate), voice }
    }

    /// Another agent goes on with the call. The cascade ends what the session has begun, unless the agents share it.
    pub fn change_agent(&mut self, agent: Arc<Agent>) {
        let before = self.cascade.agent().clone();
        let shares = match (&self.voice, &agent.engines.realtime) {
            (Some(voice), Some(engine)) => {
                Arc::ptr_eq(voice.engine().name(), engine.name()) && agent.speaks_like(&before)
            }
            (None, None) => true,
            _ => false,
        };
        if shares {
            return self.cascade.change_agent(agent);
        }
        if let Some(voice) = self.voice.take() {
            self.hand_over(voice);
        }
        self.voice = self.cascade.open_voice(&agent);
        self.cascade.change_agent(agent);
    }

    /// The names of the engines for the words of the caller, the response and its sound.
    pub fn stage_engines(&self) -> [Arc<str>; 3] {
        match &self.voice {
            Some(voice) => std::array::from_fn(|_| voice.engine().name().clone()),
            None => {
                let engines = &self.cascade.agent().engines;
                [engines.stt.name().clone(), engines.llm.name().clone(), engines.tts.name().clone()]
            }
        }
    }

    /// As of [`Cascade::announcer`].
    pub fn announcer(&self, tenant: &str, summary: Option<&str>) -> Announcer {
        self.cascade.announcer(tenant, summary)
    }

    /// As of [`Cascade::party_listener`].
    pub fn party_listener(&self) -> PartyListener {
        self.cascade.party_listener()
    }

    /// Listens to a party with media of its own, from the first sample on.
    pub fn other_listener(&self) -> PartyListener {
        self.cascade.listener_from(0)
    }

    /// Carries out a command of the conversation.
    pub fn command(&mut self, command: Command) -> PlaybackEffect {
        let Some(voice) = &mut self.voice else { return self.without_session(command) };
        match command {
            Command::Recognise { utterance, turn, from } => {
                voice.begin(VoiceUtterance { utterance, turn, from, end: None }, self.cascade.position(from));
            }
            Command::EndUtterance { utterance, at } => voice.end(utterance, at, self.cascade.position(at)),
            // A response that failed may be one of an agent before.
            Command::Respond { turn, context, attempt }
                if attempt == Attempt::First || !voice.was_asked_in(turn) =>
            {
                voice.respond(self.cascade.agent(), turn, context, attempt);
            }
            Command::Respond { .. } => {
                // The conversation has given up the response before.
                if let Some(request) = voice.request.take()
                    && let RequestAudio::Speech(speech) = request.audio
                {
                    self.deliver(speech, vec![SynthesisEvent::Finished]);
                }
                self.voice_failed(EngineError::Temporary("a response without words".into()));
                return self.cascade.command(command);
            }
            Command::Speak { speech, turn, what: Say::Spoken, .. } => {
                let audio = voice.speak(speech, turn);
                let effect = self.cascade.command(command);
                let ended = || vec![SynthesisEvent::Finished];
                self.deliver(speech, audio.unwrap_or_else(ended));
                return effect;
            }
            Command::Cancel { turn } => {
                voice.cancel(turn);
                return self.cascade.command(command);
            }
            command => return self.cascade.command(command),
        }
        PlaybackEffect::Unchanged
    }

    /// Carries out a command by the cascade alone. The rest of the model's own speech is lost with its session.
    fn without_session(&mut self, command: Command) -> PlaybackEffect {
        let spoken = match &command {
            Command::Speak { speech, what: Say::Spoken, .. } => Some(*speech),
            _ => None,
        };
        let effect = self.cascade.command(command);
        spoken.into_iter().for_each(|speech| self.deliver(speech, vec![SynthesisEvent::Finished]));
        effect
    }

    /// Takes the next samples of the caller, silence included.
    pub fn caller_audio(&mut self, samples: &[i16]) {
        self.cascade.caller_audio(samples);
        if let Some(voice) = &mut self.voice {
            voice.audio(samples);
        }
    }

    /// The caller is not heard for so many samples.
    pub fn caller_away(&mut self, samples: usize) {
        const SILENCE: [i16; 960] = [0; 960];
        let mut left = samples;
        while left > 0 {
            let count = left.min(SILENCE.len());
            self.caller_audio(&SILENCE[..count]);
            left -= count;
        }
    }

    /// The moment `at` is at `position` of the caller's audio.
    pub fn mark(&mut self, at: At, position: u64) {
        self.cascade.mark(at, position);
    }

    /// The next event. Waits for one; dropping the future loses none.
    pub async fn next(&mut self) -> PipelineEvent {
        loop {
            if let Some(event) = self.cascade.next_ready() {
                return event;
            }
            let Some(voice) = &mut self.voice else { return self.cascade.next().await };
            tokio::select! {
                event = self.cascade.next() => return event,
                event = voice.next() => self.take(event),
            }
        }
    }

    /// The next event that needs no wait.
    pub fn next_ready(&mut self) -> Option<PipelineEvent> {
        self.cascade.next_ready()
    }

    /// The next audio for playback, if there is any that is not held.
    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        self.cascade.next_audio()
    }

    /// The length of a speech, once it is known.
    pub fn length(&self, speech: SpeechId) -> Option<Duration> {
        self.cascade.length(speech)
    }

    /// As of [`Cascade::letters_until`].
    pub fn letters_until(&self, speech: SpeechId, position: Duration) -> Option<u32> {
        self.cascade.letters_until(speech, position)
    }

    /// The turn of a speech, until it has been played to its end.
    pub fn turn_of(&self, speech: SpeechId) -> Option<TurnId> {
        self.cascade.turn_of(speech)
    }

    /// So much of a speech was played.
    pub fn heard(&mut self, speech: SpeechId, position: Duration) {
        if let Some(voice) = &mut self.voice {
            voice.heard(speech, position);
        }
    }

    /// A speech was played to its end.
    pub fn played(&mut self, speech: SpeechId) {
        self.cascade.played(speech);
        if let Some(voice) = &mut self.voice {
            voice.played(speech);
        }
    }

    /// Drops all speech that has not been played.
    pub fn flush(&mut self) {
        self.cascade.flush();
        if let Some(voice) = &mut self.voice {
            voice.flush();
        }
    }

    /// A turn is over: only the newest of the caller's audio may still be asked for, and utterances that the session has not
    /// transcribed, which are the cascade's when it fails.
    pub fn turn_finished(&mut self, turn: TurnId) {
        let open_from = self.voice.as_ref().and_then(CallVoice::oldest_utterance);
        let kept_from = self.cascade.turn_finished(turn, open_from);
        if let Some(voice) = &mut self.voice {
            voice.forget(kept_from);
        }
    }

    fn take(&mut self, event: VoiceEvent) {
        match event {
            VoiceEvent::Recognised(event) => self.recognised(event),
            VoiceEvent::Response { key, part } => self.responded(key, part),
            VoiceEvent::Failed(error) => self.voice_failed(error),
        }
    }

    fn recognised(&mut self, event: SttEvent) {
        if !event.is_last() {
            return;
        }
        let (utterance, result) = recognition(event);
        let event = result.unwrap_or(Recognition::Failed);
        let Some(voice) = &mut self.voice else { return };
        if voice.utterances.extract_if(.., |it| it.utterance == utterance).count() > 0 {
            self.cascade.report(PipelineEvent::Recognition { utterance, event });
        }
    }

    /// The next part of a response, unless it is of an abandoned request.
    fn responded(&mut self, key: ResponseKey, part: VoicePart) {
        let Some(request) = self.voice.as_mut().and_then(|voice| voice.pending(key)) else { return };
        let turn = request.turn;
        let is_first = request.progress == RequestProgress::Awaited;
        let event = match part {
            VoicePart::Words(words) => ResponseEvent::Spoken(words),
            VoicePart::Audio(samples) => {
                request.progress = RequestProgress::Begun;
                self.deliver_response(SynthesisEvent::Samples(samples));
                if !is_first {
                    return;
                }
                // Its words follow.
                ResponseEvent::Spoken(String::new())
            }
            VoicePart::Writing => ResponseEvent::Writing,
            VoicePart::ToolCall(call) => match self.cascade.agent().toolbox.read(call) {
                Reading::EndCall => ResponseEvent::EndCall,
                Reading::Call(call) => ResponseEvent::ToolCall(call),
            },
            VoicePart::End => {
                request.progress = RequestProgress::Complete;
                self.deliver_response(SynthesisEvent::Finished);
                ResponseEvent::Finished
            }
        };
        if let ResponseEvent::Spoken(_) | ResponseEvent::ToolCall(_) | ResponseEvent::EndCall = &event
            && let Some(request) = self.voice.as_mut().and_then(|voice| voice.pending(key))
        {
            request.progress = RequestProgress::Begun;
        }
        self.cascade.report(PipelineEvent::Response { turn, event });
    }

    /// Delivers audio of the latest request's response to its speech, or keeps it until the conversation names one.
    fn deliver_response(&mut self, event: SynthesisEvent) {
        let Some(request) = self.voice.as_mut().and_then(|voice| voice.request.as_mut()) else { return };
        match &mut request.audio {
            RequestAudio::Waiting(audio) => audio.push(event),
            RequestAudio::Speech(speech) => {
                let speech = *speech;
                self.deliver(speech, vec![event]);
            }
        }
    }

    fn deliver(&mut self, speech: SpeechId, events: Vec<SynthesisEvent>) {
        events.into_iter().for_each(|event| self.cascade.synthesised(speech, event));
    }

    /// The session failed: the cascade goes on from here.
    fn voice_failed(&mut self, error: EngineError) {
        let Some(voice) = self.voice.take() else { return };
        let engine = voice.engine().name().clone();
        warn!(%error, %engine, "speech to speech failed: the other engines take over");
        counter!("vca_realtime_failovers_total", "engine" => label(&engine)).increment(1);
        self.cascade.engine_failed(EngineKind::Realtime, engine, error);
        self.hand_over(voice);
    }

    /// Hands the work of a session over to the cascade.
    fn hand_over(&mut self, voice: CallVoice) {
        for VoiceUtterance { utterance, turn, from, end } in voice.utterances {
            let _ = self.cascade.command(Command::Recognise { utterance, turn, from });
            if let Some(at) = end {
                let _ = self.cascade.command(Command::EndUtterance { utterance, at });
            }
        }
        let Some(request) = voice.request else { return };
        let turn = request.turn;
        match (request.progress, request.audio) {
            (RequestProgress::Awaited, _) => {
                let (context, attempt) = (request.context, request.attempt);
                let _ = self.cascade.command(Command::Respond { turn, context, attempt });
            }
            (RequestProgress::Begun, audio) => {
                let report = |event| PipelineEvent::Response { turn, event };
                if let RequestAudio::Speech(speech) = audio {
                    self.deliver(speech, vec![SynthesisEvent::Finished]);
                    let ends = self.cascade.length(speech).map(|after| ResponseEvent::SoundEnds { after });
                    ends.into_iter().for_each(|event| self.cascade.report(report(event)));
                }
                self.cascade.report(report(ResponseEvent::Failed));
            }
            (RequestProgress::Complete, _) => {}
        }
    }
}
