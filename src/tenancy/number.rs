//! A tenant's phone numbers, and their providers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{Did, FailoverRoutes, Registration, TenantId};

id!(
    /// A phone number of a tenant.
    NumberId
);

words!(
    /// The provider of a number. `generic`: its calls arrive already, nothing has to be set up. `asterisk`: the
    /// dialplan of this Asterisk routes it. `fake`: for development.
    #[derive(Default)]
    ProviderType {
        /// Its calls arrive already; nothing has to be set up.
        #[default]
        Generic = "generic",
        /// This Asterisk's dialplan routes it.
        Asterisk = "asterisk",
        Tata = "tata",
        Twilio = "twilio",
        Telnyx = "telnyx",
        /// For development.
        Fake = "fake",
    }
);
words!(
    /// State of a number at its provider. `pending`: the request is in progress. `registered`: its calls arrive
    /// here. `manual`: the remaining steps are manual, see `provider_detail`. `failed`: see `provider_detail`,
    /// then register again. `unregistered`: its calls no longer arrive here.
    ProviderState {
        /// A request is in progress, or was when the daemon died: register again.
        Pending = "pending",
        /// The provider sends its calls here.
        Registered = "registered",
        /// The remaining steps are manual; the detail lists them.
        Manual = "manual",
        /// The provider refused or did not respond; the detail has the reason. Register again.
        Failed = "failed",
        /// The provider does not send its calls here.
        Unregistered = "unregistered",
    }
);
words!(
    /// How calls to a number are handled.
    CallDelivery {
        /// The provider sends the number's calls here, and they are answered.
        Delivered = "delivered",
        /// A call that arrives is answered. Whether the provider sends it is not confirmed.
        Unconfirmed = "unconfirmed",
        /// The provider does not send the number's calls here. A call that arrives another way is answered.
        NotDelivered = "not_delivered",
        /// The number is inactive: its calls are refused.
        Refused = "refused",
    }
);

impl ProviderType {
    /// The state of a new number of this provider.
    pub fn first_state(self) -> ProviderState {
        match self {
            ProviderType::Generic => ProviderState::Registered,
            _ => ProviderState::Pending,
        }
    }
}

impl CallDelivery {
    /// The handling of calls to a number that is active or not, in this state.
    pub fn of(is_active: bool, state: ProviderState) -> CallDelivery {
        match state {
            _ if !is_active => CallDelivery::Refused,
            ProviderState::Registered => CallDelivery::Delivered,
            ProviderState::Pending | ProviderState::Manual => CallDelivery::Unconfirmed,
            ProviderState::Failed | ProviderState::Unregistered => CallDelivery::NotDelivered,
        }
    }
}

/// A phone number of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhoneNumber {
    pub id: NumberId,
    pub tenant_id: TenantId,
    /// In E.164.
    #[serde(rename = "did_number")]
    pub did: Did,
    pub provider_type: ProviderType,
    /// Whether calls are answered: the tenant's setting. `call_delivery` shows the result for callers.
    pub is_active: bool,
    pub provider_state: ProviderState,
    /// The provider's response, or the remaining steps.
    pub provider_detail: Option<String>,
    /// The provider's own id of the number.
    pub provider_reference: Option<String>,
    /// How calls are handled, by `is_active` and `provider_state`.
    pub call_delivery: CallDelivery,
    /// Where calls continue that the agent cannot serve, or no longer.
    #[serde(default)]
    pub failover: FailoverRoutes,
    /// Whether the tenant's pre-call webhook is asked about its calls; one of the number's own is in any case.
    #[serde(default = "by_default")]
    pub uses_tenant_webhook: bool,
    /// Version of the routing and the failover routes, from 1.
    #[serde(default)]
    pub routing_version: u32,
    pub created_at: DateTime<Utc>,
}

fn by_default() -> bool {
    true
}

impl PhoneNumber {
    /// The number with its present registration.
    #[must_use]
    pub fn with_registration(self, registration: Registration) -> PhoneNumber {
        PhoneNumber {
            call_delivery: CallDelivery::of(self.is_active, registration.provider_state),
            provider_state: registration.provider_state,
            provider_detail: registration.provider_detail,
            provider_reference: registration.provider_reference,
            ..self
        }
    }
}
