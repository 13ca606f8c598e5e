//! What tenants take, as it is kept: counted once for each call, in the transaction of its end, into the call's own
//! rows and into the month's sums, which admission and statements read.
//!
//! It does not know what anything costs.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use super::pool::{Everywhere, run};
use super::statement::sql;
use super::tx::Tx;
use super::{Backend, Page, Scope, Store, StoreError, Window, kept, tenants};
use crate::billing::Plans;
use crate::tenancy::{CallId, CallSums, EngineUse, Month, Tenant, Usage};

/// What a call has taken, as far as it is kept.
pub(super) const CALL_ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
    FROM call_usage WHERE tenant_id = $1 AND call_id = $2";

/// The time of a call's last turn.
pub(super) const LAST_TURN: &str =
    "SELECT at FROM call_turns WHERE tenant_id = $1 AND call_id = $2 ORDER BY turn DESC LIMIT 1";

impl Tx {
    /// Keeps calls from being counted in a month while its statements are issued, and the other way round, until the
    /// transaction ends. SQLite has one writer at a time and needs no lock.
    pub async fn lock_month(&mut self, month: Month, lock: MonthLock) -> Result<(), StoreError> {
        if self.backend() == Backend::Sqlite {
            return Ok(());
        }
        // The first number stands for this kind of lock among all advisory locks of the database.
        let statement = match lock {
            MonthLock::Count => "SELECT pg_advisory_xact_lock_shared(1987, $1::int)",
            MonthLock::Issue => "SELECT pg_advisory_xact_lock(1987, $1::int)",
        };
        self.execute(sql(statement).bind(i64::from(month.number()))).await.map(drop)
    }
}

/// Why a month is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MonthLock {
    /// Calls are counted in it: any number of transactions at once.
    Count,
    /// Its statements are issued: one transaction, and no call is counted meanwhile.
    Issue,
}

/// Both databases keep whole numbers in 64 bits with a sign.
pub(super) fn kept_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Calls of `$1` that ended from `$2` until before `$3`. Few begin a day before they end, so that the index by their
/// begin from `$4` finds them.
macro_rules! ended_within {
    () => {
        "c.tenant_id = $1 AND c.started_at >= $4 AND c.started_at < $3 AND c.ended_at >= $2 AND c.ended_at < $3"
    };
}

impl Scope {
    /// What the tenant has taken in a month (UTC).
    pub async fn usage_of_month(&self, month: Month) -> Result<Usage, StoreError> {
        const SUMS: &str =
            "SELECT calls, seconds, turns FROM usage_months WHERE tenant_id = $1 AND month = $2";
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE tenant_id = $1 AND month = $2";
        let sums = run!(*self, connection => sqlx::query_as::<_, SumsRow>(SUMS)
            .bind(self.tenant.0)
            .bind(month.to_string())
            .fetch_optional(connection))?;
        let engines = run!(*self, connection => sqlx::query_as::<_, EngineRow>(ENGINES)
            .bind(self.tenant.0)
            .bind(month.to_string())
            .fetch_all(connection))?;
        usage(sums.unwrap_or_default(), engines)
    }

    /// What the tenant has taken in calls that ended from one day to another (UTC), both included.
    pub async fn usage_of_days(&self, from: NaiveDate, to: NaiveDate) -> Result<Usage, StoreError> {
        const SUMS: &str = concat!(
            "SELECT COUNT(*) AS calls, CAST(COALESCE(SUM(c.billed_seconds), 0) AS BIGINT) AS seconds, \
             CAST(COALESCE(SUM(c.billed_turns), 0) AS BIGINT) AS turns FROM calls c WHERE ",
            ended_within!(),
            " AND c.answered_at IS NOT NULL"
        );
        const ENGINES: &str = concat!(
            "SELECT c.tenant_id, u.kind, u.engine, u.model, u.unit, CAST(SUM(u.quantity) AS BIGINT) AS quantity \
             FROM calls c JOIN call_usage u ON u.tenant_id = c.tenant_id AND u.call_id = c.id WHERE ",
            ended_within!(),
            " GROUP BY c.tenant_id, u.kind, u.engine, u.model, u.unit"
        );
        let (begin, end) = (midnight(Some(from)), midnight(to.checked_add_days(Days::new(1))));
        let earliest = midnight(from.checked_sub_days(Days::new(1)));
        let sums = run!(*self, connection => sqlx::query_as::<_, SumsRow>(SUMS)
            .bind(self.tenant.0)
            .bind(begin)
            .bind(end)
            .bind(earliest)
            .fetch_one(connection))?;
        let engines = run!(*self, connection => sqlx::query_as::<_, EngineRow>(ENGINES)
            .bind(self.tenant.0)
            .bind(begin)
            .bind(end)
            .bind(earliest)
            .fetch_all(connection))?;
        usage(sums, engines)
    }

