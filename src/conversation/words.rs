//! The words of an utterance, while they are recognised.

use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::{At, Command, TurnId, UtteranceId};

/// The longest words of an utterance, in bytes: an hour of speech.
const LONGEST: usize = 64 * 1024;

/// The words of a recogniser, without those that are too many for an utterance.
pub(super) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// The recognition of the caller's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Words {
    /// Not begun.
    Unasked,
    /// It has begun; the speech has not ended. `partial` are the words so far, where the engine reports them.
    Open {
        id: UtteranceId,
        partial: String,
        end: TurnEnd,
    },
    /// The speech has ended, and its words are awaited.
    Asked {
        id: UtteranceId,
        partial: String,
    },
    /// Its own words are known; those of an earlier part are awaited.
    Ended,
    Known(String),
    Failed,
}

/// The judgement of the end of the turn by an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TurnEnd {
    /// The engine judges none, or has heard no words.
    NotJudged,
    /// The engine will report it.
    Awaited,
    /// The turn may be over.
    Possible,
}

impl Words {
    /// Begins the recognition of speech from `from` on.
    pub fn open(turn: TurnId, from: At, out: &mut Outbox) -> Words {
        let id = out.new_utterance();
        out.command(Command::Recognise { utterance: id, turn, from });
        Words::Open { id, partial: String::new(), end: TurnEnd::NotJudged }
    }

    /// The speech ends at `at`, for now. Returns whether it was open.
    pub fn end(&mut self, at: At, out: &mut Outbox) -> bool {
        let was_open = matches!(self, Words::Open { .. });
        if let Words::Open { id, partial, .. } = self {
            out.command(Command::EndUtterance { utterance: *id, at });
            *self = Words::Asked { id: *id, partial: std::mem::take(partial) };
        }
        was_open
    }

    /// Keeps the words so far, unless `of` is another utterance.
    pub fn hear(&mut self, of: UtteranceId, text: &str) -> bool {
        match self {
            Words::Open { id, partial, .. } | Words::Asked { id, partial } if *id == of => {
                text.clone_into(partial);
                true
            }
            _ => false,
        }
    }

    /// Takes the engine's judgement of the turn, with the words so far. Returns whether it is of this utterance, which is open.
    pub fn judge(&mut self, of: UtteranceId, text: &str, judged: TurnEnd) -> bool {
        let Words::Open { id, partial, end } = self else { return false };
        let is_this = *id == of;
        if is_this {
            text.clone_into(partial);
            *end = judged;
        }
        is_this
    }

    /// The engine has ended the utterance: its final words follow without [`Words::end`].
    pub fn end_by_engine(&mut self, of: UtteranceId) {
        if let Words::Open { id, partial, .. } = self
            && *id == of
        {
            *self = Words::Asked { id: of, partial: std::mem::take(partial) };
        }
    }

    /// Whether it is the recognition of `of`, which is open.
    pub fn is_open(&self, of: UtteranceId) -> bool {
        matches!(self, Words::Open { id, .. } if *id == of)
    }

    /// The engine's judgement of the end of the turn.
    pub fn turn_end(&self) -> TurnEnd {
        match self {
            Words::Open { end, .. } => *end,
            _ => TurnEnd::NotJudged,
        }
    }

    /// The words so far of speech that is being recognised.
    pub fn partial(&self) -> &str {
        match self {
            Words::Open { partial, .. } | Words::Asked { partial, .. } => partial,
            Words::Unasked | Words::Ended | Words::Known(_) | Words::Failed => "",
        }
    }

    /// Whether the final words of `of` are awaited.
    pub fn awaits(&self, of: UtteranceId) -> bool {
        matches!(self, Words::Asked { id, .. } if *id == of)
    }

    /// The words are not complete yet.
    pub fn is_pending(&self) -> bool {
        matches!(self, Words::Open { .. } | Words::Asked { .. })
    }
}
