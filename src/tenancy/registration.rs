//! How a number stands with its provider: whoever brings its calls to our Asterisk.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Did, NumberId, ProviderState};

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
    /// The tenant wants its calls.
    pub is_active: bool,
    /// The tenant has given the number up.
    pub is_deleted: bool,
}
