//! How a number stands with its provider: whoever brings its calls to our Asterisk.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;
use super::{Did, NumberId};

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

/// A number as its provider has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    pub phone_number_id: NumberId,
    pub did: Did,
    pub provider_type: String,
    pub provider_state: ProviderState,
    /// For people: why, or what is left to do.
    pub provider_detail: Option<String>,
    /// The provider's own id of the number.
    pub provider_reference: Option<String>,
    /// The tenant has given the number up.
    pub is_deleted: bool,
}
