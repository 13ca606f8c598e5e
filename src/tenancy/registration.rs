//! A number's registration with the provider that routes its calls to this Asterisk.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CallDelivery, Did, NumberId, ProviderState};

/// State of a number at its provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    pub phone_number_id: NumberId,
    pub did: Did,
    pub provider_type: String,
    pub provider_state: ProviderState,
    /// The provider's response, or the remaining steps.
    pub provider_detail: Option<String>,
    /// The provider's id of the number.
    pub provider_reference: Option<String>,
    /// Who had VCA route the number here at its provider. Absent where VCA did not: then VCA does not undo it
    /// either.
    pub registered_by: Option<String>,
    /// Whether the tenant's setting is to answer its calls.
    pub is_active: bool,
    /// Whether the tenant has released the number.
    pub is_deleted: bool,
    /// How calls to the number are handled.
    pub call_delivery: CallDelivery,
}
