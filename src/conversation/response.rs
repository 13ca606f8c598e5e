//! The agent's response in one turn: its speeches, and how far each was played.

mod playback;
mod questions;
mod repair;
mod rounds;
mod speech;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clauses::Clauses;
use super::endpoint::same_words;
use super::outbox::Outbox;
use super::tool_work::ToolWork;
use super::{At, Command, Ending, Keys, Latency, Phrase, Record, Say, SpeechId, SpokenBy, TurnId};
use crate::language::Language;
use repair::Repair;
use speech::{Progress, ResponseSpeech};

/// Speech within this time after the commit continues the utterance. Later the caller is waiting, and "Hello?" does not
/// discard a response that is nearly there. Independent of the filler, which may be off.
const GOING_ON: Duration = Duration::from_millis(1_500);

/// The utterance that a response answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    /// When the caller began to speak.
    pub from: At,
    /// When they stopped.
    pub to: At,
    /// The transcript; empty without words.
    pub text: String,
    /// Keys that were pressed in place of words or beside them.
    pub keys: Option<Keys>,
}

/// What follows a response that was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Afterwards {
    /// The caller's turn.
    CallersTurn,
    /// The agent hangs up, unless the caller has spoken over it.
    AgentHangsUp,
    /// It is a goodbye: the call ends.
    CallEnds(Ending),
}

/// The author of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Model,
    /// A fixed prompt, or several.
    Prompt,
    Operator,
}

/// Whether the response may be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// It may still be discarded, unheard.
    Prepared,
    /// It is discarded, unheard, once the words of its question are known.
    Outdated,
    Committed,
}

/// The model's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum ResponseText {
    /// The model is asked, and nothing has arrived.
    Awaited,
    /// More may arrive.
    Streaming(Clauses),
    /// The text of this round is complete, and the tools that it calls are not done.
    Tools,
    Complete,
    /// No more of it arrives, but it is not the whole.
    BrokenOff,
}

/// The agent's side of one turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Response {
    pub turn: TurnId,
    /// `None` for a prompt that answers no utterance.
    pub question: Option<Question>,
    stage: Stage,
    text: ResponseText,
    afterwards: Afterwards,
    source: Source,
    pub tools: ToolWork,
    /// An engine's failure left the question without a response, and was counted.
    pub failed: bool,
    repair: Repair,
    pub latency: Latency,
    since: At,
    speeches: Vec<ResponseSpeech>,
    first_audio: Option<At>,
}

impl Response {
    /// A response that may still be discarded, unheard.
    pub fn to(turn: TurnId, question: Question, latency: Latency) -> Response {
        let since = question.to;
        Response {
            question: Some(question),
            latency,
            stage: Stage::Prepared,
            text: ResponseText::Awaited,
            source: Source::Model,
            ..Response::new(turn, since)
        }
    }

    /// A response to keys, the last of which was pressed at `last`.
    pub fn to_keys(turn: TurnId, keys: Keys, last: At) -> Response {
        let question = Question { from: last, to: last, text: String::new(), keys: Some(keys) };
        Response::to(turn, question, Latency::default())
    }

    /// A prompt that answers no utterance.
    pub fn prompt(turn: TurnId, now: At, goodbye: Option<Ending>) -> Response {
        let afterwards = goodbye.map_or(Afterwards::CallersTurn, Afterwards::CallEnds);
        Response { afterwards, ..Response::new(turn, now) }
    }

    /// A response of the model that answers no utterance.
    pub fn unasked(turn: TurnId, now: At) -> Response {
        Response { source: Source::Model, text: ResponseText::Awaited, ..Response::new(turn, now) }
    }

    /// Words that are given, and calls of tools that are added: the model goes on after them.
    pub fn composed(turn: TurnId, now: At) -> Response {
        Response { source: Source::Model, text: ResponseText::Tools, ..Response::new(turn, now) }
    }

    /// The words of an operator.
    pub fn of_operator(turn: TurnId, now: At, goodbye: Option<Ending>) -> Response {
        Response { source: Source::Operator, ..Response::prompt(turn, now, goodbye) }
    }

    pub fn is_of_operator(&self) -> bool {
        self.source == Source::Operator
    }

