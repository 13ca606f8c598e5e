//! The settings of a conversation (delays, interruptions, limits) and their defaults.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{KnownFormat, SchemaFormat};

use super::check::{LONGEST, NON_ZERO};
use super::response::Response;
use super::{DtmfMode, EmergencyAction, Menus};

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:tt = $default:expr),+ $(,)?) => {
        /// The settings of one conversation.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])* pub $name: settings!(@type $kind),)+
            /// The keypad menus of the profile.
            pub menus: Arc<Menus>,
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($name: settings!(@value $kind $default),)+ menus: Arc::default() }
            }
        }

        /// A profile's overrides of the defaults. Times are whole milliseconds.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Overrides {
            $($(#[doc = $doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<settings!(@raw $kind)>),+
        }

        impl utoipa::PartialSchema for Overrides {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let object = utoipa::openapi::ObjectBuilder::new()
                    .description(Some("Timing and limits of a conversation. An absent or `null` field takes the daemon's default."))
                    .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(false)));
                $(let object = object.property(
                    stringify!($name),
                    property(stringify!($name), concat!($($doc, "\n"),*), &serde_json::json!($default)),
                );)+
                object.into()
            }
        }

        impl utoipa::ToSchema for Overrides {
            fn name() -> std::borrow::Cow<'static, str> {
                "ConversationSettings".into()
            }
        }

        impl Settings {
            /// These settings with a profile's changes on top.
            pub fn with(mut self, changes: &Overrides) -> Settings {
                $(if let Some(value) = changes.$name { self.$name = settings!(@value $kind value); })+
                self
            }

            /// The times, each with its key.
            pub(super) fn times(&self) -> Vec<(&'static str, Duration)> {
                let times = [$((stringify!($name), settings!(@time $kind self.$name))),+];
                times.into_iter().filter_map(|(key, time)| Some((key, time?))).collect()
            }
        }
    };
    (@time ms $value:expr) => { Some($value) };
    (@time $other:ident $value:expr) => { None };
    (@type ms) => { Duration };
    (@type count) => { u32 };
    (@type switch) => { bool };
    (@type dtmf) => { DtmfMode };
    (@type emergency) => { EmergencyAction };
    (@type greeting) => { GreetingBargeIn };
    (@type mode) => { GreetingMode };
    (@raw ms) => { u64 };
    (@raw count) => { u32 };
    (@raw switch) => { bool };
    (@raw dtmf) => { DtmfMode };
    (@raw emergency) => { EmergencyAction };
    (@raw greeting) => { GreetingBargeIn };
    (@raw mode) => { GreetingMode };
    (@value ms $value:expr) => { Duration::from_millis($value) };
    (@value $other:ident $value:expr) => { $value };
}

/// The speech that interrupts the greeting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GreetingBargeIn {
    Never,
    #[default]
    Words,
    Any,
}

impl GreetingBargeIn {
    /// The values, as they are written.
    pub const NAMES: [&str; 3] = ["never", "words", "any"];
}

/// Who greets the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GreetingMode {
    #[default]
    Text,
    Model,
    Wait,
}

impl GreetingMode {
    /// The values, as they are written.
    pub const NAMES: [&str; 3] = ["text", "model", "wait"];
}

impl Settings {
    /// Whether the sound of an utterance's end is judged.
    pub fn judges_sound(&self) -> bool {
        self.end_of_turn_model || self.judges_pitch()
    }

    /// Whether the pitch of its end is judged.
    pub fn judges_pitch(&self) -> bool {
        self.commit_level_ms > self.commit_finished_ms
    }

    /// Whether the caller may interrupt `response` while it plays.
    pub(super) fn lets_interrupt(&self, response: &Response) -> bool {
        let protected = response.is_greeting() && self.greeting_barge_in == GreetingBargeIn::Never;
        self.barge_in && !protected
    }
}

