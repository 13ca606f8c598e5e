//! The values of the business: tenants, phone numbers, profiles, calls.
//!
//! Plain data with its own rules. No database and no sockets.

mod access;
mod agent_change;
mod agents;
mod analysis;
mod call_transfer;
mod check;
mod did;
mod emergency;
mod engine_credential;
mod engine_shares;
mod failover;
mod feedback;
mod headers;
mod hours;
mod http_tool;
mod inventory;
mod keypad_menu;
mod kinds;
mod label;
mod leg_prices;
mod limits;
mod live;
mod live_command;
mod mcp_server;
mod message;
mod number;
mod number_routing;
mod numbering;
mod permitted;
mod pre_call;
mod profile;
mod registration;
mod retention;
mod routing_version;
mod schemas;
mod target;
mod target_resolver;
mod tools;
mod transcript;
mod transfer_rules;
mod url_template;
mod usage;
pub mod variables;
mod webhooks;

pub use access::{Actor, ApiKey, KeyId, RequestAttempt, Role};
pub use agent_change::{AgentChange, AgentChangeCause};
pub use analysis::{
    AnalysisCondition, AnalysisField, AnalysisFieldType, AnalysisResult, AnalysisSettings, AnalysisStatus,
    CallAnalysis, Sentiment, is_field_name, text_of,
};
pub use call_transfer::{CallTransfer, TransferEnd, TransferOutcome};
pub use check::{
    Draft, LONGEST_TENANT_NAME, check_comment, check_name, check_profile, check_profile_name, check_remark,
};
pub use did::{Did, DidError, mask};
pub use emergency::emergency_number;
pub use engine_credential::{
    EngineAccess, EngineApi, EngineCredential, EngineCredentialId, EngineFallback, EngineHealth, EngineTrial,
    TenantEngineRules, TenantKeys, check_model, key_hint,
};
pub use engine_shares::{EngineShareLimit, EngineShareUse, EngineStage, TenantEngineShares};
pub use failover::{Continuation, FailoverCase, FailoverRoute, FailoverRoutes};
pub use feedback::{Feedback, FeedbackId};
pub use hours::{Hours, Opening, Schedule};
pub use http_tool::{HttpMethod, HttpTool, MAX_HTTP_TOOLS, check_http_tool};
pub use inventory::{AvailableNumber, InventoryNumber, InventoryNumberId, NumberSource};
pub use keypad_menu::{KeypadAction, KeypadChoice, KeypadMenu, KeypadStep};
pub use kinds::{UnknownValueError, given};
pub use label::{Label, LabelError};
pub use leg_prices::{PrefixPrice, leg_cost};
pub use limits::{LimitReached, TenantLimits};
pub use live::{LiveEvent, LiveEventKind};
pub use live_command::{
    AddNoteRequest, LiveCommand, LiveRefusal, MuteAgentRequest, SayToCallerRequest, TransferCallerRequest,
};
pub use mcp_server::{MAX_MCP_SERVERS, McpServer, McpTool, check_mcp_server, listed_schema_problem};
pub use message::{FailoverMessage, FailoverMessageError};
pub use number::{CallDelivery, NumberId, PhoneNumber, ProviderState, ProviderType};
pub use number_routing::{
    MAX_SHARES, MAX_WEIGHT, NumberProfiles, NumberRouting, ProfilePurpose, ProfileShare, WeightedProfile,
};
pub use numbering::{NumberError, Numbering, Region};
pub use permitted::{Ceilings, Permitted};
pub use pre_call::{
    AgentChanges, FormerSecret, MAX_PRE_CALL_RESPONSE, NamedProfile, PRE_CALL_TIMEOUT_MS, PreCallInstruction,
    PreCallOutcome, PreCallOverrides, PreCallOwner, PreCallRecord, PreCallRequest, PreCallRequestType,
    PreCallWebhook, PreCallWebhookId, RejectCause, StoredPreCall, StoredSecret,
};
pub use profile::{
    AgentRole, AiProfile, NoiseSuppressionSetting, ProfileId, ProfileSettings, ProfileVersion, Tool,
};
pub use registration::Registration;
pub use retention::Retention;
pub use routing_version::{RoutingComparison, RoutingDifference, RoutingVersion};
pub use target::{
    AddressError, AfterBridge, Destination, TargetId, TargetKind, TransferMethod, TransferStyle,
    TransferTarget,
};
pub use target_resolver::{ResolveRequest, ResolvedTarget, TargetResolver, check_resolver};
pub use tools::{MAX_FIELDS, ToolRun, ToolRunOutcome, ToolSecret, ToolSecretId, validator};
pub use transcript::Transcript;
pub use transfer_rules::{CallerIdPolicy, DialplanRoute, TargetRefusal, TransferRoute, TransferRules};
pub use url_template::UrlTemplate;
pub use usage::{CallSums, EngineKind, EngineUse, Month, MonthError, MonthUse, Usage, UsageUnit};
pub use webhooks::{Delivery, DeliveryId, DeliveryStatus, EventId, EventType, Webhook, WebhookId};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use kinds::{id, words};