    fn new(turn: TurnId, since: At) -> Response {
        Response {
            turn,
            question: None,
            stage: Stage::Committed,
            text: ResponseText::Complete,
            afterwards: Afterwards::CallersTurn,
            source: Source::Prompt,
            tools: ToolWork::default(),
            failed: false,
            repair: Repair::Possible,
            latency: Latency::default(),
            since,
            speeches: Vec::new(),
            first_audio: None,
        }
    }

    /// The final words of its question are known, `transcript` after the caller's last sound. Returns whether they are those
    /// that it answers.
    pub fn confirm(&mut self, text: &str, transcript: Duration) -> bool {
        let Some(question) = &mut self.question else { return false };
        let agrees = self.stage != Stage::Outdated && same_words(&question.text, text);
        text.clone_into(&mut question.text);
        self.latency.transcript = Some(transcript);
        agrees
    }

    /// No words confirm it any more.
    pub fn outdate(&mut self) {
        self.stage = Stage::Outdated;
    }

    pub fn commit(&mut self, now: At) {
        self.stage = Stage::Committed;
        self.latency.commit = Some(now.since(self.since));
    }

    pub fn say(&mut self, what: Say, out: &mut Outbox) {
        let (speech, turn, held) = (out.new_speech(), self.turn, !self.is_committed());
        out.command(Command::Speak { speech, turn, what: what.clone(), held });
        self.speeches.push(ResponseSpeech::new(speech, what, self.tools.round()));
    }

    /// Speaks a whole text, sentence by sentence.
    pub fn say_all(&mut self, text: &str, language: &Language, out: &mut Outbox) {
        let mut clauses = Clauses::default();
        let begun = clauses.push(text, language);
        for clause in begun.into_iter().chain(clauses.end(language)) {
            self.say(Say::Text(clause), out);
        }
    }

    /// Adds the next piece of text, and speaks the clauses that it completes.
    pub fn add(&mut self, now: At, text: &str, language: &Language, out: &mut Outbox) {
        if text.is_empty() {
            return;
        }
        if matches!(self.text, ResponseText::Awaited) {
            self.text = ResponseText::Streaming(Clauses::default());
        }
        let ResponseText::Streaming(clauses) = &mut self.text else { return };
        self.latency.reply.get_or_insert(now.since(self.since));
        let clauses = clauses.push(text, language);
        self.say_clauses(now, clauses, out);
    }

    /// The text pauses: speaks the rest of it where that is a whole sentence.
    pub fn pause(&mut self, now: At, language: &Language, out: &mut Outbox) {
        if let ResponseText::Streaming(clauses) = &mut self.text {
            let rest = clauses.pause(language);
            self.say_clauses(now, rest.into_iter().collect(), out);
        }
    }

    fn say_clauses(&mut self, now: At, clauses: Vec<String>, out: &mut Outbox) {
        for clause in clauses {
            self.latency.clause.get_or_insert(now.since(self.since));
            self.say(Say::Text(clause), out);
        }
    }

    /// No more text arrives; an unfinished sentence is dropped. An agent that hangs up without words of its own says a
    /// goodbye.
    pub fn complete(&mut self, out: &mut Outbox) {
        if self.afterwards == Afterwards::AgentHangsUp && self.speeches.is_empty() {
            self.say(Say::Phrase(Phrase::Goodbye), out);
        }
        self.text = ResponseText::Complete;
    }

    /// The agent ends the call after the response.
    pub fn hang_up_afterwards(&mut self) {
        if self.afterwards == Afterwards::CallersTurn {
            self.afterwards = Afterwards::AgentHangsUp;
        }
    }

    /// The call ends after the words so far.
    pub fn end_call_afterwards(&mut self, ending: Ending, out: &mut Outbox) {
        self.afterwards = Afterwards::CallEnds(ending);
        self.complete(out);
    }

    pub fn afterwards(&self) -> Afterwards {
        self.afterwards
    }

    pub fn is_goodbye(&self) -> bool {
        matches!(self.afterwards, Afterwards::CallEnds(_))
    }

    pub fn is_committed(&self) -> bool {
        self.stage == Stage::Committed
    }

    pub fn is_complete(&self) -> bool {
        matches!(self.text, ResponseText::Complete | ResponseText::BrokenOff)
    }

