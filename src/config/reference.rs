//! The reference of all keys, `config/vca.toml`, and what the configuration says about each of them.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use figment::value::{Dict, Value};

use super::extract::Sources;
use super::file;
use super::secrets::SecretFiles;

/// The reference: every key with its default, commented out. A line that begins with `#` and goes on
/// without a space is a setting.
pub const REFERENCE: &str = include_str!("../../config/vca.toml");

/// Keys with values that are never shown. Each has a neighbour with `_file` behind its name, for a file with the
/// value.
pub(super) const SECRETS: &[&str] = &[
    "anthropic.key",
    "ari.password",
    "database.url",
    "deepgram.key",
    "elevenlabs.key",
    "openai.key",
    "seal.former_keys",
    "seal.key",
    "state.redis_url",
    "telephony.inbound.secret",
    "telephony.telnyx.api_key",
    "telephony.twilio.auth_token",
];

/// Whether the value of `key` is never shown: a secret, or a header of an engine's server.
pub(super) fn is_secret(key: &str) -> bool {
    let segments: Vec<&str> = key.split('.').collect();
    let is_header = matches!(segments[..], ["engines", _, "headers", ..] | ["openai", "headers", _, ..]);
    is_header || has_file(key)
}

/// Whether `key` is a secret that a file may hold.
pub(super) fn has_file(key: &str) -> bool {
    let segments: Vec<&str> = key.split('.').collect();
    matches!(segments[..], ["engines", _, "key"]) || SECRETS.contains(&key)
}

/// One key as it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// `section.key`.
    pub key: String,
    /// As TOML; of a secret only whether it is set.
    pub value: String,
    /// `file:line`, the name of an environment variable, or `default`.
    pub source: String,
    /// Another value of a secret, which [`Effective::value`] does not show, has another digest.
    #[serde(skip)]
    pub digest: u64,
}

/// A digest of a value under a key of this process alone, so that it says nothing about the value.
fn digest(value: Option<&Value>) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    value.map_or(0, |value| KEY.hash_one(toml(value)))
}

/// Every key of the reference and its default as TOML, in the order of the file.
static KEYS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in uncommented().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = format!("{name}.");
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push((format!("{section}{key}"), value.to_owned()));
        }
    }
    keys
});

/// The reference with its settings switched on.
pub(super) fn uncommented() -> String {
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|first: char| first != ' ') => setting,
        _ => line,
    });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// A key's default as TOML; `None` when there is no such key.
pub(super) fn default_of(key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| name == key).map(|(_, default)| default.as_str())
}

#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| key.as_str())
}

/// Every key with its value and source.
pub(super) fn effective(values: &Dict, sources: &Sources<'_>) -> Vec<Effective> {
    let root = Value::from(values.clone());
    let mut rows: Vec<Effective> = KEYS
        .iter()
        .map(|(key, default)| {
            let given = root.find_ref(key);
            let value = match given {
                _ if is_secret(key) => {
                    let set = given.is_some() || default != r#""""#;
                    if set { "«set»".into() } else { "«not set»".into() }
                }
                Some(_) if key == "openai.headers" => "«set»".into(),
                Some(value) => toml(value),
                None if default == r#""""# => "none".into(),
                None => default.clone(),
            };
            let source = if given.is_some() { sources.of(key) } else { "default".into() };
            Effective { key: key.clone(), value, source, digest: digest(given) }
        })
        .collect();
    let engines = root.find_ref("engines").map(|engines| leaves("engines", engines)).unwrap_or_default();
    rows.extend(engines.into_iter().map(|(key, value)| {
        let digest = digest(Some(value));
        let value = if is_secret(&key) { "«set»".into() } else { toml(value) };
        Effective { source: sources.of(&key), digest, key, value }
    }));
    rows
}

/// The values within a table of tables, each with its key.
fn leaves<'a>(key: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
    match value {
        Value::Dict(_, inner) => {
            inner.iter().flat_map(|(name, value)| leaves(&format!("{key}.{name}"), value)).collect()
        }
        value => vec![(key.to_owned(), value)],
    }
}

/// Shows the `…_file` keys, which are resolved before values are read.
pub(super) fn show_files(effective: &mut Vec<Effective>, files: &SecretFiles) {
    for (key, path, source) in files.rows() {
        let value = toml(&Value::from(path.display().to_string()));
        let row = Effective { key, value, source: source.to_owned(), digest: 0 };
        match effective.iter_mut().find(|shown| shown.key == row.key) {
            Some(shown) => *shown = row,
            None => effective.push(row),
        }
    }
}

fn toml(value: &Value) -> String {
    value.deserialize::<toml::Value>().map_or_else(|_| "?".into(), |value| value.to_string())
}

/// Reads a text as TOML would read it behind an equals sign, or else as plain text.
pub(crate) fn lenient(text: &str) -> serde_json::Value {
    let read = file::literal(text).and_then(|value| value.deserialize().ok());
    read.unwrap_or_else(|| serde_json::Value::from(text))
}