id!(
    /// A tenant. All rows of a tenant contain its id.
    TenantId
);
id!(
    /// A call. The ids of its channels and its bridge in Asterisk are derived from it.
    CallId
);

words!(
    /// `suspended`: its calls are refused and its keys can only read. `deleted`: its keys no longer work.
    TenantStatus { Active = "active", Suspended = "suspended", Deleted = "deleted" }
);
words!(
    /// The plan by which a tenant is billed.
    Plan { Starter = "starter", Growth = "growth", Custom = "custom" }
);
words!(
    /// The party that placed the call: a caller (`inbound`) or the agent (`outbound`).
    Direction { Inbound = "inbound", Outbound = "outbound" }
);
words!(
    /// State of a call. `ringing` and `answered`: in progress. `completed`: it was answered and has ended. `refused`:
    /// it was rejected before it was answered. `failed`: an error of VCA or of Asterisk ended it.
    CallStatus {
        Ringing = "ringing",
        Answered = "answered",
        /// Was answered and has ended.
        Completed = "completed",
        /// Refused before it was answered.
        Refused = "refused",
        /// Ended by an error of VCA or of Asterisk.
        Failed = "failed",
    }
);
words!(
    /// The author of the words that the agent's voice says: the agent, or an operator who follows the call.
    #[derive(Default)]
    SpokenBy {
        #[default]
        Agent = "agent",
        Operator = "operator",
    }
);
words!(
    /// The party that ended the call.
    EndedBy { Caller = "caller", Agent = "agent", System = "system" }
);

/// A tenant: one customer of the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub status: TenantStatus,
    pub plan: Plan,
    /// Highest number of concurrent calls; `null`: the plan's limit, or the daemon's.
    pub max_concurrent_calls: Option<u32>,
    pub created_at: DateTime<Utc>,
}

/// The route of a called number. Calls are answered only with a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    pub number: PhoneNumber,
    pub tenant: Tenant,
    /// The tenant's default profile.
    pub profile: Option<AiProfile>,
    /// The number's own profiles, which answer in place of the default.
    #[serde(default)]
    pub number_profiles: NumberProfiles,
    /// The tenant's usage of the month, as of the look-up.
    pub usage: MonthUse,
    /// The tenant's transfer targets, oldest first; none where no profile, failover route or pre-call webhook can use
    /// them.
    #[serde(default)]
    pub targets: Vec<TransferTarget>,
    /// The number's pre-call webhook.
    #[serde(skip)]
    pub pre_call: Option<StoredPreCall>,
    /// The tenant's engine credentials, with their keys. No document has them.
    #[serde(skip)]
    pub engines: Vec<EngineAccess>,
}

