//! Counts of calls for analytics. They are counts by value rather than percentiles: from them any percentile follows
//! exactly, and they add up over days.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rollups::QUARTERS;
use super::statement::{Statement, Value, composed};
use super::tx::{AllTenants, RowScope};
use super::{Scope, Store, StoreError};
use crate::tenancy::{EndedBy, NumberId, ProfileId, TenantId};

/// The calls that began in a period, or those of them to a number or with a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfPeriod {
    pub from: DateTime<Utc>,
    /// Not included.
    pub to: DateTime<Utc>,
    pub phone_number_id: Option<NumberId>,
    pub ai_profile_id: Option<ProfileId>,
}

/// How many calls there were, and how they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct CallCounts {
    pub calls: i64,
    pub answered: i64,
    pub refused: i64,
    pub failed: i64,
    /// From answer to end, of all of them.
    pub duration_ms: i64,
}

/// Calls of one quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Quarter {
    /// Quarters since 1970.
    pub quarter: i64,
    #[sqlx(flatten)]
    pub counts: CallCounts,
}

/// How calls ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub disposition: Option<String>,
    pub ended_by: Option<EndedBy>,
    pub calls: i64,
}

/// The frequency of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Counted {
    pub value: i64,
    pub times: i64,
}

/// A step on the way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Transcript,
    Reply,
    Audio,
}

/// Counts of turns and interruptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct TalkCounts {
    /// Without greetings.
    pub turns: i64,
    pub interruptions: i64,
}

/// One tenant's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCounts {
    pub tenant_id: TenantId,
    pub name: String,
    pub counts: CallCounts,
}

/// The columns of [`CallCounts`], over calls that the statement names `c`.
const OF_CALLS: &str = "COUNT(*) AS calls, COUNT(c.answered_at) AS answered, \
    COUNT(*) FILTER (WHERE c.status = 'refused') AS refused, \
    COUNT(*) FILTER (WHERE c.status = 'failed') AS failed, \
    COALESCE(SUM(c.duration_ms), 0) AS duration_ms";

/// The same columns of `rollup_calls`.
const OF_DAYS: &str = "calls, answered, refused, failed, duration_ms";

/// The sums of both, which the statement names `s`.
const SUMS: &str = "CAST(SUM(s.calls) AS BIGINT) AS calls, CAST(SUM(s.answered) AS BIGINT) AS answered, \
    CAST(SUM(s.refused) AS BIGINT) AS refused, CAST(SUM(s.failed) AS BIGINT) AS failed, \
    CAST(SUM(s.duration_ms) AS BIGINT) AS duration_ms";

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// A statement that sums over a period: whole days from the roll-ups, and the edges, with the calls that are in no
/// roll-up yet, from the calls themselves.
struct PeriodSum<'a> {
    tenant: Option<TenantId>,
    of: &'a OfPeriod,
    text: String,
    values: Vec<Value>,
}

