//! What happens on a call while it lasts, as whoever watches it is told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, CallId};

/// Something that happened on a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveEvent {
    /// Counts a call's events from 1.
    pub sequence: u64,
    pub call_id: CallId,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub what: Happening,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// The call came in.
    Ringing { call: Box<Call> },
    /// The agent took the call.
    Answered,
    /// The caller has finished, and the answer begins.
    CallerTurn { turn: u32, text: String },
    /// What of the agent's answer was heard, once that is over.
    AgentTurn { turn: u32, text: String },
    /// The caller cut the agent's answer short.
    Interrupted { turn: u32 },
    /// The call is over. It is the last event.
    Ended { call: Box<Call> },
    /// You read too slowly: so many events are lost.
    Lagged { missed: u64 },
}

impl Happening {
    /// The word by which the API knows it.
    pub fn word(&self) -> &'static str {
        match self {
            Happening::Ringing { .. } => "ringing",
            Happening::Answered => "answered",
            Happening::CallerTurn { .. } => "caller_turn",
            Happening::AgentTurn { .. } => "agent_turn",
            Happening::Interrupted { .. } => "interrupted",
            Happening::Ended { .. } => "ended",
            Happening::Lagged { .. } => "lagged",
        }
    }
}

impl LiveEvent {
    /// The end of a call, as its record tells it.
    pub fn ended(sequence: u64, call: Call, at: DateTime<Utc>) -> LiveEvent {
        LiveEvent { sequence, call_id: call.id, at, what: Happening::Ended { call: Box::new(call) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_type_in_json() {
        let at = DateTime::UNIX_EPOCH;
        for what in [
            Happening::Answered,
            Happening::CallerTurn { turn: 1, text: "hello".into() },
            Happening::AgentTurn { turn: 1, text: "hello".into() },
            Happening::Interrupted { turn: 1 },
            Happening::Lagged { missed: 3 },
        ] {
            let event = LiveEvent { sequence: 7, call_id: CallId::new(), at, what };
            let json = serde_json::to_value(&event).expect("JSON");
            assert_eq!(json["type"], event.what.word());
            assert_eq!(serde_json::from_value::<LiveEvent>(json).expect("an event"), event);
        }
    }
}
