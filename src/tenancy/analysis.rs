//! The analysis of a call after its end: the questions of a profile, and the result.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::check::{check_comment, check_name};
use super::kinds::words;
use super::{EngineUse, UsageUnit};
use crate::violation::Violation;

/// The most outcomes, values of a field, and fields.
const MOST_VALUES: usize = 30;
const MOST_FIELDS: usize = 30;
const LONGEST_VALUE: usize = 100;
const LONGEST_CRITERIA: usize = 2_000;
const LONGEST_DESCRIPTION: usize = 500;

words!(
    /// Type of an analysed field.
    AnalysisFieldType {
        Text = "text",
        /// One of the field's values.
        Enum = "enum",
        Boolean = "boolean",
        Number = "number",
    }
);
words!(
    /// The caller's mood, as the language model judges it by the words.
    Sentiment { Positive = "positive", Neutral = "neutral", Negative = "negative" }
);
words!(
    /// State of an analysis. `pending`: it is due, or is tried again. `failed`: see `problem`. `unavailable`: the profile has no
    /// language model that can analyse calls.
    AnalysisStatus {
        Pending = "pending",
        Done = "done",
        Failed = "failed",
        Unavailable = "unavailable",
    }
);

/// Questions that a language model answers about a call when it has ended, from its transcript. Off by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnalysisSettings {
    /// Analyse each call in which the caller spoke. Default: `false`.
    pub enabled: bool,
    /// Summarise the call in a few sentences. Default: `false`.
    pub summary: bool,
    /// The outcomes of which one is chosen, such as `order placed`. Default: none.
    #[schema(schema_with = super::schemas::analysis_values)]
    pub outcome: Vec<String>,
    /// When a call is a success. Default: success is not judged.
    #[schema(max_length = 2000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub success: Option<String>,
    /// Judge the caller's mood. Default: `false`.
    pub sentiment: bool,
    /// Further facts to extract. Default: none.
    #[schema(max_items = 30)]
    pub fields: Vec<AnalysisField>,
    /// Language model engine. Default: the profile's.
    pub llm: Option<String>,
    /// Model of that engine: one that the operator allows. Default: the profile's, or that of the engine.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub llm_model: Option<String>,
}

/// A fact that is extracted from a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalysisField {
    /// Its name in the result.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$", examples("party_size"))]
    pub name: String,
    pub r#type: AnalysisFieldType,
    /// For the model: the meaning of the field.
    #[schema(
        max_length = 500,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*([^\s\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
    )]
    pub description: String,
    /// The values of a field of type `enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = super::schemas::analysis_values)]
    pub values: Vec<String>,
    /// An analysis without this field is refused, unless its condition is not met. Default: `false`.
    #[serde(default)]
    pub required: bool,
    /// The field is left out unless the condition is met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<AnalysisCondition>,
}

/// A condition of a field: another result has a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalysisCondition {
    /// `outcome`, `success`, `sentiment`, or the name of a field before this one.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$", examples("outcome"))]
    pub field: String,
    /// The value, as text: `true` and `false` of a boolean.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub is: String,
}

/// The result of an analysis. Absent fields were not asked for, or nothing was said about them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisResult {
    #[serde(default)]
    pub summary: Option<String>,
    /// One of the profile's outcomes; `null` where none applies.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Whether the call is a success by the profile's criteria.
    #[serde(default)]
    pub success: Option<bool>,
    #[serde(default)]
    pub sentiment: Option<Sentiment>,
    /// The profile's fields by name: texts, numbers and booleans.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub fields: BTreeMap<String, Value>,
}

/// The analysis of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallAnalysis {
    pub status: AnalysisStatus,
    /// 1 for the first analysis of the call, 2 for the first repetition, and so on.
    pub run: u32,
    /// Why the latest attempt failed.
    pub problem: Option<String>,
    /// When the run ended; `null` while it is pending.
    pub finished_at: Option<DateTime<Utc>>,
    /// That of the latest run that succeeded.
    #[serde(flatten)]
    pub result: AnalysisResult,
    /// The usage of all attempts. It is not part of the call's own usage.
    #[serde(default)]
    pub usage: Vec<EngineUse>,
}

