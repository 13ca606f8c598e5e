//! Phone numbers as a tenant has them, and who carries their calls.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{Did, TenantId};

id!(NumberId);

words!(
    /// Whose number it is, and so how it comes to this Asterisk.
    ProviderType {
        /// Calls come in already: nothing is to be done.
        Generic = "generic",
        /// The dialplan of this Asterisk routes it.
        Asterisk = "asterisk",
        Tata = "tata",
        Twilio = "twilio",
        Telnyx = "telnyx",
        /// For development.
        Fake = "fake",
    }
);
words!(
    /// Whether the provider sends the number's calls here.
    ProviderState {
        /// It is to be told.
        Pending = "pending",
        Registered = "registered",
        /// What is left has to be done by hand: see the detail.
        Manual = "manual",
        /// It could not be told: see the detail. Worth another try.
        Failed = "failed",
        Unregistered = "unregistered",
    }
);

impl ProviderType {
    /// How a new number of this provider's begins.
    pub fn first_state(self) -> ProviderState {
        match self {
            ProviderType::Generic => ProviderState::Registered,
            _ => ProviderState::Pending,
        }
    }
}

impl Default for ProviderType {
    fn default() -> ProviderType {
        ProviderType::Generic
    }
}

/// A number that leads to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhoneNumber {
    pub id: NumberId,
    pub tenant_id: TenantId,
    /// In E.164.
    #[serde(rename = "did_number")]
    pub did: Did,
    pub provider_type: ProviderType,
    /// Calls to an inactive number are refused.
    pub is_active: bool,
    pub provider_state: ProviderState,
    /// What the provider said, or what is left to be done.
    pub provider_detail: Option<String>,
    /// The provider's own name for the number.
    pub provider_reference: Option<String>,
    pub created_at: DateTime<Utc>,
}
