//! AI profiles: an agent's prompt, phrases, engines and turn settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use super::kinds::{id, words};
use super::{AnalysisSettings, Hours, HttpTool, KeypadMenu, McpServer, TenantId, TransferTarget, schemas};
use crate::conversation;
use crate::dtmf::Digit;

id!(
    /// A profile.
    ProfileId
);

words!(
    /// The agent's role. It is informative: the system prompt decides what the agent does.
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
    /// Built-in tools that an agent can call. `end_call`: end the call. `send_dtmf`: send keys to the far end.
    /// `collect_digits`: collect an entry of keys from the caller.
    /// `transfer`: transfer the caller to one of the tenant's targets. `queue`: put the caller into one of the tenant's queues.
    /// `voicemail`: let the caller leave a message in one of the tenant's mailboxes. `remember`: keep a field on the call's record.
    /// `switch_agent`: another profile of `switch_to` goes on with the call. `set_language`: continue in another of `languages`.
    Tool {
        /// End the call.
        EndCall = "end_call",
        /// Send keys to the far end.
        SendDtmf = "send_dtmf",
        /// Collect an entry of keys from the caller.
        CollectDigits = "collect_digits",
        /// Transfer the caller to one of the tenant's transfer targets.
        Transfer = "transfer",
        /// Put the caller into one of the tenant's queues: its transfer targets of that kind.
        Queue = "queue",
        /// Let the caller leave a message: the tenant's transfer targets of that kind are mailboxes.
        Voicemail = "voicemail",
        /// Keep a field on the call's record.
        Remember = "remember",
        /// Another profile goes on with the call.
        SwitchAgent = "switch_agent",
        /// Continue in another language.
        SetLanguage = "set_language",
    }
);

words!(
    /// The consumers of the caller's audio that get it with its noise suppressed. `recognition`: speech recognition.
    /// `recognition_and_voice`: also the detection of the caller's voice.
    NoiseSuppressionSetting {
        /// None.
        Off = "off",
        /// Speech recognition.
        Recognition = "recognition",
        /// Speech recognition and the detection of the caller's voice.
        RecognitionAndVoice = "recognition_and_voice",
    }
);

/// An agent: its prompt, voice, engines and behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiProfile {
    pub id: ProfileId,
    pub tenant_id: TenantId,
    pub name: String,
    pub role: AgentRole,
    pub system_prompt: String,
    /// This profile answers the tenant's calls, except those to numbers with profiles of their own.
    pub is_default: bool,
    pub settings: ProfileSettings,
    /// Version of name, role, prompt and settings, from 1.
    pub version: u32,
    pub created_at: DateTime<Utc>,
    /// The transfer targets with which the version was published; `None` where its agent leads no caller to one, and for one that
    /// was saved before versions had targets.
    #[serde(skip)]
    pub targets: Option<Arc<[TransferTarget]>>,
}

/// A profile at one version. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileVersion {
    pub ai_profile_id: ProfileId,
    pub version: u32,
    pub name: String,
    pub role: AgentRole,
    pub system_prompt: String,
    pub settings: ProfileSettings,
    /// Who created the version.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The tenant's transfer targets as the version uses them; one that the tenant has deleted since is not reached any more. `null`
    /// where its agent leads no caller to one, and for a version that was made before versions had targets.
    #[serde(default)]
    pub targets: Option<Vec<TransferTarget>>,
    /// A change of a transfer target made the version. Its other content is that of the version before.
    #[serde(default)]
    pub republished: bool,
}

impl AiProfile {
    /// The transfer targets to which its agent leads callers: those of its version that the tenant still has, of `present` ones.
    pub fn known_targets(&self, present: &[TransferTarget]) -> Arc<[TransferTarget]> {
        existing(self.targets.as_deref(), present).into()
    }
}

impl ProfileVersion {
    /// As of [`AiProfile::known_targets`].
    pub fn known_targets(&self, present: &[TransferTarget]) -> Vec<TransferTarget> {
        existing(self.targets.as_deref(), present)
    }
}

fn existing(own: Option<&[TransferTarget]>, present: &[TransferTarget]) -> Vec<TransferTarget> {
    let Some(own) = own else { return present.to_vec() };
    let exists = |target: &&TransferTarget| present.iter().any(|it| it.id == target.id);
    own.iter().filter(exists).cloned().collect()
}

