//! Turns on the record and for readers of a call's events.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{RecordWriter, author, engine_use, outcome};
use crate::call::bridged::BridgedParty;
use crate::conversation::Record;
use crate::engines::core::usage::Meter;
use crate::store::Entry;
use crate::tenancy::{CallTurn, LiveEventKind, SpokenBy};

impl RecordWriter {
    /// The caller and a person talk to each other, and one of them has spoken.
    pub fn bridged_turn(&mut self, party: BridgedParty, words: String, meter: &Meter, at: Instant) {
        let at = self.clock.at(at);
        self.latest_turn += 1;
        let turn = self.latest_turn;
        let (caller_text, target_text, event) = match party {
            BridgedParty::Caller => {
                (words.clone(), String::new(), LiveEventKind::CallerTurn { turn, text: words })
            }
            BridgedParty::Target => {
                (String::new(), words.clone(), LiveEventKind::TargetTurn { turn, text: words })
            }
        };
        self.ledger.record(Entry::Taken(self.call.tenant_id, self.call.id, engine_use(meter)));
        self.ledger.record(Entry::Turn(CallTurn {
            call_id: self.call.id,
            tenant_id: self.call.tenant_id,
            turn,
            caller_text,
            agent_text: String::new(),
            interrupted: false,
            spoken_by: SpokenBy::Agent,
            target_text: Some(target_text),
            pause_ms: None,
            transcript_ms: None,
            reply_ms: None,
            clause_ms: None,
            speech_ms: None,
            commit_ms: None,
            audio_ms: None,
            tools: Vec::new(),
            at,
        }));
        self.feed.tell(at, event);
    }

    pub(super) fn publish_turn(&mut self, record: &Record, items: usize, at: DateTime<Utc>) {
        let turn = record.turn.0;
        let text = record.caller_text();
        if !text.is_empty() && self.published.is_none_or(|(published, _)| published != turn) {
            self.published = Some((turn, items));
            self.feed.tell(at, LiveEventKind::CallerTurn { turn, text: text.into_owned() });
        }
        if !record.agent.is_empty() {
            let (text, spoken_by) = (record.agent.clone(), author(record.spoken_by));
            self.feed.tell(at, LiveEventKind::AgentTurn { turn, text, spoken_by });
        }
        if record.interrupted {
            self.feed.tell(at, LiveEventKind::Interrupted { turn });
        }
        for used in &record.tools {
            let (name, outcome) = (used.name.as_ref().to_owned(), outcome(used.outcome));
            self.feed.tell(at, LiveEventKind::Tool { turn: used.turn.0, name, outcome });
        }
    }
}