/// The record of one call, from its first ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    pub id: CallId,
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    pub ai_profile_id: Option<ProfileId>,
    /// The profile's version that the call uses.
    pub ai_profile_version: Option<u32>,
    /// The version of its number's routing that the call had; `null` for one of which only the announcement is known.
    #[serde(default)]
    pub routing_version: Option<u32>,
    /// The caller's channel: Asterisk's UNIQUEID.
    pub asterisk_channel_id: String,
    pub direction: Direction,
    /// As received from the trunk; `null` when withheld. It can be forged, so no decision depends on it.
    pub caller_number: Option<String>,
    pub called_number: Did,
    pub status: CallStatus,
    pub ended_by: Option<EndedBy>,
    /// Why the call ended, such as `completed` or `refused_tenant_suspended`. New values can be added.
    pub disposition: Option<String>,
    /// ITU-T Q.850 cause value.
    pub hangup_cause: Option<u16>,
    /// The SIP status with which the call ended, as Asterisk 20 and later report it; absent for other channels.
    #[serde(default)]
    pub sip_status: Option<u16>,
    /// The trunk's id of the call: its own header where it sends one, otherwise the SIP Call-ID.
    #[serde(default)]
    pub provider_call_id: Option<String>,
    pub started_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The caller's codec by Asterisk's name, such as `ulaw`.
    pub codec: Option<String>,
    /// Quality of the received audio: loss, jitter, estimated MOS.
    #[schema(value_type = Option<Object>)]
    pub media: Option<serde_json::Value>,
    /// Why the call failed, such as the status and text of Asterisk's response; absent for a call that did not fail.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// When the notice that the agent is automated and the call transcribed had been played to its end; `null` without one.
    #[serde(default)]
    pub notice_heard_at: Option<DateTime<Utc>>,
    /// When the caller first spoke of an emergency; `null` if they did not.
    #[serde(default)]
    pub emergency_at: Option<DateTime<Utc>>,
    /// The engines that failed during the call, after their retries. The call may have gone on.
    #[serde(default)]
    pub engine_failures: Vec<EngineFailure>,
    /// Fields that the agent remembered of the call (`remember`).
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// The transfers of the call, in order.
    #[serde(default)]
    pub transfers: Vec<CallTransfer>,
    /// The analysis after the call's end; `null` where the profile asks for none.
    #[serde(default)]
    pub analysis: Option<Box<CallAnalysis>>,
    /// The request to the number's pre-call webhook; `null` where it has none.
    #[serde(default)]
    pub pre_call: Option<PreCallRecord>,
    /// The changes of profile and language during the call, in order. `ai_profile_id` is the first profile.
    #[serde(default)]
    pub agent_changes: Vec<AgentChange>,
}

impl Call {
    /// Did the caller reach a target of a transfer?
    pub fn was_transferred(&self) -> bool {
        self.transfers.iter().any(CallTransfer::is_success)
    }
}

/// Failures of one engine during a call for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineFailure {
    pub kind: EngineKind,
    /// The engine's name, as in the configuration.
    pub engine: String,
    /// A word such as `timeout`. New values can be added.
    pub reason: String,
    /// How many failures there were.
    pub count: u32,
    /// The time of the first one.
    pub first_at: DateTime<Utc>,
    /// A fallback answered in place of the engine, so that the caller noticed a delay at most.
    #[serde(default)]
    pub covered: bool,
    /// The engine that answered in its place. Absent where none did, and in records of older versions.
    #[serde(default)]
    pub served_by: Option<String>,
}

/// One turn of a call: the agent's text as far as it was played. Latencies are milliseconds from the end of the
/// caller's speech; for the greeting, which is turn 0, from the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallTurn {
    pub call_id: CallId,
    pub tenant_id: TenantId,
    pub turn: u32,
    pub caller_text: String,
    pub agent_text: String,
    /// The caller interrupted the agent.
    pub interrupted: bool,
    /// The author of the agent's words: an operator for those of `say`.
    #[serde(default)]
    pub spoken_by: SpokenBy,
    /// The words of the person to whom the caller was transferred, where VCA stays for the record: empty in a turn
    /// of the caller's. `null` in the conversation with the agent.
    #[serde(default)]
    pub target_text: Option<String>,
    /// Until the caller's pause was noticed.
    pub pause_ms: Option<u32>,
    /// Until the transcript was complete.
    pub transcript_ms: Option<u32>,
    /// Until the first part of the response arrived.
    pub reply_ms: Option<u32>,
    /// Until the first clause of the response was complete, and its synthesis was asked for.
    pub clause_ms: Option<u32>,
    /// Until the first audio of the response was synthesised. Cached prompts and sentences have none.
    pub speech_ms: Option<u32>,
    /// Until the turn was committed.
    pub commit_ms: Option<u32>,
    /// Until the first audio of the response was sent.
    pub audio_ms: Option<u32>,
    /// The tools that the agent called and that finished in this turn.
    #[serde(default)]
    pub tools: Vec<ToolRun>,
    pub at: DateTime<Utc>,
}