impl<'a> PeriodSum<'a> {
    fn new(select: &str, tenant: Option<TenantId>, of: &'a OfPeriod) -> PeriodSum<'a> {
        PeriodSum { tenant, of, text: format!("{select} FROM ("), values: Vec::new() }
    }

    /// The period's whole days (UTC), as days since 1970; none when the first is not before the second.
    fn days(&self) -> (i64, i64) {
        let (from, to) = (self.of.from.timestamp_millis(), self.of.to.timestamp_millis());
        ((from + DAY_MS - 1).div_euclid(DAY_MS), to.div_euclid(DAY_MS))
    }

    /// A part from the roll-ups: `per_day` is 1 for a table by `day` and [`QUARTERS`] for one by `quarter`.
    fn days_from(mut self, select: &str, column: &'static str, per_day: i64, rest: &str) -> PeriodSum<'a> {
        let (first, end) = self.days();
        if first < end {
            self.begin(select);
            self.and(&format!("{column} >="), first * per_day);
            self.and(&format!("{column} <"), end * per_day);
            self.filter("");
            self.text.push_str(rest);
        }
        self
    }

    /// The parts from the calls, which the statement names `c`.
    fn calls_from(mut self, select: &str, rest: &str) -> PeriodSum<'a> {
        let (first, end) = self.days();
        let (from, to) = (self.of.from, self.of.to);
        let ranges = match (midnight(first), midnight(end)) {
            (Some(first), Some(end)) if first < end => {
                vec![(from, first, ""), (end, to, ""), (first, end, " AND NOT c.is_rolled_up")]
            }
            _ => vec![(from, to, "")],
        };
        for (from, to, only) in ranges.into_iter().filter(|(from, to, _)| from < to) {
            self.begin(select);
            self.and("c.started_at >=", from);
            self.and("c.started_at <", to);
            self.filter("c.");
            self.text.push_str(only);
            self.text.push_str(rest);
        }
        self
    }

    fn statement(self, rest: &str) -> Statement {
        composed(format!("{}) s {rest}", self.text)).bind_all(self.values)
    }

    fn begin(&mut self, select: &str) {
        if !self.text.ends_with('(') {
            self.text.push_str(" UNION ALL ");
        }
        self.text.push_str(select);
        self.text.push_str(" WHERE TRUE");
    }

    fn filter(&mut self, table: &str) {
        if let Some(tenant) = self.tenant {
            self.and(&format!("{table}tenant_id ="), tenant.0);
        }
        if let Some(number) = self.of.phone_number_id {
            self.and(&format!("{table}phone_number_id ="), number.0);
        }
        if let Some(profile) = self.of.ai_profile_id {
            self.and(&format!("{table}ai_profile_id ="), profile.0);
        }
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.text.push_str(&format!(" AND {condition} ${}", self.values.len()));
    }
}

/// The first moment of a day, counted since 1970.
fn midnight(day: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(day.checked_mul(DAY_MS)?)
}

impl Scope {
    /// The period's calls by the quarter of an hour in which they began.
    pub async fn calls_by_quarter(&self, of: &OfPeriod) -> Result<Vec<Quarter>, StoreError> {
        let calls = format!("SELECT c.started_quarter AS quarter, {OF_CALLS} FROM calls c");
        let sum = PeriodSum::new(&format!("SELECT s.quarter AS quarter, {SUMS}"), Some(self.tenant), of)
            .days_from(&format!("SELECT quarter, {OF_DAYS} FROM rollup_calls"), "quarter", QUARTERS, "")
            .calls_from(&calls, " GROUP BY c.started_quarter");
        self.all(sum.statement("GROUP BY s.quarter ORDER BY 1")).await
    }

    /// How the period's calls ended.
    pub async fn call_outcomes(&self, of: &OfPeriod) -> Result<Vec<Ending>, StoreError> {
        const SELECT: &str = "SELECT NULLIF(s.disposition, '') AS disposition, NULLIF(s.ended_by, '') AS ended_by, \
            CAST(SUM(s.calls) AS BIGINT) AS calls";
        const CALLS: &str = "SELECT COALESCE(c.disposition, '') AS disposition, COALESCE(c.ended_by, '') AS ended_by, \
            COUNT(*) AS calls FROM calls c";
        let sum = PeriodSum::new(SELECT, Some(self.tenant), of)
            .days_from("SELECT disposition, ended_by, calls FROM rollup_outcomes", "day", 1, "")
            .calls_from(CALLS, " GROUP BY 1, 2");
        let rows = self.all::<OutcomeRow>(sum.statement("GROUP BY s.disposition, s.ended_by ORDER BY 1, 2"));
        rows.await?.into_iter().map(Ending::try_from).collect()
    }

    /// How long the period's calls were answered, in whole seconds.
    pub async fn call_durations(&self, of: &OfPeriod) -> Result<Vec<Counted>, StoreError> {
        const SELECT: &str = "SELECT s.value AS value, CAST(SUM(s.times) AS BIGINT) AS times";
        const CALLS: &str = "SELECT c.duration_ms / 1000 AS value, COUNT(*) AS times FROM calls c";
        let sum = PeriodSum::new(SELECT, Some(self.tenant), of)
            .days_from("SELECT value, times FROM rollup_values", "day", 1, " AND measure = 3 AND times > 0")
            .calls_from(CALLS, " AND c.duration_ms IS NOT NULL GROUP BY 1");
        self.all(sum.statement("GROUP BY s.value ORDER BY 1")).await
    }

