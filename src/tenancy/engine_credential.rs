//! Engine credentials: a tenant's own accounts at vendors, and the operator's rules for them.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{EngineKind, TenantId};
use crate::names::{EngineNames, Names, OWN, check_engine_name};
use crate::violation::Violation;

id!(
    /// Engine credentials.
    EngineCredentialId
);

words!(
    /// The protocol of a vendor. `openai` and `openai-responses` are spoken by many servers.
    EngineApi {
        /// OpenAI's API, of any kind of engine, or a server that is compatible with it.
        OpenAi = "openai",
        /// OpenAI's Responses API, for language models.
        Responses = "openai-responses",
        /// OpenAI's Realtime API, for speech to text, and for speech to speech.
        Realtime = "openai-realtime",
        /// Anthropic's Messages API, for language models.
        Anthropic = "anthropic",
        /// ElevenLabs: speech to text, and text to speech.
        ElevenLabs = "elevenlabs",
        /// Deepgram: speech to text, and text to speech.
        Deepgram = "deepgram",
        /// Deepgram's Flux, which judges the ends of turns: speech to text.
        Flux = "deepgram-flux",
        /// Cartesia: text to speech.
        Cartesia = "cartesia",
    }
);
words!(
    /// The engines that are asked when a tenant's own engine fails. `none`: none, so that the call fails as without an engine.
    /// `operator`: the operator's, at the operator's prices.
    #[derive(Default)]
    EngineFallback {
        #[default]
        None = "none",
        Operator = "operator",
    }
);
words!(
    /// Whether tenants may use engines of their own accounts. `required`: they must, except for programs of this machine.
    #[derive(Default)]
    TenantKeys {
        #[default]
        Forbidden = "forbidden",
        Allowed = "allowed",
        Required = "required",
    }
);

impl EngineApi {
    /// Whether the API has engines of a kind.
    pub fn has(self, kind: EngineKind) -> bool {
        match self {
            EngineApi::OpenAi => kind != EngineKind::Realtime,
            EngineApi::Responses | EngineApi::Anthropic => kind == EngineKind::Llm,
            EngineApi::Realtime => matches!(kind, EngineKind::Stt | EngineKind::Realtime),
            EngineApi::Flux => kind == EngineKind::Stt,
            EngineApi::ElevenLabs | EngineApi::Deepgram => matches!(kind, EngineKind::Stt | EngineKind::Tts),
            EngineApi::Cartesia => kind == EngineKind::Tts,
        }
    }

    /// Whether an engine of this API has models beside its voices.
    fn has_models(self, kind: EngineKind) -> bool {
        (self, kind) != (EngineApi::Deepgram, EngineKind::Tts)
    }
}

/// A tenant's account at a vendor, for its own calls alone. Its key is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineCredential {
    pub id: EngineCredentialId,
    pub tenant_id: TenantId,
    /// Unique within the tenant. Profiles name the engine `own:` and this name.
    #[schema(examples("acme-llm"))]
    pub name: String,
    pub kind: EngineKind,
    pub api: EngineApi,
    /// The base URL of the server; `null` for the vendor's own.
    pub base_url: Option<String>,
    /// The model of profiles that name none; `null` for the default of the API.
    pub model: Option<String>,
    pub fallback: EngineFallback,
    /// The last characters of the key.
    #[schema(examples("…w9Qa"))]
    pub key_hint: String,
    /// From 1. Each replacement counts.
    pub version: u32,
    pub created_at: DateTime<Utc>,
    /// The time of the last replacement.
    pub updated_at: DateTime<Utc>,
}

impl EngineCredential {
    /// The name of its engine in profiles and on records.
    pub fn engine(&self) -> String {
        format!("{OWN}{}", self.name)
    }

    /// The engine and the names that profiles may choose of it. The tenant pays for its models, so it may choose any.
    pub(super) fn names(&self) -> EngineNames {
        let models = if self.api.has_models(self.kind) { Names::ModelId } else { Names::None };
        let has_voices = matches!(self.kind, EngineKind::Tts | EngineKind::Realtime);
        let voices = if has_voices { Names::Token } else { Names::None };
        EngineNames::new(&self.engine(), models, voices)
    }
}

/// Engine credentials with their key, for the engines of a call.
#[derive(Debug, Clone)]
pub struct EngineAccess {
    pub credential: EngineCredential,
    pub key: SecretString,
}

/// The same version of the same credentials has the same key.
impl PartialEq for EngineAccess {
    fn eq(&self, other: &EngineAccess) -> bool {
        self.credential == other.credential
    }
}

/// The outcome of one small request to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineTrial {
    /// `succeeded`, or the reason of the failure, such as `auth`, `quota`, `model`, `timeout` or `unavailable`.
    #[schema(examples("succeeded"))]
    pub outcome: String,
    /// The error; `null` where there is none. It does not contain the key.
    pub problem: Option<String>,
    #[schema(minimum = 0)]
    pub duration_ms: u64,
}

