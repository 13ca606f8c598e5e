//! Percentiles and clocks.

use proptest::prelude::*;

use super::clock;
use super::distribution::Distribution;
use super::*;
use crate::store::{CallCounts, Counted, Quarter, TalkCounts};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

fn zone(name: &str) -> Tz {
    name.parse().expect("a time zone")
}

#[test]
fn a_period_is_the_last_month_unless_it_is_said() {
    let now = at("2026-03-31T12:00:00Z");
    let period = AnalyticsPeriod::new(None, None, now).expect("a period");
    assert_eq!((period.from(), period.to()), (at("2026-03-01T12:00:00Z"), now));
    assert_eq!(AnalyticsPeriod::new(Some(now), Some(now), now), Err(PeriodError::Backwards));
    let long = AnalyticsPeriod::new(Some(now - TimeDelta::days(401)), None, now);
    assert_eq!(long, Err(PeriodError::TooLong(400)));
    let months = AnalyticsPeriod::new(Some(now - TimeDelta::days(63)), None, now).expect("a period");
    assert!(AnalyticsQuery::new(months, AnalyticsInterval::Day, Tz::UTC).is_ok());
    assert_eq!(
        AnalyticsQuery::new(months, AnalyticsInterval::Hour, Tz::UTC).err(),
        Some(PeriodError::TooLongByHour(62))
    );
    assert_eq!(AnalyticsPeriod::new(None, Some(DateTime::<Utc>::MIN_UTC), now), Err(PeriodError::Backwards));
}

#[test]
fn days_are_those_of_the_time_zone() {
    let berlin = zone("Europe/Berlin");
    // Clocks go forward on 29 March 2026: that day has 23 hours.
    let days =
        clock::starts(at("2026-03-28T00:00:00Z"), at("2026-03-30T12:00:00Z"), AnalyticsInterval::Day, berlin);
    let expected = ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
    assert_eq!(days, expected.map(at));
    // And back on 25 October: that one has 25.
    let days =
        clock::starts(at("2026-10-25T00:00:00Z"), at("2026-10-26T12:00:00Z"), AnalyticsInterval::Day, berlin);
    assert_eq!(days, ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"].map(at));
    // In Beirut they go forward at midnight, which is not there.
    let beirut = zone("Asia/Beirut");
    assert_eq!(
        clock::start(at("2026-03-29T12:00:00Z"), AnalyticsInterval::Day, beirut),
        at("2026-03-28T22:00:00Z")
    );
}

#[test]
fn hours_are_those_of_the_time_zone() {
    let kathmandu = zone("Asia/Kathmandu");
    assert_eq!(
        clock::start(at("2026-01-01T10:20:00Z"), AnalyticsInterval::Hour, kathmandu),
        at("2026-01-01T10:15:00Z")
    );
    assert_eq!(clock::weekday_and_hour(at("2026-01-01T18:15:00Z"), kathmandu), (4, 0));
    // The hour from two to three comes twice on 25 October, and is two hours.
    let berlin = zone("Europe/Berlin");
    let hours = clock::starts(
        at("2026-10-25T00:00:00Z"),
        at("2026-10-25T03:00:00Z"),
        AnalyticsInterval::Hour,
        berlin,
    );
    assert_eq!(hours.len(), 3);
}

#[test]
fn quarters_find_their_place() {
    let period = AnalyticsPeriod::new(
        Some(at("2026-01-05T00:00:00Z")),
        Some(at("2026-01-07T00:00:00Z")),
        at("2026-02-01T00:00:00Z"),
    );
    let query = AnalyticsQuery::new(period.expect("a period"), AnalyticsInterval::Day, zone("Asia/Kolkata"))
        .expect("a query");
    let counts =
        |calls| CallCounts { calls, answered: calls, duration_ms: calls * 1_500, ..CallCounts::default() };
    let quarter =
        |moment: &str, calls| Quarter { quarter: at(moment).timestamp() / 900, counts: counts(calls) };
    let counted = super::report::ReportCounts {
        // 23:45 on Monday and midnight on Tuesday, in Kolkata.
        quarters: vec![quarter("2026-01-05T18:15:00Z", 2), quarter("2026-01-05T18:30:00Z", 3)],
        outcomes: vec![],
        durations: vec![Counted { value: 1, times: 5 }],
        latencies: vec![],
        talk: TalkCounts { turns: 8, interruptions: 1 },
    };
    let report = TenantAnalytics::new(&query, counted);
    assert_eq!((report.weekdays[0], report.weekdays[1], report.hours[23], report.hours[0]), (2, 3, 2, 3));
    assert_eq!(report.busiest[0], BusyHour { weekday: 1, hour: 0, calls: 3 });
    let days: Vec<i64> = report.series.iter().map(|point| point.calls).collect();
    assert_eq!(days, [2, 3, 0]);
    assert_eq!((report.duration.total_s, report.duration.average_s), (7.5, Some(1.5)));
    assert_eq!((report.turns_per_call, report.totals.failure_rate), (Some(1.6), Some(0.0)));
    assert_eq!(report.latency.audio.p50_ms, None);
}

proptest! {
    #[test]
    fn a_percentile_is_what_sorting_finds(mut values in proptest::collection::vec(0i64..50, 0..200), percent in 1u8..=100) {
        let counted = values.iter().map(|value| Counted { value: *value, times: 1 });
        let found = Distribution::new(counted.collect()).percentile(percent);
        values.sort_unstable();
        let rank = (values.len() * usize::from(percent)).div_ceil(100);
        prop_assert_eq!(found, values.get(rank.max(1) - 1).copied());
    }

    #[test]
    fn every_moment_is_in_an_interval_that_is_listed(
        second in 1_700_000_000i64..1_800_000_000, days in 1i64..60, zone in proptest::sample::select(&chrono_tz::TZ_VARIANTS[..])
    ) {
        let from = DateTime::from_timestamp(second, 0).expect("a moment");
        let starts = clock::starts(from, from + TimeDelta::days(days), AnalyticsInterval::Day, zone);
        prop_assert!(starts[0] <= from && starts.is_sorted());
        for pair in starts.windows(2) {
            let hours = (pair[1] - pair[0]).num_hours();
            prop_assert!((22..=48).contains(&hours), "{zone}: a day of {hours} hours");
        }
    }
}
