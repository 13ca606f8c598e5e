//! The model's arguments for tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::tenancy::validator;

/// Reads the arguments of a built-in tool.
///
/// # Errors
/// For the model: the problem.
pub(super) fn parsed<'a, T: Deserialize<'a>>(arguments: &'a str) -> Result<T, String> {
    serde_json::from_str(arguments).map_err(|error| format!("the arguments cannot be read: {error}"))
}

/// The key of an action: tool and arguments, independent of the order of fields and of spaces.
pub(super) fn action_key(name: &str, arguments: &str) -> Arc<str> {
    let arguments = match serde_json::from_str::<Value>(arguments) {
        Ok(arguments) => arguments.to_string(),
        Err(_) => arguments.trim().to_owned(),
    };
    let digest = Sha256::digest(format!("{name}\n{arguments}"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The compiled schema of a tool's arguments. Compiling takes up to milliseconds: it is done when a tool is offered, not when it
/// is called.
pub(super) struct ArgumentSchema(Validator);

impl ArgumentSchema {
    /// # Errors
    /// The problem of the schema.
    pub fn new(schema: &Value) -> Result<ArgumentSchema, String> {
        validator(schema).map(ArgumentSchema)
    }

    /// Checks arguments of a tenant's tool. `entries` are masked entries of keys, which arguments refer to.
    ///
    /// # Errors
    /// For the model: the problem. It quotes no value, because that may be a masked entry.
    pub fn check(
        &self,
        arguments: &str,
        entries: &BTreeMap<String, String>,
    ) -> Result<Map<String, Value>, String> {
        self.check_with(arguments, entries, BTreeMap::new())
    }

    /// The same with values of the tenant's, which replace the model's arguments of their names; `None` removes one.
    ///
    /// # Errors
    /// As of [`ArgumentSchema::check`].
    pub fn check_with(
        &self,
        arguments: &str,
        entries: &BTreeMap<String, String>,
        values: BTreeMap<String, Option<Value>>,
    ) -> Result<Map<String, Value>, String> {
        let mut arguments: Value =
            serde_json::from_str(arguments).map_err(|_| "the arguments are not JSON".to_owned())?;
        resolve(&mut arguments, entries);
        if let Value::Object(fields) = &mut arguments {
            for (name, value) in values {
                match value {
                    Some(value) => fields.insert(name, value),
                    None => fields.remove(&name),
                };
            }
        }
        if let Some(error) = self.0.iter_errors(&arguments).next() {
            return Err(format!("{}: {}", error.instance_path(), error.masked()).chars().take(300).collect());
        }
        match arguments {
            Value::Object(arguments) => Ok(arguments),
            _ => Err("the arguments are not an object".to_owned()),
        }
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
