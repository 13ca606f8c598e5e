//! Is a profile in order? Everything that is wrong with it is named at once.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ProfileSettings, Tool};
use crate::turn::{self, Phrase};

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Flaw {
    /// The path to it, such as `settings.turn.max_turns`.
    pub field: String,
    /// With its remedy.
    pub problem: String,
}

impl Flaw {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Flaw {
        Flaw { field: field.into(), problem: problem.into() }
    }

    fn below(self, parent: &str) -> Flaw {
        Flaw { field: format!("{parent}.{}", self.field), ..self }
    }
}

/// What a profile can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The engines of each kind, by name.
    pub stt: Vec<String>,
    pub llm: Vec<String>,
    pub tts: Vec<String>,
    /// The manners that a profile's own go on top of.
    pub manners: turn::Settings,
}

const LONGEST_NAME: usize = 200;
const LONGEST_PROMPT: usize = 50_000;
const LONGEST_PHRASE: usize = 1_000;
const LONGEST_WORD: usize = 200;

/// What is to be written of a profile; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    pub name: Option<&'a str>,
    pub system_prompt: Option<&'a str>,
    pub settings: Option<&'a ProfileSettings>,
}

/// All that is wrong with what is to be written.
pub fn check_profile(draft: Draft<'_>, known: &Known) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    flaws.extend(draft.name.and_then(|name| text("name", name, LONGEST_NAME)));
    flaws.extend(draft.system_prompt.and_then(|prompt| text("system_prompt", prompt, LONGEST_PROMPT)));
    let settings = draft.settings.map(|settings| settings_flaws(settings, known)).unwrap_or_default();
    flaws.extend(settings.into_iter().map(|flaw| flaw.below("settings")));
    flaws
}

fn settings_flaws(settings: &ProfileSettings, known: &Known) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    flaws.extend(settings.greeting.as_deref().and_then(|it| too_long("greeting", it, LONGEST_PHRASE)));
    flaws.extend(settings.language.as_deref().and_then(language));
    flaws.extend(engines(settings, known));
    flaws.extend(settings.voice.as_deref().and_then(|voice| text("voice", voice, LONGEST_WORD)));
    flaws.extend(phrases(settings));
    let manners = known.manners.clone().with(&settings.turn);
    flaws.extend(manners.faults().into_iter().map(|fault| {
        let problem = format!("{}; {}", fault.problem, fault.remedy);
        Flaw::new(fault.key, problem).below("turn")
    }));
    let hours = settings.hours.as_ref().and_then(|hours| hours.schedule().err()).unwrap_or_default();
    flaws.extend(hours.into_iter().map(|flaw| flaw.below("hours")));
    flaws.extend(tools(settings));
    flaws
}

/// The form of a BCP 47 tag (RFC 5646, 2.1), without looking its parts up.
fn language(tag: &str) -> Option<Flaw> {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let well_formed = (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && tag.len() <= 35;
    let problem = || format!("{tag:?} is no language tag: write one of BCP 47, such as en or de-DE");
    (!well_formed).then(|| Flaw::new("language", problem()))
}

fn engines(settings: &ProfileSettings, known: &Known) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (kind, named, model, engines) in [
        ("stt", &settings.stt, &settings.stt_model, &known.stt),
        ("llm", &settings.llm, &settings.llm_model, &known.llm),
        ("tts", &settings.tts, &settings.tts_model, &known.tts),
    ] {
        let unknown = named.as_ref().filter(|name| !engines.contains(name));
        flaws.extend(unknown.map(|name| {
            Flaw::new(kind, format!("there is no engine {name:?}: choose one of {}", engines.join(", ")))
        }));
        let Some(model) = model else { continue };
        let field = format!("{kind}_model");
        match named.as_deref() {
            Some(other) if other != "openai" => {
                flaws.push(Flaw::new(field, format!("the engine {other} has no models: only openai has")));
            }
            _ => flaws.extend(text(&field, model, LONGEST_WORD)),
        }
    }
    flaws
}

