//! What tenants take, as it is kept: counted once for each call, in the transaction of its end, into the call's own
//! rows and into the month's sums, which admission and statements read.
//!
//! It does not know what anything costs.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::pool::{Everywhere, run};
use super::statement::{Statement, Value, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Backend, Page, Scope, Store, StoreError, Window, kept, tenants};
use crate::billing::{AtLimit, Plans};
use crate::tenancy::{
    Call, CallId, CallSums, EngineUse, EventId, EventType, Month, Plan, Tenant, TenantId, Usage,
};

/// A call that is over, as it is counted.
pub(super) struct Ended {
    pub tenant: TenantId,
    pub call: CallId,
    /// In which it ended; the present one, where the statement of that is issued already.
    pub month: Month,
    pub is_answered: bool,
    pub seconds: u64,
}

impl Ended {
    /// `None` while it lasts. `until` is when talk ended, where that is not the call's end.
    pub fn of(call: &Call, until: Option<DateTime<Utc>>) -> Option<Ended> {
        let ended_at = call.ended_at?;
        let talked = call.answered_at.map(|from| until.unwrap_or(ended_at) - from);
        let milliseconds = talked.map_or(0, |talked| talked.num_milliseconds().max(0)).unsigned_abs();
        Some(Ended {
            tenant: call.tenant_id,
            call: call.id,
            month: Month::of(ended_at),
            is_answered: call.answered_at.is_some(),
            seconds: milliseconds.div_ceil(1_000),
        })
    }
}

/// Takes effect once for each call.
pub(super) const MARK: &str = "UPDATE calls SET billed_seconds = $3, billed_turns = (SELECT COUNT(*) \
    FROM call_turns t WHERE t.tenant_id = $1 AND t.call_id = $2 AND t.caller_text <> '') \
    WHERE tenant_id = $1 AND id = $2 AND billed_seconds IS NULL RETURNING billed_turns";

const CALL_IS_COUNTED: &str = "SELECT billed_seconds IS NOT NULL FROM calls WHERE tenant_id = $1 AND id = $2";

/// What a call has taken, as far as it is kept.
pub(super) const CALL_ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
    FROM call_usage WHERE tenant_id = $1 AND call_id = $2";

pub(super) const FORGET_CALL_ENGINES: &str = "DELETE FROM call_usage WHERE tenant_id = $1 AND call_id = $2";

pub(super) const CALL_ENGINE: &str = "INSERT INTO call_usage \
    (tenant_id, call_id, kind, engine, model, unit, quantity) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Is the month's statement issued?
pub(super) const IS_ISSUED: &str = "SELECT 1 FROM statements WHERE tenant_id = $1 AND month = $2";

pub(super) const MONTH_ENGINE: &str = "INSERT INTO usage_month_engines \
    (tenant_id, month, kind, engine, model, unit, quantity) VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (tenant_id, month, kind, engine, model, unit) \
    DO UPDATE SET quantity = usage_month_engines.quantity + excluded.quantity";

pub(super) const MONTH: &str = "INSERT INTO usage_months (tenant_id, month, calls, seconds, turns) \
    VALUES ($1, $2, 1, $3, $4) ON CONFLICT (tenant_id, month) DO UPDATE SET \
    calls = usage_months.calls + 1, seconds = usage_months.seconds + excluded.seconds, \
    turns = usage_months.turns + excluded.turns RETURNING seconds";

/// Where a call's last turn was written: what a killed daemon leaves of its end.
pub(super) const LAST_TURN: &str =
    "SELECT at FROM call_turns WHERE tenant_id = $1 AND call_id = $2 ORDER BY turn DESC LIMIT 1";

pub(super) const PLAN: &str = "SELECT plan FROM tenants WHERE id = $1";

