//! The limits of a tenant's requests: by the settings, the stage and the size of the tenant.

use std::fmt;
use std::num::NonZeroU32;

use serde::Deserialize;

use crate::engines::core::retry::Kind;

/// `[engine_shares]`: the requests of one tenant to one of the operator's engines, for each call that the tenant may have at
/// once. A minute's worth may arrive at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Requests for speech to text a minute; of live engines, connections. Default 120.
    pub stt_per_minute: NonZeroU32,
    /// Requests for speech to text, or connections, at the same time. Default 4.
    pub stt_concurrent: NonZeroU32,
    /// Requests to language models a minute; of speech to speech, connections. Default 60.
    pub llm_per_minute: NonZeroU32,
    /// Replies of language models, or such connections, at the same time. Default 4.
    pub llm_concurrent: NonZeroU32,
    /// Requests for text to speech a minute. Default 120.
    pub tts_per_minute: NonZeroU32,
    /// Speeches at the same time. Default 4.
    pub tts_concurrent: NonZeroU32,
    /// Requests of analyses a minute. Default 6. A tenant has one analysis at a time.
    pub analysis_per_minute: NonZeroU32,
    /// How long a request beyond the share waits for its turn, in milliseconds. Default 500.
    pub wait_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Settings {
            stt_per_minute: count(120),
            stt_concurrent: count(4),
            llm_per_minute: count(60),
            llm_concurrent: count(4),
            tts_per_minute: count(120),
            tts_concurrent: count(4),
            analysis_per_minute: count(6),
            wait_ms: 500,
        }
    }
}

/// The purpose of a request, by which it is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Stt,
    Llm,
    Tts,
    /// Speech to speech, with the limits of language models.
    Realtime,
    /// A language model for the analysis of a call.
    Analysis,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Stt => "stt",
            Stage::Llm => "llm",
            Stage::Tts => "tts",
            Stage::Realtime => "realtime",
            Stage::Analysis => "analysis",
        }
    }
}

impl From<Kind> for Stage {
    fn from(kind: Kind) -> Stage {
        match kind {
            Kind::Stt => Stage::Stt,
            Kind::Llm => Stage::Llm,
            Kind::Tts => Stage::Tts,
            Kind::Realtime => Stage::Realtime,
        }
    }
}

/// The limit that a request exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    PerMinute,
    Concurrent,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::PerMinute => "per_minute",
            Limit::Concurrent => "concurrent",
        })
    }
}

/// A tenant's limits with one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageLimits {
    pub per_minute: NonZeroU32,
    pub concurrent: NonZeroU32,
}

impl Settings {
    /// A tenant's limits.
    pub fn limits(&self, stage: Stage, scale: Scale) -> StageLimits {
        let (per_minute, concurrent) = match stage {
            Stage::Stt => (self.stt_per_minute, self.stt_concurrent),
            Stage::Llm | Stage::Realtime => (self.llm_per_minute, self.llm_concurrent),
            Stage::Tts => (self.tts_per_minute, self.tts_concurrent),
            // The worker of analyses limits those at the same time.
            Stage::Analysis => (self.analysis_per_minute, NonZeroU32::MAX),
        };
        StageLimits { per_minute: scale.of(per_minute), concurrent: scale.of(concurrent) }
    }
}

/// The size of a tenant's shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scale {
    /// The calls that it may have at once.
    pub calls: u32,
    /// The part of the limits of the settings.
    pub percent: u32,
}

impl Scale {
    /// A limit of one call, for all of them; 1 at least.
    fn of(self, limit: NonZeroU32) -> NonZeroU32 {
        let all = u128::from(limit.get()) * u128::from(self.calls) * u128::from(self.percent) / 100;
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        NonZeroU32::new(all).unwrap_or(NonZeroU32::MIN)
    }
}
