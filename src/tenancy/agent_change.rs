//! Changes of the agent in mid-call, as the call's record has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProfileId;
use super::kinds::words;

words!(
    /// The cause of a change. `switch_agent` and `set_language`: the agent called this tool. `language_detected`: the caller
    /// spoke another language.
    AgentChangeCause {
        SwitchAgent = "switch_agent",
        SetLanguage = "set_language",
        LanguageDetected = "language_detected",
    }
);

/// A change of the profile or the language that a call uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentChange {
    pub at: DateTime<Utc>,
    pub cause: AgentChangeCause,
    /// The profile from then on.
    pub ai_profile_id: ProfileId,
    /// Its version.
    pub ai_profile_version: u32,
    /// BCP 47 tag of the language from then on; `null` where the profile names none.
    pub language: Option<String>,
}
