//! Usage of tenants: counted once for each call, in the transaction of its end, into the call's own rows and into
//! the month's sums, which admission and statements read.
//!
//! Prices are elsewhere.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use super::statement::{composed, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Backend, Scope, Store, StoreError, kept};
use crate::billing::Plans;
use crate::current::Current;
use crate::tenancy::{CallId, CallSums, EngineUse, Month, Usage};

/// The stored usage of a call.
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
const ENDED_WITHIN: &str =
    "c.tenant_id = $1 AND c.started_at >= $4 AND c.started_at < $3 AND c.ended_at >= $2 AND c.ended_at < $3";

impl Scope {
    /// The tenant's usage of a month (UTC).
    pub async fn usage_of_month(&self, month: Month) -> Result<Usage, StoreError> {
        const SUMS: &str =
            "SELECT calls, seconds, turns FROM usage_months WHERE tenant_id = $1 AND month = $2";
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE tenant_id = $1 AND month = $2";
        let of_month = |text| sql(text).bind(self.tenant.0).bind(month.to_string());
        let mut tx = self.begin(Access::Snapshot).await?;
        let sums = tx.optional::<SumsRow>(of_month(SUMS)).await?;
        let engines = tx.all::<EngineRow>(of_month(ENGINES)).await?;
        tx.commit().await?;
        usage(sums.unwrap_or_default(), engines)
    }

    /// The tenant's usage in calls that ended from one day to another (UTC), both included.
    pub async fn usage_of_days(&self, from: NaiveDate, to: NaiveDate) -> Result<Usage, StoreError> {
        let sums = format!(
            "SELECT COUNT(*) AS calls, CAST(COALESCE(SUM(c.billed_seconds), 0) AS BIGINT) AS seconds, \
             CAST(COALESCE(SUM(c.billed_turns), 0) AS BIGINT) AS turns FROM calls c WHERE {ENDED_WITHIN} \
             AND c.answered_at IS NOT NULL"
        );
        let of = |table: &str| {
            format!(
                "SELECT u.tenant_id, u.kind, u.engine, u.model, u.unit, u.quantity FROM calls c \
                 JOIN {table} u ON u.tenant_id = c.tenant_id AND u.call_id = c.id WHERE {ENDED_WITHIN}"
            )
        };
        // SQLite would read both tables as a whole if they were joined with the calls after their union.
        let (of_calls, of_analyses) = (of("call_usage"), of("analysis_usage"));
        let engines = format!(
            "SELECT tenant_id, kind, engine, model, unit, CAST(SUM(quantity) AS BIGINT) AS quantity \
             FROM ({of_calls} UNION ALL {of_analyses}) AS used GROUP BY tenant_id, kind, engine, model, unit"
        );
        let (begin, end) = (midnight(Some(from)), midnight(to.checked_add_days(Days::new(1))));
        let earliest = midnight(from.checked_sub_days(Days::new(1)));
        let of_days = |text| composed(text).bind(self.tenant.0).bind(begin).bind(end).bind(earliest);
        let mut tx = self.begin(Access::List).await?;
        let sums = tx.one::<SumsRow>(of_days(sums)).await?;
        let engines = tx.all::<EngineRow>(of_days(engines)).await?;
        tx.commit().await?;
        usage(sums, engines)
    }

    /// The usage of a call; of one that lasts, of its engines until its last turn. `None` when the tenant has no such
    /// call.
    pub async fn usage_of_call(&self, id: CallId) -> Result<Option<Usage>, StoreError> {
        const SUMS: &str = "SELECT CAST(CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS calls, \
            COALESCE(billed_seconds, 0) AS seconds, COALESCE(billed_turns, 0) AS turns \
            FROM calls WHERE tenant_id = $1 AND id = $2";
        let of_call = |text| sql(text).bind(self.tenant.0).bind(id.0);
        let mut tx = self.begin(Access::Snapshot).await?;
        let sums = tx.optional::<SumsRow>(of_call(SUMS)).await?;
        let engines = tx.all::<EngineRow>(of_call(CALL_ENGINES)).await?;
        tx.commit().await?;
        sums.map(|sums| usage(sums, engines)).transpose()
    }
}

impl Store {
    /// The store, with the plans that decide about quota events.
    #[must_use]
    pub fn with_plans(self, plans: Plans) -> Store {
        Store { plans: Current::new(plans), ..self }
    }

    /// Changes the plans of this store and its clones.
    pub fn set_plans(&self, plans: Plans) {
        self.plans.set(plans);
    }
}

/// The first moment of a day; of none, the last that there is.
fn midnight(day: Option<NaiveDate>) -> DateTime<Utc> {
    day.map_or(DateTime::<Utc>::MAX_UTC, |day| kept(day.and_time(NaiveTime::MIN).and_utc()))
}

pub(super) fn usage(sums: SumsRow, engines: Vec<EngineRow>) -> Result<Usage, StoreError> {
    let engines: Result<Vec<EngineUse>, StoreError> = engines.into_iter().map(EngineUse::try_from).collect();
    let mut engines = engines?;
    // The same order from both databases, which order texts by different rules.
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

#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
pub(super) struct SumsRow {
    calls: i64,
    seconds: i64,
    turns: i64,
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
