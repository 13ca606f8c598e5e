//! The replies of tools: bounded texts without secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::builtin::refusal;
use crate::conversation::ToolOutcome;
use crate::dtmf::Digit;

/// The part of a response that the model reads, in characters.
const MAX_RESULT: usize = 4_000;

/// The shortest secret that is looked for in a response.
const SHORTEST_SECRET: usize = 4;

/// The longest value of a variable, in characters.
const MAX_VARIABLE: usize = 500;

/// Values by name.
pub(super) type KeptValues = BTreeMap<String, Value>;

/// The outcome of a tool, and its result.
#[derive(Debug, PartialEq)]
pub(super) struct ToolReply {
    pub outcome: ToolOutcome,
    /// The text that the model reads.
    pub result: Arc<str>,
    /// The fields of the response that are kept.
    pub kept: KeptValues,
}

impl ToolReply {
    pub fn done(result: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Succeeded, result: result.into(), kept: KeptValues::new() }
    }

    pub fn refused(reason: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Refused, ..ToolReply::failed(reason) }
    }

    pub fn failed(reason: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Failed, result: refusal(reason), kept: KeptValues::new() }
    }

    /// The server had no complete response within the time limit.
    pub fn timed_out(limit: Duration) -> ToolReply {
        let reason = format!("no complete response within {} ms", limit.as_millis());
        ToolReply { outcome: ToolOutcome::TimedOut, ..ToolReply::failed(&reason) }
    }
}

/// The fields of a response that are kept, by JSON pointers. Absent and long ones are left out.
pub(super) fn kept(variables: &BTreeMap<String, String>, response: Option<&Value>) -> KeptValues {
    let Some(response) = response else { return KeptValues::new() };
    let kept = variables.iter().filter_map(|(name, pointer)| {
        let value = response.pointer(pointer).filter(|value| !value.is_null())?;
        (as_text(value).chars().count() <= MAX_VARIABLE).then(|| (name.clone(), value.clone()))
    });
    kept.collect()
}

/// A value as it is in a URL.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The part of a result that the model reads.
pub(super) fn shortened(text: &str) -> String {
    cut(text, MAX_RESULT)
}

/// The first characters of a text. They end with no part of an entry of keys, which would not be recognised.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => {
            let whole = text[..end].trim_end_matches(|c| Digit::try_from(c).is_ok());
            format!("{whole} [cut]")
        }
        None => text.to_owned(),
    }
}

/// The texts that no result may contain: secrets, and credentials without their scheme (`Bearer`). Longer ones first, because
/// they may contain others.
pub(super) fn hidden(secrets: &[SecretString]) -> Vec<&str> {
    let secrets = secrets.iter().map(|secret| secret.expose_secret());
    let with_credentials = secrets
        .flat_map(|secret| [secret, secret.split_once(' ').map_or("", |(_, credentials)| credentials)]);
    let mut texts: Vec<&str> = with_credentials.filter(|text| text.len() >= SHORTEST_SECRET).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

pub(super) fn without(hidden: &[&str], text: &str) -> String {
    hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// The value without hidden texts, however the response had escaped them.
pub(super) fn cleared(value: Value, hidden: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(without(hidden, &text)),
        Value::Number(number) => {
            let text = number.to_string();
            let is_hidden = hidden.iter().any(|secret| text.contains(secret));
            if is_hidden { Value::String(without(hidden, &text)) } else { Value::Number(number) }
        }
        Value::Array(items) => items.into_iter().map(|item| cleared(item, hidden)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(name, field)| (without(hidden, &name), cleared(field, hidden))).collect()
        }
        Value::Null | Value::Bool(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_removed_in_every_form() {
        let secrets = [r#"Bearer a"b\c"#, "12345", "Bearer a", "abc"].map(SecretString::from);
        let hidden = hidden(&secrets);
        let response = r#"{
            "whole": "Bearer a\"b\\c", "bare": ["x a\"\u0062\\c y"], "number": 9123459, "12345": 1, "abc": 7
        }"#;
        let value = cleared(serde_json::from_str(response).expect("JSON"), &hidden);
        let expected = json!({ "whole": "***", "bare": ["x *** y"], "number": "9***9", "***": 1, "abc": 7 });
        assert_eq!(value, expected);
        assert_eq!(without(&hidden, r#"Bearer a"b\c, 12345"#), "***, ***");
    }

    #[test]
    fn a_long_text_is_not_cut_within_an_entry_of_keys() {
        let text = format!("{}4711", "x".repeat(MAX_RESULT - 2));
        assert_eq!(shortened(&text), format!("{} [cut]", "x".repeat(MAX_RESULT - 2)));
        assert_eq!(shortened("4711"), "4711");
    }
}
