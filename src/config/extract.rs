//! From layered values to the typed configuration, past every value that does not fit.
//!
//! serde stops at the first value that does not fit. So that value is noted and taken out, and the rest is
//! tried again, until all of them are known.

use figment::error::{Actual, Error, Kind};
use figment::value::{Dict, Tag, Value};
use figment::{Figment, Profile, Provider, Source};

use super::Config;
use super::error::ConfigError;
use super::file::{self, File};
use super::reference;
use crate::engines::registry::Named;

/// The sources of values.
pub(super) struct Sources<'a> {
    pub figment: &'a Figment,
    pub file: &'a File,
}

impl Sources<'_> {
    /// The `file:line`, the variable or `default`.
    pub fn of(&self, key: &str) -> String {
        let tag = self.figment.find_value(key).map_or(Tag::Default, |value| value.tag());
        let segments: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.name(tag, &segments)
    }

    fn name(&self, tag: Tag, key: &[String]) -> String {
        match self.figment.get_metadata(tag).and_then(|metadata| metadata.source.as_ref()) {
            Some(Source::Custom(variable)) => variable.clone(),
            Some(_) => self.file.place(key),
            None => "default".into(),
        }
    }

    fn is_variable(&self, tag: Tag) -> bool {
        let source = self.figment.get_metadata(tag).and_then(|metadata| metadata.source.as_ref());
        matches!(source, Some(Source::Custom(_)))
    }
}

/// The configuration, the values that made it, and what did not fit: in its place is the default.
pub(super) fn config(sources: &Sources<'_>) -> (Config, Dict, Vec<ConfigError>) {
    let mut data = sources.figment.data().unwrap_or_default();
    let mut values = data.remove(&Profile::Default).unwrap_or_default();
    let mut faults = Vec::new();
    loop {
        let error = match Value::from(values.clone()).deserialize::<Config>() {
            Ok(config) => return (config, values, faults),
            Err(error) => inside_engine(error, &values),
        };
        let key = error.path.clone();
        let Some(found) = find(&mut values, &key) else {
            // The faulty value is unknown: report the fault, and continue without any values.
            faults.push(fault(&error, &key, sources, Tag::Default));
            return (Config::default(), Dict::new(), faults);
        };
        let tag = first_tag(found);
        if !(sources.is_variable(tag) && reread(found)) {
            faults.push(fault(&error, &key, sources, tag));
            remove(&mut values, &key);
        }
    }
}

/// The same error with the path to its key, where it is in the table of an engine: which keys that has depends on its
/// values, so serde itself leads to the table only.
fn inside_engine(error: Error, values: &Dict) -> Error {
    let [section, name] = error.path.as_slice() else { return error };
    let table =
        values.get("engines").filter(|_| section == "engines").and_then(|engines| engines.find_ref(name));
    let inner = table.and_then(Value::as_dict).and_then(|table| Named::read(table.clone()).err());
    let Some(mut inner) = inner else { return error };
    inner.path.splice(0..0, error.path);
    *inner
}

/// The value at `key`, or the innermost one around it that is no table.
fn find<'a>(values: &'a mut Dict, key: &[String]) -> Option<&'a mut Value> {
    let (first, rest) = key.split_first()?;
    match (values.get_mut(first)?, rest) {
        (Value::Dict(_, inner), [_, ..]) => find(inner, rest),
        (value, _) => Some(value),
    }
}

fn remove(values: &mut Dict, key: &[String]) {
    let Some((first, rest)) = key.split_first() else { return };
    match (values.get_mut(first), rest) {
        (Some(Value::Dict(_, inner)), [_, ..]) => remove(inner, rest),
        _ => drop(values.remove(first)),
    }
}

/// A table has no source of its own, but what stands in it has.
fn first_tag(value: &Value) -> Tag {
    match value {
        Value::Dict(tag, inner) => inner.values().next().map_or(*tag, first_tag),
        other => other.tag(),
    }
}

/// A variable is a text. Where a text does not fit, it is read as a number, a switch or a list.
fn reread(value: &mut Value) -> bool {
    let Value::String(tag, text) = &*value else { return false };
    let tag = *tag;
    let Some(read) = file::literal(text.trim()) else { return false };
    *value = match read {
        Value::Num(_, number) => Value::Num(tag, number),
        Value::Bool(_, switch) => Value::Bool(tag, switch),
        Value::Array(_, items) => Value::Array(tag, items),
        _ => return false,
    };
    true
}

fn fault(error: &Error, key: &[String], sources: &Sources<'_>, tag: Tag) -> ConfigError {
    let name = key.join(".");
    let secret = reference::is_secret(&name);
    ConfigError {
        source: sources.name(tag, key),
        problem: problem(&error.kind, secret),
        remedy: remedy(&error.kind, &name),
        key: name,
    }
}

fn problem(kind: &Kind, secret: bool) -> String {
    match kind {
        Kind::UnknownField(..) => "there is no such key".into(),
        Kind::MissingField(name) => format!("{name} is missing"),
        _ if secret => "this value does not fit".into(),
        Kind::UnknownVariant(word, _) => format!("{word:?} is not known"),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("{} does not fit: it takes {}", shown(found), kind_of(expected))
        }
        Kind::Message(text) => text.clone(),
        other => other.to_string(),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Bool(switch) => switch.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("the text {text:?}"),
        Actual::Seq => "a list".into(),
        Actual::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// serde's name for a kind of value, in words for people.
fn kind_of(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        other if other.starts_with("struct ") => "a section with keys of its own",
        other => other,
    }
}

fn remedy(kind: &Kind, key: &str) -> String {
    match kind {
        Kind::UnknownField(_, known) if !known.is_empty() => {
            let place =
                key.rsplit_once('.').map_or("the top level".into(), |(outer, _)| format!("[{outer}]"));
            format!("correct or remove it; {place} takes {}", known.join(", "))
        }
        Kind::UnknownField(..) => "remove it".into(),
        Kind::UnknownVariant(_, known) => format!("use one of {}", known.join(", ")),
        _ => match reference::default_of(key) {
            Some(default) if !reference::is_secret(key) => {
                format!("write it like the default, {key} = {default}")
            }
            _ => "config/vca.toml describes the key; a value of the wrong kind may lack its quotes".into(),
        },
    }
}
