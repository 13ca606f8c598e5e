//! A conversation under way: the state machine with its audio, its clock and the engines it asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use metrics::counter;
use tokio::sync::mpsc;
use tracing::warn;

use super::Agent;
use super::caller_audio::CallerAudio;
use super::clock::Clock;
use super::media_watch::MediaWatch;
use super::speech_queue::SpeechQueue;
use super::tasks::{CallTasks, TaskResult};
use crate::audio::Clip;
use crate::conversation::{
    At, ContextItem, Conversation, Ending, Input, Phrase, ResponseEvent, TurnId, UtteranceId,
};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Delta, Deltas, Message, Prompt, Role};
use crate::media::Port;

/// A conversation under way.
pub struct Talk {
    pub conversation: Conversation,
    pub clock: Clock,
    pub agent: Arc<Agent>,
    pub port: Port,
    pub caller_audio: CallerAudio,
    pub speech: SpeechQueue,
    /// The media thread hears a voice, whether or not the conversation listens.
    pub voiced: bool,
    /// The utterance that is being recognised: its id, turn and beginning.
    pub recognising: Option<(UtteranceId, TurnId, At)>,
    pub ending: Option<Ending>,
    pub media_watch: MediaWatch,
    /// The agent's first sound waits until this moment.
    pub first_sound: Option<Instant>,
}

impl Talk {
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.conversation.handle(self.clock.at(now), input);
    }

    /// The time at which the call has to wake up in any case.
    pub fn deadline(&self) -> Option<Instant> {
        let conversation = self.conversation.deadline().and_then(|(at, _)| self.clock.instant(at));
        [conversation, self.media_watch.deadline(), self.first_sound].into_iter().flatten().min()
    }

    /// Feeds the media thread, once the first sound may leave.
    pub fn feed(&mut self, now: Instant) {
        self.first_sound.take_if(|at| *at <= now);
        if self.first_sound.is_none() {
            self.speech.feed(&mut self.port);
        }
    }

    /// Reports a call without media, once.
    pub fn watch_media(&mut self, now: Instant) {
        if let Some(cause) = self.media_watch.check(now, &self.port.report()) {
            counter!("vca_calls_without_media_total", "cause" => cause.as_str()).increment(1);
            warn!(%cause, "no media from the caller since the answer");
        }
    }

    /// The caller's audio between two moments.
    fn clip(&self, from: At, to: At) -> Clip {
        let instant = |at| self.clock.instant(at).unwrap_or_else(Instant::now);
        self.caller_audio.between(instant(from), instant(to))
    }

    /// Starts the transcription of an utterance that ends at `to`.
    pub fn transcribe(&mut self, utterance: UtteranceId, to: At, meter: &Meter, tasks: &mut CallTasks) {
        let Some((_, turn, from)) = self.recognising.take_if(|(open, ..)| *open == utterance) else { return };
        self.caller_audio.fetch(&mut self.port);
        let clip = self.clip(from, to);
        let (stt, hints) = (self.agent.engines.stt.clone(), self.agent.hints.clone());
        let meter = meter.clone();
        tasks.start_for(turn, |reports| async move {
            let result = stt.transcribe(clip, hints, meter).await;
            drop(reports.send(TaskResult::Words { utterance, result }).await);
        });
    }

    /// A piece of the model's reply as the conversation's event; `None` is the end of the stream.
    pub fn response_event(&self, delta: Option<Result<Delta, EngineError>>) -> ResponseEvent {
        match delta {
            Some(Ok(Delta::Text(text))) => ResponseEvent::Text(text),
            Some(Ok(Delta::HangUp)) => ResponseEvent::HangUp,
            Some(Ok(Delta::Declined)) => ResponseEvent::Text(self.agent.language.prompts.declined.to_owned()),
            Some(Err(_)) => ResponseEvent::Failed,
            None | Some(Ok(Delta::End)) => ResponseEvent::Finished,
        }
    }

    /// Starts the model's response to a context.
    pub fn respond(&self, turn: TurnId, context: &[ContextItem], meter: &Meter, tasks: &mut CallTasks) {
        let prompt = Prompt {
            system: self.agent.system_prompt.clone(),
            messages: messages(context, &self.agent.phrases),
            model: self.agent.model.clone(),
            max_tokens: self.agent.max_reply_tokens,
            may_hang_up: self.agent.may_hang_up,
        };
        let (llm, meter) = (self.agent.engines.llm.clone(), meter.clone());
        tasks.start_for(turn, |reports| async move {
            let deltas = llm.reply(prompt, meter).await;
            pass_on(deltas, turn, reports).await;
        });
    }
}

/// The context as the model reads it: without the prompts for failed engines, which models imitate.
fn messages(context: &[ContextItem], phrases: &HashMap<Phrase, Arc<str>>) -> Vec<Message> {
    let message = |item: &ContextItem| match item {
        ContextItem::Caller { text } => Message { role: Role::Caller, text: text.clone() },
        ContextItem::Dtmf(keys) => Message { role: Role::Caller, text: keys.to_string() },
        ContextItem::Agent { text, .. } => {
            Message { role: Role::Agent, text: without_failures(text, phrases) }
        }
    };
    context.iter().map(message).filter(|message| !message.text.is_empty()).collect()
}

/// The agent's words without prompts for failed engines. A prompt that the caller interrupted is the whole of its line.
fn without_failures(text: &str, phrases: &HashMap<Phrase, Arc<str>>) -> String {
    let prompts = [Phrase::Difficulty, Phrase::AudioIssues].iter().filter_map(|phrase| phrases.get(phrase));
    let mut text = text.trim().to_owned();
    for prompt in prompts.map(|prompt| prompt.trim()).filter(|prompt| !prompt.is_empty()) {
        if prompt.starts_with(&text) {
            return String::new();
        }
        text = text.replace(prompt, "").trim().to_owned();
    }
    text
}

/// Reports a response piece by piece.
async fn pass_on(deltas: Result<Deltas, EngineError>, turn: TurnId, reports: mpsc::Sender<TaskResult>) {
    let report = async |delta| reports.send(TaskResult::Reply { turn, delta }).await.is_ok();
    let mut deltas = match deltas {
        Ok(deltas) => deltas,
        Err(error) => {
            report(Some(Err(error))).await;
            return;
        }
    };
    while let Some(delta) = deltas.next().await {
        let is_last = matches!(delta, Err(_) | Ok(Delta::End));
        if !report(Some(delta)).await {
            return;
        }
        if is_last {
            // The tokens are counted while the rest of the stream is read.
            while deltas.next().await.is_some() {}
            return;
        }
    }
    report(None).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_does_not_read_prompts_for_failures() {
        let phrases = HashMap::from([
            (Phrase::Difficulty, "Technical difficulty, trying again.".into()),
            (Phrase::AudioIssues, "Audio issues, please hold.".into()),
        ]);
        let caller = |text: &str| ContextItem::Caller { text: text.into() };
        let agent = |text: &str| ContextItem::Agent { text: text.into(), cut_short: false };
        let context = [
            agent("Hello."),
            caller("Audio issues, please hold."),
            agent("Technical difficulty, trying again."),
            agent("We open at nine. Audio issues, please hold."),
            agent("Technical difficulty,"),
        ];
        let texts: Vec<_> = messages(&context, &phrases).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["Hello.", "Audio issues, please hold.", "We open at nine."]);
    }
}
