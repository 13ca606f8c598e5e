//! `vca analytics`

use std::fmt::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;

use super::call;
use super::failure::Failure;
use super::output::Output;
use super::span::moment;
use super::table::{Sheet, Table, or_dash, printable};
use super::tenant;
use crate::analytics::{
    self, AnalyticsInterval, AnalyticsOverview, AnalyticsPeriod, AnalyticsQuery, CallResults, CallTotals,
    LatencyPercentiles, PeriodError, ResultTotals, TenantAnalytics, TenantCallTotals,
};
use crate::store::{OfPeriod, Store};
use crate::tenancy::ProfileId;

/// Characters of the longest bar.
const WIDTH: i64 = 40;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

#[derive(Debug, Args)]
pub struct Command {
    /// Id or name; an overview of all tenants when absent.
    #[arg(long)]
    tenant: Option<String>,
    /// The calls that began at this moment or later, such as 2026-01-31, 2026-01-31T09:00:00Z, or 7d for a week
    /// ago. Default: 30 days before --to.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<DateTime<Utc>>,
    /// And before this one. Default: now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<DateTime<Utc>>,
    /// Only calls to this number, or to the number of this id.
    #[arg(long, requires = "tenant")]
    number: Option<String>,
    /// Only calls with the AI profile of this id.
    #[arg(long, requires = "tenant")]
    profile: Option<ProfileId>,
    /// Success, outcomes, sentiment and ratings instead, by number, and by profile and version.
    #[arg(long, requires = "tenant")]
    results: bool,
    /// The steps of the series.
    #[arg(long, requires = "tenant", default_value = "day")]
    interval: AnalyticsInterval,
    /// The time zone of hours and days, such as Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    timezone: Tz,
    /// How many tenants the overview names.
    #[arg(long, default_value_t = 20, conflicts_with = "tenant")]
    top: usize,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let period = AnalyticsPeriod::new(self.from, self.to, Utc::now())?;
        let Some(named) = self.tenant.as_deref() else {
            let overview = analytics::of_all(store, period, self.top).await?;
            return output.print(&overview, || overview_text(&overview));
        };
        let tenant = tenant::find(store, named).await?;
        let phone_number_id = match &self.number {
            Some(named) => Some(call::find_number(store, named).await?),
            None => None,
        };
        let mut question = AnalyticsQuery::new(period, self.interval, self.timezone)?;
        question.calls = OfPeriod { phone_number_id, ai_profile_id: self.profile, ..question.calls };
        let scope = store.scope(tenant.id);
        if self.results {
            let results = analytics::results_of_tenant(&scope, &question).await?;
            return output.print(&results, || results_text(&results));
        }
        let report = analytics::of_tenant(&scope, &question).await?;
        output.print(&report, || report_text(&report))
    }
}

impl From<PeriodError> for Failure {
    fn from(bad: PeriodError) -> Failure {
        Failure::unacceptable(format_args!("--to: {bad}"))
    }
}

fn report_text(report: &TenantAnalytics) -> String {
    let CallTotals { calls, answered, refused, failed, failure_rate } = report.totals;
    let seconds = |value: Option<f64>| or_dash(value.map(|value| format!("{value:.1} s")));
    let sheet = Sheet::new()
        .line("period", format_args!("{} to {} UTC", report.from.format("%F %T"), report.to.format("%F %T")))
        .line("calls", format_args!("{calls}: {answered} answered, {refused} refused, {failed} failed"))
        .line("failure rate", percent(failure_rate))
        .line("duration", format_args!("{:.0} s in all", report.duration.total_s))
        .line("  average", seconds(report.duration.average_s))
        .line(
            "  p50, p95",
            format_args!("{} s, {} s", or_dash(report.duration.p50_s), or_dash(report.duration.p95_s)),
        )
        .line("turns", format_args!("{}, {} a call", report.turns, or_dash(report.turns_per_call)))
        .line("interruptions", report.interruptions)
        .line(
            "ended by",
            format_args!(
                "caller {}, agent {}, system {}",
                report.ended_by.caller, report.ended_by.agent, report.ended_by.system
            ),
        );
    let mut text = format!("{sheet}\n{}", latencies(report));
    let mut why = Table::new(["why it ended", "calls"]);
    for (disposition, calls) in &report.dispositions {
        why.row([disposition.clone(), calls.to_string()]);
    }
    let _ = write!(text, "\n{why}");
    let hours = report.hours.iter().enumerate().map(|(hour, calls)| (format!("{hour:02}"), *calls));
    let _ = write!(text, "\nCalls by hour ({})\n{}", report.timezone, bars(hours.collect()));
    let days = WEEKDAYS.iter().zip(&report.weekdays).map(|(day, calls)| ((*day).to_owned(), *calls));
    let _ = write!(text, "\nCalls by weekday\n{}", bars(days.collect()));
    text
}

