//! How long a server asks clients to wait, and whether it wants the request again.
//!
//! OpenAI's own client reads the same headers: `retry-after-ms`, then `Retry-After` in seconds, with fractions, or as a date,
//! and `x-should-retry` (openai-python, `_base_client.py`).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest delay that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// The delay that the headers ask for, if any, at most [`LONGEST`].
pub fn asked_for(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let milliseconds = text("retry-after-ms").and_then(|it| seconds(it, 1_000.0));
    let after = text(RETRY_AFTER.as_str());
    milliseconds
        .or_else(|| seconds(after?, 1.0))
        .or_else(|| Some((date(after?)? - now).to_std().unwrap_or(Duration::ZERO).min(LONGEST)))
}

/// Whether the server says that a repeated request can succeed.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()? / per_second;
    let is_sound = seconds.is_finite() && seconds >= 0.0;
    is_sound.then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// An HTTP date in one of its three forms (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<DateTime<Utc>> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    FORMS.iter().find_map(|form| Some(NaiveDateTime::parse_from_str(text, form).ok()?.and_utc()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delay(pairs: &[(&'static str, &str)]) -> Option<u128> {
        let now = date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        asked_for(&headers(pairs), now).map(|delay| delay.as_millis())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(delay(&[]), None);
        assert_eq!(delay(&[("retry-after", "2")]), Some(2_000));
        assert_eq!(delay(&[("retry-after", "0.25")]), Some(250));
        assert_eq!(delay(&[("retry-after", "20"), ("retry-after-ms", "150.5")]), Some(150));
        assert_eq!(delay(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]), Some(10_000));
        assert_eq!(delay(&[("retry-after", "Sunday, 06-Nov-94 08:49:38 GMT")]), Some(1_000));
        assert_eq!(delay(&[("retry-after", "Sun Nov  6 08:49:38 1994")]), Some(1_000));
        assert_eq!(delay(&[("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")]), Some(0), "a past date");
        assert_eq!(delay(&[("retry-after", "1e300")]), Some(LONGEST.as_millis()));
        for odd in ["-1", "nan", "inf", "soon", ""] {
            assert_eq!(delay(&[("retry-after", odd)]), None, "{odd}");
        }
    }

    #[test]
    fn the_server_decides_about_repeating() {
        assert_eq!(should_retry(&headers(&[("x-should-retry", "false")])), Some(false));
        assert_eq!(should_retry(&headers(&[("x-should-retry", "true")])), Some(true));
        assert_eq!(should_retry(&headers(&[("x-should-retry", "perhaps")])), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_bounded_delay(text in "[ -~]{0,40}") {
            prop_assert!(delay(&[("retry-after", &text)]).unwrap_or(0) <= LONGEST.as_millis());
        }
    }
}
