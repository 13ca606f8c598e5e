//! Statistics of calls: their number, endings, durations, response latencies and busiest hours.
//!
//! The store counts, and this room computes percentiles, hours of a time zone and series without gaps from the
//! counts. It has no SQL and no HTTP.

mod clock;
mod distribution;
mod report;
mod results;

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{OfPeriod, Scope, Store, StoreError};

pub use report::{
    AnalyticsOverview, AnalyticsPoint, BusyHour, CallDurations, CallTotals, CallsByEndingParty,
    LatencyPercentiles, TenantAnalytics, TenantCallTotals, TurnLatencies,
};
pub use results::{
    CallResults, IntervalResults, NumberResults, ProfileResults, ResultTotals, SentimentCounts,
};

/// The longest period of a report: a year and a month to compare it with.
const LONGEST: TimeDelta = TimeDelta::days(400);
/// The longest period of a report with hourly intervals.
const LONGEST_BY_HOUR: TimeDelta = TimeDelta::days(62);
/// The default period.
const USUAL: TimeDelta = TimeDelta::days(30);

/// The intervals of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AnalyticsInterval {
    Hour,
    #[default]
    Day,
}

/// A period: from a moment (included) to another (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalyticsPeriod {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// A query for statistics of a tenant's calls.
#[derive(Debug, Clone, Copy)]
pub struct AnalyticsQuery {
    pub calls: OfPeriod,
    pub interval: AnalyticsInterval,
    /// The time zone of hours and days.
    pub timezone: Tz,
}

/// Why a period is refused. The field with the fault is `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    #[error("it has to be later than `from`")]
    Backwards,
    #[error("{0} days after `from` at most")]
    TooLong(i64),
    #[error("{0} days after `from` at most when the interval is an hour")]
    TooLongByHour(i64),
}

impl AnalyticsPeriod {
    /// The given period. Without `from` it is the thirty days before its end; without `to` it ends at `now`.
    ///
    /// # Errors
    /// When it ends before it begins or is too long.
    pub fn new(
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<AnalyticsPeriod, PeriodError> {
        let to = to.unwrap_or(now);
        let from = from.or_else(|| to.checked_sub_signed(USUAL)).ok_or(PeriodError::Backwards)?;
        match to - from {
            length if length <= TimeDelta::zero() => Err(PeriodError::Backwards),
            length if length > LONGEST => Err(PeriodError::TooLong(LONGEST.num_days())),
            _ => Ok(AnalyticsPeriod { from, to }),
        }
    }

    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }
}

impl AnalyticsQuery {
    /// All calls of a tenant in a period.
    ///
    /// # Errors
    /// When the period is too long for the interval.
    pub fn new(
        period: AnalyticsPeriod,
        interval: AnalyticsInterval,
        timezone: Tz,
    ) -> Result<AnalyticsQuery, PeriodError> {
        let AnalyticsPeriod { from, to } = period;
        if interval == AnalyticsInterval::Hour && to - from > LONGEST_BY_HOUR {
            return Err(PeriodError::TooLongByHour(LONGEST_BY_HOUR.num_days()));
        }
        let calls = OfPeriod { from, to, phone_number_id: None, ai_profile_id: None };
        Ok(AnalyticsQuery { calls, interval, timezone })
    }
}

/// Statistics of a tenant's calls.
pub async fn of_tenant(scope: &Scope, query: &AnalyticsQuery) -> Result<TenantAnalytics, StoreError> {
    let calls = &query.calls;
    let counted = report::ReportCounts {
        quarters: scope.calls_by_quarter(calls).await?,
        outcomes: scope.call_outcomes(calls).await?,
        durations: scope.call_durations(calls).await?,
        latencies: scope.turn_latencies(calls).await?,
        talk: scope.talk_counts(calls).await?,
    };
    Ok(TenantAnalytics::new(query, counted))
}

/// Results of a tenant's calls.
pub async fn results_of_tenant(scope: &Scope, query: &AnalyticsQuery) -> Result<CallResults, StoreError> {
    let calls = &query.calls;
    let weights = match calls.phone_number_id {
        Some(number) => match scope.number_routing(number).await {
            Err(StoreError::NotFound) => Vec::new(),
            routing => routing?.profiles,
        },
        None => Vec::new(),
    };
    let counted = results::CountedResults {
        quarters: scope.results_by_quarter(calls).await?,
        numbers: scope.results_by_number(calls).await?,
        profiles: scope.results_by_profile(calls).await?,
        weights,
    };
    Ok(CallResults::new(query, counted))
}

/// Statistics of all calls, and of the `top` tenants with the most calls.
pub async fn of_all(
    store: &Store,
    period: AnalyticsPeriod,
    top: usize,
) -> Result<AnalyticsOverview, StoreError> {
    let tenants = store.calls_by_tenant(period.from, period.to).await?;
    Ok(AnalyticsOverview::new(period, tenants, top))
}