impl EngineTrial {
    pub const SUCCEEDED: &'static str = "succeeded";
}

/// The health of an engine in this daemon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EngineHealth {
    /// The share of recent attempts that succeeded, from 0 to 1; `null` while no call has used the engine since the daemon
    /// started, or since its credentials changed.
    #[schema(minimum = 0, maximum = 1)]
    pub success_share: Option<f64>,
    /// It has failed and is not asked for some seconds.
    pub is_paused: bool,
}

/// `[tenant_engines]`: the operator's rules for engines of tenants' own accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantEngineRules {
    /// Default: forbidden, because callers' words then reach vendors that the operator has not chosen.
    pub keys: TenantKeys,
    /// The APIs that tenants may use. Default: all.
    pub apis: Vec<EngineApi>,
    /// Whether their servers may have loopback, private and other addresses that are not public. Default false.
    pub allow_private_addresses: bool,
    /// Whether their servers may be without TLS. Default false.
    pub allow_http: bool,
    /// The most engines of each kind that are kept with their connections. Default 500.
    pub max_kept: usize,
}

impl Default for TenantEngineRules {
    fn default() -> TenantEngineRules {
        TenantEngineRules {
            keys: TenantKeys::default(),
            apis: EngineApi::ALL.to_vec(),
            allow_private_addresses: false,
            allow_http: false,
            max_kept: 500,
        }
    }
}

impl TenantEngineRules {
    /// Whether an engine with these credentials may be used.
    pub fn allow(&self, credential: &EngineCredential) -> bool {
        self.keys != TenantKeys::Forbidden && self.apis.contains(&credential.api)
    }

    /// All violations of new credentials, except those of their address.
    pub fn violations(
        &self,
        name: &str,
        (kind, api): (EngineKind, EngineApi),
        model: Option<&str>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        found.extend(check_engine_name(name).err().map(|problem| Violation::new("name", problem)));
        if !api.has(kind) {
            found.push(Violation::new("api", format!("{api} has no engines of kind {kind}")));
        } else if !self.apis.contains(&api) {
            let allowed: Vec<&str> = self.apis.iter().map(|it| it.as_str()).collect();
            let problem = format!("the operator does not allow it: use one of {}", allowed.join(", "));
            found.push(Violation::new("api", problem));
        }
        found.extend(model.and_then(|model| check_model((kind, api), model)));
        found
    }
}

/// Why a model cannot be the default of credentials.
pub fn check_model((kind, api): (EngineKind, EngineApi), model: &str) -> Option<Violation> {
    if !api.has_models(kind) {
        return Some(Violation::new("model", "this engine has no models: choose a voice in the profile"));
    }
    Names::ModelId.check(model).err().map(|error| Violation::new("model", error.to_string()))
}

/// The last characters of a key, by which its owner recognises it, where it is long enough to keep its secret.
pub fn key_hint(key: &str) -> String {
    const SHOWN: usize = 4;
    let length = key.chars().count();
    let tail: String = key.chars().skip(length.saturating_sub(SHOWN)).collect();
    if length >= 4 * SHOWN { format!("…{tail}") } else { "…".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_has_its_kinds() {
        let kinds = |api: EngineApi| {
            let has = EngineKind::ALL.iter().filter(|kind| api.has(**kind));
            has.map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kinds(EngineApi::OpenAi), "stt llm tts");
        assert_eq!(kinds(EngineApi::Anthropic), "llm");
        assert_eq!(kinds(EngineApi::Deepgram), "stt tts");
        assert_eq!(kinds(EngineApi::Flux), "stt");
        assert_eq!(kinds(EngineApi::Cartesia), "tts");
        assert_eq!(kinds(EngineApi::Realtime), "stt realtime");
    }

    #[test]
    fn credentials_that_no_engine_fits_are_violations() {
        let rules = TenantEngineRules { apis: vec![EngineApi::Deepgram], ..TenantEngineRules::default() };
        let fields = |name, kind, api, model| {
            let found = rules.violations(name, (kind, api), model);
            found.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert_eq!(fields("acme", EngineKind::Stt, EngineApi::Deepgram, Some("nova-3")), [""; 0]);
        assert_eq!(fields("A b", EngineKind::Llm, EngineApi::Deepgram, None), ["name", "api"]);
        assert_eq!(fields("acme", EngineKind::Tts, EngineApi::Deepgram, Some("x")), ["model"]);
        assert_eq!(fields("acme", EngineKind::Llm, EngineApi::OpenAi, Some("../x")), ["api", "model"]);
    }

    #[test]
    fn a_hint_keeps_the_secret_of_a_short_key() {
        assert_eq!(key_hint("sk-0123456789abcdef"), "…cdef");
        assert_eq!(key_hint("hunter2"), "…");
    }
}
