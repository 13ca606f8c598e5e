//! The repair of a response that broke off: the model is asked anew, once a turn.

use serde::{Deserialize, Serialize};

use super::{Afterwards, Response, ResponseText};

/// Whether the model may be asked anew in this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Repair {
    Possible,
    Spent,
}

impl Response {
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
        let may = self.repair == Repair::Possible && self.is_committed();
        may && matches!(self.text, ResponseText::Streaming(_)) && !self.is_pending()
    }
}
