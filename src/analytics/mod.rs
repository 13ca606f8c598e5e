//! What calls were like: how many and how they ended, how long they took and how quickly the agent answered, and at
//! which hours they come.
//!
//! The store counts, this room reckons: percentiles, a time zone's hours, a series without gaps. It knows neither
//! SQL nor HTTP.

mod clock;
mod distribution;
mod report;

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{OfPeriod, Scope, Store, StoreError};

pub use report::{Busy, Durations, Ended, Latencies, Latency, OfTenant, Overview, Point, Report, Totals};

/// The longest period that is reckoned at once: a year and a month to compare it with.
const LONGEST: TimeDelta = TimeDelta::days(400);
/// The longest period by the hour.
const LONGEST_BY_HOUR: TimeDelta = TimeDelta::days(62);
/// The period when none is named.
const USUAL: TimeDelta = TimeDelta::days(30);

/// The steps of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[schema(as = AnalyticsInterval)]
pub enum Interval {
    Hour,
    #[default]
    Day,
}

/// From a moment until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// What is wanted of a tenant's calls.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    pub calls: OfPeriod,
    pub interval: Interval,
    /// Whose hours and days are meant.
    pub timezone: Tz,
}

/// Why there is no answer. The field at fault is `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPeriod {
    #[error("it has to be later than `from`")]
    Backwards,
    #[error("{0} days after `from` at most")]
    TooLong(i64),
    #[error("{0} days after `from` at most when the interval is an hour")]
    TooLongByHour(i64),
}

impl Period {
    /// The period that is asked for; the last thirty days before its end, or before `now`, when it is not said.
    ///
    /// # Errors
    /// When it ends before it begins or is too long.
    pub fn new(
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Period, BadPeriod> {
        let to = to.unwrap_or(now);
        let from = from.or_else(|| to.checked_sub_signed(USUAL)).ok_or(BadPeriod::Backwards)?;
        match to - from {
            length if length <= TimeDelta::zero() => Err(BadPeriod::Backwards),
            length if length > LONGEST => Err(BadPeriod::TooLong(LONGEST.num_days())),
            _ => Ok(Period { from, to }),
        }
    }

    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }
}

impl Question {
    /// About all of a tenant's calls of a period.
    ///
    /// # Errors
    /// When the period is too long for the interval.
    pub fn new(period: Period, interval: Interval, timezone: Tz) -> Result<Question, BadPeriod> {
        let Period { from, to } = period;
        if interval == Interval::Hour && to - from > LONGEST_BY_HOUR {
            return Err(BadPeriod::TooLongByHour(LONGEST_BY_HOUR.num_days()));
        }
        let calls = OfPeriod { from, to, phone_number_id: None, ai_profile_id: None };
        Ok(Question { calls, interval, timezone })
    }
}

/// What a tenant's calls were like.
pub async fn of_tenant(scope: &Scope, question: &Question) -> Result<Report, StoreError> {
    let calls = &question.calls;
    let counted = report::Counted {
        quarters: scope.calls_by_quarter(calls).await?,
        outcomes: scope.call_outcomes(calls).await?,
        durations: scope.call_durations(calls).await?,
        latencies: scope.turn_latencies(calls).await?,
        talk: scope.talk_counts(calls).await?,
    };
    Ok(Report::new(question, counted))
}

/// Whose calls they were: all together, and the tenants with the most, at most `top`.
pub async fn of_all(store: &Store, period: Period, top: usize) -> Result<Overview, StoreError> {
    let tenants = store.calls_by_tenant(period.from, period.to).await?;
    Ok(Overview::new(period, tenants, top))
}
