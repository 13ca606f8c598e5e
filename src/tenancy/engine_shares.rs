//! A tenant's shares of the operator's engines: what they are, and how much of them is used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;

words!(
    /// The purpose of a request to an engine, by which it is limited.
    EngineStage {
        Stt = "stt",
        Llm = "llm",
        Tts = "tts",
        /// Speech to speech.
        Realtime = "realtime",
        /// A language model, for the analysis of a call.
        Analysis = "analysis",
    }
);

/// A tenant's shares of the operator's engines. Engines of its own accounts are not limited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantEngineShares {
    /// The calls at once by which the limits are computed.
    #[schema(minimum = 0)]
    pub calls: u32,
    /// The part of the operator's limits for a call that the tenant's plan has.
    #[schema(minimum = 0)]
    pub percent: u32,
    /// Of each engine of a stage.
    pub limits: Vec<EngineShareLimit>,
    /// Of the engines that calls have used since the daemon started.
    pub engines: Vec<EngineShareUse>,
}

/// The limits of a tenant's requests to each engine of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineShareLimit {
    pub stage: EngineStage,
    /// Requests in a minute; of live recognisers and speech to speech, connections.
    #[schema(minimum = 1)]
    pub per_minute: u32,
    /// Requests at the same time; `null` for no limit.
    #[schema(minimum = 1)]
    pub concurrent: Option<u32>,
}

/// A tenant's requests to one engine, in this daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineShareUse {
    pub stage: EngineStage,
    #[schema(examples("openai"))]
    pub engine: String,
    /// Requests of the last minute, to ten seconds.
    #[schema(minimum = 0)]
    pub last_minute: u32,
    /// Requests in progress.
    #[schema(minimum = 0)]
    pub in_progress: u32,
}