fn results_text(results: &CallResults) -> String {
    let heads = ["", "answered", "success", "positive", "neutral", "negative", "ratings", "mean rating"];
    let mut table = Table::new(heads);
    table.row(result_row("all".to_owned(), &results.totals));
    for number in &results.numbers {
        table.row(result_row(format!("number {}", number.phone_number_id), &number.totals));
    }
    for profile in &results.profiles {
        let name = format!("profile {} version {}", profile.ai_profile_id, profile.ai_profile_version);
        table.row(result_row(name, &profile.totals));
    }
    let mut outcomes = Table::new(["outcome", "calls"]);
    for (outcome, calls) in &results.totals.outcomes {
        outcomes.row([printable(outcome), calls.to_string()]);
    }
    format!("{table}\n{outcomes}")
}

fn result_row(name: String, totals: &ResultTotals) -> [String; 8] {
    let ResultTotals { answered, success_rate, sentiments, ratings, average_rating, .. } = totals;
    [
        name,
        answered.to_string(),
        percent(*success_rate),
        sentiments.positive.to_string(),
        sentiments.neutral.to_string(),
        sentiments.negative.to_string(),
        ratings.to_string(),
        or_dash(average_rating.map(|mean| format!("{mean:.2}"))),
    ]
}

fn latencies(report: &TenantAnalytics) -> Table {
    let mut table = Table::new(["latency", "turns", "p50 ms", "p95 ms", "p99 ms"]);
    let stages = [
        ("words", report.latency.transcript),
        ("reply", report.latency.reply),
        ("audio", report.latency.audio),
    ];
    for (name, LatencyPercentiles { turns, p50_ms, p95_ms, p99_ms }) in stages {
        table.row([name.to_owned(), turns.to_string(), or_dash(p50_ms), or_dash(p95_ms), or_dash(p99_ms)]);
    }
    table
}

fn overview_text(overview: &AnalyticsOverview) -> String {
    let mut table =
        Table::new(["tenant", "calls", "answered", "refused", "failed", "failure rate", "minutes", "id"]);
    let all = format!("all ({})", overview.active_tenants);
    table.row(row(all, &overview.totals, overview.duration_s, String::new()));
    for TenantCallTotals { tenant_id, name, totals, duration_s } in &overview.tenants {
        table.row(row(name.clone(), totals, *duration_s, tenant_id.to_string()));
    }
    table.to_string()
}

fn row(name: String, totals: &CallTotals, duration_s: f64, id: String) -> [String; 8] {
    [
        name,
        totals.calls.to_string(),
        totals.answered.to_string(),
        totals.refused.to_string(),
        totals.failed.to_string(),
        percent(totals.failure_rate),
        format!("{:.0}", duration_s / 60.0),
        id,
    ]
}

fn percent(ratio: Option<f64>) -> String {
    or_dash(ratio.map(|ratio| format!("{:.1} %", ratio * 100.0)))
}

/// A bar for each value, the longest as wide as there is room.
fn bars(values: Vec<(String, i64)>) -> String {
    let most = values.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let bar = |value: i64| {
        // Rounded up: what is there is seen.
        let length = (value * WIDTH + most - 1) / most;
        "#".repeat(usize::try_from(length).unwrap_or(0))
    };
    let lines = values.iter().map(|(name, value)| format!("{name}  {:<40}  {value}\n", bar(*value)));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_the_shortest_is_seen() {
        let text = bars(vec![("a".into(), 1_000), ("b".into(), 1), ("c".into(), 0)]);
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(lengths, [40, 1, 0]);
        assert!(bars(vec![("a".into(), 0)]).ends_with("  0\n"));
    }
}