settings! {
    /// Silence after which a turn is committed.
    commit_ms: ms = 500,
    /// The same, when the words are a finished sentence.
    commit_finished_ms: ms = 300,
    /// The same, when the words trail off: "and", "um", digits being read out.
    commit_trailing_ms: ms = 1_200,
    /// The same, when the pitch of the voice has not fallen, unless the words are a question or a short answer. Not longer than
    /// `commit_finished_ms`: the pitch is not judged.
    commit_level_ms: ms = 700,
    /// The same at an STT engine that judges the ends of turns by itself and reports none; a short answer waits for `commit_ms`.
    commit_engine_ms: ms = 2_000,
    /// Listen to the end of an utterance as well: one that sounds unfinished is waited for as if it trailed off. Needs the
    /// operator's end-of-turn model.
    end_of_turn_model: switch = false,
    /// Ask for words and begin the reply, unheard, at the first pause.
    early_reply: switch = true,
    /// May the caller interrupt the agent?
    barge_in: switch = true,
    /// Caller speech, while the agent speaks, that pauses playback.
    barge_in_ms: ms = 200,
    /// Caller speech, while playback is paused, that is an interruption regardless of its words.
    barge_in_certain_ms: ms = 1_000,
    /// The shortest time that a pause waits for words before playback goes on. It is as long as the recogniser of the call
    /// usually takes, and this at least.
    barge_in_words_ms: ms = 600,
    /// The longest such time.
    barge_in_words_max_ms: ms = 1_500,
    /// The greeting: `text`: the profile's or the built-in one; `model`: made by the language model, the text where that fails or
    /// is later than `filler_ms`; `wait`: none, the caller speaks first. The notice precedes it in any case.
    greeting_mode: mode = GreetingMode::Text,
    /// The speech that interrupts the greeting: `never`: none; `words`: words with a meaning, but not "hello?"; `any`:
    /// speech of `barge_in_certain_ms` as well, as in any response.
    greeting_barge_in: greeting = GreetingBargeIn::Words,
    /// A reply later than this after the commit is bridged by a filler, and by more of them while it lasts; 0 turns
    /// them off.
    filler_ms: ms = 1_500,
    /// Speech without an end after which the caller is answered all the same: music, a television.
    max_speech_ms: ms = 30_000,
    /// Caller silence, after the agent, that prompts "Are you still there?".
    silence_ms: ms = 7_000,
    /// How many such prompts before the goodbye.
    silence_prompts: count = 2,
    /// Turns of the caller before the goodbye; those of one or two words do not count. The caller is warned five turns before.
    max_turns: count = 200,
    /// Length of the call before the goodbye.
    max_duration_ms: ms = 300_000,
    /// How long before that the caller is warned.
    warn_before_ms: ms = 30_000,
    /// Turns in a row without an answer, by failing engines, before the call is given up.
    max_failures: count = 3,
    /// When the agent ends the call, ask the caller to rate it from 1 to 5, by key or by word (phrase `satisfaction`).
    satisfaction: switch = false,
    /// The caller's keys (DTMF): `shown` to the model and in the transcript; `masked`: both have their number only;
    /// `ignored`: keys have no effect.
    dtmf: dtmf = DtmfMode::Shown,
    /// After a caller who speaks of an emergency has heard which number to dial: `say`: the agent responds; `route`: the call
    /// continues at the number's route `emergency`, if it has one.
    emergency: emergency = EmergencyAction::Say,
    /// The longest hold by the caller before the call ends; 0 is no limit.
    max_hold_ms: ms = 600_000,
}

/// The schema of one setting of a profile. The type of the default is the setting's.
fn property(name: &str, about: &str, default: &serde_json::Value) -> ObjectBuilder {
    let (kind, most) = match default {
        serde_json::Value::Bool(_) => (Type::Boolean, None),
        serde_json::Value::String(_) => (Type::String, None),
        _ if name.ends_with("_ms") => (Type::Integer, u64::try_from(LONGEST.as_millis()).ok()),
        _ => (Type::Integer, Some(u64::from(u32::MAX))),
    };
    let least = most.map(|_| u64::from(NON_ZERO.contains(&name)));
    let lines: Vec<&str> = about.lines().map(str::trim).collect();
    let about = format!("{} Built-in default: {default}.", lines.join(" "));
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![kind, Type::Null]))
        .format(most.map(|_| SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(least)
        .maximum(most)
        .enum_values(default.is_string().then(|| names(values_of(name))))
        .description(Some(about))
}

/// The values of a setting that has names.
fn values_of(setting: &str) -> &'static [&'static str] {
    match setting {
        "greeting_barge_in" => &GreetingBargeIn::NAMES,
        "emergency" => &EmergencyAction::NAMES,
        "greeting_mode" => &GreetingMode::NAMES,
        _ => &DtmfMode::NAMES,
    }
}

/// The values of a setting that has names, and `null`.
fn names(names: &[&str]) -> Vec<serde_json::Value> {
    names.iter().map(|name| (*name).into()).chain([serde_json::Value::Null]).collect()
}
