//! Phone numbers as a tenant has them, and who carries their calls.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{Did, TenantId};

id!(NumberId);

words!(
    /// Whose number it is, and so how it comes to this Asterisk.
    #[derive(Default)]
    ProviderType {
        /// Calls come in already: nothing is to be done.
        #[default]
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
    /// How a number stands with its provider.
    ProviderState {
        /// The provider is being asked, or was when the daemon died: ask again.
        Pending = "pending",
        /// Its calls come to us.
        Registered = "registered",
        /// What is left to do, a person does: the detail says what.
        Manual = "manual",
        /// The provider did not do it: the detail says why. Ask again.
        Failed = "failed",
        /// Its calls no longer come to us.
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
