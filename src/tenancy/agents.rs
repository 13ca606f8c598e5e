//! The settings of a profile for changes in mid-call: to another language, or to another agent.

use super::ProfileSettings;
use super::check::check_name;
use crate::language::Language;
use crate::names;
use crate::violation::Violation;

pub(super) const MOST_LANGUAGES: usize = 6;
pub(super) const MOST_AGENTS: usize = 10;

impl ProfileSettings {
    /// The language with which a conversation begins.
    pub fn first_language(&self) -> Option<&str> {
        self.languages.first().or(self.language.as_ref()).map(String::as_str)
    }

    /// The same agent in another of its languages. Greeting, phrases and menus of its own are in its first language, so that the
    /// others have the built-in phrases, and no menus.
    #[must_use]
    pub fn in_language(&self, tag: &str) -> ProfileSettings {
        let voice = self.voices.get(tag).cloned();
        let language = Some(tag.to_owned());
        if self.first_language() == Some(tag) {
            return ProfileSettings { language, voice: voice.or_else(|| self.voice.clone()), ..self.clone() };
        }
        ProfileSettings {
            language,
            voice,
            greeting: None,
            phrases: Default::default(),
            keypad_menus: Vec::new(),
            keypad_menu_key: None,
            ..self.clone()
        }
    }
}

/// Languages that cannot be used, or that the caller would not be understood in.
pub(super) fn language_violations(settings: &ProfileSettings) -> Vec<Violation> {
    let languages = &settings.languages;
    let mut violations = Vec::new();
    if languages.len() > MOST_LANGUAGES {
        violations.push(Violation::new("languages", format!("more than {MOST_LANGUAGES} languages")));
    }
    if settings.detect_language == Some(true) && languages.len() < 2 {
        violations.push(Violation::new("detect_language", "it needs two languages at least"));
    }
    let others = settings.language.is_some() && settings.language.as_ref() != languages.first();
    if others && !languages.is_empty() {
        let remedy = "put it first in languages, or remove it";
        violations.push(Violation::with_remedy("language", "it is not the first of languages", remedy));
    }
    for (at, tag) in languages.iter().take(MOST_LANGUAGES).enumerate() {
        let problem = if languages[..at].contains(tag) {
            Some("it is listed twice".to_owned())
        } else if let Err(error) = names::check_language(tag) {
            Some(error.to_string())
        } else {
            let lacks_phrases = at > 0 && !Language::is_built_in(tag);
            lacks_phrases.then(|| "only the first language may be one without built-in phrases".to_owned())
        };
        violations.extend(problem.map(|problem| Violation::new(format!("languages.{at}"), problem)));
    }
    let strangers = settings.voices.keys().filter(|tag| !languages.contains(tag));
    let problem = "it is none of languages";
    violations.extend(strangers.map(|tag| Violation::new(format!("voices.{tag}"), problem)));
    violations
}

/// Names of other profiles that cannot be such names.
pub(super) fn agent_violations(settings: &ProfileSettings) -> Vec<Violation> {
    let names = &settings.switch_to;
    let too_many = names.len() > MOST_AGENTS;
    let too_many = too_many.then(|| Violation::new("switch_to", format!("more than {MOST_AGENTS} profiles")));
    let faulty = names.iter().take(MOST_AGENTS).enumerate().filter_map(|(at, name)| {
        let field = format!("switch_to.{at}");
        let twice = names[..at].contains(name).then(|| Violation::new(&field, "it is listed twice"));
        twice.or_else(|| check_name(&field, name, super::check::LONGEST_NAME))
    });
    too_many.into_iter().chain(faulty).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(settings: Value) -> ProfileSettings {
        serde_json::from_value(settings).expect("settings")
    }

    #[test]
    fn another_language_has_its_own_voice_and_the_built_in_phrases() {
        let profile = settings(json!({
            "languages": ["en", "hi-IN", "de"], "voices": { "hi-IN": "asha" }, "voice": "slt", "greeting": "Hello.",
            "phrases": { "filler": "Hm." },
        }));
        assert_eq!(profile.first_language(), Some("en"));
        let english = profile.in_language("en");
        assert_eq!((english.voice.as_deref(), english.greeting.as_deref()), (Some("slt"), Some("Hello.")));
        let hindi = profile.in_language("hi-IN");
        assert_eq!((hindi.voice.as_deref(), hindi.language.as_deref()), (Some("asha"), Some("hi-IN")));
        assert_eq!((hindi.greeting, hindi.phrases.len()), (None, 0));
        assert_eq!(profile.in_language("de").voice, None, "the engine's own choice for German");
    }

    #[test]
    fn languages_that_cannot_work_are_violations() {
        let fields = |value| {
            let found = language_violations(&settings(value));
            found.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(json!({ "language": "en", "languages": ["en", "hi-IN"] })), [] as [&str; 0]);
        assert_eq!(fields(json!({ "language": "fi" })), [] as [&str; 0]);
        assert_eq!(fields(json!({ "language": "hi", "languages": ["en", "hi"] })), ["language"]);
        assert_eq!(fields(json!({ "languages": ["fi", "en"] })), [] as [&str; 0]);
        assert_eq!(fields(json!({ "languages": ["en", "fi"] })), ["languages.1"], "no phrases");
        assert_eq!(fields(json!({ "languages": ["en", "en", "../x"] })), ["languages.1", "languages.2"]);
        assert_eq!(fields(json!({ "languages": ["en"], "detect_language": true })), ["detect_language"]);
        assert_eq!(fields(json!({ "languages": ["en"], "voices": { "de": "x" } })), ["voices.de"]);
        let many = vec!["en"; 7];
        assert!(fields(json!({ "languages": many })).contains(&"languages".to_owned()));
    }

    #[test]
    fn names_of_other_profiles_are_bounded() {
        let fields = |names: Value| {
            let found = agent_violations(&settings(json!({ "switch_to": names })));
            found.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(json!(["sales", "Support & more"])), [] as [&str; 0]);
        assert_eq!(
            fields(json!(["sales", "sales", "", "a\nb"])),
            ["switch_to.1", "switch_to.2", "switch_to.3"]
        );
        let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        assert_eq!(fields(json!(many)), ["switch_to"]);
    }
}
