//! Business hours in the tenant's time zone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::violation::Violation;

/// Business hours as they are stored. [`Hours::schedule`] evaluates them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BusinessHours, description = "When the tenant is open.")]
pub struct Hours {
    /// Time zone by its IANA name.
    #[schema(examples("Europe/Berlin"))]
    pub timezone: String,
    /// Opening hours by day, `monday` to `sunday`. A day that is absent is closed.
    #[serde(default)]
    #[schema(schema_with = super::schemas::week)]
    pub weekly: BTreeMap<String, Vec<Opening>>,
    /// Dates, such as `2026-12-25`, that are closed on any day of the week.
    #[serde(default)]
    #[schema(schema_with = super::schemas::dates)]
    pub closed_on: Vec<String>,
}

/// Open from one time until another. An end before the beginning is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpeningHours)]
pub struct Opening {
    /// `00:00` to `23:59`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", examples("09:00"))]
    pub from: String,
    /// `00:00` to `24:00`.
    #[schema(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples("17:30"))]
    pub to: String,
}

/// Valid business hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    zone: Tz,
    /// By day from Monday: minutes from midnight; an end on the next day is beyond 24 hours.
    week: [Vec<(u32, u32)>; 7],
    closed: BTreeSet<NaiveDate>,
}

const DAY: u32 = 24 * 60;
/// Far more than a business needs.
pub(super) const MOST_OPENINGS: usize = 24;
pub(super) const MOST_DATES: usize = 1_000;

impl Hours {
    /// # Errors
    /// All violations, with paths relative to these settings.
    pub fn schedule(&self) -> Result<Schedule, Vec<Violation>> {
        let mut violations = Vec::new();
        let zone: Option<Tz> = self.timezone.parse().ok();
        if zone.is_none() {
            violations.push(Violation::new(
                "timezone",
                format!(
                    "{:?} is not a time zone: write a name of the IANA database, such as Europe/Berlin",
                    self.timezone
                ),
            ));
        }
        let week = self.week(&mut violations);
        let closed = self.closed(&mut violations);
        match zone {
            Some(zone) if violations.is_empty() => Ok(Schedule { zone, week, closed }),
            _ => Err(violations),
        }
    }

    fn week(&self, violations: &mut Vec<Violation>) -> [Vec<(u32, u32)>; 7] {
        let mut week: [Vec<(u32, u32)>; 7] = Default::default();
        for (name, openings) in &self.weekly {
            let Some(day) = DAYS.iter().position(|day| day == name) else {
                let problem = format!("there is no such day: write one of {}", DAYS.join(", "));
                violations.push(Violation::new(format!("weekly.{name}"), problem));
                continue;
            };
            if openings.len() > MOST_OPENINGS {
                let problem = format!("more than {MOST_OPENINGS} times on one day");
                violations.push(Violation::new(format!("weekly.{name}"), problem));
            }
            for (at, opening) in openings.iter().enumerate().take(MOST_OPENINGS) {
                week[day].extend(opening.minutes(&format!("weekly.{name}.{at}"), violations));
            }
        }
        week
    }

    fn closed(&self, violations: &mut Vec<Violation>) -> BTreeSet<NaiveDate> {
        if self.closed_on.len() > MOST_DATES {
            violations.push(Violation::new("closed_on", format!("more than {MOST_DATES} dates")));
        }
        let mut closed = BTreeSet::new();
        for (at, text) in self.closed_on.iter().enumerate().take(MOST_DATES) {
            match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
                Ok(date) => drop(closed.insert(date)),
                Err(_) => violations.push(Violation::new(
                    format!("closed_on.{at}"),
                    format!("{text:?} is not a date: write it like 2026-12-25"),
                )),
            }
        }
        closed
    }
}

pub(super) const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Opening {
    fn minutes(&self, path: &str, violations: &mut Vec<Violation>) -> Option<(u32, u32)> {
        let before = violations.len();
        let mut read = |field: &str, text: &str| {
            let minutes = minutes(text);
            if minutes.is_none() {
                let problem = format!("{text:?} is not a time: write it like 09:00");
                violations.push(Violation::new(format!("{path}.{field}"), problem));
            }
            minutes.unwrap_or_default()
        };
        let (from, to) = (read("from", &self.from), read("to", &self.to));
        if violations.len() == before && (from == to || from == DAY) {
            violations.push(Violation::new(path, "it has no length: for a whole day write 00:00 to 24:00"));
        }
        (violations.len() == before).then_some((from, if to < from { to + DAY } else { to }))
    }
}

