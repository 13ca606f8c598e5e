//! Failures of providers, sorted by remedy.

use super::PROVIDERS;
use crate::ari::AriError;

/// The texts are for the number's administrators and contain no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelephonyError {
    #[error("there is no provider {provider:?}; there are {}", PROVIDERS.join(", "))]
    Unknown { provider: String },
    #[error("{provider} is not configured: set {missing}")]
    NotConfigured { provider: &'static str, missing: String },
    /// The settings do not allow it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No request was sent.
    #[error(
        "{provider} was not asked: the number is not assigned to this tenant; the operator assigns numbers"
    )]
    NotOwned { provider: &'static str },
    #[error("{provider} does not have this number: buy it or port it to the account first")]
    NotFound { provider: &'static str },
    #[error("{provider} refuses our credentials: {reason}")]
    Credentials { provider: &'static str, reason: String },
    /// The account has the number, and uses it for something else.
    #[error("{provider} has this number in use elsewhere: {by}")]
    InUse { provider: &'static str, by: String },
    /// It did not respond, or asked to try later.
    #[error("{provider} is not available: {reason}")]
    Unavailable { provider: &'static str, reason: String },
    /// It understood the request and refused it.
    #[error("{provider} refuses: {reason}")]
    Refused { provider: &'static str, reason: String },
    /// The response is not as its published API promises.
    #[error("{provider} sent an unexpected response: {reason}")]
    Unreadable { provider: &'static str, reason: String },
}

impl TelephonyError {
    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, TelephonyError::Unavailable { .. })
    }

    /// Replaces `NotFound` where the missing object is not the number but one that the settings name.
    pub(super) fn nothing_there(self, reason: &str) -> TelephonyError {
        match self {
            TelephonyError::NotFound { provider } => {
                TelephonyError::Refused { provider, reason: reason.to_owned() }
            }
            other => other,
        }
    }

    /// The label in the log and the metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            TelephonyError::Unknown { .. } => "unknown_provider",
            TelephonyError::NotConfigured { .. } => "not_configured",
            TelephonyError::Forbidden(_) => "forbidden",
            TelephonyError::NotOwned { .. } => "not_owned",
            TelephonyError::NotFound { .. } => "not_found",
            TelephonyError::Credentials { .. } => "credentials_refused",
            TelephonyError::InUse { .. } => "in_use",
            TelephonyError::Unavailable { .. } => "unavailable",
            TelephonyError::Refused { .. } => "refused",
            TelephonyError::Unreadable { .. } => "unreadable",
        }
    }
}

impl From<AriError> for TelephonyError {
    fn from(error: AriError) -> TelephonyError {
        let (provider, reason) = ("Asterisk", error.to_string());
        match error {
            AriError::Status { code: 401 | 403, .. } => TelephonyError::Credentials { provider, reason },
            AriError::Status { code: 400..=499, .. } => TelephonyError::Refused { provider, reason },
            AriError::Decode(_) => TelephonyError::Unreadable { provider, reason },
            AriError::Timeout(_)
            | AriError::Refused
            | AriError::Tls(_)
            | AriError::Broken
            | AriError::Status { .. } => TelephonyError::Unavailable { provider, reason },
        }
    }
}