/// Counts a call that has ended, unless it was counted before, within the transaction of its end. The value is that
/// of `emit!`: its month may have crossed a threshold of the tenant's quota.
macro_rules! count {
    ($store:expr, $tx:ident, $ended:expr, $engines:expr) => {{
        use $crate::store::usage::{self, Ended};
        let (store, ended): (&$crate::store::Store, Option<Ended>) = ($store, $ended);
        let mut deliveries = 0;
        if let Some(mut ended) = ended {
            let marked = sqlx::query_scalar::<_, i64>(usage::MARK)
                .bind(ended.tenant.0)
                .bind(ended.call.0)
                .bind(usage::kept_count(ended.seconds))
                .fetch_optional(&mut *$tx)
                .await?;
            if let Some(turns) = marked {
                let issued = sqlx::query(usage::IS_ISSUED)
                    .bind(ended.tenant.0)
                    .bind(ended.month.to_string())
                    .fetch_optional(&mut *$tx)
                    .await?;
                if issued.is_some() {
                    ended.month = $crate::tenancy::Month::of(chrono::Utc::now());
                }
                let engines: &[$crate::tenancy::EngineUse] = $engines;
                usage::keep!($tx, ended.tenant, ended.call, engines);
                for taken in engines {
                    usage::add!($tx, usage::MONTH_ENGINE, ended.tenant, ended.month.to_string(), taken);
                }
                if ended.is_answered {
                    let seconds = sqlx::query_scalar::<_, i64>(usage::MONTH)
                        .bind(ended.tenant.0)
                        .bind(ended.month.to_string())
                        .bind(usage::kept_count(ended.seconds))
                        .bind(turns)
                        .fetch_one(&mut *$tx)
                        .await?;
                    deliveries += usage::tell_of_quota!(store, $tx, &ended, seconds);
                }
            }
        }
        deliveries
    }};
}

/// Keeps what a call has taken, in place of what was kept before.
macro_rules! keep {
    ($tx:ident, $tenant:expr, $call:expr, $engines:expr) => {{
        use $crate::store::usage;
        sqlx::query(usage::FORGET_CALL_ENGINES).bind($tenant.0).bind($call.0).execute(&mut *$tx).await?;
        for taken in $engines {
            usage::add!($tx, usage::CALL_ENGINE, $tenant, $call.0, taken);
        }
    }};
}

/// Adds what was taken of an engine, to a call or to a month.
macro_rules! add {
    ($tx:ident, $sql:expr, $tenant:expr, $to:expr, $taken:expr) => {
        sqlx::query($sql)
            .bind($tenant.0)
            .bind($to)
            .bind($taken.kind.word())
            .bind($taken.engine.as_str())
            .bind($taken.model.as_str())
            .bind($taken.unit.word())
            .bind($crate::store::usage::kept_count($taken.quantity))
            .execute(&mut *$tx)
            .await?
    };
}

/// Tells of the thresholds that a month has crossed with this call.
macro_rules! tell_of_quota {
    ($store:expr, $tx:ident, $ended:expr, $seconds:expr) => {{
        let mut deliveries = 0;
        if $store.plans.have_quotas() {
            let plan = sqlx::query_scalar::<_, String>($crate::store::usage::PLAN)
                .bind($ended.tenant.0)
                .fetch_one(&mut *$tx)
                .await?;
            for reached in $crate::store::usage::reached(&$store.plans, &plan, $ended, $seconds) {
                let kind = $crate::tenancy::EventType::QuotaReached;
                deliveries +=
                    $crate::store::outbox::emit!($tx, $ended.tenant, kind, reached.event(), reached);
            }
        }
        deliveries
    }};
}

pub(super) use {add, count, keep, tell_of_quota};

impl Tx {
    /// Counts a call that has ended, unless it was counted before, within the transaction of its end: its engines and
    /// its seconds are added to its month, or to the present one when the statement of its month is issued already.
    /// Returns how many webhook deliveries it wrote (its month may have reached a threshold of the tenant's quota):
    /// give that to [`Store::ring`] after the commit.
    pub async fn count_call(
        &mut self,
        plans: &Plans,
        ended: Option<Ended>,
        engines: &[EngineUse],
    ) -> Result<u64, StoreError> {
        let Some(mut ended) = ended else { return Ok(0) };
        let mark = sql(MARK).bind(ended.tenant.0).bind(ended.call.0).bind(kept_count(ended.seconds));
        let Some((turns,)) = self.optional::<(i64,)>(mark).await? else { return Ok(0) };
        ended.month = self.open_month(ended.tenant, ended.month).await?;
        self.keep_engines(ended.tenant, ended.call, engines).await?;
        for taken in engines {
            self.execute(use_of(MONTH_ENGINE, ended.tenant, ended.month.to_string(), taken)).await?;
        }
        if !ended.is_answered {
            return Ok(0);
        }
        let month = sql(MONTH)
            .bind(ended.tenant.0)
            .bind(ended.month.to_string())
            .bind(kept_count(ended.seconds))
            .bind(turns);
        let (seconds,) = self.one::<(i64,)>(month).await?;
        self.report_quota(plans, &ended, seconds).await
    }

