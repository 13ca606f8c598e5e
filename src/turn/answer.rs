//! What the agent says in one turn: its utterances and how far each of them was played.
//!
//! It does not know who holds the floor: it is told to say, and asked what was heard.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::clauses::Clauses;
use super::outbox::Outbox;
use super::transcript::heard;
use super::{Ending, Latency, Output, Phrase, Record, Say, SpeechId, TurnId};

/// A caller who speaks up within this time after the commit has merely paused. Later they are waiting, and a reply
/// that is nearly there is not given up for their "Hello?". A filler may be off or late: this does not hang on it.
const GOING_ON: Duration = Duration::from_millis(1_500);

/// What the caller said, to which an answer is given.
#[derive(Debug)]
pub(super) struct Question {
    /// When the caller began to speak.
    pub from: Instant,
    /// When they stopped.
    pub to: Instant,
    /// Their words; empty if they could not be made out.
    pub text: String,
}

/// The agent's side of one turn.
#[derive(Debug)]
pub(super) struct Answer {
    pub turn: TurnId,
    /// `None` when the agent speaks of its own accord.
    pub question: Option<Question>,
    /// The call ends when this was said.
    pub farewell: Option<Ending>,
    /// The caller may hear it.
    pub committed: bool,
    /// Nothing more will be added.
    pub complete: bool,
    /// An engine's failure left the question without an answer, and that was counted.
    pub failed: bool,
    /// The agent wants the call to end after it.
    pub hangs_up: bool,
    pub latency: Latency,
    since: Instant,
    clauses: Clauses,
    speeches: Vec<Speech>,
    first_audio: Option<Instant>,
}

#[derive(Debug)]
struct Speech {
    id: SpeechId,
    what: Say,
    progress: Progress,
    position: Duration,
    total: Option<Duration>,
    broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Playing,
    Ended,
}

impl Answer {
    /// An answer that may still be taken back, unheard.
    pub fn to(turn: TurnId, question: Question, latency: Latency) -> Answer {
        let since = question.to;
        Answer {
            question: Some(question),
            latency,
            committed: false,
            complete: false,
            ..Answer::new(turn, since)
        }
    }

    /// Something that the agent says of its own accord.
    pub fn prompt(turn: TurnId, now: Instant, farewell: Option<Ending>) -> Answer {
        Answer { farewell, ..Answer::new(turn, now) }
    }

    fn new(turn: TurnId, since: Instant) -> Answer {
        Answer {
            turn,
            question: None,
            farewell: None,
            committed: true,
            complete: true,
            failed: false,
            hangs_up: false,
            latency: Latency::default(),
            since,
            clauses: Clauses::default(),
            speeches: Vec::new(),
            first_audio: None,
        }
    }

    pub fn commit(&mut self, now: Instant) {
        self.committed = true;
        self.latency.commit = Some(now.saturating_duration_since(self.since));
    }

    pub fn say(&mut self, what: Say, out: &mut Outbox) {
        let id = out.new_speech();
        out.push(Output::Say { speech: id, turn: self.turn, what: what.clone(), held: !self.committed });
        let speech = Speech {
            id,
            what,
            progress: Progress::Waiting,
            position: Duration::ZERO,
            total: None,
            broken: false,
        };
        self.speeches.push(speech);
    }

    /// The next piece of the reply: says what of it can be said.
    pub fn add(&mut self, now: Instant, text: &str, out: &mut Outbox) {
        if self.complete || text.is_empty() {
            return;
        }
        self.latency.reply.get_or_insert(now.saturating_duration_since(self.since));
        for clause in self.clauses.push(text) {
            self.say(Say::Text(clause), out);
        }
    }

    /// The reply is complete: says the rest of it.
    pub fn end(&mut self, out: &mut Outbox) {
        if !self.complete {
            for clause in self.clauses.end() {
                self.say(Say::Text(clause), out);
            }
            self.bid_farewell(out);
            self.complete = true;
        }
    }

    /// An agent that hangs up without a word says goodbye all the same.
    pub fn bid_farewell(&mut self, out: &mut Outbox) {
        if self.hangs_up && self.speeches.is_empty() {
            self.say(Say::Phrase(Phrase::Goodbye), out);
        }
    }

    pub fn contains(&self, speech: SpeechId) -> bool {
        self.speeches.iter().any(|said| said.id == speech)
    }

    /// Nothing of the reply was said, heard or not, and nothing is to be done about it but to regret it.
    pub fn is_wordless(&self) -> bool {
        !self.hangs_up && !self.speeches.iter().any(|speech| matches!(speech.what, Say::Text(_)))
    }

