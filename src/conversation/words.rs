//! The words of an utterance, while they are recognised.

use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::{At, Command, TurnId, UtteranceId};

/// The recognition of the caller's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Words {
    /// Not begun.
    Unasked,
    /// It has begun; the speech has not ended. `partial` are the words so far, where the engine reports them.
    Open {
        id: UtteranceId,
        partial: String,
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

impl Words {
    /// Begins the recognition of speech from `from` on.
    pub fn open(turn: TurnId, from: At, out: &mut Outbox) -> Words {
        let id = out.new_utterance();
        out.command(Command::Recognise { utterance: id, turn, from });
        Words::Open { id, partial: String::new() }
    }

    /// The speech ends at `at`, for now. Returns whether it was open.
    pub fn end(&mut self, at: At, out: &mut Outbox) -> bool {
        let was_open = matches!(self, Words::Open { .. });
        if let Words::Open { id, partial } = self {
            out.command(Command::EndUtterance { utterance: *id, at });
            *self = Words::Asked { id: *id, partial: std::mem::take(partial) };
        }
        was_open
    }

    /// Keeps the words so far, unless `of` is another utterance.
    pub fn hear(&mut self, of: UtteranceId, text: &str) -> bool {
        match self {
            Words::Open { id, partial } | Words::Asked { id, partial } if *id == of => {
                text.clone_into(partial);
                true
            }
            _ => false,
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
