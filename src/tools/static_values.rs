//! Values that a tenant gives to its tools, which the model never sees.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reply::KeptValues;

/// A static value for a request; `{{name}}` means the kept variable of that name. `None` where that is not kept.
pub(super) fn filled(value: &Value, variables: &KeptValues) -> Option<Value> {
    let name = value.as_str().and_then(|text| text.strip_prefix("{{")?.strip_suffix("}}"));
    match name {
        Some(name) => variables.get(name.trim()).cloned(),
        None => Some(value.clone()),
    }
}

/// Static values for a request; `None` for those of variables that are not kept.
pub(super) fn all_filled(
    values: &BTreeMap<String, Value>,
    variables: &KeptValues,
) -> BTreeMap<String, Option<Value>> {
    values.iter().map(|(name, value)| (name.clone(), filled(value, variables))).collect()
}

/// The schema of a tool's arguments as the model reads it: without those with static values.
pub(super) fn without_static(schema: &Value, values: &BTreeMap<String, Value>) -> Value {
    let mut schema = schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !values.contains_key(name));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_none_or(|name| !values.contains_key(name)));
    }
    schema
}

/// The first argument with a static value that the schema does not allow.
pub(super) fn unknown_argument<'a>(schema: &Value, values: &'a BTreeMap<String, Value>) -> Option<&'a str> {
    let is_closed = schema["additionalProperties"] == Value::Bool(false);
    let is_known = |name: &&String| schema["properties"].get(name.as_str()).is_some();
    values.keys().find(|name| is_closed && !is_known(name)).map(String::as_str)
}
