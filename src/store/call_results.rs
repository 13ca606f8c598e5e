//! Counts of the results of calls for analytics: those of their analyses, and callers' ratings.
//!
//! They are counted from the rows that retention has left, and not from the roll-ups.

use uuid::Uuid;

use super::analytics::OfPeriod;
use super::statement::{Statement, Value, composed};
use super::tx::RowScope;
use super::{Scope, StoreError};
use crate::tenancy::{NumberId, ProfileId};

/// Calls with a result. `name` is `answered`, `outcome`, `success`, `sentiment` or `rating`; the value of `answered` is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultCount<K> {
    pub key: K,
    pub name: String,
    pub value: String,
    pub times: i64,
}

impl Scope {
    /// The results by the quarter of an hour, since 1970, in which the calls began.
    pub async fn results_by_quarter(&self, of: &OfPeriod) -> Result<Vec<ResultCount<i64>>, StoreError> {
        let rows = self.all::<QuarterRow>(self.results(of, "c.started_quarter", "")).await?;
        let count = |row: QuarterRow| {
            let QuarterRow { started_quarter: key, name, value, times } = row;
            ResultCount { key, name, value, times }
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// The results by number.
    pub async fn results_by_number(&self, of: &OfPeriod) -> Result<Vec<ResultCount<NumberId>>, StoreError> {
        let rows = self.all::<NumberRow>(self.results(of, "c.phone_number_id", "")).await?;
        let count = |row: NumberRow| {
            let NumberRow { phone_number_id, name, value, times } = row;
            ResultCount { key: NumberId(phone_number_id), name, value, times }
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// The results by profile and version with which the calls began.
    pub async fn results_by_profile(
        &self,
        of: &OfPeriod,
    ) -> Result<Vec<ResultCount<(ProfileId, u32)>>, StoreError> {
        let known = " AND c.ai_profile_id IS NOT NULL AND c.ai_profile_version IS NOT NULL";
        let statement = self.results(of, "c.ai_profile_id, c.ai_profile_version", known);
        let rows = self.all::<ProfileRow>(statement).await?;
        let count = |row: ProfileRow| {
            let ProfileRow { ai_profile_id, ai_profile_version, name, value, times } = row;
            let version = u32::try_from(ai_profile_version).map_err(StoreError::corrupt)?;
            Ok(ResultCount { key: (ProfileId(ai_profile_id), version), name, value, times })
        };
        rows.into_iter().map(count).collect()
    }

    /// The calls of a period that `only` leaves, by the columns of `key` and by result.
    fn results(&self, of: &OfPeriod, key: &str, only: &str) -> Statement {
        // By the call's id alone: with the tenant in the condition, SQLite would read all of its labels for each call.
        const LABELS: &str =
            "JOIN analysis_labels l ON l.call_id = c.id AND l.name IN ('outcome', 'success', 'sentiment')";
        const RATINGS: &str =
            "JOIN call_feedback f ON f.tenant_id = c.tenant_id AND f.call_id = c.id AND f.source = 'caller'";
        let mut values: Vec<Value> = vec![self.tenant.0.into(), of.from.into(), of.to.into()];
        let mut calls = format!("WHERE c.tenant_id = $1 AND c.started_at >= $2 AND c.started_at < $3{only}");
        if let Some(number) = of.phone_number_id {
            values.push(number.0.into());
            calls.push_str(&format!(" AND c.phone_number_id = ${}", values.len()));
        }
        if let Some(profile) = of.ai_profile_id {
            values.push(profile.0.into());
            calls.push_str(&format!(" AND c.ai_profile_id = ${}", values.len()));
        }
        let text = format!(
            "SELECT {key}, 'answered' AS name, '' AS value, COUNT(*) AS times FROM calls c \
             {calls} AND c.answered_at IS NOT NULL GROUP BY {key} \
             UNION ALL SELECT {key}, l.name AS name, l.value AS value, COUNT(*) AS times FROM calls c {LABELS} \
             {calls} GROUP BY {key}, l.name, l.value \
             UNION ALL SELECT {key}, 'rating' AS name, CAST(f.rating AS TEXT) AS value, COUNT(*) AS times \
             FROM calls c {RATINGS} {calls} GROUP BY {key}, f.rating"
        );
        composed(text).bind_all(values)
    }
}

#[derive(sqlx::FromRow)]
struct QuarterRow {
    started_quarter: i64,
    name: String,
    value: String,
    times: i64,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    phone_number_id: Uuid,
    name: String,
    value: String,
    times: i64,
}

#[derive(sqlx::FromRow)]
struct ProfileRow {
    ai_profile_id: Uuid,
    ai_profile_version: i64,
    name: String,
    value: String,
    times: i64,
}
