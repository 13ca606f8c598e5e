//! The journal of the daemon's unit: its latest problem, where no daemon reports one itself.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::process::Command;

use super::Finding;

const CHECK: &str = "unit's journal";
const LIMIT: Duration = Duration::from_secs(5);
/// Entries that are read, and characters that are shown.
const ENTRIES: &str = "50";
const SHOWN: usize = 400;
/// Older problems are of an earlier run.
const RECENT: TimeDelta = TimeDelta::days(1);
/// Priorities of syslog.
const ERROR: u8 = 3;
const WARNING: u8 = 4;
/// Fields of a line of the daemon's log that say nothing about a problem.
const CONTEXT: &[&str] = &["level", "message", "service", "span", "spans", "target", "timestamp"];

/// An entry of `journalctl -o json`, see systemd.journal-fields(7).
#[derive(Deserialize)]
struct JournalEntry {
    #[serde(rename = "MESSAGE")]
    message: Value,
    #[serde(rename = "PRIORITY", default)]
    priority: String,
    /// Microseconds since 1970.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    at: String,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq)]
struct JournalProblem {
    at: DateTime<Utc>,
    is_error: bool,
    text: String,
}

/// Nothing where there is no journal, or no problem in it.
pub async fn examine() -> Option<Finding> {
    let mut command = Command::new("journalctl");
    command.args(["-u", "vca", "-n", ENTRIES, "-o", "json", "--no-pager", "-q"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.ok()?.ok()?;
    finding(&problems(&String::from_utf8_lossy(&output.stdout), Utc::now()))
}

/// The latest error, otherwise the latest warning.
fn finding(problems: &[JournalProblem]) -> Option<Finding> {
    let errors = problems.iter().filter(|problem| problem.is_error).count();
    let latest = problems.iter().rfind(|problem| problem.is_error).or(problems.last())?;
    let (at, text) = (latest.at.format("%F %T UTC"), &latest.text);
    let warnings = problems.len() - errors;
    Some(Finding::note(CHECK, format!("{errors} errors and {warnings} warnings lately; {at} {text}")))
}

fn problems(entries: &str, now: DateTime<Utc>) -> Vec<JournalProblem> {
    let entries = entries.lines().filter_map(|line| serde_json::from_str::<JournalEntry>(line).ok());
    entries.filter_map(JournalEntry::problem).filter(|problem| now - problem.at < RECENT).collect()
}

impl JournalEntry {
    /// `None` where it reports none. A command that fails prints its message without a priority.
    fn problem(self) -> Option<JournalProblem> {
        let at = DateTime::from_timestamp_micros(self.at.parse().ok()?)?;
        let text = text(&self.message);
        let priority = self.priority.parse::<u8>().ok()?;
        let is_error = priority <= ERROR || text.starts_with("vca: ");
        (is_error || priority == WARNING).then(|| JournalProblem {
            at,
            is_error,
            text: text.chars().take(SHOWN).collect(),
        })
    }
}

/// A message is a text, or a list of bytes where it is not printable.
fn text(message: &Value) -> String {
    let text = match message {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => logged(&fields),
        _ => text,
    }
}

/// A line of the daemon's log in JSON: its message, and the fields that explain it.
fn logged(fields: &Map<String, Value>) -> String {
    let message = fields.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    let explained = fields.iter().filter(|(name, _)| !CONTEXT.contains(&name.as_str()));
    explained.fold(message, |text, (name, value)| match value.as_str() {
        Some(value) => format!("{text}; {name}: {value}"),
        None => format!("{text}; {name}: {value}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(message: Value, priority: &str, at: DateTime<Utc>) -> String {
        let at = at.timestamp_micros().to_string();
        json!({ "MESSAGE": message, "PRIORITY": priority, "__REALTIME_TIMESTAMP": at }).to_string()
    }

    #[test]
    fn the_latest_error_is_shown_with_its_fields() {
        let now = Utc::now();
        let line =
            json!({ "level": "ERROR", "message": "no calls", "problem": "port taken", "target": "vca" });
        let entries = [
            entry(json!("Starting vca"), "6", now),
            entry(json!(line.to_string()), "3", now),
            entry(json!("slow"), "4", now),
            entry(json!("long ago"), "3", now - TimeDelta::days(2)),
            "no JSON".to_owned(),
        ];
        let found = format!("{:?}", finding(&problems(&entries.join("\n"), now)));
        assert!(found.contains("1 errors and 1 warnings"), "{found}");
        assert!(found.contains("no calls; problem: port taken\""), "{found}");
        assert_eq!(finding(&problems(&entries[0], now)), None);
    }

    #[test]
    fn the_message_of_a_command_that_failed_is_an_error() {
        let entries = entry(json!("vca: the admin port is taken".as_bytes()), "6", Utc::now());
        let found = format!("{:?}", finding(&problems(&entries, Utc::now())));
        assert!(found.contains("the admin port is taken"), "{found}");
    }

    proptest! {
        #[test]
        fn any_output_is_read(output in "(\\{\"MESSAGE\":|\"PRIORITY\":\"3\"|[\\[\\]{}0-9,:\"a-z\n]){0,40}") {
            problems(&output, Utc::now());
        }
    }
}
