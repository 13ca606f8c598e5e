//! Feedback on calls.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::id;
use super::{CallId, TenantId};

id!(
    /// Feedback on a call.
    FeedbackId
);

/// A rating of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    pub id: FeedbackId,
    pub tenant_id: TenantId,
    pub call_id: CallId,
    /// From 1, the worst, to 5.
    #[schema(minimum = 1, maximum = 5)]
    pub rating: u8,
    pub comment: Option<String>,
    /// The source of the rating, such as `caller` or `review`.
    pub source: String,
    pub created_at: DateTime<Utc>,
}
