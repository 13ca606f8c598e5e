//! The settings of a profile, as they are given on the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::call::PHRASE_NAMES;
use crate::config::{Config, check_turn, lenient};
use crate::tenancy::ProfileSettings;

/// Whatever is not given stays as it was; an empty text goes back to the daemon's default.
#[derive(Debug, Default, Args)]
pub struct SettingArgs {
    /// What the agent says first.
    #[arg(long)]
    greeting: Option<String>,
    /// BCP 47 tag, such as en or de-DE.
    #[arg(long)]
    language: Option<String>,
    /// Speech to text: openai, pocketsphinx.
    #[arg(long, value_name = "ENGINE")]
    stt: Option<String>,
    /// Replies: openai, scripted.
    #[arg(long, value_name = "ENGINE")]
    llm: Option<String>,
    /// Text to speech: openai, espeak, flite.
    #[arg(long, value_name = "ENGINE")]
    tts: Option<String>,
    /// The speech engine's own name for a voice.
    #[arg(long)]
    voice: Option<String>,
    /// How a conversation is held, as in max_turns=10 or barge_in=false (the keys of [turn] in the
    /// configuration), or a phrase, as in phrases.goodbye="Bye." Can be given several times.
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    single: Vec<String>,
    /// All settings at once, as JSON; they replace the ones that there are.
    #[arg(long = "settings", value_name = "JSON", conflicts_with = "file")]
    whole: Option<String>,
    /// The same from a file, JSON or TOML.
    #[arg(long = "settings-file", value_name = "PATH")]
    file: Option<PathBuf>,
}

impl SettingArgs {
    pub fn is_empty(&self) -> bool {
        let named = self.named();
        let any = named.iter().any(|(_, value)| value.is_some());
        !any && self.single.is_empty() && self.whole.is_none() && self.file.is_none()
    }

    /// The settings with these changes, which have to be able to work on top of the daemon's defaults.
    pub fn applied_to(&self, settings: ProfileSettings, config: &Config) -> Result<ProfileSettings, Failure> {
        let mut all = match (&self.whole, &self.file) {
            (Some(text), _) => {
                serde_json::from_str(text).map_err(|error| unacceptable("--settings", &error))?
            }
            (None, Some(path)) => read(path)?,
            (None, None) => serde_json::to_value(settings).map_err(anyhow::Error::from)?,
        };
        let Some(map) = all.as_object_mut() else {
            return Err(Failure::unacceptable(
                "the settings have to be an object, as in {\"language\": \"de\"}",
            ));
        };
        for (key, value) in self.named() {
            if let Some(value) = value {
                put(map, key, Value::from(value));
            }
        }
        for setting in &self.single {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                Failure::unacceptable(format!(
                    "{setting:?} is no setting: write KEY=VALUE, as in max_turns=10"
                ))
            })?;
            put_single(map, key.trim(), value.trim());
        }
        let settings: ProfileSettings =
            serde_json::from_value(all).map_err(|error| unacceptable("the settings", &error))?;
        check(&settings, config)?;
        Ok(settings)
    }

    fn named(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("greeting", self.greeting.as_deref()),
            ("language", self.language.as_deref()),
            ("stt", self.stt.as_deref()),
            ("llm", self.llm.as_deref()),
            ("tts", self.tts.as_deref()),
            ("voice", self.voice.as_deref()),
        ]
    }
}

/// A key without a dot is one of the conversation's.
fn put_single(settings: &mut Map<String, Value>, key: &str, value: &str) {
    let (section, key) = key.split_once('.').unwrap_or(("turn", key));
    let value = if section == "phrases" { Value::from(value.trim_matches('"')) } else { lenient(value) };
    let inner = settings.entry(section).or_insert_with(|| Map::new().into());
    if let Some(inner) = inner.as_object_mut() {
        put(inner, key, value);
    }
}

fn put(settings: &mut Map<String, Value>, key: &str, value: Value) {
    if value.as_str() == Some("") {
        settings.remove(key);
    } else {
        settings.insert(key.to_owned(), value);
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::not_found(format!("the settings {shown} cannot be read: {error}")))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).map_err(|error| unacceptable(&shown, &error));
    }
    serde_json::from_str(&text).map_err(|error| unacceptable(&shown, &error))
}

fn check(settings: &ProfileSettings, config: &Config) -> Result<(), Failure> {
    let known = || PHRASE_NAMES.iter().map(|(_, name)| *name);
    if let Some(name) = settings.phrases.keys().find(|name| !known().any(|known| known == *name)) {
        let known = known().collect::<Vec<_>>().join(", ");
        return Err(Failure::unacceptable(format!("there is no phrase {name:?}: use one of {known}")));
    }
    let complaints = check_turn(&config.turn_settings().with(&settings.turn));
    let Some(complaint) = complaints.first() else { return Ok(()) };
    Err(Failure::unacceptable(format!("{}: {}; {}", complaint.key, complaint.problem, complaint.remedy)))
}

fn unacceptable(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::unacceptable(format!("{what}: {error}"))
}
