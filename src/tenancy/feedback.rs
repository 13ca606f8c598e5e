//! What somebody thought of a call.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::id;
use super::{CallId, TenantId};

id!(
    /// One opinion of a call.
    FeedbackId
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    pub id: FeedbackId,
    pub tenant_id: TenantId,
    pub call_id: CallId,
    /// 1, the worst, to 5.
    pub rating: u8,
    pub comment: Option<String>,
    /// Whose opinion it is, such as `caller` or `review`.
    pub source: String,
    pub created_at: DateTime<Utc>,
}
