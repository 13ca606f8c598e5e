//! The values of the business: tenants, their numbers, their agents' profiles, their calls.
//!
//! Plain data without behaviour beyond its own rules. It knows neither the database nor a socket.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::turn;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ordered by time (UUID version 7, RFC 9562).
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

id!(
    /// A tenant. Every row that belongs to one carries it.
    TenantId
);
id!(NumberId);
id!(ProfileId);
id!(
    /// A call. The ids of its channels and its bridge in Asterisk are derived from it.
    CallId
);

/// A called number in E.164 without the plus sign: 3 to 15 digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Did(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a phone number: it takes 3 to 15 digits, with or without a leading +")]
pub struct BadDid(pub String);

impl Did {
    /// The digits, without a plus sign.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl FromStr for Did {
    type Err = BadDid;

    /// Takes the number with or without a leading `+`, and with spaces, dots, dashes and brackets.
    fn from_str(text: &str) -> Result<Did, BadDid> {
        let trimmed = text.trim();
        let rest = trimmed.strip_prefix('+').unwrap_or(trimmed);
        let digits: String = rest.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
        let valid = (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if valid { Ok(Did(digits)) } else { Err(BadDid(text.chars().take(32).collect())) }
    }
}

impl TryFrom<String> for Did {
    type Error = BadDid;
    fn try_from(text: String) -> Result<Did, BadDid> {
        text.parse()
    }
}

impl From<Did> for String {
    fn from(did: Did) -> String {
        did.to_string()
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({})", mask(&self.0))
    }
}

/// A phone number as a log may show it: the last two digits, the rest as dots.
pub fn mask(number: &str) -> String {
    let shown = number.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
    let hidden = number[..shown].chars().count();
    format!("{}{}", "·".repeat(hidden), &number[shown..])
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] #[value(name = $word)] $variant),+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word that the database, the API and the CLI use for it.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|v| v.word() == text).ok_or_else(|| UnknownWord {
                    word: text.chars().take(40).collect(),
                    known: &[$($word),+],
                })
            }
        }
    };
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {}", known.join(", "))]
pub struct UnknownWord {
    pub word: String,
    pub known: &'static [&'static str],
}

words!(TenantStatus { Active = "active", Suspended = "suspended", Deleted = "deleted" });
words!(Plan { Starter = "starter", Growth = "growth", Custom = "custom" });
words!(AgentRole {
    Receptionist = "receptionist",
    Sales = "sales",
    Support = "support",
    Dispatcher = "dispatcher",
    Custom = "custom",
});
words!(Direction { Inbound = "inbound", Outbound = "outbound" });
words!(
    /// Where a call stands. `Ringing` and `Answered` are calls in progress.
    CallStatus {
        Ringing = "ringing",
        Answered = "answered",
        /// Was answered and has ended.
        Completed = "completed",
        /// Refused before it was answered.
        Refused = "refused",
        /// Broke off through a fault of ours or of Asterisk's.
        Failed = "failed",
    }
);
words!(
    /// Whose doing the end of a call was.
    EndedBy { Caller = "caller", Agent = "agent", System = "system" }
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub status: TenantStatus,
    pub plan: Plan,
    /// How many calls it may have at once; the daemon's default when absent.
    pub max_concurrent_calls: Option<u32>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhoneNumber {
    pub id: NumberId,
    pub tenant_id: TenantId,
    pub did: Did,
    /// `generic` today.
    pub provider_type: String,
    pub is_active: bool,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AiProfile {
    pub id: ProfileId,
    pub tenant_id: TenantId,
    pub name: String,
    pub role: AgentRole,
    /// Non-empty.
    pub system_prompt: String,
    pub is_default: bool,
    pub settings: ProfileSettings,
    pub created_at: DateTime<Utc>,
}

/// What an agent says and how it behaves. Whatever is absent takes the daemon's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// The TTS engine's own name for a voice.
    pub voice: Option<String>,
    /// Phrases that replace the built-in ones, by name (see `turn::Phrase`).
    pub phrases: std::collections::BTreeMap<String, String>,
    pub turn: turn::Overrides,
}

/// What a called number leads to. Without a `profile` nobody is there to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub number: PhoneNumber,
    pub tenant: Tenant,
    /// The tenant's default profile.
    pub profile: Option<AiProfile>,
}

/// The record of one call, from its first ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub id: CallId,
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    pub ai_profile_id: Option<ProfileId>,
    /// The caller's channel: Asterisk's UNIQUEID.
    pub asterisk_channel_id: String,
    pub direction: Direction,
    /// As the trunk gave it; absent when withheld. It may be forged: nothing is decided by it.
    pub caller_number: Option<String>,
    pub called_number: Did,
    pub status: CallStatus,
    pub ended_by: Option<EndedBy>,
    /// Why it ended: an open word in snake case, such as `completed` or `refused_tenant_suspended`.
    pub disposition: Option<String>,
    /// ITU-T Q.850 cause value.
    pub hangup_cause: Option<u16>,
    pub started_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// As Asterisk names it, such as `ulaw`.
    pub codec: Option<String>,
    /// How well it was heard: loss, jitter, estimated MOS.
    pub media: Option<serde_json::Value>,
}

/// One turn of a call as it was truly heard. Latencies count from the end of the caller's speech, in
/// milliseconds; for the greeting, which is turn 0, from the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTurn {
    pub call_id: CallId,
    pub tenant_id: TenantId,
    pub turn: u32,
    pub caller_text: String,
    pub agent_text: String,
    /// The caller cut the answer short.
    pub interrupted: bool,
    /// The words were known.
    pub transcript_ms: Option<u32>,
    /// The first piece of the reply had come.
    pub reply_ms: Option<u32>,
    /// The wait for more speech was over.
    pub commit_ms: Option<u32>,
    /// The first sample of the answer left.
    pub audio_ms: Option<u32>,
    pub at: DateTime<Utc>,
}
