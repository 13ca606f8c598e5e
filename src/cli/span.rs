//! Spans of time and moments, as people type them: `90d`, `2026-03-01`, `2026-03-01T09:00:00Z`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// A span such as `30m`, `12h`, `90d` or `52w`.
pub fn span(text: &str) -> Result<TimeDelta, String> {
    let wrong =
        || format!("{text:?} is no span: write minutes, hours, days or weeks, as in 30m, 12h, 90d or 52w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let span = match unit {
        'm' => TimeDelta::try_minutes(count),
        'h' => TimeDelta::try_hours(count),
        'd' => TimeDelta::try_days(count),
        'w' => TimeDelta::try_weeks(count),
        _ => None,
    };
    span.filter(|span| *span >= TimeDelta::zero() && *span <= TimeDelta::days(36_500)).ok_or_else(wrong)
}

/// A moment in UTC: a time, a day's beginning, or so long ago as a span says.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let wrong =
        format!("{text:?} is no moment: write 2026-03-01, 2026-03-01T09:00:00Z, or 7d for a week ago");
    span(text).map(|ago| Utc::now() - ago).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_and_moments_are_understood() {
        assert_eq!(span("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(span("30m"), Ok(TimeDelta::minutes(30)));
        assert_eq!(span("52w"), Ok(TimeDelta::weeks(52)));
        for wrong in ["", "d", "9", "-1d", "9é", "1.5h", "99999999999d", "9223372036854775807w"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
        let day = moment("2026-03-01").map(|moment| moment.to_rfc3339());
        assert_eq!(day.as_deref(), Ok("2026-03-01T00:00:00+00:00"));
        assert_eq!(moment("2026-03-01T01:00:00+01:00"), moment("2026-03-01"));
        assert!(moment("7d").is_ok_and(|moment| moment < Utc::now() - TimeDelta::days(6)));
        assert!(moment("yesterday").is_err());
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(text in ".{0,12}") {
            let _ = (span(&text), moment(&text));
        }
    }
}
