//! AI profiles: who answers, with which words, engines and manners.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{Hours, TenantId};
use crate::conversation;

id!(ProfileId);

words!(
    #[derive(Default)]
    AgentRole {
        #[default]
        Receptionist = "receptionist",
        Sales = "sales",
        Support = "support",
        Dispatcher = "dispatcher",
        Custom = "custom",
    }
);
words!(
    /// What an agent may do besides talking.
    Tool {
        /// End the call.
        HangUp = "hang_up",
    }
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiProfile {
    pub id: ProfileId,
    pub tenant_id: TenantId,
    pub name: String,
    pub role: AgentRole,
    /// Non-empty.
    pub system_prompt: String,
    /// It answers the tenant's calls.
    pub is_default: bool,
    pub settings: ProfileSettings,
    /// Counts the changes of what it says and does, from 1.
    pub version: u32,
    pub created_at: DateTime<Utc>,
}

/// What a profile was at one time. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileVersion {
    pub ai_profile_id: ProfileId,
    pub version: u32,
    pub name: String,
    pub role: AgentRole,
    pub system_prompt: String,
    pub settings: ProfileSettings,
    /// Who made it.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// An agent's words, engines and behaviour. Absent settings take the daemon's defaults.
///
/// Texts that have to be one of a set stay texts here, so that [`super::check_profile`] can name all that
/// are not, and so that a profile whose engine is gone can still be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileSettings {
    /// Spoken when the call is answered; the built-in phrase of the language when absent.
    pub greeting: Option<String>,
    /// BCP 47 tag, such as `en` or `de-DE`.
    pub language: Option<String>,
    /// Engine names, such as `openai`, `espeak`, `flite`, `pocketsphinx`, `scripted`.
    pub stt: Option<String>,
    pub llm: Option<String>,
    pub tts: Option<String>,
    /// The models that the engine `openai` is asked for: those that the operator allows.
    pub stt_model: Option<String>,
    pub llm_model: Option<String>,
    pub tts_model: Option<String>,
    /// The longest reply, in tokens; the operator sets a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_reply_tokens: Option<u32>,
    /// The TTS engine's own name for a voice, such as `slt` (flite), `en-us` (espeak) or `alloy` (openai).
    pub voice: Option<String>,
    /// Phrases that replace the built-in ones, by name (see `conversation::Phrase`).
    pub phrases: BTreeMap<String, String>,
    pub turn: conversation::Overrides,
    /// When somebody is there; always when absent.
    pub hours: Option<Hours>,
    /// What the agent may do besides talking: `hang_up`. Nothing by default.
    pub tools: Vec<String>,
}

impl ProfileSettings {
    pub fn may(&self, tool: Tool) -> bool {
        self.tools.iter().any(|named| named == tool.word())
    }
}
