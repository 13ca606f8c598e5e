//! The end of a conversation: with the call, or because the caller talks to a person from now on.

use super::Talking;
use crate::call::bridged::{LeftConversation, MediaTerms};
use crate::call::phase::Closing;
use crate::call::records::Records;

impl Talking {
    /// Ends the conversation of a caller who talks to a person from now on, and is heard on for the record.
    pub fn leave(mut self, records: &mut Records) -> LeftConversation {
        self.fetch_audio();
        while self.port.next_event().is_some() {}
        self.port.flush();
        self.port.end_noise();
        let agent = self.agent();
        let terms = MediaTerms {
            format: self.port.format(),
            delivery: agent.audio_delivery(),
            noise_suppression: agent.noise_suppression,
            tenant: agent.tenant.0,
        };
        let (listener, other_listener) = (self.pipeline.party_listener(), self.pipeline.other_listener());
        let closing = self.end(records);
        LeftConversation { closing, port: self.port, listener, other_listener, terms }
    }

    /// Ends the conversation of a call that is over in Asterisk.
    pub fn close(mut self, records: &mut Records) -> Closing {
        self.end(records)
    }
}