    /// How long each step took in the turns of the period's calls, in milliseconds. A greeting is no response and does
    /// not count.
    pub async fn turn_latencies(&self, of: &OfPeriod) -> Result<Vec<(Stage, Counted)>, StoreError> {
        const SELECT: &str =
            "SELECT s.stage AS stage, s.value AS value, CAST(SUM(s.times) AS BIGINT) AS times";
        const CALLS: &str = "SELECT s.stage AS stage, \
            CASE s.stage WHEN 0 THEN t.transcript_ms WHEN 1 THEN t.reply_ms ELSE t.audio_ms END AS value, \
            COUNT(*) AS times \
            FROM calls c JOIN call_turns t ON t.tenant_id = c.tenant_id AND t.call_id = c.id AND t.turn > 0 \
            CROSS JOIN (SELECT CAST(0 AS BIGINT) AS stage UNION ALL SELECT 1 UNION ALL SELECT 2) s";
        let days = "SELECT measure AS stage, value, times FROM rollup_values";
        let sum = PeriodSum::new(SELECT, Some(self.tenant), of)
            .days_from(days, "day", 1, " AND measure IN (0, 1, 2) AND times > 0")
            .calls_from(CALLS, " GROUP BY 1, 2");
        let rows = self.all::<StageRow>(sum.statement("GROUP BY s.stage, s.value ORDER BY 1, 2")).await?;
        let counted = rows.into_iter().filter_map(|row| {
            let stage = match row.stage {
                0 => Stage::Transcript,
                1 => Stage::Reply,
                _ => Stage::Audio,
            };
            Some((stage, Counted { value: row.value?, times: row.times }))
        });
        Ok(counted.collect())
    }

    /// How much was said in the period's calls.
    pub async fn talk_counts(&self, of: &OfPeriod) -> Result<TalkCounts, StoreError> {
        const SELECT: &str = "SELECT CAST(COALESCE(SUM(s.turns), 0) AS BIGINT) AS turns, \
            CAST(COALESCE(SUM(s.interruptions), 0) AS BIGINT) AS interruptions";
        const DAYS: &str = "SELECT CASE measure WHEN 4 THEN times ELSE 0 END AS turns, \
            CASE measure WHEN 5 THEN times ELSE 0 END AS interruptions FROM rollup_values";
        const CALLS: &str = "SELECT COUNT(*) FILTER (WHERE t.turn > 0) AS turns, \
            COUNT(*) FILTER (WHERE t.interrupted) AS interruptions \
            FROM calls c JOIN call_turns t ON t.tenant_id = c.tenant_id AND t.call_id = c.id";
        let sum = PeriodSum::new(SELECT, Some(self.tenant), of)
            .days_from(DAYS, "day", 1, " AND measure IN (4, 5) AND times > 0")
            .calls_from(CALLS, "");
        let rows = self.all::<TalkCounts>(sum.statement("")).await?;
        Ok(rows.first().copied().unwrap_or_default())
    }
}

impl Store {
    /// Each tenant's calls of a period, for the operator. Tenants without calls are left out.
    pub async fn calls_by_tenant(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<TenantCounts>, StoreError> {
        let of = OfPeriod { from, to, phone_number_id: None, ai_profile_id: None };
        let calls = format!("SELECT c.tenant_id, {OF_CALLS} FROM calls c");
        let sum = PeriodSum::new(&format!("SELECT t.id AS tenant_id, t.name AS name, {SUMS}"), None, &of)
            .days_from(&format!("SELECT tenant_id, {OF_DAYS} FROM rollup_calls"), "quarter", QUARTERS, "")
            .calls_from(&calls, " GROUP BY c.tenant_id");
        let rest = "JOIN tenants t ON t.id = s.tenant_id GROUP BY t.id, t.name ORDER BY calls DESC, t.id";
        let rows = AllTenants(self).all::<TenantRow>(sum.statement(rest)).await?;
        let counts = |row: TenantRow| TenantCounts {
            tenant_id: TenantId(row.tenant_id),
            name: row.name,
            counts: row.counts,
        };
        Ok(rows.into_iter().map(counts).collect())
    }
}

#[derive(sqlx::FromRow)]
struct OutcomeRow {
    disposition: Option<String>,
    ended_by: Option<String>,
    calls: i64,
}

impl TryFrom<OutcomeRow> for Ending {
    type Error = StoreError;

    fn try_from(row: OutcomeRow) -> Result<Ending, StoreError> {
        let ended_by = row.ended_by.map(|by| by.parse()).transpose().map_err(StoreError::corrupt)?;
        Ok(Ending { disposition: row.disposition, ended_by, calls: row.calls })
    }
}

#[derive(sqlx::FromRow)]
struct StageRow {
    stage: i64,
    value: Option<i64>,
    times: i64,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant_id: Uuid,
    name: String,
    #[sqlx(flatten)]
    counts: CallCounts,
}
