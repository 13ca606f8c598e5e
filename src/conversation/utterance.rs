//! The caller's turn and endpointing.
//!
//! A pause is a soft end: the utterance is transcribed and a response is prepared, unheard. The turn is committed when
//! the pause has lasted; speech before the commit discards that work and joins the two parts.
//!
//! | from | event | to |
//! |---|---|---|
//! | open | `SpeechPaused` | paused; the words are asked for, with `early_reply` |
//! | open | timer `Monologue` | cut, and waiting for words |
//! | paused | `SpeechStarted` | open: a new utterance with the same beginning |
//! | paused | words | the commit is adjusted to them, and a response is prepared, see `early` |
//! | open | partial words | kept; a whole sentence prepares a response before the pause is noticed |
//! | open, paused | `TurnStarted`, `TurnMayEnd`, `TurnResumed`, `TurnEnded` of the engine | see `judged_end` |
//! | paused | `SoundsUnfinished` | the commit waits longer: as for trailing words, or for `commit_level_ms` |
//! | paused | timer `Commit`, words known | the agent has the floor; free, after a cough |
//! | paused | timer `Commit`, no words yet | waiting for words |
//! | paused, cut, waiting for words | words, or their failure | the agent has the floor |
//! | paused | timer `Commit`, keys are being pressed | paused |

mod early;
mod endpointing;
mod judged_end;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asked_audio::AskedAudio;
use super::outbox::Outbox;
use super::response::{Question, Response};
use super::segments::Segments;
use super::words::Words;
use super::{At, EndJudge, Latency, Record, SpokenBy, TurnId, UtteranceId};

/// A part of an utterance that is as long as this is transcribed by itself. Recognisers need the context of shorter ones.
const LONG: Duration = Duration::from_secs(2);

/// The same for a part that a long pause follows: phrases end there.
const PHRASE: Duration = Duration::from_secs(1);

/// The same for a part that the caller's speech does not pay for twice, unless a long pause follows it.
const SHORT_PHRASE: Duration = Duration::from_millis(700);

/// Pauses within a phrase are shorter.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// Whether a part of such a length, and such a pause after it, is not transcribed again with its continuation.
fn stands_alone(length: Duration, pause: Duration, asked: &AskedAudio) -> bool {
    let least = match (asked.allows(length), pause >= LONG_PAUSE) {
        (true, false) => LONG,
        (true, true) => PHRASE,
        (false, false) => SHORT_PHRASE,
        (false, true) => Duration::ZERO,
    };
    length >= least
}

/// The caller's utterance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub turn: TurnId,
    pub from: At,
    extent: Extent,
    pub words: Words,
    /// The beginning of the part that is being transcribed.
    part: At,
    /// Earlier parts.
    segments: Segments,
    /// The end of the latest part that was asked about.
    asked_to: Option<At>,
    wait: Wait,
    sound: Sound,
    /// The level of its loudest part, in dBov.
    pub level: Option<i8>,
    latency: Latency,
    advance: Advance,
    /// The response that is prepared at a soft end.
    pub early: Option<Response>,
}

/// Requests for a response before the commit. One of them may be in vain: up to the commit a turn costs two requests at most.
/// Speech that retracts the response to a committed turn costs one more each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Advance {
    Possible,
    /// A response was prepared and discarded: the next one waits for the commit.
    Spent,
}

/// How far the utterance extends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Extent {
    /// The caller speaks.
    Open,
    /// The latest speech ended at `to`; more speech continues the utterance.
    Paused { to: At },
    /// It was too long: later speech is no part of it.
    Cut { to: At },
}

/// The event that the commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Wait {
    /// More speech, for a while.
    ForSpeech,
    /// The words alone: the wait for more speech is over.
    ForWords,
}

/// How the utterance sounds at its pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Sound {
    /// Finished, or not judged.
    Unknown,
    Unfinished(EndJudge),
}

impl Utterance {
    /// Speech that began at `from` and continues.
    pub fn new(turn: TurnId, from: At) -> Utterance {
        Utterance {
            turn,
            from,
            extent: Extent::Open,
            words: Words::Unasked,
            part: from,
            segments: Segments::default(),
            asked_to: None,
            wait: Wait::ForSpeech,
            sound: Sound::Unknown,
            level: None,
            latency: Latency::default(),
            advance: Advance::Possible,
            early: None,
        }
    }

    /// Speech between two moments that is being transcribed.
    pub fn asked(turn: TurnId, id: UtteranceId, from: At, to: At) -> Utterance {
        let words = Words::Asked { id, partial: String::new() };
        Utterance { extent: Extent::Paused { to }, words, asked_to: Some(to), ..Utterance::new(turn, from) }
    }

    /// Speech that began at `from`, continues, and is being recognised.
    pub fn open(turn: TurnId, words: Words, from: At) -> Utterance {
        Utterance { words, ..Utterance::new(turn, from) }
    }

    /// A response to its beginning was discarded.
    pub fn after_a_discarded_response(self) -> Utterance {
        Utterance { advance: Advance::Spent, ..self }
    }

