//! Statements: a draft while a month lasts, issued once it is over, and never changed after.

use chrono::{DateTime, TimeDelta, Utc};

use super::pool::{Everywhere, run, transact};
use super::usage::{EngineRow, TenantRow, usage};
use super::{Scope, Store, StoreError, kept};
use crate::billing::{Billing, Statement};
use crate::tenancy::{Month, Tenant};

/// How long after a month statements are issued: by then its last calls are on record, even after an outage.
const AFTER: TimeDelta = TimeDelta::hours(1);
/// Statements of one transaction.
const AT_ONCE: i64 = 100;

impl Scope {
    /// The tenant's statement of a month: as it was issued, or a draft by the prices and plan of now.
    pub async fn statement(
        &self,
        billing: &Billing,
        tenant: &Tenant,
        month: Month,
    ) -> Result<Statement, StoreError> {
        const ISSUED: &str = "SELECT statement FROM statements WHERE tenant_id = $1 AND month = $2";
        let issued = run!(*self, connection => sqlx::query_scalar::<_, String>(ISSUED)
            .bind(self.tenant.0)
            .bind(month.to_string())
            .fetch_optional(connection))?;
        let Some(text) = issued else {
            return Ok(billing.statement(tenant, month, &self.usage_of_month(month).await?));
        };
        let issued: Statement = serde_json::from_str(&text).map_err(StoreError::corrupt)?;
        // One that came with an imported tenant names the id that it had elsewhere.
        Ok(Statement { tenant_id: self.tenant, ..issued })
    }
}

impl Store {
    /// Issues what is due at `now`: to each tenant a statement of the month that is over. The answer is how many.
    /// What was issued stays as it is; several daemons may be at it at once.
    pub async fn issue_statements(&self, billing: &Billing, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let (month, mut issued) = (Month::of(now).before(), 0);
        while month.ends_at() + AFTER <= now {
            let statements = self.owed(billing, month).await?;
            if statements.is_empty() {
                break;
            }
            issued += self.issue(&statements, now).await?;
        }
        Ok(issued)
    }

    /// Some of the statements of a month that are not issued yet. Who came later gets none, nor who had gone before.
    async fn owed(&self, billing: &Billing, month: Month) -> Result<Vec<Statement>, StoreError> {
        const TENANTS: &str = "SELECT t.id, t.name, t.status, t.plan, t.max_concurrent_calls, t.created_at, \
            COALESCE(m.calls, 0) AS calls, COALESCE(m.seconds, 0) AS seconds, COALESCE(m.turns, 0) AS turns \
            FROM tenants t LEFT JOIN usage_months m ON m.tenant_id = t.id AND m.month = $1 \
            WHERE t.created_at < $2 AND (m.calls IS NOT NULL OR t.status <> 'deleted') AND NOT EXISTS \
            (SELECT 1 FROM statements s WHERE s.tenant_id = t.id AND s.month = $1) ORDER BY t.id LIMIT $3";
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE month = $1 AND tenant_id >= $2 AND tenant_id <= $3";
        let rows = run!(Everywhere(self), connection => sqlx::query_as::<_, TenantRow>(TENANTS)
            .bind(month.to_string())
            .bind(kept(month.ends_at()))
            .bind(AT_ONCE)
            .fetch_all(connection))?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let (first, last) = (first.tenant.id, last.tenant.id);
        let engines = run!(Everywhere(self), connection => sqlx::query_as::<_, EngineRow>(ENGINES)
            .bind(month.to_string())
            .bind(first)
            .bind(last)
            .fetch_all(connection))?;
        let statements = rows.into_iter().map(|row| {
            let own = engines.iter().filter(|taken| taken.tenant_id == row.tenant.id).cloned().collect();
            let draft = billing.statement(&row.tenant.try_into()?, month, &usage(row.sums, own)?);
            Ok(Statement { is_final: true, ..draft })
        });
        statements.collect()
    }

    async fn issue(&self, statements: &[Statement], now: DateTime<Utc>) -> Result<u64, StoreError> {
        const SQL: &str = "INSERT INTO statements (tenant_id, month, statement, issued_at) \
            VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, month) DO NOTHING";
        let texts: Result<Vec<String>, _> = statements.iter().map(serde_json::to_string).collect();
        let texts = texts.map_err(StoreError::corrupt)?;
        transact!(Everywhere(self), tx => {
            let mut issued = 0;
            for (statement, text) in statements.iter().zip(&texts) {
                issued += sqlx::query(SQL)
                    .bind(statement.tenant_id.0)
                    .bind(statement.month.to_string())
                    .bind(text.as_str())
                    .bind(kept(now))
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
            }
            issued
        })
    }
}
