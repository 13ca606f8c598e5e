//! Usage of tenants: months, sums of calls, and engines' units.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;
use crate::names::is_own;

words!(
    /// Kind of engine: speech-to-text, language model, text-to-speech, speech-to-speech.
    EngineKind { Stt = "stt", Llm = "llm", Tts = "tts", Realtime = "realtime" }
);
words!(
    /// Unit of an engine's usage. `audio_ms`: milliseconds of audio. `characters`: characters of text.
    UsageUnit {
        Requests = "requests",
        /// Milliseconds of transcribed speech.
        AudioMs = "audio_ms",
        /// Characters of synthesised or transcribed text.
        Characters = "characters",
        InputTokens = "input_tokens",
        OutputTokens = "output_tokens",
        /// Tokens of text that the vendor had in its cache.
        CachedInputTokens = "cached_input_tokens",
        AudioInputTokens = "audio_input_tokens",
        AudioOutputTokens = "audio_output_tokens",
        /// Tokens of audio that the vendor had in its cache.
        CachedAudioTokens = "cached_audio_tokens",
    }
);

/// Usage of one engine, in one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineUse {
    pub kind: EngineKind,
    /// Such as `openai` or `espeak`; `own:` and a name for an engine of the tenant's own account.
    pub engine: String,
    /// The vendor's name of the model; `local` for a program on this machine.
    pub model: String,
    pub unit: UsageUnit,
    pub quantity: u64,
}

impl EngineUse {
    /// Whether a tenant's own account was used, which the tenant pays itself.
    pub fn is_own(&self) -> bool {
        is_own(&self.engine)
    }
}

/// Sums over answered calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallSums {
    pub calls: u64,
    /// From answer to end, rounded up to a second for each call.
    pub seconds: u64,
    /// Turns in which the caller spoke.
    pub turns: u64,
}

/// The usage of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub sums: CallSums,
    /// In a stable order, each engine's units together.
    pub engines: Vec<EngineUse>,
}

/// A tenant's usage of a month, as admission needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthUse {
    pub month: Month,
    pub seconds: u64,
}

/// A month of the calendar in UTC, such as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first: NaiveDate,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a month: write it as 2026-11")]
pub struct MonthError;

impl Month {
    /// The month of a moment.
    pub fn of(moment: DateTime<Utc>) -> Month {
        Month::around(moment.date_naive())
    }

    pub fn around(day: NaiveDate) -> Month {
        Month { first: day.with_day(1).unwrap_or(day) }
    }

    pub fn first_day(self) -> NaiveDate {
        self.first
    }

    pub fn last_day(self) -> NaiveDate {
        self.end().pred_opt().unwrap_or(self.first)
    }

    /// The month's first moment.
    pub fn starts_at(self) -> DateTime<Utc> {
        self.first.and_time(NaiveTime::MIN).and_utc()
    }

    /// The first moment after it.
    pub fn ends_at(self) -> DateTime<Utc> {
        self.end().and_time(NaiveTime::MIN).and_utc()
    }

    /// Months since the beginning of the calendar.
    pub fn number(self) -> i32 {
        self.first.year() * 12 + self.first.month0() as i32
    }

    /// The next month.
    pub fn after(self) -> Month {
        Month { first: self.end() }
    }

    /// The previous month.
    pub fn before(self) -> Month {
        Month { first: self.first.checked_sub_months(Months::new(1)).unwrap_or(self.first) }
    }

    /// Whether the month is complete: no call adds to it any more.
    pub fn is_over(self, now: DateTime<Utc>) -> bool {
        Month::of(now) > self
    }

    fn end(self) -> NaiveDate {
        self.first.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Month, MonthError> {
        let digits =
            text.bytes().enumerate().all(|(at, b)| if at == 4 { b == b'-' } else { b.is_ascii_digit() });
        if text.len() != 7 || !digits {
            return Err(MonthError);
        }
        let (year, month) = text.split_once('-').ok_or(MonthError)?;
        let parsed = year.parse().ok().zip(month.parse().ok());
        let first = parsed.and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, 1));
        first.map(|first| Month { first }).ok_or(MonthError)
    }
}

impl Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Month, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Month {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
        let text = text.pattern(Some("^[0-9]{4}-(0[1-9]|1[0-2])$"));
        text.description(Some("A month of the calendar (UTC).")).examples(["2026-11"]).into()
    }
}

impl ToSchema for Month {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(text: &str) -> Month {
        text.parse().expect("a month")
    }

    #[test]
    fn a_month_has_its_days_and_its_end() {
        let february = month("2028-02");
        assert_eq!(
            (february.first_day().to_string(), february.last_day().to_string()),
            ("2028-02-01".into(), "2028-02-29".into())
        );
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a moment");
        assert_eq!(Month::of(at("2028-02-29T23:59:59.999Z")), february);
        assert!(!february.is_over(at("2028-02-29T23:59:59.999Z")));
        assert!(february.is_over(at("2028-03-01T00:00:00Z")));
        assert_eq!(month("2026-12").last_day().to_string(), "2026-12-31");
    }

    #[test]
    fn what_is_no_month_is_told() {
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "+026-11", "2026-1é"]
        {
            assert_eq!(text.parse::<Month>(), Err(MonthError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(year in 0..=9999_i32, number in 1..=12_u32) {
            let text = format!("{year:04}-{number:02}");
            prop_assert_eq!(month(&text).to_string(), text);
        }

        #[test]
        fn any_text_does_no_harm(text in ".{0,12}") {
            let _ = text.parse::<Month>();
        }
    }
}