fn phrases(settings: &ProfileSettings) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (name, words) in &settings.phrases {
        let field = format!("phrases.{name}");
        if Phrase::NAMES.iter().any(|(_, known)| known == name) {
            flaws.extend(too_long(&field, words, LONGEST_PHRASE));
        } else {
            let known: Vec<&str> = Phrase::NAMES.iter().map(|(_, known)| *known).collect();
            flaws.push(Flaw::new(field, format!("there is no such phrase: use one of {}", known.join(", "))));
        }
    }
    flaws
}

fn tools(settings: &ProfileSettings) -> Vec<Flaw> {
    let named = settings.tools.iter().enumerate();
    let unknown = named.filter_map(|(at, name)| Some((at, name.parse::<Tool>().err()?)));
    unknown.map(|(at, error)| Flaw::new(format!("tools.{at}"), error.to_string())).collect()
}

fn text(field: &str, text: &str, longest: usize) -> Option<Flaw> {
    let empty = text.trim().is_empty();
    empty.then(|| Flaw::new(field, "it must not be empty")).or_else(|| too_long(field, text, longest))
}

fn too_long(field: &str, text: &str, longest: usize) -> Option<Flaw> {
    let problem = || format!("it is too long: {longest} characters at most");
    // PostgreSQL keeps no NUL in a text, and nobody can say one.
    if text.contains('\0') {
        return Some(Flaw::new(field, "it must not hold a NUL character"));
    }
    (text.chars().count() > longest).then(|| Flaw::new(field, problem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known { stt: names(&["openai"]), llm: names(&["openai", "scripted"]), ..Known::default() }
    }

    fn flaws(settings: serde_json::Value) -> Vec<String> {
        let settings: ProfileSettings = serde_json::from_value(settings).expect("settings");
        let flaws = check_profile(Draft { settings: Some(&settings), ..Draft::default() }, &known());
        flaws.into_iter().map(|flaw| flaw.field).collect()
    }

    #[test]
    fn what_is_in_order_has_no_flaws() {
        let settings = serde_json::json!({
            "greeting": "Hello!", "language": "de-DE", "stt": "openai", "stt_model": "whisper-1",
            "llm_model": "gpt-4o", "voice": "alloy", "phrases": { "closed": "We are closed." },
            "turn": { "max_turns": 5 }, "tools": ["hang_up"],
            "hours": { "timezone": "Asia/Kolkata", "weekly": { "monday": [{ "from": "09:00", "to": "17:00" }] } },
        });
        assert_eq!(flaws(settings), [] as [&str; 0]);
    }

    #[test]
    fn every_flaw_is_named_at_once() {
        let settings = serde_json::json!({
            "greeting": "x".repeat(1_001), "language": "de_DE", "stt": "openai", "llm": "scripted",
            "llm_model": "gpt-4o", "tts": "crystal-ball", "tts_model": " ", "voice": "a\u{0}b",
            "phrases": { "hello": "x", "closed": "c" }, "turn": { "max_turns": 0, "commit_ms": 5000 },
            "tools": ["hang_up", "fly"], "hours": { "timezone": "Mars" },
        });
        let expected = [
            "settings.greeting",
            "settings.language",
            "settings.llm_model",
            "settings.tts",
            "settings.tts_model",
            "settings.voice",
            "settings.phrases.hello",
            "settings.turn.max_turns",
            "settings.turn.commit_ms",
            "settings.hours.timezone",
            "settings.tools.1",
        ];
        assert_eq!(flaws(settings), expected);
        let flaws =
            check_profile(Draft { name: Some(" "), system_prompt: Some(""), settings: None }, &known());
        assert_eq!(
            flaws.iter().map(|flaw| flaw.field.as_str()).collect::<Vec<_>>(),
            ["name", "system_prompt"]
        );
    }

    #[test]
    fn a_language_tag_has_a_form() {
        for tag in ["en", "de-DE", "zh-Hant-TW", "sr-Latn"] {
            assert_eq!(language(tag), None, "{tag}");
        }
        for tag in ["", "e", "de_DE", "de-", "1a", "de DE", "ü"] {
            assert!(language(tag).is_some(), "{tag:?}");
        }
    }
}
