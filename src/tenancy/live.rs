//! Events of a call in progress, as they are streamed to readers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::{AgentChange, Call, CallId, Label, SpokenBy, ToolRunOutcome, TransferOutcome};

/// An event of a call in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveEvent {
    /// Number of the event within the call, from 1.
    pub sequence: u64,
    pub call_id: CallId,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub what: LiveEventKind,
}

/// The event's type and its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LiveEventKind {
    /// The call has arrived.
    Ringing { call: Box<Call> },
    /// The agent has answered the call.
    Answered,
    /// The caller has finished speaking.
    CallerTurn { turn: u32, text: String },
    /// The agent has finished speaking: the text that was played.
    AgentTurn { turn: u32, text: String, spoken_by: SpokenBy },
    /// The person to whom the caller was transferred has finished speaking, where VCA stays for the record.
    TargetTurn { turn: u32, text: String },
    /// The caller interrupted the agent.
    Interrupted { turn: u32 },
    /// A tool that the agent called is finished.
    Tool { turn: u32, name: String, outcome: ToolRunOutcome },
    /// The call accepted a command: `say`, `add_note`, `mute`, `unmute`, `transfer`, `cancel_transfer` or `hang_up`. The audit
    /// log has its author.
    Command { command: String },
    /// The agent neither hears nor answers.
    Muted,
    /// The agent hears again.
    Unmuted,
    /// A transfer began, was answered or is over.
    Transfer { target: Label, outcome: TransferOutcome },
    /// Another profile, or another language of the same one, goes on with the call.
    AgentChanged { change: AgentChange },
    /// The call has ended. This is the last event.
    Ended { call: Box<Call> },
    /// The reader is too slow: this many events were dropped.
    Lagged { missed: u64 },
}

impl LiveEventKind {
    /// The type's name in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            LiveEventKind::Ringing { .. } => "ringing",
            LiveEventKind::Answered => "answered",
            LiveEventKind::CallerTurn { .. } => "caller_turn",
            LiveEventKind::AgentTurn { .. } => "agent_turn",
            LiveEventKind::TargetTurn { .. } => "target_turn",
            LiveEventKind::Interrupted { .. } => "interrupted",
            LiveEventKind::Tool { .. } => "tool",
            LiveEventKind::Command { .. } => "command",
            LiveEventKind::Muted => "muted",
            LiveEventKind::Unmuted => "unmuted",
            LiveEventKind::Transfer { .. } => "transfer",
            LiveEventKind::AgentChanged { .. } => "agent_changed",
            LiveEventKind::Ended { .. } => "ended",
            LiveEventKind::Lagged { .. } => "lagged",
        }
    }
}

impl LiveEvent {
    /// The event of a call's end, from its record.
    pub fn ended(sequence: u64, call: Call, at: DateTime<Utc>) -> LiveEvent {
        LiveEvent { sequence, call_id: call.id, at, what: LiveEventKind::Ended { call: Box::new(call) } }
    }
}

/// Written by hand, because client generators cannot merge an enum with the fields beside it: one object per type.
impl PartialSchema for LiveEvent {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::OneOf(mut types)) = LiveEventKind::schema() else {
            return LiveEventKind::schema();
        };
        for item in &mut types.items {
            if let RefOr::T(Schema::Object(object)) = item {
                complete(object);
            }
        }
        types.description = Some("An event of a call in progress.".to_owned());
        Schema::OneOf(types).into()
    }
}

impl ToSchema for LiveEvent {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((CallId::name().into_owned(), CallId::schema()));
        LiveEventKind::schemas(schemas);
    }
}

/// Adds the fields that all types have.
fn complete(object: &mut Object) {
    let sequence = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .description(Some("Number of the event within the call, from 1."));
    let at = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let common: [(&str, RefOr<Schema>); 3] = [
        ("sequence", sequence.into()),
        ("call_id", Ref::from_schema_name(CallId::name()).into()),
        ("at", at.into()),
    ];
    for (name, schema) in common {
        object.properties.insert(name.to_owned(), schema);
        object.required.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_type_in_json() {
        let at = DateTime::UNIX_EPOCH;
        for what in [
            LiveEventKind::Answered,
            LiveEventKind::CallerTurn { turn: 1, text: "hello".into() },
            LiveEventKind::AgentTurn { turn: 1, text: "hello".into(), spoken_by: SpokenBy::Agent },
            LiveEventKind::Interrupted { turn: 1 },
            LiveEventKind::Tool { turn: 2, name: "stock".into(), outcome: ToolRunOutcome::Succeeded },
            LiveEventKind::Command { command: "say".into() },
            LiveEventKind::Muted,
            LiveEventKind::Unmuted,
            LiveEventKind::Lagged { missed: 3 },
        ] {
            let event = LiveEvent { sequence: 7, call_id: CallId::new(), at, what };
            let json = serde_json::to_value(&event).expect("JSON");
            assert_eq!(json["type"], event.what.as_str());
            assert_eq!(serde_json::from_value::<LiveEvent>(json).expect("an event"), event);
        }
    }
}
