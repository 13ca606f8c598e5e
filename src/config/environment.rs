//! The environment: any key as `VCA__SECTION__KEY`, the shorter names of some, and for each secret the name with
//! `_FILE` behind it.
//!
//! A variable that is empty counts as not set. Variables of a file stand in for those that the process does not have.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use figment::Metadata;
use figment::value::{Dict, Value};

use super::env_file::EnvFile;
use super::error::ConfigError;
use super::file::Layer;
use super::reference;
use super::secrets::file_key;

const PREFIX: &str = "VCA__";

/// Variables with a name of their own, and the key that each one sets. `VCA__…` goes before them.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("ANTHROPIC_API_KEY", "anthropic.key"),
    ("APP_ENV", "environment"),
    ("APP_NAME", "log.service"),
    ("ARI_PASSWORD", "ari.password"),
    ("ARI_URL", "ari.url"),
    ("ARI_USERNAME", "ari.username"),
    ("DATABASE_URL", "database.url"),
    ("DEBUG", "log.filter"),
    ("DEEPGRAM_API_KEY", "deepgram.key"),
    ("ELEVENLABS_API_KEY", "elevenlabs.key"),
    ("LLM_MODEL", "llm.openai.model"),
    ("MAX_CONVERSATION_DURATION_SECONDS", "turn.max_duration_ms"),
    ("MAX_CONVERSATION_TURNS", "turn.max_turns"),
    ("OPENAI_API_KEY", "openai.key"),
    ("OPENAI_BASE_URL", "openai.base_url"),
    ("REDIS_URL", "state.redis_url"),
    ("STT_MODEL", "stt.openai.model"),
    ("TELNYX_API_KEY", "telephony.telnyx.api_key"),
    ("TTS_MODEL", "tts.openai.model"),
    ("TTS_VOICE", "tts.openai.voice"),
    ("TWILIO_ACCOUNT_SID", "telephony.twilio.account_sid"),
    ("TWILIO_AUTH_TOKEN", "telephony.twilio.auth_token"),
    ("VCA_SEAL_FORMER_KEYS", "seal.former_keys"),
    ("VCA_SEAL_KEY", "seal.key"),
];

/// The variables of a process, and those of a file where the process has none of the name.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Variable>);

#[derive(Debug)]
struct Variable {
    value: OsString,
    /// The variable's name, or the file and line that it stands in.
    source: String,
}

impl Variables {
    /// Names that are not UTF-8 cannot be ours.
    pub fn of_process() -> Variables {
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        named.collect()
    }

    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect()
    }

    /// Adds a file's variables, as far as they are not set.
    pub fn with_file(mut self, file: EnvFile) -> Variables {
        for entry in file.entries {
            let source = format!("{}:{} ({})", file.path.display(), entry.line, entry.name);
            let is_set = self.0.get(&entry.name).is_some_and(|variable| !variable.value.is_empty());
            if !is_set {
                self.0.insert(entry.name, Variable { value: entry.value.into(), source });
            }
        }
        self
    }

    /// A variable as it is set; `None` when it is not, or is empty or not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.text(name)?.ok().map(|(text, _)| text)
    }

    /// A variable's text and its source; `None` when it is not set, or empty.
    fn text(&self, name: &str) -> Option<Result<(&str, &str), ConfigError>> {
        let Variable { value, source } = self.0.get(name).filter(|variable| !variable.value.is_empty())?;
        let misread =
            || misread(source, name, "is not UTF-8".into(), format!("set {name} to a text in UTF-8"));
        Some(value.to_str().map(|text| (text, source.as_str())).ok_or_else(misread))
    }
}

impl FromIterator<(String, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, OsString)>>(pairs: I) -> Variables {
        let variable = |(name, value): (String, OsString)| (name.clone(), Variable { value, source: name });
        Variables(pairs.into_iter().map(variable).collect())
    }
}

/// One layer a variable, the weakest first, and the variables that cannot be understood.
pub(super) fn layers(variables: &Variables) -> (Vec<Layer>, Vec<ConfigError>) {
    let mut layers = Vec::new();
    let mut faults = set_twice(variables);
    for outcome in named(variables).chain(prefixed(variables)) {
        match outcome {
            Ok(layer) => layers.push(layer),
            Err(fault) => faults.push(fault),
        }
    }
    (layers, faults)
}

fn named(variables: &Variables) -> impl Iterator<Item = Result<Layer, ConfigError>> {
    let values = NAMED.iter().filter_map(|(name, key)| {
        let translated = variables.text(name)?.and_then(|(text, source)| {
            Ok(translate(name, key, text, source)?.map(|value| layer(source, key, value)))
        });
        translated.transpose()
    });
    let files = NAMED.iter().filter(|(_, key)| reference::is_secret(key)).filter_map(|(name, key)| {
        let text = variables.text(&format!("{name}_FILE"))?;
        Some(text.map(|(text, source)| layer(source, &file_key(key), Value::from(text))))
    });
    values.chain(files)
}

