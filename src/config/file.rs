//! The configuration file: its values, and the line on which each stands.

use std::ops::Range;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// Values from one source, as a layer of the configuration.
pub(super) struct Layer {
    pub metadata: Metadata,
    pub values: Dict,
}

impl Layer {
    /// The variable that it is from; `None` for the file's.
    pub fn variable(&self) -> Option<&str> {
        match self.metadata.source.as_ref()? {
            Source::Custom(variable) => Some(variable),
            _ => None,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The text of a file.
pub(super) struct File {
    path: Option<PathBuf>,
    text: String,
}

impl File {
    pub fn none() -> File {
        File { path: None, text: String::new() }
    }

    /// Reads a file, which has to be there.
    pub fn read(path: &Path) -> Result<File, ConfigError> {
        let unreadable = |problem: String, remedy: &str| ConfigError {
            key: path.display().to_string(),
            source: "the configuration file".into(),
            problem,
            remedy: remedy.into(),
        };
        let bytes = std::fs::read(path).map_err(|error| {
            let problem = format!("cannot be read: {error}");
            unreadable(problem, "name another file with --config, or make this one readable for this user")
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            unreadable(format!("line {line} is not UTF-8"), "save the file as UTF-8")
        })?;
        Ok(File { path: Some(path.to_owned()), text })
    }

    #[cfg(test)]
    pub fn of_text(text: &str) -> File {
        File { path: Some("vca.toml".into()), text: text.to_owned() }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whatever is not TOML in it.
    pub fn faults(&self) -> Vec<ConfigError> {
        let (_, errors) = DeTable::parse_recoverable(&self.text);
        let faults = errors.iter().map(|error| {
            let line = error.span().map_or(1, |span| line_at(self.text.as_bytes(), span.start));
            ConfigError {
                key: self.name(),
                source: format!("{}:{line}", self.name()),
                problem: format!("is not TOML: {}", error.message()),
                remedy: "correct the line; config/vca.toml shows every key (see https://toml.io)".into(),
            }
        });
        faults.collect()
    }

    /// The values of the file; if it has faults, those that can be read.
    pub fn layer(&self) -> Layer {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let metadata = Metadata::from("file", self.path.as_deref().unwrap_or(Path::new("")));
        Layer { metadata, values: dict(table.get_ref()) }
    }

    /// `file:line` of a key, or of the innermost table around it.
    pub fn place(&self, key: &[String]) -> String {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        match span(&table, key) {
            Some(span) => format!("{}:{}", self.name(), line_at(self.text.as_bytes(), span.start)),
            None => self.name(),
        }
    }

    fn name(&self) -> String {
        self.path.as_deref().unwrap_or(Path::new("-")).display().to_string()
    }
}

/// The value as figment knows it. A time is a text: no setting is one.
fn value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(table) => Value::from(dict(table)),
        DeValue::Array(items) => {
            Value::from(items.iter().map(|item| self::value(item.get_ref())).collect::<Vec<_>>())
        }
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(number.to_string()),
        },
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Datetime(time) => Value::from(time.to_string()),
    }
}

/// Without keys that have an empty text: they count as unset.
fn dict(table: &DeTable<'_>) -> Dict {
    let given = table.iter().filter(|(_, value)| value.get_ref().as_str() != Some(""));
    given.map(|(key, item)| (key.get_ref().to_string(), value(item.get_ref()))).collect()
}

fn span(table: &Spanned<DeTable<'_>>, key: &[String]) -> Option<Range<usize>> {
    let (first, rest) = key.split_first()?;
    let (name, value) = table.get_ref().iter().find(|(name, _)| name.get_ref() == first.as_str())?;
    let deeper = match value.get_ref() {
        DeValue::Table(inner) => span(&Spanned::new(value.span(), inner.clone()), rest),
        _ => None,
    };
    deeper.or_else(|| Some(name.span()))
}

fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Reads a text as the right-hand side of a TOML key.
pub(super) fn literal(text: &str) -> Option<Value> {
    let parsed = DeValue::parse(text).ok()?;
    Some(value(parsed.get_ref()))
}
