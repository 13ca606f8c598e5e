//! When models are shut down.

use chrono::NaiveDate;

/// OpenAI's models with an end, and their end (<https://developers.openai.com/api/docs/deprecations>, November 2026).
/// Models with a date in their name end with the line that they belong to.
const SHUTDOWNS: &[(&str, &str)] = &[
    ("gpt-4", "2026-10-23"),
    ("gpt-5", "2026-12-11"),
    ("gpt-5-mini", "2026-12-11"),
    ("gpt-5-nano", "2026-12-11"),
    ("o3", "2026-12-11"),
    ("tts-1", "2027-01-06"),
    ("tts-1-hd", "2027-01-06"),
    ("gpt-4o-mini-tts", "2027-01-06"),
    ("gpt-4o", "2027-01-14"),
    ("gpt-4o-mini", "2027-01-14"),
    ("gpt-4.1", "2027-01-14"),
    ("gpt-4.1-mini", "2027-01-14"),
    ("whisper-1", "2027-02-26"),
    ("gpt-4o-transcribe", "2027-02-26"),
    ("gpt-4o-mini-transcribe", "2027-02-26"),
    ("gpt-5.1", "2027-04-01"),
    ("gpt-5.4-nano", "2027-04-01"),
];

/// When OpenAI shuts a model down, by the built-in table.
pub fn known(model: &str) -> Option<NaiveDate> {
    let (_, date) = SHUTDOWNS.iter().find(|(line, _)| is_of(model, line))?;
    date.parse().ok()
}

/// `gpt-4o-2024-08-06` is of the line `gpt-4o`.
fn is_of(model: &str, line: &str) -> bool {
    let rest = model.strip_prefix(line);
    rest.is_some_and(|rest| rest.is_empty() || is_date(rest))
}

fn is_date(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|date| date.parse::<NaiveDate>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_is_one() {
        assert!(SHUTDOWNS.iter().all(|(model, _)| known(model).is_some()));
    }

    #[test]
    fn a_line_is_not_its_neighbour() {
        let date = |model| known(model).map(|date| date.to_string());
        assert_eq!(date("gpt-4o-2024-08-06").as_deref(), Some("2027-01-14"));
        assert_eq!(date("tts-1-hd").as_deref(), Some("2027-01-06"));
        for lasting in ["gpt-5.4-mini", "gpt-transcribe", "gpt-6-luna", "gpt-4-turbo-x", "llama3.2"] {
            assert_eq!(date(lasting), None, "{lasting}");
        }
    }
}