    /// It continues a question that was answered too soon. An utterance that is not transcribed yet contains a short question
    /// anew, and follows a long one from `voice` on.
    pub fn following(mut self, question: &Question, voice: Option<At>, asked: &AskedAudio) -> Utterance {
        let continues = voice.filter(|voice| {
            stands_alone(question.to.since(question.from), voice.since(question.to), asked)
                && !question.text.is_empty()
        });
        match (&self.words, continues) {
            (Words::Unasked, None) => {}
            (Words::Unasked, Some(voice)) => {
                self.part = voice;
                self.segments = Segments::known(question.text.clone());
            }
            _ => {
                self.part = voice.unwrap_or(self.part);
                self.segments = Segments::known(question.text.clone());
            }
        }
        self
    }

    /// The caller continues at `at`. Parts that were recognised, or are being so, stand if they are long.
    fn continue_at(&mut self, at: At, out: &mut Outbox) {
        let stands = |to: At| stands_alone(to.since(self.part), at.since(to), &out.asked);
        let long = self.to().is_some_and(stands);
        let stands = match &self.words {
            Words::Open { .. } => return self.reopen(),
            Words::Known(text) if long || self.segments.are_all_of(text) => {
                self.segments = Segments::known(text.clone());
                self.discard_response(out);
                true
            }
            Words::Asked { id, .. } if self.early.is_none() && (long || !self.segments.are_known()) => {
                self.segments.add(*id, None);
                true
            }
            Words::Ended => true,
            Words::Unasked | Words::Asked { .. } | Words::Known(_) | Words::Failed => {
                self.discard_response(out);
                false
            }
        };
        if stands {
            self.part = at;
        }
        self.words = Words::open(self.turn, self.part, out);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.extent = Extent::Open;
        self.wait = Wait::ForSpeech;
        self.sound = Sound::Unknown;
        self.latency = Latency::default();
    }

    /// Takes the final words of a part. Returns those of the whole utterance, once they are complete.
    fn take_words(&mut self, id: UtteranceId, text: &str) -> Option<String> {
        let whole = if self.segments.take(id, text) {
            self.segments.followed_by("")
        } else if !self.words.awaits(id) {
            return None;
        } else if self.segments.are_known() {
            let whole = self.segments.followed_by(text);
            self.words = Words::Known(whole.clone());
            return Some(whole);
        } else {
            self.segments.add(id, Some(text));
            self.words = Words::Ended;
            return None;
        };
        let complete = self.words == Words::Ended && self.segments.are_known();
        complete.then(|| {
            self.segments = Segments::known(whole.clone());
            self.words = Words::Known(whole.clone());
            whole
        })
    }

    /// The record of a caller who leaves now.
    pub fn record(&self) -> Option<Record> {
        match &self.words {
            Words::Known(text) if !text.is_empty() => Some(Record {
                turn: self.turn,
                caller: text.clone(),
                keys: None,
                agent: String::new(),
                tools: Vec::new(),
                interrupted: false,
                spoken_by: SpokenBy::Agent,
                latency: self.latency,
            }),
            _ => None,
        }
    }

    /// Begins the recognition of an utterance that is not recognised yet.
    fn recognise(&mut self, out: &mut Outbox) {
        if self.words == Words::Unasked {
            self.words = Words::open(self.turn, self.part, out);
        }
    }

    /// The cancellation of a turn ended its recognition too: begins it again if its words are awaited.
    pub fn recognise_again(&mut self, out: &mut Outbox) {
        if self.words.is_pending() {
            self.words = Words::open(self.turn, self.part, out);
            if let Some(to) = self.to() {
                self.words.end(to, out);
            }
        }
    }

    /// The end of the latest speech; `None` while the caller speaks.
    fn to(&self) -> Option<At> {
        match self.extent {
            Extent::Open => None,
            Extent::Paused { to } | Extent::Cut { to } => Some(to),
        }
    }

    fn is_cut(&self) -> bool {
        matches!(self.extent, Extent::Cut { .. })
    }

    /// The caller waits for a response, and only the words are missing.
    pub fn is_overdue(&self) -> bool {
        self.wait == Wait::ForWords
    }

    /// Recognition is over, with words or without.
    pub fn is_judged(&self) -> bool {
        matches!(self.words, Words::Known(_) | Words::Failed)
    }

    /// These words after those that were known before.
    fn with_earlier_words(&self, text: &str) -> String {
        self.segments.followed_by(text)
    }

    /// Discards the prepared response; the rest of the turn has another id.
    pub fn discard_response(&mut self, out: &mut Outbox) {
        self.abandon(out);
        self.turn = out.new_turn();
        if self.early.take().is_some() {
            self.advance = Advance::Spent;
        }
    }

    /// The prepared response is of no use. While words are awaited it is discarded with them: its cancellation would end their
    /// recognition.
    pub fn outdate_response(&mut self, out: &mut Outbox) {
        match &mut self.early {
            Some(early) if self.words.is_pending() => early.outdate(),
            Some(_) => self.discard_response(out),
            None => {}
        }
    }

    /// The end of the latest speech, which more speech continues.
    pub fn paused_at(&self) -> Option<At> {
        match self.extent {
            Extent::Paused { to } => Some(to),
            Extent::Open | Extent::Cut { .. } => None,
        }
    }

    /// Its words, as far as they are known.
    pub fn words_so_far(&self) -> Option<String> {
        match &self.words {
            Words::Known(text) => Some(text.clone()),
            words if words.partial().is_empty() => None,
            words => Some(self.with_earlier_words(words.partial())),
        }
    }

    fn question(&self, to: At, text: &str) -> Question {
        Question { from: self.from, to, text: text.to_owned(), keys: None }
    }
}
