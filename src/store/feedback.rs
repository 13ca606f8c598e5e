//! Feedback on calls.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::Change;
use super::conditions::Conditions;
use super::statement::{Statement, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Page, Scope, StoreError, Window, now};
use crate::tenancy::{Actor, CallId, EventId, EventType, Feedback, FeedbackId, TenantId};

/// New feedback.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateFeedbackRequest)]
pub struct NewFeedback {
    /// From 1, the worst, to 5.
    #[schema(minimum = 1, maximum = 5)]
    pub rating: u8,
    /// Up to 4,000 characters.
    #[serde(default)]
    #[schema(max_length = 4000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub comment: Option<String>,
    /// Who gave it, such as `caller` or `review`.
    #[serde(default = "unnamed")]
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub source: String,
}

/// A filter of feedback; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedbackFilter {
    pub call: Option<CallId>,
    pub rating: Option<u8>,
    pub source: Option<String>,
    /// Given at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Given before this moment.
    pub to: Option<DateTime<Utc>>,
}

/// Feedback that is written already stays as it is.
fn insert(feedback: &Feedback) -> Statement {
    const SQL: &str = "INSERT INTO call_feedback \
        (id, tenant_id, call_id, rating, comment, source, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
        ON CONFLICT (id) DO NOTHING";
    sql(SQL)
        .bind(feedback.id.0)
        .bind(feedback.tenant_id.0)
        .bind(feedback.call_id.0)
        .bind(i64::from(feedback.rating))
        .bind(feedback.comment.as_deref())
        .bind(feedback.source.as_str())
        .bind(feedback.created_at)
}

impl Tx {
    /// Writes the rating that the caller gave during the call, and its event. Returns how many webhook deliveries it has.
    pub(super) async fn add_rating(&mut self, feedback: &Feedback) -> Result<u64, StoreError> {
        if self.execute(insert(feedback)).await? == 0 {
            return Ok(0);
        }
        self.emit_feedback(feedback).await
    }

    async fn emit_feedback(&mut self, feedback: &Feedback) -> Result<u64, StoreError> {
        let event = EventId::of(feedback.id.0, EventType::FeedbackReceived);
        self.emit(feedback.tenant_id, EventType::FeedbackReceived, event, feedback).await
    }
}

const COLUMNS: &str = "id, tenant_id, call_id, rating, comment, source, created_at";

impl Scope {
    /// Stores feedback and emits its event.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such call, `Invalid` for a rating out of range, `LimitReached` when the
    /// call has the most feedback that is allowed.
    pub async fn create_feedback(
        &self,
        actor: &Actor,
        call: CallId,
        new: NewFeedback,
    ) -> Result<Feedback, StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM call_feedback WHERE tenant_id = $1 AND call_id = $2";
        self.has_call(call).await?;
        let feedback = Feedback {
            id: FeedbackId::new(),
            tenant_id: self.tenant,
            call_id: call,
            rating: new.rating,
            comment: new.comment,
            source: new.source,
            created_at: now(),
        };
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let count = sql(COUNT).bind(self.tenant.0).bind(call.0);
        tx.admit("feedback_per_call", tx.limits.feedback_per_call.into(), count).await?;
        tx.execute(insert(&feedback)).await?;
        // Without the comment: it may hold the caller's personal data, and the audit log is kept longer.
        let kept = json!({ "call_id": call, "rating": feedback.rating, "source": feedback.source });
        tx.audit(Change::new(actor, self.tenant, "create", "feedback", feedback.id).after(&kept)).await?;
        let deliveries = tx.emit_feedback(&feedback).await?;
        tx.commit().await?;
        self.store.ring(deliveries);
        Ok(feedback)
    }

    /// The tenant's feedback, newest first.
    pub async fn feedback(
        &self,
        filter: &FeedbackFilter,
        window: Window,
    ) -> Result<Page<Feedback>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM call_feedback WHERE tenant_id =");
        let mut query = Conditions::new(select, self.tenant.0);
        query.and("id <", window.below());
        query.and_if("call_id =", filter.call.map(|id| id.0));
        query.and_if("rating =", filter.rating.map(i64::from));
        query.and_if("source =", filter.source.as_deref());
        query.and_if("created_at >=", filter.from);
        query.and_if("created_at <", filter.to);
        query.then("ORDER BY id DESC");
        query.limit(window.rows());
        let rows = self.all::<Row>(query.statement()).await?;
        let feedback: Result<Vec<Feedback>, StoreError> = rows.into_iter().map(Feedback::try_from).collect();
        Ok(window.page(feedback?, |feedback| feedback.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such call.
    pub async fn has_call(&self, id: CallId) -> Result<(), StoreError> {
        const SQL: &str = "SELECT id FROM calls WHERE tenant_id = $1 AND id = $2";
        self.one::<(Uuid,)>(sql(SQL).bind(self.tenant.0).bind(id.0)).await.map(drop)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    call_id: Uuid,
    rating: i64,
    comment: Option<String>,
    source: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Feedback {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Feedback, StoreError> {
        Ok(Feedback {
            id: FeedbackId(row.id),
            tenant_id: TenantId(row.tenant_id),
            call_id: CallId(row.call_id),
            rating: u8::try_from(row.rating).map_err(StoreError::corrupt)?,
            comment: row.comment,
            source: row.source,
            created_at: row.created_at,
        })
    }
}

fn unnamed() -> String {
    "api".to_owned()
}