fn prefixed(variables: &Variables) -> impl Iterator<Item = Result<Layer, ConfigError>> {
    variables.0.keys().filter_map(|name| {
        let key = prefixed_key(name)?;
        Some(variables.text(name)?.map(|(text, source)| layer(source, &key, Value::from(text))))
    })
}

/// The key of the secret that a variable sets, if it sets one.
pub(super) fn secret_of(name: &str) -> Option<String> {
    let named = NAMED.iter().find(|(variable, _)| *variable == name).map(|(_, key)| (*key).to_owned());
    named.or_else(|| prefixed_key(name)).filter(|key| reference::is_secret(key))
}

/// The key that a variable with the prefix sets.
fn prefixed_key(name: &str) -> Option<String> {
    Some(name.strip_prefix(PREFIX)?.replace("__", ".").to_lowercase())
}

/// A fault for each secret that one variable sets and another one names the file of.
fn set_twice(variables: &Variables) -> Vec<ConfigError> {
    let secrets = variables.0.keys().filter_map(|name| Some((name, secret_of(name)?)));
    let twice = secrets.filter(|(name, key)| {
        let is_set = |name: &str| variables.get(name).is_some();
        reference::has_file(key) && is_set(name) && is_set(&format!("{name}_FILE"))
    });
    let fault = |(name, key): (&String, String)| {
        misread(
            &format!("{name}_FILE"),
            &file_key(&key),
            format!("{name} is set beside it"),
            "unset one of the two".into(),
        )
    };
    twice.map(fault).collect()
}

/// The credentials that systemd has loaded for the service, each in a file that is named like its key
/// (`LoadCredential=ari.password:…`, systemd.exec(5)).
pub(super) fn credentials(variables: &Variables) -> Vec<Layer> {
    let Some(folder) = variables.get("CREDENTIALS_DIRECTORY").map(Path::new) else { return Vec::new() };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names =
        files.filter(|file| file.path().is_file()).filter_map(|file| file.file_name().into_string().ok());
    let mut keys: Vec<String> = names.filter(|name| reference::has_file(name)).collect();
    keys.sort();
    let name = |key: &String| {
        let path = folder.join(key).display().to_string();
        layer(&format!("credential {key}"), &file_key(key), Value::from(path))
    };
    keys.iter().map(name).collect()
}

/// The default place of the database of a service: systemd names the state directories that it made,
/// separated by colons (systemd.exec(5)).
pub(super) fn database(variables: &Variables) -> Option<Layer> {
    let folders = variables.get("STATE_DIRECTORY")?;
    let folder = folders.split(':').find(|folder| !folder.is_empty())?;
    Some(layer("STATE_DIRECTORY", "database.url", Value::from(format!("sqlite:{folder}/vca.db"))))
}

/// The value of a variable's text for its key; `None` when it has no effect.
fn translate(name: &str, key: &str, text: &str, source: &str) -> Result<Option<Value>, ConfigError> {
    match name {
        "DEBUG" => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Some(Value::from("debug"))),
            "false" | "0" | "no" | "off" => Ok(None),
            _ => Err(misread(
                source,
                key,
                format!("{text:?} is neither true nor false"),
                "set DEBUG to true or false".into(),
            )),
        },
        "MAX_CONVERSATION_DURATION_SECONDS" => {
            let milliseconds = text.trim().parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
            let milliseconds = milliseconds.and_then(|it| i64::try_from(it).ok());
            milliseconds.map(|it| Some(Value::from(it))).ok_or_else(|| {
                let problem = format!("{text:?} is not a number of seconds");
                misread(source, key, problem, format!("set {name} to whole seconds, such as 300"))
            })
        }
        _ => Ok(Some(Value::from(text))),
    }
}

fn misread(source: &str, key: &str, problem: String, remedy: String) -> ConfigError {
    ConfigError { key: key.to_owned(), source: source.to_owned(), problem, remedy }
}

/// A layer of one value; `source` is shown as its origin.
pub(super) fn layer(source: &str, key: &str, value: Value) -> Layer {
    let mut segments = key.rsplit('.');
    let last = segments.next().unwrap_or_default().to_owned();
    let innermost = Dict::from([(last, value)]);
    let values = segments.fold(innermost, |inner, name| Dict::from([(name.to_owned(), Value::from(inner))]));
    Layer { metadata: Metadata::named("variable").source(source.to_owned()), values }
}
