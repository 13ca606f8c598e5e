//! How patient, how interruptible, how long: the settings of a conversation and their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $kind:tt = $default:expr),+ $(,)?) => {
        /// The settings of one conversation.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $($(#[$doc])* pub $name: settings!(@type $kind)),+
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($name: settings!(@value $kind $default)),+ }
            }
        }

        /// What a profile changes of the defaults. Times are whole milliseconds.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Overrides {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<settings!(@raw $kind)>),+
        }

        impl utoipa::PartialSchema for Overrides {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let object = utoipa::openapi::ObjectBuilder::new();
                $(let object = object.property(
                    stringify!($name),
                    <Option<settings!(@raw $kind)> as utoipa::PartialSchema>::schema(),
                );)+
                object.into()
            }
        }

        impl utoipa::ToSchema for Overrides {}

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
    (@raw ms) => { u64 };
    (@raw count) => { u32 };
    (@raw switch) => { bool };
    (@value ms $value:expr) => { Duration::from_millis($value) };
    (@value $other:ident $value:expr) => { $value };
}

settings! {
    /// Silence after which a turn is committed.
    commit_ms: ms = 500,
    /// The same, when the words are a finished sentence.
    commit_finished_ms: ms = 300,
    /// The same, when the words trail off: "and", "um", digits being read out.
    commit_trailing_ms: ms = 1_200,
    /// Ask for words and begin the reply, unheard, at the first pause.
    early_reply: switch = true,
    /// May the caller interrupt the agent?
    barge_in: switch = true,
    /// Caller speech, while the agent speaks, that pauses playback.
    barge_in_ms: ms = 200,
    /// Caller speech, while playback is paused, that is an interruption whatever its words.
    barge_in_certain_ms: ms = 1_000,
    /// How long a pause may wait for words before playback goes on.
    barge_in_words_ms: ms = 600,
    /// A reply later than this after the commit is bridged by a filler, and by more of them while it lasts; 0 turns
    /// them off.
    filler_ms: ms = 1_500,
    /// Speech without an end after which the caller is answered all the same: music, a television.
    max_speech_ms: ms = 30_000,
    /// Caller silence, after the agent, that prompts "Are you still there?".
    silence_ms: ms = 7_000,
    /// How many such prompts before the goodbye.
    silence_prompts: count = 2,
    /// Turns of the caller before the goodbye.
    max_turns: count = 20,
    /// Length of the call before the goodbye.
    max_duration_ms: ms = 300_000,
    /// How long before that the caller is warned.
    warn_before_ms: ms = 30_000,
    /// Turns in a row without an answer, by failing engines, before the call is given up.
    max_failures: count = 3,
}