/// An agent's voice, engines and behaviour. An absent or `null` field takes the daemon's default.
//
// Values from a closed set are stored as texts, so that `check_profile` can report all unknown ones, and so that a
// profile with a removed engine can still be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileSettings {
    /// Spoken when the call is answered. Default: the built-in greeting of the language.
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub greeting: Option<String>,
    /// BCP 47 language tag of the conversation, such as `en` or `de-DE`.
    #[schema(max_length = 35, pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    pub language: Option<String>,
    /// All languages of the conversation (BCP 47), for the tool `set_language`. It begins in the first one. The others are
    /// languages with built-in phrases: `en`, `hi`, `de`, `es`, `fr`, `pt`. Default: `language` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = super::schemas::languages)]
    pub languages: Vec<String>,
    /// The voice of each language, by its tag in `languages`. Default: `voice` for the first one, and the engine's choice for
    /// the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = super::schemas::voices)]
    pub voices: BTreeMap<String, String>,
    /// Continue in the one of `languages` that the caller speaks, as far as their words are certain. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_language: Option<bool>,
    /// Speech-to-text engine: one that the daemon has, such as `openai` or `pocketsphinx`.
    #[schema(examples("openai"))]
    pub stt: Option<String>,
    /// Language model engine: one that the daemon has, such as `openai` or `scripted`.
    #[schema(examples("openai"))]
    pub llm: Option<String>,
    /// Text-to-speech engine: one that the daemon has, such as `openai`, `espeak` or `flite`.
    #[schema(examples("openai"))]
    pub tts: Option<String>,
    /// Speech-to-speech engine, which hears the caller and speaks itself: one that the daemon has. When it fails in a call,
    /// `stt`, `llm` and `tts` go on; prompts are spoken by `tts`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<String>,
    /// Model of the speech-to-speech engine: one that the operator allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub realtime_model: Option<String>,
    /// Voice of the speech-to-speech engine, by its own name, such as `marin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub realtime_voice: Option<String>,
    /// Model of the speech-to-text engine: one that the operator allows.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub stt_model: Option<String>,
    /// Model of the language model engine: one that the operator allows.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub llm_model: Option<String>,
    /// Model of the text-to-speech engine: one that the operator allows.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub tts_model: Option<String>,
    /// The longest response, in tokens; the operator sets a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 4294967295_i64)]
    pub max_reply_tokens: Option<u32>,
    /// The voice, by the text-to-speech engine's name, such as `slt` (flite), `en-us` (espeak) or `alloy`
    /// (openai).
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub voice: Option<String>,
    /// Phrases that replace the built-in ones, by name.
    #[schema(schema_with = super::schemas::phrases)]
    pub phrases: BTreeMap<String, String>,
    /// Timing and limits of the conversation.
    pub turn: conversation::Overrides,
    /// Business hours. Default: always open.
    pub hours: Option<Hours>,
    /// Actions that the agent can take. Default: none.
    #[schema(schema_with = super::schemas::tools)]
    pub tools: Vec<String>,
    /// HTTP requests that the agent can send. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub http_tools: Vec<HttpTool>,
    /// MCP servers with tools that the agent can call. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5)]
    pub mcp_servers: Vec<McpServer>,
    /// Values for `{{name}}` in prompt, greeting and phrases, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = super::schemas::variables)]
    pub variables: BTreeMap<String, String>,
    /// Begin the instructions to the model with a built-in preamble: a telephone call, brief and plain text, the language.
    /// Default: `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preamble: Option<bool>,
    /// Before the greeting, say that the agent is automated and the call transcribed (phrase `notice`). It cannot be
    /// interrupted, and that it was heard is on the call's record. Default: `true` for a new profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<bool>,
    /// Names and terms that callers say, for speech-to-text engines that take such hints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = super::schemas::key_terms)]
    pub key_terms: Vec<String>,
    /// Words that the voice mispronounces, and the text that is spoken in their place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = super::schemas::pronunciations)]
    pub pronunciations: BTreeMap<String, String>,
    /// Analysis of calls after their end. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisSettings>,
    /// Names of the tenant's profiles to which the tool `switch_agent` can switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = super::schemas::switch_to)]
    pub switch_to: Vec<String>,
    /// When another profile switches to this one, begin with the greeting instead of an answer. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greets_on_switch: Option<bool>,
    /// Keypad menus in the first language; the first one is the main menu. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10)]
    pub keypad_menus: Vec<KeypadMenu>,
    /// A key that opens the main menu at any time, unless it is within an entry of keys. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1, pattern = "^[0-9A-Da-d*#]$")]
    pub keypad_menu_key: Option<Digit>,
    /// Begin the conversation with the main menu, after a greeting that is a text. Default: `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keypad_menu_at_start: Option<bool>,
    /// Suppress noise in the caller's audio; of the profile that answers the call. Default: `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_suppression: Option<NoiseSuppressionSetting>,
    /// Faint noise while the agent thinks, so that the line does not sound dead. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comfort_noise: Option<bool>,
}

impl ProfileSettings {
    /// The schema of a merge patch of settings (RFC 7396).
    pub fn patch_schema() -> Schema {
        schemas::patch_of_settings()
    }

    pub fn may(&self, tool: Tool) -> bool {
        self.tools.iter().any(|named| named == tool.as_str())
    }

    /// May the agent or a keypad menu lead the caller to a transfer target?
    pub fn uses_targets(&self) -> bool {
        self.may_transfer() || !self.keypad_menus.is_empty()
    }

    /// May the agent lead the caller to a transfer target, by any tool?
    pub fn may_transfer(&self) -> bool {
        [Tool::Transfer, Tool::Queue, Tool::Voicemail].into_iter().any(|tool| self.may(tool))
    }
}
