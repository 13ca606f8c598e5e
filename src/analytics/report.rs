//! Reports computed from the store's counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::distribution::Distribution;
use super::{AnalyticsInterval, AnalyticsPeriod, AnalyticsQuery, clock};
use crate::store::{self, CallCounts, Ending, Quarter, Stage, TalkCounts, TenantCounts};
use crate::tenancy::{EndedBy, TenantId};

/// The number of busiest hours in a report.
const BUSIEST: usize = 5;

/// The store's counts for a report.
pub struct ReportCounts {
    pub quarters: Vec<Quarter>,
    pub outcomes: Vec<Ending>,
    pub durations: Vec<store::Counted>,
    pub latencies: Vec<(Stage, store::Counted)>,
    pub talk: TalkCounts,
}

/// Statistics of a tenant's calls in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TenantAnalytics {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// IANA name of the time zone of hours and days.
    pub timezone: String,
    pub interval: AnalyticsInterval,
    #[serde(flatten)]
    pub totals: CallTotals,
    pub duration: CallDurations,
    /// Calls by disposition. Calls in progress are not included.
    pub dispositions: BTreeMap<String, i64>,
    pub ended_by: CallsByEndingParty,
    /// Turns with words of the caller and a response of the agent; greetings do not count.
    pub turns: i64,
    /// Turns per answered call.
    pub turns_per_call: Option<f64>,
    /// Responses that a caller interrupted.
    pub interruptions: i64,
    pub latency: TurnLatencies,
    /// Calls by hour of the day, from midnight: 24 numbers.
    pub hours: Vec<i64>,
    /// Calls by day of the week, from Monday: 7 numbers.
    pub weekdays: Vec<i64>,
    /// The hours of the week with the most calls, at most five.
    pub busiest: Vec<BusyHour>,
    /// All intervals of the period, including those without calls.
    pub series: Vec<AnalyticsPoint>,
}

/// The number of calls, and of those that were answered, refused or failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallTotals {
    pub calls: i64,
    pub answered: i64,
    pub refused: i64,
    pub failed: i64,
    /// Failed calls as a share of all calls, 0 to 1.
    pub failure_rate: Option<f64>,
}

/// CallDurations from answer to end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallDurations {
    pub total_s: f64,
    pub average_s: Option<f64>,
    /// In whole seconds.
    pub p50_s: Option<i64>,
    pub p95_s: Option<i64>,
}

/// Calls by the party that ended them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallsByEndingParty {
    pub caller: i64,
    pub agent: i64,
    pub system: i64,
}

/// TurnLatencies from the end of the caller's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnLatencies {
    /// Until the transcript.
    pub transcript: LatencyPercentiles,
    /// Until the first text of the response.
    pub reply: LatencyPercentiles,
    /// Until the caller heard the response.
    pub audio: LatencyPercentiles,
}

/// Milliseconds that 50, 95 and 99 percent of the turns did not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatencyPercentiles {
    /// Turns with a known latency.
    pub turns: i64,
    pub p50_ms: Option<i64>,
    pub p95_ms: Option<i64>,
    pub p99_ms: Option<i64>,
}

/// An hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BusyHour {
    /// 0 for Monday.
    pub weekday: usize,
    pub hour: usize,
    pub calls: i64,
}

/// One interval of the series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsPoint {
    /// The beginning of the interval.
    pub at: DateTime<Utc>,
    pub calls: i64,
    pub answered: i64,
    pub refused: i64,
    pub failed: i64,
    /// The sum of all durations from answer to end.
    pub duration_s: f64,
}

/// Statistics of all tenants' calls in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsOverview {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    #[serde(flatten)]
    pub totals: CallTotals,
    pub duration_s: f64,
    /// Tenants with calls in the period.
    pub active_tenants: usize,
    /// The tenants with the most calls, in descending order.
    pub tenants: Vec<TenantCallTotals>,
}

/// One tenant's calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TenantCallTotals {
    pub tenant_id: TenantId,
    pub name: String,
    #[serde(flatten)]
    pub totals: CallTotals,
    pub duration_s: f64,
}

impl TenantAnalytics {
    pub fn new(query: &AnalyticsQuery, counted: ReportCounts) -> TenantAnalytics {
        let sum = sum(counted.quarters.iter().map(|quarter| &quarter.counts));
        let week = Week::of(query, &counted.quarters);
        let (dispositions, ended_by) = endings(counted.outcomes);
        TenantAnalytics {
            from: query.calls.from,
            to: query.calls.to,
            timezone: query.timezone.name().to_owned(),
            interval: query.interval,
            totals: CallTotals::from(&sum),
            duration: CallDurations::new(sum.duration_ms, counted.durations),
            dispositions,
            ended_by,
            turns: counted.talk.turns,
            turns_per_call: ratio(counted.talk.turns, sum.answered),
            interruptions: counted.talk.interruptions,
            latency: TurnLatencies::new(&counted.latencies),
            hours: week.hours(),
            weekdays: week.days(),
            busiest: week.busiest(),
            series: series(query, &counted.quarters),
        }
    }
}