/// `HH:MM` as minutes from midnight, up to `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

impl Schedule {
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The openings by day from Monday, in minutes from midnight. An end on the next day is beyond 24 hours.
    pub fn week(&self) -> &[Vec<(u32, u32)>; 7] {
        &self.week
    }

    /// Whether the business is open at a moment.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        let local: NaiveDateTime = at.with_timezone(&self.zone).naive_local();
        let minute = local.hour() * 60 + local.minute();
        let yesterday = local.date().checked_sub_days(Days::new(1));
        self.covers(local.date(), minute) || yesterday.is_some_and(|date| self.covers(date, minute + DAY))
    }

    /// Whether the openings of a date cover a minute, counted from that date's midnight.
    fn covers(&self, date: NaiveDate, minute: u32) -> bool {
        let weekday: Weekday = date.weekday();
        let openings = &self.week[weekday.num_days_from_monday() as usize];
        !self.closed.contains(&date) && openings.iter().any(|(from, to)| (*from..*to).contains(&minute))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(json: serde_json::Value) -> Hours {
        serde_json::from_value(json).expect("hours")
    }

    fn office() -> Schedule {
        let times =
            serde_json::json!([{ "from": "09:00", "to": "12:00" }, { "from": "13:00", "to": "17:30" }]);
        let bar = serde_json::json!([{ "from": "20:00", "to": "02:00" }]);
        let all_day = serde_json::json!([{ "from": "00:00", "to": "24:00" }]);
        let hours = hours(serde_json::json!({
            "timezone": "Europe/Berlin",
            "weekly": { "monday": times, "friday": bar, "sunday": all_day },
            "closed_on": ["2026-12-25", "2026-07-06"],
        }));
        hours.schedule().expect("a schedule")
    }

    fn open(at: &str) -> bool {
        office().is_open(at.parse().expect("a moment"))
    }

    #[test]
    fn the_clock_on_the_wall_decides() {
        // Monday in winter (UTC+1) and in summer (UTC+2).
        for (at, expected) in [
            ("2026-01-05T07:59:59Z", false),
            ("2026-01-05T08:00:00Z", true),
            ("2026-01-05T11:30:00Z", false),
            ("2026-01-05T16:29:59Z", true),
            ("2026-01-05T16:30:00Z", false),
            ("2026-06-01T07:00:00Z", true),
            ("2026-06-02T07:00:00Z", false),
        ] {
            assert_eq!(open(at), expected, "{at}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        // Friday the 2nd of January, and the morning after.
        assert!(
            open("2026-01-02T19:00:00Z") && open("2026-01-03T00:59:00Z") && !open("2026-01-03T01:00:00Z")
        );
        assert!(!open("2026-12-25T19:30:00Z"), "closed on that Friday");
        assert!(!open("2026-12-26T00:30:00Z"), "and on its night");
        assert!(!open("2026-07-06T08:00:00Z"), "closed on that Monday");
        assert!(open("2026-01-03T23:00:00Z") && open("2026-01-04T22:59:00Z"), "Sunday in Berlin");
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let hours = hours(serde_json::json!({
            "timezone": "Berlin",
            "weekly": {
                "monday": [{ "from": "9:00", "to": "25:00" }, { "from": "09:00", "to": "09:00" }],
                "mon": [],
            },
            "closed_on": ["2026-02-30", "2026-02-28"],
        }));
        let violations = hours.schedule().expect_err("violations");
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        let expected = [
            "timezone",
            "weekly.mon",
            "weekly.monday.0.from",
            "weekly.monday.0.to",
            "weekly.monday.1",
            "closed_on.0",
        ];
        assert_eq!(fields, expected);
    }

    proptest! {
        #[test]
        fn any_texts_can_be_read(zone in "\\PC{0,12}", day in "(monday|sunday|x)", from in "[0-9:]{0,6}",
                                 to in "(24:00|[0-2][0-9]:[0-5][0-9])", date in "[0-9-]{0,10}") {
            let openings = vec![Opening { from, to }];
            let hours = Hours { timezone: zone, weekly: [(day, openings)].into(), closed_on: vec![date] };
            let _ = hours.schedule();
        }

        #[test]
        fn no_moment_does_any_harm(seconds in -8_000_000_000_000_i64..8_000_000_000_000) {
            if let Some(at) = DateTime::from_timestamp(seconds, 0) {
                office().is_open(at);
            }
        }
    }
}