    pub fn started(&mut self, speech: SpeechId, now: Instant) {
        let Some(speech) = self.find(speech) else { return };
        speech.progress = Progress::Playing;
        if self.first_audio.is_none() {
            self.first_audio = Some(now);
            self.latency.audio = Some(now.saturating_duration_since(self.since));
        }
    }

    pub fn played(&mut self, speech: SpeechId, now: Instant, position: Duration, total: Option<Duration>) {
        if self.find(speech).is_some_and(|speech| speech.progress == Progress::Waiting) {
            self.started(speech, now);
        }
        let Some(speech) = self.find(speech) else { return };
        speech.position = speech.position.max(position);
        speech.total = total.or(speech.total);
    }

    pub fn ended(&mut self, speech: SpeechId) {
        if let Some(speech) = self.find(speech) {
            speech.progress = Progress::Ended;
        }
    }

    /// Whether `speech` is the first whose synthesis failed in this turn.
    pub fn broke(&mut self, speech: SpeechId) -> bool {
        let first = !self.speeches.iter().any(|speech| speech.broken);
        let Some(speech) = self.find(speech) else { return false };
        speech.broken = true;
        // If there is something to be played all the same, that will be told and undoes this.
        if speech.progress == Progress::Waiting {
            speech.progress = Progress::Ended;
        }
        first
    }

    pub fn is_broken(&self) -> bool {
        self.speeches.iter().any(|speech| speech.broken)
    }

    /// Something that was said has not been played to its end.
    pub fn is_pending(&self) -> bool {
        self.speeches.iter().any(|speech| speech.progress != Progress::Ended)
    }

    /// Everything has been said and heard.
    pub fn is_over(&self) -> bool {
        self.committed && self.complete && !self.is_pending()
    }

    /// The caller has asked and heard none of it so far.
    pub fn is_awaited(&self) -> bool {
        self.question.is_some() && self.first_audio.is_none()
    }

    /// A caller who began to speak at `at` had asked and not heard any of it.
    pub fn was_unheard(&self, at: Instant) -> bool {
        self.question.is_some() && self.first_audio.is_none_or(|audio| at < audio)
    }

    /// A caller who began to speak at `at` went on with the question.
    pub fn was_hasty(&self, at: Instant) -> bool {
        let committed = self.since + self.latency.commit.unwrap_or_default();
        self.was_unheard(at) && at < committed + GOING_ON
    }

    /// The question took so long that nothing may be added to it.
    pub fn is_due(&self, longest: Duration) -> bool {
        self.question.as_ref().is_some_and(|question| question.to - question.from >= longest)
    }

    /// Some of the reply's own words were heard.
    pub fn was_heard(&self) -> bool {
        self.speeches.iter().any(|speech| match &speech.what {
            Say::Text(text) => !speech.heard(text).is_empty(),
            Say::Phrase(_) => false,
        })
    }

    /// The answer closes with a question, and most of that was heard: "yes" is an answer to it. `wording` knows
    /// what the phrases say.
    pub fn has_asked(&self, wording: &HashMap<Phrase, String>) -> bool {
        let pending = self.speeches.iter().filter(|speech| speech.progress != Progress::Ended).count();
        self.complete
            && pending <= 1
            && self.speeches.last().is_some_and(|last| {
                let text = last.text(wording).trim_end();
                text.ends_with(['?', '？', '؟']) && last.heard(text).len() * 2 >= text.len()
            })
    }

    /// How the turn went. `wording` knows what the phrases say.
    pub fn record(&self, wording: &HashMap<Phrase, String>, interrupted: bool) -> Record {
        let heard = self.speeches.iter().map(|speech| speech.heard(speech.text(wording)));
        Record {
            turn: self.turn,
            caller: self.question.as_ref().map_or_else(String::new, |question| question.text.clone()),
            agent: heard.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "),
            interrupted,
            latency: self.latency,
        }
    }

    fn find(&mut self, speech: SpeechId) -> Option<&mut Speech> {
        self.speeches.iter_mut().find(|said| said.id == speech)
    }
}

impl Speech {
    /// What it says; empty for a phrase whose words are not known.
    fn text<'a>(&'a self, wording: &'a HashMap<Phrase, String>) -> &'a str {
        match &self.what {
            Say::Text(text) => text,
            Say::Phrase(phrase) => wording.get(phrase).map_or("", String::as_str),
        }
    }

    fn heard<'a>(&self, text: &'a str) -> &'a str {
        match self.progress {
            Progress::Ended if !self.broken => text,
            _ => heard(text, self.position, self.total),
        }
    }
}