    /// The month that a call counts in: its own, or the present one when its own is issued. Until the transaction ends
    /// no statement of that month is issued.
    async fn open_month(&mut self, tenant: TenantId, month: Month) -> Result<Month, StoreError> {
        self.lock_month(month, MonthLock::Count).await?;
        let issued = self.optional::<(i32,)>(sql(IS_ISSUED).bind(tenant.0).bind(month.to_string())).await?;
        Ok(if issued.is_some() { Month::of(Utc::now()) } else { month })
    }

    /// Replaces what a call has taken of its engines.
    pub async fn keep_engines(
        &mut self,
        tenant: TenantId,
        call: CallId,
        engines: &[EngineUse],
    ) -> Result<(), StoreError> {
        self.execute(sql(FORGET_CALL_ENGINES).bind(tenant.0).bind(call.0)).await?;
        for taken in engines {
            self.execute(use_of(CALL_ENGINE, tenant, call.0, taken)).await?;
        }
        Ok(())
    }

    /// Writes an event for each threshold of the quota that a month has reached with this call.
    async fn report_quota(&mut self, plans: &Plans, ended: &Ended, seconds: i64) -> Result<u64, StoreError> {
        if !plans.have_quotas() {
            return Ok(0);
        }
        let (plan,) = self.one::<(String,)>(sql(PLAN).bind(ended.tenant.0)).await?;
        let mut deliveries = 0;
        for reached in reached(plans, &plan, ended, seconds) {
            deliveries += self.emit(ended.tenant, EventType::QuotaReached, reached.event(), &reached).await?;
        }
        Ok(deliveries)
    }

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

/// Adds what was taken of an engine to a call or to a month.
fn use_of(text: &'static str, tenant: TenantId, to: impl Into<Value>, taken: &EngineUse) -> Statement {
    sql(text)
        .bind(tenant.0)
        .bind(to)
        .bind(taken.kind.word())
        .bind(taken.engine.as_str())
        .bind(taken.model.as_str())
        .bind(taken.unit.word())
        .bind(kept_count(taken.quantity))
}

/// `data` of `quota.reached`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reached {
    tenant_id: TenantId,
    month: Month,
    /// 80 or 100.
    percent: u8,
    minutes_per_month: u32,
    used_seconds: u64,
    at_limit: AtLimit,
}

impl Reached {
    /// One for each month, threshold and size of the quota.
    pub fn event(&self) -> EventId {
        let name = format!("{} {} {}", self.month, self.percent, self.minutes_per_month);
        EventId::of(Uuid::new_v5(&self.tenant_id.0, name.as_bytes()), EventType::QuotaReached)
    }
}

/// What there is to tell when a month has come to so many seconds with this call.
pub(super) fn reached(plans: &Plans, plan: &str, ended: &Ended, seconds: i64) -> Vec<Reached> {
    let Ok(plan) = plan.parse::<Plan>() else { return Vec::new() };
    let after = seconds.max(0).unsigned_abs();
    let terms = plans.of(plan);
    let Some(quota) = terms.quota(after) else { return Vec::new() };
    let crossed = terms.crossed(after.saturating_sub(ended.seconds), after);
    let reached = crossed.map(|percent| Reached {
        tenant_id: ended.tenant,
        month: ended.month,
        percent,
        minutes_per_month: quota.minutes_per_month,
        used_seconds: after,
        at_limit: quota.at_limit,
    });
    reached.collect()
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

    /// Keeps what a call has taken so far, for the case that its daemon does not live to see its end. A call that
    /// was counted already, or that is not on record, stays as it is.
    pub async fn keep_taken(&self, call: CallId, engines: &[EngineUse]) -> Result<(), StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        let counted = sql(CALL_IS_COUNTED).bind(self.tenant.0).bind(call.0);
        if tx.optional::<(bool,)>(counted).await? == Some((false,)) {
            tx.keep_engines(self.tenant, call, engines).await?;
        }
        tx.commit().await
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