    /// What a call has taken; of one that lasts, what its engines took until its last turn. `None` when the tenant has
    /// no such call.
    pub async fn usage_of_call(&self, id: CallId) -> Result<Option<Usage>, StoreError> {
        const SUMS: &str = "SELECT CAST(CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS calls, \
            COALESCE(billed_seconds, 0) AS seconds, COALESCE(billed_turns, 0) AS turns \
            FROM calls WHERE tenant_id = $1 AND id = $2";
        let sums = run!(*self, connection => sqlx::query_as::<_, SumsRow>(SUMS)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_optional(connection))?;
        let Some(sums) = sums else { return Ok(None) };
        let engines = run!(*self, connection => sqlx::query_as::<_, EngineRow>(CALL_ENGINES)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_all(connection))?;
        usage(sums, engines).map(Some)
    }
}

impl Store {
    /// The store, with plans whose quotas it tells of.
    #[must_use]
    pub fn with_plans(self, plans: Plans) -> Store {
        Store { plans: plans.into(), ..self }
    }

    /// What every tenant has taken in a month: a page of tenants, oldest first.
    pub async fn usages(&self, month: Month, window: Window) -> Result<Page<(Tenant, Usage)>, StoreError> {
        const SUMS: &str = "SELECT t.id, t.name, t.status, t.plan, t.max_concurrent_calls, t.created_at, \
            COALESCE(m.calls, 0) AS calls, COALESCE(m.seconds, 0) AS seconds, COALESCE(m.turns, 0) AS turns \
            FROM tenants t LEFT JOIN usage_months m ON m.tenant_id = t.id AND m.month = $2 \
            WHERE t.id > $1 ORDER BY t.id LIMIT $3";
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE month = $1 AND tenant_id > $2 AND tenant_id <= $3";
        let rows = run!(Everywhere(self), connection => sqlx::query_as::<_, TenantRow>(SUMS)
            .bind(window.above())
            .bind(month.to_string())
            .bind(window.rows())
            .fetch_all(connection))?;
        let page = window.page(rows, |row| row.tenant.id);
        let last = page.items.last().map_or(Uuid::nil(), |row| row.tenant.id);
        let engines = run!(Everywhere(self), connection => sqlx::query_as::<_, EngineRow>(ENGINES)
            .bind(month.to_string())
            .bind(window.above())
            .bind(last)
            .fetch_all(connection))?;
        let items = page.items.into_iter().map(|row| {
            let own = engines.iter().filter(|taken| taken.tenant_id == row.tenant.id).cloned().collect();
            Ok((row.tenant.try_into()?, usage(row.sums, own)?))
        });
        Ok(Page { items: items.collect::<Result<_, StoreError>>()?, next: page.next })
    }
}

/// The first moment of a day; of none, the last that there is.
fn midnight(day: Option<NaiveDate>) -> DateTime<Utc> {
    day.map_or(DateTime::<Utc>::MAX_UTC, |day| kept(day.and_time(NaiveTime::MIN).and_utc()))
}

pub(super) fn usage(sums: SumsRow, engines: Vec<EngineRow>) -> Result<Usage, StoreError> {
    let engines: Result<Vec<EngineUse>, StoreError> = engines.into_iter().map(EngineUse::try_from).collect();
    let mut engines = engines?;
    // The same order from both databases, whose texts are ordered by different rules.
    engines.sort_by(|a, b| {
        let key = |taken: &EngineUse| (taken.kind as u8, taken.unit as u8);
        let ((kind, unit), (other_kind, other_unit)) = (key(a), key(b));
        (kind, &a.engine, &a.model, unit).cmp(&(other_kind, &b.engine, &b.model, other_unit))
    });
    let count = |count: i64| u64::try_from(count).map_err(StoreError::corrupt);
    let sums =
        CallSums { calls: count(sums.calls)?, seconds: count(sums.seconds)?, turns: count(sums.turns)? };
    Ok(Usage { sums, engines })
}

#[derive(Debug, Default, sqlx::FromRow)]
pub(super) struct SumsRow {
    calls: i64,
    seconds: i64,
    turns: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct TenantRow {
    #[sqlx(flatten)]
    pub tenant: tenants::Row,
    #[sqlx(flatten)]
    pub sums: SumsRow,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct EngineRow {
    pub tenant_id: Uuid,
    kind: String,
    engine: String,
    model: String,
    unit: String,
    quantity: i64,
}

impl TryFrom<EngineRow> for EngineUse {
    type Error = StoreError;

    fn try_from(row: EngineRow) -> Result<EngineUse, StoreError> {
        Ok(EngineUse {
            kind: row.kind.parse().map_err(StoreError::corrupt)?,
            engine: row.engine,
            model: row.model,
            unit: row.unit.parse().map_err(StoreError::corrupt)?,
            quantity: u64::try_from(row.quantity).map_err(StoreError::corrupt)?,
        })
    }
}
