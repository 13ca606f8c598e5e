//! What is counted of calls for their analytics. Counts by value rather than percentiles come from here: one pass
//! over a period's rows, without sorting them, and whoever asks reckons any percentile from it exactly.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::conditions::Conditions;
use super::statement::Statement;
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

/// How often a value came.
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

/// What was said, in numbers.
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
const COUNTS: &str = "COUNT(*) AS calls, COUNT(c.answered_at) AS answered, \
    COUNT(*) FILTER (WHERE c.status = 'refused') AS refused, \
    COUNT(*) FILTER (WHERE c.status = 'failed') AS failed, \
    CAST(COALESCE(SUM(c.duration_ms), 0) AS BIGINT) AS duration_ms";

impl Scope {
    /// The period's calls by the quarter of an hour in which they began.
    pub async fn calls_by_quarter(&self, of: &OfPeriod) -> Result<Vec<Quarter>, StoreError> {
        let select = format!("SELECT c.started_quarter AS quarter, {COUNTS} FROM calls c ");
        self.all(self.of(&select, of, "GROUP BY c.started_quarter ORDER BY 1")).await
    }

    /// How the period's calls ended.
    pub async fn call_outcomes(&self, of: &OfPeriod) -> Result<Vec<Ending>, StoreError> {
        const SQL: &str = "SELECT c.disposition, c.ended_by, COUNT(*) AS calls FROM calls c ";
        let query = self.of(SQL, of, "GROUP BY c.disposition, c.ended_by ORDER BY 1, 2");
        let rows = self.all::<OutcomeRow>(query).await?;
        rows.into_iter().map(Ending::try_from).collect()
    }

    /// How long the period's calls were answered, in whole seconds.
    pub async fn call_durations(&self, of: &OfPeriod) -> Result<Vec<Counted>, StoreError> {
        const SQL: &str = "SELECT c.duration_ms / 1000 AS value, COUNT(*) AS times FROM calls c ";
        let query = self.of(SQL, of, "AND c.duration_ms IS NOT NULL GROUP BY 1 ORDER BY 1");
        self.all(query).await
    }

    /// How long each step took in the turns of the period's calls, in milliseconds. A greeting answers nobody and
    /// does not count.
    pub async fn turn_latencies(&self, of: &OfPeriod) -> Result<Vec<(Stage, Counted)>, StoreError> {
        const SQL: &str = "SELECT s.stage AS stage, \
            CASE s.stage WHEN 0 THEN t.transcript_ms WHEN 1 THEN t.reply_ms ELSE t.audio_ms END AS value, \
            COUNT(*) AS times \
            FROM calls c JOIN call_turns t ON t.tenant_id = c.tenant_id AND t.call_id = c.id AND t.turn > 0 \
            CROSS JOIN (SELECT CAST(0 AS BIGINT) AS stage UNION ALL SELECT 1 UNION ALL SELECT 2) s ";
        let query = self.of(SQL, of, "GROUP BY 1, 2 ORDER BY 1, 2");
        let rows = self.all::<StageRow>(query).await?;
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
        const SQL: &str = "SELECT COUNT(*) FILTER (WHERE t.turn > 0) AS turns, \
            COUNT(*) FILTER (WHERE t.interrupted) AS interruptions \
            FROM calls c JOIN call_turns t ON t.tenant_id = c.tenant_id AND t.call_id = c.id ";
        let rows = self.all::<TalkCounts>(self.of(SQL, of, "")).await?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// A statement over the period's calls, which it names `c`.
    fn of(&self, select: &str, of: &OfPeriod, rest: &'static str) -> Statement {
        let mut query = Conditions::new(format!("{select}WHERE c.tenant_id ="), self.tenant.0);
        query.and("c.started_at >=", of.from);
        query.and("c.started_at <", of.to);
        query.and_if("c.phone_number_id =", of.phone_number_id.map(|id| id.0));
        query.and_if("c.ai_profile_id =", of.ai_profile_id.map(|id| id.0));
        query.then(rest);
        query.statement()
    }
}

impl Store {
    /// Each tenant's calls of a period, for the operator. Who had none is left out.
    pub async fn calls_by_tenant(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<TenantCounts>, StoreError> {
        let select = format!(
            "SELECT t.id AS tenant_id, t.name AS name, {COUNTS} \
             FROM calls c JOIN tenants t ON t.id = c.tenant_id WHERE c.started_at >="
        );
        let mut query = Conditions::new(select, from);
        query.and("c.started_at <", to);
        query.then("GROUP BY t.id, t.name ORDER BY calls DESC, t.id");
        let rows = AllTenants(self).all::<TenantRow>(query.statement()).await?;
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
