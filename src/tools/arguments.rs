//! The model's arguments for tools.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::tenancy::validator;

/// Reads the arguments of a built-in tool.
///
/// # Errors
/// For the model: the problem.
pub(super) fn parsed<'a, T: Deserialize<'a>>(arguments: &'a str) -> Result<T, String> {
    serde_json::from_str(arguments).map_err(|error| format!("the arguments cannot be read: {error}"))
}

/// Checks arguments of a tenant's tool against its schema. `entries` are masked entries of keys, which arguments refer to.
///
/// # Errors
/// For the model: the problem. It quotes no value, because that may be a masked entry.
pub(super) fn checked_arguments(
    schema: &Value,
    arguments: &str,
    entries: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, String> {
    let mut arguments: Value =
        serde_json::from_str(arguments).map_err(|_| "the arguments are not JSON".to_owned())?;
    resolve(&mut arguments, entries);
    let schema = validator(schema).map_err(|_| "the tool's schema cannot be used".to_owned())?;
    if let Some(error) = schema.iter_errors(&arguments).next() {
        return Err(format!("{}: {}", error.instance_path(), error.masked()).chars().take(300).collect());
    }
    match arguments {
        Value::Object(arguments) => Ok(arguments),
        _ => Err("the arguments are not an object".to_owned()),
    }
}

/// Puts masked entries in place of the references to them.
fn resolve(value: &mut Value, entries: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(entry) = entries.get(text) {
                text.clone_from(entry);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, entries)),
        Value::Object(fields) => fields.values_mut().for_each(|field| resolve(field, entries)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
