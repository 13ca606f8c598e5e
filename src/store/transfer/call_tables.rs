//! The tables and columns of a tenant's calls, and the types that read their values.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::tables::Kind::{Count, Flag, Id, Json as Document, Moment, Text, UpTo, Word};
use super::tables::{Table, U32};
use super::words::{did, document, word};
use crate::tenancy::{
    AgentChange, CallAnalysis, CallStatus, CallTransfer, Direction, EndedBy, EngineFailure, EngineKind,
    Month, PreCallRecord, SpokenBy, ToolRun, UsageUnit,
};

/// Its calls, and what belongs to them.
pub const CALLS: [Table; 8] = [
    Table {
        name: "calls",
        columns: &[
            ("id", Id),
            ("phone_number_id", Id),
            ("ai_profile_id", Id),
            ("ai_profile_version", UpTo(U32)),
            ("routing_version", UpTo(U32)),
            ("asterisk_channel_id", Text),
            ("direction", Word(word::<Direction>)),
            ("caller_number", Text),
            ("called_number", Word(did)),
            ("status", Word(word::<CallStatus>)),
            ("ended_by", Word(word::<EndedBy>)),
            ("disposition", Text),
            ("hangup_cause", UpTo(u16::MAX as i64)),
            ("sip_status", UpTo(999)),
            ("provider_call_id", Text),
            ("started_at", Moment),
            ("answered_at", Moment),
            ("ended_at", Moment),
            ("codec", Text),
            ("media", Document(document::<Json>)),
            ("failure_reason", Text),
            ("notice_heard_at", Moment),
            ("emergency_at", Moment),
            ("engine_failures", Document(document::<Vec<EngineFailure>>)),
            ("fields", Document(document::<BTreeMap<String, String>>)),
            ("transfers", Document(document::<Vec<CallTransfer>>)),
            ("analysis", Document(document::<CallAnalysis>)),
            ("agent_changes", Document(document::<Vec<AgentChange>>)),
            ("pre_call", Document(document::<PreCallRecord>)),
            ("billed_seconds", Count),
            ("billed_turns", Count),
            ("erased_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "call_turns",
        columns: &[
            ("call_id", Id),
            ("turn", UpTo(U32)),
            ("caller_text", Text),
            ("agent_text", Text),
            ("interrupted", Flag),
            ("spoken_by", Word(word::<SpokenBy>)),
            ("target_text", Text),
            ("pause_ms", UpTo(U32)),
            ("transcript_ms", UpTo(U32)),
            ("reply_ms", UpTo(U32)),
            ("clause_ms", UpTo(U32)),
            ("speech_ms", UpTo(U32)),
            ("commit_ms", UpTo(U32)),
            ("audio_ms", UpTo(U32)),
            ("tools", Document(document::<Vec<ToolRun>>)),
            ("at", Moment),
        ],
        order: "call_id, turn",
    },
    Table {
        name: "call_usage",
        columns: &[
            ("call_id", Id),
            ("kind", Word(word::<EngineKind>)),
            ("engine", Text),
            ("model", Text),
            ("unit", Word(word::<UsageUnit>)),
            ("quantity", Count),
        ],
        order: "call_id, kind, engine, model, unit",
    },
    Table {
        name: "call_feedback",
        columns: &[
            ("id", Id),
            ("call_id", Id),
            ("rating", UpTo(5)),
            ("comment", Text),
            ("source", Text),
            ("created_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "analysis_labels",
        columns: &[("call_id", Id), ("name", Text), ("value", Text)],
        order: "call_id, name",
    },
    Table {
        name: "analysis_usage",
        columns: &[
            ("call_id", Id),
            ("kind", Word(word::<EngineKind>)),
            ("engine", Text),
            ("model", Text),
            ("unit", Word(word::<UsageUnit>)),
            ("quantity", Count),
        ],
        order: "call_id, kind, engine, model, unit",
    },
    Table {
        name: "usage_months",
        columns: &[("month", Word(word::<Month>)), ("calls", Count), ("seconds", Count), ("turns", Count)],
        order: "month",
    },
    Table {
        name: "usage_month_engines",
        columns: &[
            ("month", Word(word::<Month>)),
            ("kind", Word(word::<EngineKind>)),
            ("engine", Text),
            ("model", Text),
            ("unit", Word(word::<UsageUnit>)),
            ("quantity", Count),
        ],
        order: "month, kind, engine, model, unit",
    },
];
