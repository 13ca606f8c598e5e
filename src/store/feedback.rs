//! What people thought of calls.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{Change, audit};
use super::conditions::{Conditions, Value, fetch};
use super::outbox::emit;
use super::pool::{run, transact};
use super::{Page, Scope, StoreError, Window, kept, now};
use crate::tenancy::{Actor, CallId, EventId, EventType, Feedback, FeedbackId, TenantId};

/// An opinion to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// 1, the worst, to 5.
    #[schema(minimum = 1, maximum = 5)]
    pub rating: u8,
    #[serde(default)]
    pub comment: Option<String>,
    /// Whose opinion it is, such as `caller` or `review`.
    #[serde(default = "unnamed")]
    pub source: String,
}

/// Which opinions are wanted; what is absent does not matter.
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

const COLUMNS: &str = "id, tenant_id, call_id, rating, comment, source, created_at";

impl Scope {
    /// Keeps an opinion and tells the tenant's webhooks of it.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such call, `Invalid` for a rating that is none.
    pub async fn create_feedback(
        &self,
        actor: &Actor,
        call: CallId,
        new: NewFeedback,
    ) -> Result<Feedback, StoreError> {
        const SQL: &str = "INSERT INTO call_feedback \
            (id, tenant_id, call_id, rating, comment, source, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
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
        let deliveries = transact!(*self, tx => {
            sqlx::query(SQL)
                .bind(feedback.id.0)
                .bind(feedback.tenant_id.0)
                .bind(feedback.call_id.0)
                .bind(i64::from(feedback.rating))
                .bind(feedback.comment.as_deref())
                .bind(feedback.source.as_str())
                .bind(feedback.created_at)
                .execute(&mut *tx)
                .await?;
            // The comment may tell of the caller, and the audit log is kept longer.
            let told = json!({ "call_id": call, "rating": feedback.rating, "source": feedback.source });
            audit!(tx, Change::new(actor, self.tenant, "create", "feedback", feedback.id).after(&told));
            let event = EventId::of(feedback.id.0, EventType::FeedbackReceived);
            emit!(tx, self.tenant, EventType::FeedbackReceived, event, feedback)
        })?;
        self.store.ring(deliveries);
        Ok(feedback)
    }

    /// The tenant's feedback, newest first.
    pub async fn feedback(
        &self,
        filter: &FeedbackFilter,
        window: Window,
    ) -> Result<Page<Feedback>, StoreError> {
        let mut query = Conditions::new(
            format!("SELECT {COLUMNS} FROM call_feedback WHERE tenant_id ="),
            Value::Id(self.tenant.0),
        );
        query.and("id <", Value::Id(window.below()));
        query.and_if("call_id =", filter.call.map(|id| Value::Id(id.0)));
        query.and_if("rating =", filter.rating.map(|rating| Value::Number(rating.into())));
        query.and_if("source =", filter.source.clone().map(Value::Text));
        query.and_if("created_at >=", filter.from.map(|at| Value::Moment(kept(at))));
        query.and_if("created_at <", filter.to.map(|at| Value::Moment(kept(at))));
        query.then("ORDER BY id DESC");
        query.limit(window.rows());
        let rows = fetch!(*self, Row, query)?;
        let feedback: Result<Vec<Feedback>, StoreError> = rows.into_iter().map(Feedback::try_from).collect();
        Ok(window.page(feedback?, |feedback| feedback.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such call.
    pub async fn has_call(&self, id: CallId) -> Result<(), StoreError> {
        const SQL: &str = "SELECT id FROM calls WHERE tenant_id = $1 AND id = $2";
        run!(*self, connection => sqlx::query_scalar::<_, Uuid>(SQL)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_one(connection))
        .map(drop)
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
