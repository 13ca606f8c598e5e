//! Hours and days in a time zone.

use chrono::{DateTime, Datelike, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::AnalyticsInterval;

/// Seconds in a quarter of an hour.
const QUARTER: i64 = 900;

/// The start of a quarter of an hour, counted from 1970.
pub fn start_of_quarter(quarter: i64) -> DateTime<Utc> {
    quarter.checked_mul(QUARTER).and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default()
}

/// The day of the week, 0 for Monday, and the hour of the day.
pub fn weekday_and_hour(at: DateTime<Utc>, zone: Tz) -> (usize, usize) {
    let local = at.with_timezone(&zone);
    (local.weekday().num_days_from_monday() as usize, local.hour() as usize)
}

/// The start of the interval that contains a moment.
pub fn start(at: DateTime<Utc>, interval: AnalyticsInterval, zone: Tz) -> DateTime<Utc> {
    match interval {
        AnalyticsInterval::Hour => start_of_hour(at, zone),
        AnalyticsInterval::Day => start_of_day(at, zone),
    }
}

/// The starts of the intervals that overlap a period.
pub fn starts(
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    interval: AnalyticsInterval,
    zone: Tz,
) -> Vec<DateTime<Utc>> {
    // Long enough to reach the next interval: a day has 23 to 25 hours, and not all zones change by one.
    let step = match interval {
        AnalyticsInterval::Hour => TimeDelta::hours(1),
        AnalyticsInterval::Day => TimeDelta::hours(26),
    };
    let next = |at: &DateTime<Utc>| Some(start(*at + step, interval, zone));
    std::iter::successors(Some(start(from, interval, zone)), next).take_while(|at| *at < to).collect()
}

fn start_of_hour(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let offset = i64::from(at.with_timezone(&zone).offset().fix().local_minus_utc());
    let local = at.timestamp() + offset;
    DateTime::from_timestamp(local - local.rem_euclid(3_600) - offset, 0).unwrap_or(at)
}

/// Where clocks are put forward at midnight, a day begins later.
fn start_of_day(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let midnight = at.with_timezone(&zone).date_naive().and_time(NaiveTime::MIN);
    let begins = (0..16).find_map(|quarters| {
        let local = midnight + TimeDelta::seconds(QUARTER * quarters);
        zone.from_local_datetime(&local).earliest()
    });
    begins.map_or(at, |begins| begins.to_utc())
}
