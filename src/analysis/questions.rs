//! A profile's questions as a JSON schema, and the result that a reply to them makes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::tenancy::{
    AnalysisField, AnalysisFieldType, AnalysisResult, AnalysisSettings, Sentiment, validator,
};

/// The most characters of a summary and of a text field.
const LONGEST_SUMMARY: usize = 2_000;
const LONGEST_TEXT: usize = 1_000;
/// The most characters of a problem.
const LONGEST_PROBLEM: usize = 300;

/// The schema of the reply. Its properties are required, so that a model that forgets one is asked again. A field may be absent,
/// or null: [`check`] decides whether it is required.
pub fn schema(settings: &AnalysisSettings) -> Value {
    let mut properties = Map::new();
    let mut add = |name: &str, schema: Option<Value>| {
        properties.extend(schema.map(|schema| (name.to_owned(), schema)));
    };
    let summary = json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_SUMMARY,
        "description": "The call in one to four sentences: what the caller wanted, and how it ended." });
    add("summary", settings.summary.then_some(summary));
    add("outcome", (!settings.outcome.is_empty()).then(|| outcome(&settings.outcome)));
    let success = |criteria: &String| json!({ "type": "boolean", "description": criteria });
    add("success", settings.success.as_ref().map(success));
    let moods = Sentiment::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>();
    let mood = json!({ "enum": moods, "description": "The caller's mood at the end, by their words." });
    add("sentiment", settings.sentiment.then_some(mood));
    add("fields", (!settings.fields.is_empty()).then(|| fields(&settings.fields)));
    let required: Vec<String> = properties.keys().cloned().collect();
    object(properties, &required)
}

fn object(properties: Map<String, Value>, required: &[String]) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn outcome(values: &[String]) -> Value {
    let about = "The outcome of the call; null when none of the values applies.";
    json!({ "enum": one_of(values), "description": about })
}

/// The values without repetitions, and null.
fn one_of(values: &[String]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for value in values {
        let value = Value::from(value.as_str());
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all.push(Value::Null);
    all
}

fn fields(fields: &[AnalysisField]) -> Value {
    let described = fields.iter().map(|field| (field.name.clone(), field_schema(field)));
    object(described.collect(), &[])
}

fn field_schema(field: &AnalysisField) -> Value {
    let mut schema = match field.r#type {
        AnalysisFieldType::Text => json!({ "type": ["string", "null"], "maxLength": LONGEST_TEXT }),
        AnalysisFieldType::Enum => json!({ "enum": one_of(&field.values) }),
        AnalysisFieldType::Boolean => json!({ "type": ["boolean", "null"] }),
        AnalysisFieldType::Number => json!({ "type": ["number", "null"] }),
    };
    schema["description"] = about(field).into();
    schema
}

fn about(field: &AnalysisField) -> String {
    let presence = match (&field.only_if, field.required) {
        (None, true) => "Required: not null.".to_owned(),
        (None, false) => "null when the call does not say.".to_owned(),
        (Some(condition), is_required) => {
            let rule = format!("null unless {} is {:?}.", condition.field, condition.is);
            if is_required { format!("{rule} Required in that case.") } else { rule }
        }
    };
    format!("{} {presence}", field.description.trim())
}

/// The object of a reply that matches the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchingReply {
    summary: Option<String>,
    outcome: Option<String>,
    success: Option<bool>,
    sentiment: Option<Sentiment>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

/// Checks a reply.
///
/// # Errors
/// The problem, for the model.
pub fn check(settings: &AnalysisSettings, reply: Value) -> Result<AnalysisResult, String> {
    let schema = schema(settings);
    let validator = validator(&schema)?;
    if let Some(error) = validator.iter_errors(&reply).next() {
        let problem = format!("{}: {error}", error.instance_path());
        return Err(problem.chars().take(LONGEST_PROBLEM).collect());
    }
    let reply: MatchingReply = serde_json::from_value(reply).map_err(|error| error.to_string())?;
    let mut result = AnalysisResult {
        summary: reply.summary,
        outcome: reply.outcome,
        success: reply.success,
        sentiment: reply.sentiment,
        fields: BTreeMap::new(),
    };
    for field in &settings.fields {
        let value = reply.fields.get(&field.name).filter(|value| !is_blank(value));
        let is_met = field.only_if.as_ref().is_none_or(|it| result.text(&it.field).as_ref() == Some(&it.is));
        match value {
            Some(value) if is_met => {
                result.fields.insert(field.name.clone(), plain(value));
            }
            None if is_met && field.required => {
                return Err(format!("/fields/{}: it is required, and null", field.name));
            }
            Some(_) | None => {}
        }
    }
    Ok(result)
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A whole number without a fraction, so that `4` and `4.0` are one value.
fn plain(value: &Value) -> Value {
    /// Beyond this, a double has no fraction of its own (2^53).
    const MOST: f64 = 9_007_199_254_740_992.0;
    let whole = value.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < MOST);
    let whole = whole.and_then(|it| format!("{it:.0}").parse::<i64>().ok());
    whole.map_or_else(|| value.clone(), Value::from)
}
