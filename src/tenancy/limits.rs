//! Limits of a tenant's stored data, so that no tenant fills the disk.

use std::fmt;

use serde::Deserialize;

/// `[limits]`: per tenant. Lowering a limit removes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantLimits {
    /// API keys that are neither revoked nor expired. Default 50.
    pub keys: u32,
    /// AI profiles. Default 100.
    pub profiles: u32,
    /// Versions kept of one profile's own changes, and of one number's routing: older ones are deleted with the next change unless a call
    /// refers to them. Of those for changes of targets the last five are kept. Default 50.
    pub profile_versions: u32,
    /// Bytes of prompts, phrases, other settings and transfer targets in all versions of all profiles but those for changes of targets. Default 52428800 (50 MiB).
    pub profile_bytes: u64,
    /// Phone numbers in use. Default 1000.
    pub numbers: u32,
    /// Webhooks. Default 20.
    pub webhooks: u32,
    /// Secrets of HTTP tools and MCP servers. Default 50.
    pub tool_secrets: u32,
    /// Engine credentials. Default 20.
    pub engine_credentials: u32,
    /// Transfer targets. Default 100.
    pub targets: u32,
    /// Entries of feedback on one call. Default 10.
    pub feedback_per_call: u32,
    /// Trials of analyses in 24 hours. Default 100.
    pub analysis_trials_per_day: u32,
    /// Changes in 24 hours by the tenant's own API keys; each adds an entry to the audit log. Default 10000.
    pub changes_per_day: u32,
    /// Requests with an `Idempotency-Key` in 24 hours, each stored with its response. Default 10000.
    pub idempotency_keys: u32,
}

impl Default for TenantLimits {
    fn default() -> TenantLimits {
        TenantLimits {
            keys: 50,
            profiles: 100,
            profile_versions: 50,
            profile_bytes: 50 * 1024 * 1024,
            numbers: 1_000,
            webhooks: 20,
            tool_secrets: 50,
            engine_credentials: 20,
            targets: 100,
            feedback_per_call: 10,
            analysis_trials_per_day: 100,
            changes_per_day: 10_000,
            idempotency_keys: 10_000,
        }
    }
}

/// A limit that a tenant has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached {
    /// Its key in `[limits]`.
    pub limit: &'static str,
    pub at_most: u64,
}

impl LimitReached {
    /// How to proceed.
    fn remedy(&self) -> &'static str {
        match self.limit {
            "keys" => "revoke one that is no longer used",
            "numbers" => "release one that is no longer used, or ask the operator for more",
            "webhooks" | "tool_secrets" | "engine_credentials" | "targets" => {
                "delete one or change one that exists"
            }
            "profiles" => "change one that exists, or ask the operator for more",
            "profile_bytes" => "shorten prompts and phrases, or ask the operator for more",
            "idempotency_keys" => {
                "send requests without the header, continue tomorrow, or ask the operator for more"
            }
            "feedback_per_call" => "the call has received all of its feedback",
            _ => "continue tomorrow, or ask the operator for more",
        }
    }
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit reached: {} {} at most; {}", self.at_most, self.limit, self.remedy())
    }
}