impl CallAnalysis {
    /// A first analysis that is due.
    pub fn due() -> CallAnalysis {
        CallAnalysis {
            status: AnalysisStatus::Pending,
            run: 1,
            problem: None,
            finished_at: None,
            result: AnalysisResult::default(),
            usage: Vec::new(),
        }
    }

    /// The next analysis of the same call.
    #[must_use]
    pub fn again(self) -> CallAnalysis {
        CallAnalysis {
            status: AnalysisStatus::Pending,
            run: self.run.saturating_add(1),
            problem: None,
            finished_at: None,
            ..self
        }
    }

    /// Adds the usage of an attempt.
    pub fn add_usage(&mut self, usage: &[EngineUse]) {
        for more in usage {
            let key = |it: &EngineUse| (it.kind, it.engine.clone(), it.model.clone(), it.unit);
            match self.usage.iter_mut().find(|it| key(it) == key(more)) {
                Some(found) => found.quantity = found.quantity.saturating_add(more.quantity),
                None => self.usage.push(more.clone()),
            }
        }
    }

    /// Its tokens, read and written.
    pub fn tokens(&self) -> u64 {
        let tokens = |it: &&EngineUse| matches!(it.unit, UsageUnit::InputTokens | UsageUnit::OutputTokens);
        self.usage.iter().filter(tokens).map(|it| it.quantity).sum()
    }
}

impl AnalysisResult {
    /// The names and values by which calls are found: `outcome`, `success`, `sentiment`, and `fields.NAME` for each field. Long
    /// texts are left out.
    pub fn labels(&self) -> Vec<(String, String)> {
        let own = [
            ("outcome", self.outcome.clone()),
            ("success", self.success.map(|it| it.to_string())),
            ("sentiment", self.sentiment.map(|it| it.to_string())),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let fields = self.fields.iter().map(|(name, value)| (format!("fields.{name}"), text_of(value)));
        own.chain(fields).filter(|(_, value)| value.chars().count() <= LONGEST_VALUE).collect()
    }

    /// The text of a result by its name, as conditions refer to it.
    pub fn text(&self, name: &str) -> Option<String> {
        match name {
            "outcome" => self.outcome.clone(),
            "success" => self.success.map(|it| it.to_string()),
            "sentiment" => self.sentiment.map(|it| it.to_string()),
            _ => self.fields.get(name).map(text_of),
        }
    }
}

/// A value of a field as text.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl AnalysisSettings {
    /// All violations, below `analysis`, except those of engine and model.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::from_iter(values_violation("outcome", &self.outcome));
        let success = self.success.as_deref();
        found.extend(success.and_then(|text| check_comment("success", text, LONGEST_CRITERIA)));
        if self.fields.len() > MOST_FIELDS {
            found.push(Violation::new("fields", format!("{MOST_FIELDS} at most")));
        }
        for (at, field) in self.fields.iter().take(MOST_FIELDS).enumerate() {
            let violations = field.violations(&self.fields[..at]);
            found.extend(violations.into_iter().map(|it| it.below(&format!("fields.{at}"))));
        }
        found.into_iter().map(|it| it.below("analysis")).collect()
    }

    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        let AnalysisSettings { summary, outcome, success, sentiment, fields, .. } = self;
        !summary && outcome.is_empty() && success.is_none() && !sentiment && fields.is_empty()
    }
}

impl AnalysisField {
    fn violations(&self, before: &[AnalysisField]) -> Vec<Violation> {
        let mut found = Vec::new();
        if !is_field_name(&self.name) {
            found
                .push(Violation::new("name", "a small letter, then small letters, digits and _, 40 at most"));
        } else if is_own(&self.name) {
            found.push(Violation::new("name", "the analysis has a result of this name"));
        } else if before.iter().any(|it| it.name == self.name) {
            found.push(Violation::new("name", "another field has this name"));
        }
        if self.description.trim().is_empty() {
            found.push(Violation::new("description", "it must not be empty"));
        }
        found.extend(check_comment("description", &self.description, LONGEST_DESCRIPTION));
        found.extend(values_violation("values", &self.values));
        match (self.r#type, self.values.is_empty()) {
            (AnalysisFieldType::Enum, true) => {
                found.push(Violation::new("values", "a field of type enum needs values"));
            }
            (AnalysisFieldType::Enum, false) | (_, true) => {}
            (_, false) => found.push(Violation::new("values", "only a field of type enum has values")),
        }
        if let Some(AnalysisCondition { field, is }) = &self.only_if {
            let is_known = is_own(field) || before.iter().any(|it| it.name == *field);
            let unknown = (!is_known).then(|| {
                Violation::new("only_if.field", "name outcome, success, sentiment or a field before this one")
            });
            found.extend(unknown);
            found.extend(check_name("only_if.is", is, LONGEST_VALUE));
        }
        found
    }
}

