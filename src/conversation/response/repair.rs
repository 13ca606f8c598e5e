//! The repair of a response that broke off: the model is asked anew, once a turn; and of a speech that could not be
//! synthesised: it is tried once more, and then excused.

use serde::{Deserialize, Serialize};

use super::{Afterwards, Progress, Response, ResponseSpeech, ResponseText};
use crate::conversation::outbox::Outbox;
use crate::conversation::{Attempt, Command, Phrase, Say, SpeechId};

/// Whether the model may be asked anew in this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Repair {
    Possible,
    Spent,
}

/// The replacement of a speech that could not be synthesised.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    /// The speech once more.
    Repetition(Say),
    Apology,
    Nothing,
}

impl Response {
    /// The synthesis of `speech` failed: it is repeated, and then excused, once a turn.
    pub fn broke(&mut self, speech: SpeechId, out: &mut Outbox) {
        let Some(at) = self.speeches.iter().position(|said| said.id == speech) else { return };
        let remedy = self.remedy(at);
        let failed = &mut self.speeches[at];
        failed.broken = true;
        // Audio that is played all the same is reported, which undoes this.
        if failed.progress == Progress::Waiting {
            failed.progress = Progress::Ended;
        }
        match remedy {
            Remedy::Repetition(what) => self.replace(at, what, Attempt::AfterFailure, out),
            Remedy::Apology => self.replace(at, Say::Phrase(Phrase::AudioIssues), Attempt::First, out),
            Remedy::Nothing => {}
        }
    }

    fn remedy(&self, at: usize) -> Remedy {
        let apology = Say::Phrase(Phrase::AudioIssues);
        if self.is_goodbye() || self.speeches.iter().any(|speech| speech.what == apology) {
            return Remedy::Nothing;
        }
        match self.speeches[at].attempt {
            Attempt::First => Remedy::Repetition(self.speeches[at].what.clone()),
            Attempt::AfterFailure => Remedy::Apology,
        }
    }

    fn replace(&mut self, at: usize, what: Say, attempt: Attempt, out: &mut Outbox) {
        let (failed, round) = (self.speeches[at].id, self.speeches[at].round);
        let (speech, turn, held) = (out.new_speech(), self.turn, !self.is_committed());
        out.command(Command::Replace { failed, speech, turn, what: what.clone(), held });
        let replacement = ResponseSpeech { attempt, ..ResponseSpeech::new(speech, what, round) };
        self.speeches.insert(at + 1, replacement);
    }

    /// The synthesis of `speech` failed.
    pub fn is_broken_speech(&self, speech: SpeechId) -> bool {
        self.speeches.iter().any(|said| said.id == speech && said.broken)
    }

    /// The speeches with their `text`s. Of a speech and its repetition, the one of which more was said.
    pub(super) fn said<'a>(
        &'a self,
        text: impl Fn(&'a ResponseSpeech) -> &'a str,
    ) -> Vec<(&'a ResponseSpeech, &'a str)> {
        let all: Vec<_> = self.speeches.iter().map(|speech| (speech, text(speech))).collect();
        let is_repetition =
            |at: usize| all.get(at).is_some_and(|(it, _)| it.attempt == Attempt::AfterFailure);
        let length = |at: usize| all[at].1.len();
        let is_most = |at: usize| {
            (!is_repetition(at + 1) || length(at + 1) < length(at))
                && (!is_repetition(at) || at == 0 || length(at - 1) <= length(at))
        };
        let most = (0..all.len()).filter(|at| is_most(*at));
        most.map(|at| all[at]).collect()
    }

    /// It has no words, or not all of them, and no more arrive.
    pub fn is_incomplete(&self) -> bool {
        matches!(self.text, ResponseText::BrokenOff) || (self.is_complete() && self.is_wordless())
    }

    /// The rest of the response is awaited again. Returns false if the model was asked anew before, or the agent hangs up.
    pub fn begin_again(&mut self) -> bool {
        let may = self.repair == Repair::Possible && self.afterwards == Afterwards::CallersTurn;
        if may {
            self.repair = Repair::Spent;
            self.text = ResponseText::Awaited;
        }
        may
    }

    /// The text has begun, more may arrive, and nothing is left to play: it may have stalled.
    pub fn may_have_stalled(&self) -> bool {
        self.is_committed() && matches!(self.text, ResponseText::Streaming(_)) && !self.is_pending()
    }
}
