//! The settings of a profile, as they are given on the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::config::lenient;
use crate::tenancy::ProfileSettings;

/// Settings that are not given stay as they were; an empty text restores the daemon's default.
#[derive(Debug, Default, Args)]
pub struct SettingArgs {
    /// The agent's first words.
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
    /// The model that openai is asked for to understand speech.
    #[arg(long, value_name = "MODEL")]
    stt_model: Option<String>,
    /// The same for replies.
    #[arg(long, value_name = "MODEL")]
    llm_model: Option<String>,
    /// The same for speech.
    #[arg(long, value_name = "MODEL")]
    tts_model: Option<String>,
    /// Speech to speech, in place of the three. They go on when it fails.
    #[arg(long, value_name = "ENGINE")]
    realtime: Option<String>,
    /// The model that the speech-to-speech engine is asked for.
    #[arg(long, value_name = "MODEL")]
    realtime_model: Option<String>,
    /// Its own name for a voice.
    #[arg(long, value_name = "VOICE")]
    realtime_voice: Option<String>,
    /// The longest reply, in tokens; 0 goes back to the daemon's default.
    #[arg(long, value_name = "TOKENS")]
    max_reply_tokens: Option<u32>,
    /// Actions besides talking: end_call. An empty text removes them.
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    tools: Option<Vec<String>>,
    /// The speech engine's own name for a voice.
    #[arg(long)]
    voice: Option<String>,
    /// How a conversation is held, as in max_turns=10 or barge_in=false (the keys of [turn] in the
    /// configuration), or a phrase, as in phrases.goodbye="Bye.", or hours.timezone=Europe/Berlin,
    /// variables.shop="Roth", pronunciations.Huber=Hoober, voices.de=eva, analysis.summary=true, or one of preamble, notice,
    /// detect_language, greets_on_switch, keypad_menu_at_start and comfort_noise (true, false), or keypad_menu_key=*, or
    /// noise_suppression=recognition, or one of the lists languages, switch_to and key_terms, as in languages=en,de. Can be
    /// given several times.
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
        let any = any || self.max_reply_tokens.is_some();
        !any && self.tools.is_none() && self.single.is_empty() && self.whole.is_none() && self.file.is_none()
    }

    /// The settings with these changes. Whether they can work is not asked.
    pub fn applied_to(&self, settings: ProfileSettings) -> Result<ProfileSettings, Failure> {
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
        if let Some(tools) = &self.tools {
            let named = tools.iter().filter(|tool| !tool.is_empty());
            put(map, "tools", named.cloned().collect::<Vec<_>>().into());
        }
        match self.max_reply_tokens {
            Some(0) => drop(map.remove("max_reply_tokens")),
            Some(tokens) => drop(map.insert("max_reply_tokens".to_owned(), tokens.into())),
            None => {}
        }
        for setting in &self.single {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                Failure::unacceptable(format!(
                    "{setting:?} is no setting: write KEY=VALUE, as in max_turns=10"
                ))
            })?;
            put_single(map, key.trim(), value.trim());
        }
        serde_json::from_value(all).map_err(|error| unacceptable("the settings", &error))
    }

    fn named(&self) -> [(&'static str, Option<&str>); 12] {
        [
            ("greeting", self.greeting.as_deref()),
            ("language", self.language.as_deref()),
            ("stt", self.stt.as_deref()),
            ("llm", self.llm.as_deref()),
            ("tts", self.tts.as_deref()),
            ("stt_model", self.stt_model.as_deref()),
            ("llm_model", self.llm_model.as_deref()),
            ("tts_model", self.tts_model.as_deref()),
            ("voice", self.voice.as_deref()),
            ("realtime", self.realtime.as_deref()),
            ("realtime_model", self.realtime_model.as_deref()),
            ("realtime_voice", self.realtime_voice.as_deref()),
        ]
    }
}

/// Keys without a dot that are not the conversation's.
pub(super) const SWITCHES: [&str; 6] =
    ["preamble", "notice", "detect_language", "greets_on_switch", "keypad_menu_at_start", "comfort_noise"];

/// Keys without a dot that are texts.
pub(super) const WORDS: [&str; 2] = ["keypad_menu_key", "noise_suppression"];

/// Lists of texts.
pub(super) const LISTS: [&str; 3] = ["languages", "switch_to", "key_terms"];

/// Sections with texts by name.
pub(super) const TEXTS: [&str; 4] = ["phrases", "variables", "pronunciations", "voices"];

/// A key without a dot is one of the conversation's, unless it is one of [`SWITCHES`], [`WORDS`] or [`LISTS`].
fn put_single(settings: &mut Map<String, Value>, key: &str, value: &str) {
    if SWITCHES.contains(&key) {
        return put(settings, key, lenient(value));
    }
    if WORDS.contains(&key) {
        return put(settings, key, value.into());
    }
    if LISTS.contains(&key) {
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        return put(settings, key, items.collect::<Vec<_>>().into());
    }
    let (section, key) = key.split_once('.').unwrap_or(("turn", key));
    let is_text = TEXTS.contains(&section);
    let value = if is_text { Value::from(value.trim_matches('"')) } else { lenient(value) };
    let inner = settings.entry(section).or_insert(Value::Null);
    if inner.is_null() {
        *inner = Map::new().into();
    }
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

/// The settings in a file, JSON or TOML.
pub fn read(path: &Path) -> Result<Value, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::not_found(format!("the settings {shown} cannot be read: {error}")))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).map_err(|error| unacceptable(&shown, &error));
    }
    serde_json::from_str(&text).map_err(|error| unacceptable(&shown, &error))
}

fn unacceptable(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::unacceptable(format!("{what}: {error}"))
}
