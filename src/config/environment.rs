//! The environment: any key as `VCA__SECTION__KEY`, and the names that the product's variables have always
//! had.
//!
//! A variable that is empty counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;

use figment::Metadata;
use figment::value::{Dict, Value};

use super::fault::Fault;
use super::file::Layer;

const PREFIX: &str = "VCA__";

/// Variables with a name of their own, and the key that each one sets. `VCA__…` goes before them.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("APP_ENV", "environment"),
    ("ARI_PASSWORD", "ari.password"),
    ("ARI_URL", "ari.url"),
    ("ARI_USERNAME", "ari.username"),
    ("DATABASE_URL", "database.url"),
    ("DEBUG", "log.filter"),
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
];

/// The variables of a process.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, OsString>);

impl Variables {
    /// Names that are not UTF-8 cannot be ours.
    pub fn of_process() -> Variables {
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Variables(named.collect())
    }

    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Variables {
        Variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect())
    }

    /// A variable's text; `None` when it is not set, or empty.
    fn text(&self, name: &str) -> Option<Result<&str, Fault>> {
        let value = self.0.get(name).filter(|value| !value.is_empty())?;
        Some(value.to_str().ok_or_else(|| {
            misread(name, name, "is not UTF-8".into(), format!("set {name} to a text in UTF-8"))
        }))
    }
}

/// One layer a variable, the weakest first, and what cannot be understood.
pub(super) fn layers(variables: &Variables) -> (Vec<Layer>, Vec<Fault>) {
    let named = NAMED.iter().filter_map(|(name, key)| {
        let value = match variables.text(name)? {
            Ok(text) => translate(name, key, text),
            Err(fault) => Err(fault),
        };
        match value {
            Ok(None) => None,
            Ok(Some(value)) => Some(Ok(layer(name, key, value))),
            Err(fault) => Some(Err(fault)),
        }
    });
    let prefixed = variables.0.keys().filter_map(|name| {
        let key = name.strip_prefix(PREFIX)?.replace("__", ".").to_lowercase();
        Some(variables.text(name)?.map(|text| layer(name, &key, Value::from(text))))
    });
    let mut layers = Vec::new();
    let mut faults = Vec::new();
    for outcome in named.chain(prefixed) {
        match outcome {
            Ok(layer) => layers.push(layer),
            Err(fault) => faults.push(fault),
        }
    }
    (layers, faults)
}

/// The default place of the database of a service: systemd names the state directories that it made,
/// separated by colons (systemd.exec(5)).
pub(super) fn database(variables: &Variables) -> Option<Layer> {
    let folders = variables.text("STATE_DIRECTORY")?.ok()?;
    let folder = folders.split(':').find(|folder| !folder.is_empty())?;
    Some(layer("STATE_DIRECTORY", "database.url", Value::from(format!("sqlite:{folder}/vca.db"))))
}

/// What a named variable's text means for its key; `None` when it asks for nothing.
fn translate(name: &str, key: &str, text: &str) -> Result<Option<Value>, Fault> {
    match name {
        "DEBUG" => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Some(Value::from("debug"))),
            "false" | "0" | "no" | "off" => Ok(None),
            _ => Err(misread(
                name,
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
                misread(name, key, problem, format!("set {name} to whole seconds, such as 300"))
            })
        }
        _ => Ok(Some(Value::from(text))),
    }
}

fn misread(name: &str, key: &str, problem: String, remedy: String) -> Fault {
    Fault { key: key.to_owned(), source: name.to_owned(), problem, remedy }
}

fn layer(name: &str, key: &str, value: Value) -> Layer {
    let mut segments = key.rsplit('.');
    let last = segments.next().unwrap_or_default().to_owned();
    let innermost = Dict::from([(last, value)]);
    let values = segments.fold(innermost, |inner, name| Dict::from([(name.to_owned(), Value::from(inner))]));
    Layer { metadata: Metadata::named("variable").source(name.to_owned()), values }
}