impl AnalyticsOverview {
    pub fn new(period: AnalyticsPeriod, tenants: Vec<TenantCounts>, top: usize) -> AnalyticsOverview {
        let sum = sum(tenants.iter().map(|tenant| &tenant.counts));
        let active_tenants = tenants.len();
        let of_tenant = |tenant: TenantCounts| TenantCallTotals {
            tenant_id: tenant.tenant_id,
            name: tenant.name,
            totals: CallTotals::from(&tenant.counts),
            duration_s: seconds(tenant.counts.duration_ms),
        };
        AnalyticsOverview {
            from: period.from,
            to: period.to,
            totals: CallTotals::from(&sum),
            duration_s: seconds(sum.duration_ms),
            active_tenants,
            tenants: tenants.into_iter().take(top).map(of_tenant).collect(),
        }
    }
}

impl From<&CallCounts> for CallTotals {
    fn from(counts: &CallCounts) -> CallTotals {
        CallTotals {
            calls: counts.calls,
            answered: counts.answered,
            refused: counts.refused,
            failed: counts.failed,
            failure_rate: ratio(counts.failed, counts.calls),
        }
    }
}

impl CallDurations {
    fn new(total_ms: i64, durations: Vec<store::Counted>) -> CallDurations {
        let durations = Distribution::new(durations);
        CallDurations {
            total_s: seconds(total_ms),
            average_s: ratio(total_ms, durations.count()).map(|ms| ms / 1_000.0),
            p50_s: durations.percentile(50),
            p95_s: durations.percentile(95),
        }
    }
}

impl TurnLatencies {
    fn new(counted: &[(Stage, store::Counted)]) -> TurnLatencies {
        let of = |wanted: Stage| {
            let of_stage = counted.iter().filter(|(stage, _)| *stage == wanted).map(|(_, counted)| *counted);
            let times = Distribution::new(of_stage.collect());
            LatencyPercentiles {
                turns: times.count(),
                p50_ms: times.percentile(50),
                p95_ms: times.percentile(95),
                p99_ms: times.percentile(99),
            }
        };
        TurnLatencies { transcript: of(Stage::Transcript), reply: of(Stage::Reply), audio: of(Stage::Audio) }
    }
}

/// Calls by day of the week and hour of the day.
struct Week([[i64; 24]; 7]);

impl Week {
    fn of(query: &AnalyticsQuery, quarters: &[Quarter]) -> Week {
        let mut week = [[0; 24]; 7];
        for Quarter { quarter, counts } in quarters {
            let (day, hour) = clock::weekday_and_hour(clock::start_of_quarter(*quarter), query.timezone);
            week[day][hour] += counts.calls;
        }
        Week(week)
    }

    fn hours(&self) -> Vec<i64> {
        (0..24).map(|hour| self.0.iter().map(|day| day[hour]).sum()).collect()
    }

    fn days(&self) -> Vec<i64> {
        self.0.iter().map(|day| day.iter().sum()).collect()
    }

    fn busiest(&self) -> Vec<BusyHour> {
        let days = self.0.iter().enumerate();
        let hours = days.flat_map(|(weekday, hours)| {
            hours.iter().enumerate().map(move |(hour, calls)| BusyHour { weekday, hour, calls: *calls })
        });
        let mut busy: Vec<BusyHour> = hours.filter(|busy| busy.calls > 0).collect();
        busy.sort_by_key(|busy| std::cmp::Reverse(busy.calls));
        busy.truncate(BUSIEST);
        busy
    }
}

fn series(query: &AnalyticsQuery, quarters: &[Quarter]) -> Vec<AnalyticsPoint> {
    let AnalyticsQuery { calls, interval, timezone } = query;
    let starts = clock::starts(calls.from, calls.to, *interval, *timezone);
    let mut intervals: BTreeMap<DateTime<Utc>, CallCounts> =
        starts.into_iter().map(|at| (at, CallCounts::default())).collect();
    for Quarter { quarter, counts } in quarters {
        let at = clock::start(clock::start_of_quarter(*quarter), *interval, *timezone);
        add(intervals.entry(at).or_default(), counts);
    }
    let point = |(at, counts): (DateTime<Utc>, CallCounts)| AnalyticsPoint {
        at,
        calls: counts.calls,
        answered: counts.answered,
        refused: counts.refused,
        failed: counts.failed,
        duration_s: seconds(counts.duration_ms),
    };
    intervals.into_iter().map(point).collect()
}

fn endings(outcomes: Vec<Ending>) -> (BTreeMap<String, i64>, CallsByEndingParty) {
    let (mut dispositions, mut ended) = (BTreeMap::new(), CallsByEndingParty::default());
    for Ending { disposition, ended_by, calls } in outcomes {
        if let Some(disposition) = disposition {
            *dispositions.entry(disposition).or_default() += calls;
        }
        match ended_by {
            Some(EndedBy::Caller) => ended.caller += calls,
            Some(EndedBy::Agent) => ended.agent += calls,
            Some(EndedBy::System) => ended.system += calls,
            None => {}
        }
    }
    (dispositions, ended)
}

fn sum<'a>(all: impl Iterator<Item = &'a CallCounts>) -> CallCounts {
    all.fold(CallCounts::default(), |mut sum, counts| {
        add(&mut sum, counts);
        sum
    })
}

fn add(sum: &mut CallCounts, counts: &CallCounts) {
    sum.calls += counts.calls;
    sum.answered += counts.answered;
    sum.refused += counts.refused;
    sum.failed += counts.failed;
    sum.duration_ms += counts.duration_ms;
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Rounded to four decimals; `None` when `whole` is 0.
pub fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}
