//! For how many days a tenant's records are kept. `deletion` deletes by it.

use super::audit::Change;
use super::statement::sql;
use super::tx::{Access, AllTenants, RowScope};
use super::{Scope, Store, StoreError, now};
use crate::tenancy::{Actor, Retention, TenantId};

const ONE: &str =
    "SELECT call_days, transcript_days, recording_days, audit_days FROM retention WHERE tenant_id = $1";

impl Store {
    /// Tenants with a retention period.
    pub async fn tenants_with_retention(&self) -> Result<Vec<TenantId>, StoreError> {
        const SQL: &str = "SELECT tenant_id FROM retention WHERE call_days IS NOT NULL \
            OR transcript_days IS NOT NULL OR audit_days IS NOT NULL ORDER BY tenant_id";
        let rows = AllTenants(self).all::<(uuid::Uuid,)>(sql(SQL)).await?;
        Ok(rows.into_iter().map(|(id,)| TenantId(id)).collect())
    }
}

impl Scope {
    /// Default: forever.
    pub async fn retention(&self) -> Result<Retention, StoreError> {
        let row = self.optional::<Row>(sql(ONE).bind(self.tenant.0)).await?;
        row.unwrap_or_default().try_into()
    }

    /// # Errors
    /// `Invalid` when transcripts or recordings would outlive their calls.
    pub async fn set_retention(&self, actor: &Actor, retention: Retention) -> Result<Retention, StoreError> {
        self.set_retention_if(actor, retention, |_| Ok(())).await
    }

    /// Replaces periods that `check` accepts, in a transaction that holds the tenant's row.
    ///
    /// # Errors
    /// `Invalid` when transcripts or recordings would outlive their calls; `NotFound` when there is no such tenant; the
    /// error of `check`.
    pub async fn set_retention_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        retention: Retention,
        check: impl FnOnce(&Retention) -> Result<(), E>,
    ) -> Result<Retention, E> {
        const SQL: &str = "INSERT INTO retention \
            (tenant_id, call_days, transcript_days, recording_days, audit_days, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id) DO UPDATE SET \
            call_days = excluded.call_days, transcript_days = excluded.transcript_days, \
            recording_days = excluded.recording_days, audit_days = excluded.audit_days, \
            updated_at = excluded.updated_at";
        if let Some(violation) = retention.violations().first() {
            return Err(StoreError::invalid(violation).into());
        }
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant_row(self.tenant).await?;
        let before = tx.optional::<Row>(sql(ONE).bind(self.tenant.0)).await?.unwrap_or_default();
        check(&before.clone().try_into()?)?;
        let days = |days: Option<u32>| days.map(i64::from);
        tx.execute(
            sql(SQL)
                .bind(self.tenant.0)
                .bind(days(retention.call_days))
                .bind(days(retention.transcript_days))
                .bind(days(retention.recording_days))
                .bind(days(retention.audit_days))
                .bind(now()),
        )
        .await?;
        let change = Change::new(actor, self.tenant, "update", "retention", self.tenant);
        tx.audit(change.before(&before).after(&retention)).await?;
        tx.commit().await?;
        Ok(retention)
    }
}

/// Serialised for the audit log, where it reads like the setting it is.
#[derive(Clone, Default, sqlx::FromRow, serde::Serialize)]
struct Row {
    call_days: Option<i64>,
    transcript_days: Option<i64>,
    recording_days: Option<i64>,
    audit_days: Option<i64>,
}

impl TryFrom<Row> for Retention {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Retention, StoreError> {
        let days = |days: Option<i64>| days.map(u32::try_from).transpose().map_err(StoreError::corrupt);
        Ok(Retention {
            call_days: days(row.call_days)?,
            transcript_days: days(row.transcript_days)?,
            recording_days: days(row.recording_days)?,
            audit_days: days(row.audit_days)?,
        })
    }
}
