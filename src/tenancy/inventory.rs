//! The operator's inventory of numbers, and their assignment to tenants.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::{Did, NumberId, TenantId};

id!(
    /// An entry of the number inventory.
    InventoryNumberId
);

words!(
    /// Source of an inventory entry.
    #[derive(Default)]
    NumberSource {
        #[default]
        Operator = "operator",
        /// Listed by the operator's Twilio account.
        Twilio = "twilio",
        /// Listed by the operator's Telnyx account.
        Telnyx = "telnyx",
    }
);

/// A number that the operator may assign to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryNumber {
    pub id: InventoryNumberId,
    /// In E.164.
    #[serde(rename = "did_number")]
    pub did: Did,
    /// The tenant that may take it; absent while it is not assigned.
    pub tenant_id: Option<TenantId>,
    pub source: NumberSource,
    /// The operator's note.
    pub note: Option<String>,
    /// The tenant's phone number; absent while no tenant has taken it.
    pub phone_number_id: Option<NumberId>,
    pub created_at: DateTime<Utc>,
}

/// A number that a tenant may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailableNumber {
    pub id: InventoryNumberId,
    /// In E.164.
    #[serde(rename = "did_number")]
    pub did: Did,
    pub source: NumberSource,
}