/// The results that are no fields.
fn is_own(name: &str) -> bool {
    matches!(name, "summary" | "outcome" | "success" | "sentiment" | "fields")
}

/// Whether a text can be the name of a field, or of a variable that a profile declares.
pub fn is_field_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 40 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(is_inner)
}

fn values_violation(field: &str, values: &[String]) -> Option<Violation> {
    if values.len() > MOST_VALUES {
        return Some(Violation::new(field, format!("{MOST_VALUES} at most")));
    }
    let mut each = values.iter().enumerate();
    each.find_map(|(at, value)| check_name(&format!("{field}.{at}"), value, LONGEST_VALUE))
}

/// The bounds of a list of values, for its schema.
pub(super) const VALUE_BOUNDS: (usize, usize) = (MOST_VALUES, LONGEST_VALUE);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(settings: Value) -> Vec<String> {
        let settings: AnalysisSettings = serde_json::from_value(settings).expect("settings");
        settings.violations().into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn complete_settings_have_no_violations() {
        let settings = json!({
            "enabled": true, "summary": true, "outcome": ["order placed", "other"], "success": "An order was placed.",
            "sentiment": true,
            "fields": [
                { "name": "loaves", "type": "number", "description": "How many loaves.", "required": true,
                  "only_if": { "field": "outcome", "is": "order placed" } },
                { "name": "bread", "type": "enum", "description": "Which bread.", "values": ["rye", "spelt"],
                  "only_if": { "field": "loaves", "is": "2" } },
            ],
        });
        assert_eq!(fields(settings), [] as [&str; 0]);
        assert_eq!(fields(json!({})), [] as [&str; 0]);
    }

    #[test]
    fn violations_name_their_place() {
        let field = |changes: Value| {
            let mut field = json!({ "name": "a", "type": "text", "description": "d" });
            field.as_object_mut().expect("a field").extend(changes.as_object().expect("changes").clone());
            json!({ "fields": [field] })
        };
        for (changes, place) in [
            (json!({ "name": "A" }), "name"),
            (json!({ "name": "success" }), "name"),
            (json!({ "description": " " }), "description"),
            (json!({ "description": "a\u{7}" }), "description"),
            (json!({ "type": "enum" }), "values"),
            (json!({ "values": ["x"] }), "values"),
            (json!({ "only_if": { "field": "later", "is": "x" } }), "only_if.field"),
            (json!({ "only_if": { "field": "a", "is": "x" } }), "only_if.field"),
            (json!({ "only_if": { "field": "outcome", "is": "" } }), "only_if.is"),
        ] {
            assert_eq!(fields(field(changes.clone())), [format!("analysis.fields.0.{place}")], "{changes}");
        }
        assert_eq!(fields(json!({ "outcome": ["ok", "a\nb"] })), ["analysis.outcome.1"]);
        assert_eq!(fields(json!({ "outcome": vec!["x"; 31] })), ["analysis.outcome"]);
        let twice = json!({ "name": "a", "type": "text", "description": "d" });
        assert_eq!(fields(json!({ "fields": [twice, twice] })), ["analysis.fields.1.name"]);
    }

    #[test]
    fn labels_are_short_texts() {
        let result = AnalysisResult {
            outcome: Some("order placed".into()),
            success: Some(true),
            fields: BTreeMap::from([
                ("loaves".to_owned(), json!(2)),
                ("address".to_owned(), json!("x".repeat(LONGEST_VALUE + 1))),
            ]),
            ..AnalysisResult::default()
        };
        let labels = [("outcome", "order placed"), ("success", "true"), ("fields.loaves", "2")];
        assert_eq!(result.labels(), labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