    /// The model's text of the present round may still arrive.
    pub fn is_streaming(&self) -> bool {
        matches!(self.text, ResponseText::Awaited | ResponseText::Streaming(_))
    }

    pub fn contains(&self, speech: SpeechId) -> bool {
        self.speeches.iter().any(|said| said.id == speech)
    }

    pub fn is_broken(&self) -> bool {
        self.speeches.iter().any(|speech| speech.broken)
    }

    /// A speech has not been played to its end.
    pub fn is_pending(&self) -> bool {
        self.speeches.iter().any(|speech| !speech.is_over())
    }

    /// Everything has been played.
    pub fn is_over(&self) -> bool {
        self.is_committed() && self.is_complete() && !self.is_pending()
    }

    /// The caller has asked and heard none of it yet.
    pub fn is_awaited(&self) -> bool {
        self.question.is_some() && self.first_audio.is_none()
    }

    /// A caller who began to speak at `at` had heard none of it.
    pub fn was_unheard(&self, at: At) -> bool {
        self.question.is_some() && self.first_audio.is_none_or(|audio| at < audio)
    }

    /// A caller who began to speak at `at` continued the utterance.
    pub fn was_hasty(&self, at: At) -> bool {
        let committed = self.since.saturating_add(self.latency.commit.unwrap_or_default());
        self.was_unheard(at) && at < committed.saturating_add(GOING_ON)
    }

    /// The utterance was so long that it may not be continued.
    pub fn is_due(&self, longest: Duration) -> bool {
        self.question.as_ref().is_some_and(|question| question.to.since(question.from) >= longest)
    }

    /// A part of it is still to be played that the caller may not interrupt.
    pub fn is_protected(&self) -> bool {
        self.speeches.iter().any(|speech| speech.is_protected() && !speech.is_over())
    }

    /// Whether `speech` is the notice, with sound.
    pub fn is_audible_notice(&self, speech: SpeechId) -> bool {
        self.speeches.iter().any(|said| said.id == speech && said.is_notice() && !said.broken)
    }

    /// It is being heard, and the caller's keys may interrupt it.
    pub fn yields_to_keys(&self) -> bool {
        !self.is_goodbye() && !self.is_awaited() && !self.is_protected()
    }

    /// It answers these keys beside the words.
    pub fn answer_keys(&mut self, keys: Option<Keys>) {
        if let Some(question) = &mut self.question {
            question.keys = keys;
        }
    }

    /// Some of the response's own words were heard.
    pub fn was_heard(&self) -> bool {
        self.was_heard_from(0)
    }

    /// Some of its own words were heard that follow its last action; any words where it has not acted.
    pub fn was_heard_after_acting(&self) -> bool {
        self.was_heard_from(self.tools.rounds_with_actions())
    }

    fn was_heard_from(&self, round: usize) -> bool {
        self.speeches.iter().filter(|speech| speech.round >= round).any(|speech| match &speech.what {
            Say::Text(_) | Say::Spoken => !speech.heard(speech.text(&HashMap::new())).is_empty(),
            Say::Phrase(_) => false,
        })
    }

    /// The agent is changed: the prompts so far are in the words of the one before, `texts`.
    pub fn keep_texts(&mut self, texts: &HashMap<Phrase, String>) {
        for speech in &mut self.speeches {
            speech.keep_text(texts);
        }
    }

    /// The turn's record. `texts` are those of the prompts.
    pub fn record(&self, texts: &HashMap<Phrase, String>, interrupted: bool) -> Record {
        let heard = self.said(|speech| speech.heard(speech.text(texts)));
        Record {
            turn: self.turn,
            caller: self.question.as_ref().map_or_else(String::new, |question| question.text.clone()),
            keys: self.question.as_ref().and_then(|question| question.keys.clone()),
            agent: rounds::joined(heard.into_iter().map(|(_, text)| text)),
            tools: self.tools.uses().cloned().collect(),
            interrupted,
            spoken_by: if self.is_of_operator() { SpokenBy::Operator } else { SpokenBy::Agent },
            latency: self.latency,
        }
    }

    fn find(&mut self, speech: SpeechId) -> Option<&mut ResponseSpeech> {
        let mut speeches = self.speeches.iter_mut();
        speeches.find(|said| said.id == speech && said.progress != Progress::Dropped)
    }
}
