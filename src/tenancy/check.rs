//! Checks a profile before it is saved. Reports all violations at once.

use super::{AnalysisSettings, Permitted, ProfileSettings, Tool};
use crate::conversation::Phrase;
use crate::violation::Violation;

/// The most characters of a tenant's name.
pub const LONGEST_TENANT_NAME: usize = 200;
pub(super) const LONGEST_NAME: usize = 200;
const LONGEST_PROMPT: usize = 50_000;
pub(super) const LONGEST_PHRASE: usize = 1_000;
/// Bounds of key terms and pronunciations.
pub(super) const MOST_TERMS: usize = 100;
pub(super) const MOST_WORDS: usize = 200;
pub(super) const LONGEST_TERM: usize = 50;
pub(super) const LONGEST_SPOKEN: usize = 100;

/// Checks a text of one line that people give a resource, such as its name: not empty, of at most `longest` characters, and
/// without control characters.
pub fn check_name(field: &str, name: &str, longest: usize) -> Option<Violation> {
    required(field, name, longest, LineBreaks::Refused)
}

/// Checks a name of a profile.
pub fn check_profile_name(name: &str) -> Option<Violation> {
    check_name("name", name, LONGEST_NAME)
}

/// Checks a remark of one line, which may be empty.
pub fn check_remark(field: &str, remark: &str, longest: usize) -> Option<Violation> {
    text(field, remark, longest, LineBreaks::Refused)
}

/// Checks a remark that may have several lines.
pub fn check_comment(field: &str, comment: &str, longest: usize) -> Option<Violation> {
    text(field, comment, longest, LineBreaks::Allowed)
}

/// Changes of a profile; an absent field is unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    pub name: Option<&'a str>,
    pub system_prompt: Option<&'a str>,
    pub settings: Option<&'a ProfileSettings>,
}

/// All violations of a draft.
pub fn check_profile(draft: Draft<'_>, permitted: &Permitted) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(draft.name.and_then(check_profile_name));
    let prompt = draft.system_prompt;
    violations
        .extend(prompt.and_then(|text| required("system_prompt", text, LONGEST_PROMPT, LineBreaks::Allowed)));
    let settings =
        draft.settings.map(|settings| settings_violations(settings, permitted)).unwrap_or_default();
    violations.extend(settings.into_iter().map(|violation| violation.below("settings")));
    violations
}

fn settings_violations(settings: &ProfileSettings, permitted: &Permitted) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(
        settings.greeting.as_deref().and_then(|it| text("greeting", it, LONGEST_PHRASE, LineBreaks::Allowed)),
    );
    violations.extend(permitted.name_violations(settings));
    violations.extend(engines(settings, permitted));
    violations.extend(permitted.account_violations(settings));
    let analysis = settings.analysis.as_ref();
    violations.extend(analysis.and_then(|_| permitted.analysis_account_violation(settings)));
    violations.extend(phrases(settings));
    let turn_settings = permitted.turn_settings.clone().with(&settings.turn);
    violations.extend(turn_settings.violations().into_iter().map(|violation| violation.below("turn")));
    violations.extend(permitted.ceiling_violations(settings));
    let no_tokens = settings.max_reply_tokens == Some(0);
    violations
        .extend(no_tokens.then(|| Violation::new("max_reply_tokens", "0 is too few; set it to 1 or more")));
    let hours = settings.hours.as_ref().and_then(|hours| hours.schedule().err()).unwrap_or_default();
    violations.extend(hours.into_iter().map(|violation| violation.below("hours")));
    violations.extend(tools(settings));
    violations.extend(super::agents::language_violations(settings));
    violations.extend(super::agents::agent_violations(settings));
    violations.extend(super::http_tool::violations(&settings.http_tools));
    violations.extend(super::mcp_server::violations(&settings.mcp_servers, &settings.http_tools));
    violations.extend(super::variables::check_declared(&settings.variables));
    violations.extend(super::keypad_menu::violations(settings, turn_settings.dtmf));
    violations.extend(key_terms(settings));
    violations.extend(pronunciations(settings));
    violations.extend(settings.analysis.as_ref().map(AnalysisSettings::violations).unwrap_or_default());
    violations
}

fn engines(settings: &ProfileSettings, permitted: &Permitted) -> Vec<Violation> {
    let chosen = [
        ("stt", &settings.stt, &permitted.stt),
        ("llm", &settings.llm, &permitted.llm),
        ("tts", &settings.tts, &permitted.tts),
        ("realtime", &settings.realtime, &permitted.realtime),
        ("analysis.llm", settings.analysis.as_ref().map_or(&None, |it| &it.llm), &permitted.llm),
    ];
    let unknown = chosen.into_iter().filter_map(|(kind, named, engines)| {
        let name = named.as_ref().filter(|name| engines.iter().all(|it| it.engine != **name))?;
        let known: Vec<&str> = engines.iter().map(|it| it.engine.as_str()).collect();
        let remedy = match known.is_empty() {
            true => "the daemon has none of this kind".to_owned(),
            false => format!("choose one of {}", known.join(", ")),
        };
        Some(Violation::new(kind, format!("there is no engine {name:?}: {remedy}")))
    });
    unknown.collect()
}

fn phrases(settings: &ProfileSettings) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, words) in &settings.phrases {
        let field = format!("phrases.{name}");
        if Phrase::NAMES.iter().any(|(_, known)| known == name) {
            violations.extend(text(&field, words, LONGEST_PHRASE, LineBreaks::Allowed));
        } else {
            let known: Vec<&str> = Phrase::NAMES.iter().map(|(_, known)| *known).collect();
            violations.push(Violation::new(
                field,
                format!("there is no such phrase: use one of {}", known.join(", ")),
            ));
        }
    }
    violations
}

fn tools(settings: &ProfileSettings) -> Vec<Violation> {
    let named = settings.tools.iter().enumerate();
    let unknown = named.filter_map(|(at, name)| Some((at, name.parse::<Tool>().err()?)));
    unknown.map(|(at, error)| Violation::new(format!("tools.{at}"), error.to_string())).collect()
}

fn key_terms(settings: &ProfileSettings) -> Vec<Violation> {
    let terms = &settings.key_terms;
    let too_many = terms.len() > MOST_TERMS;
    let too_many = too_many.then(|| Violation::new("key_terms", format!("more than {MOST_TERMS} terms")));
    let faulty = terms.iter().take(MOST_TERMS).enumerate();
    let faulty = faulty.filter_map(|(at, term)| check_name(&format!("key_terms.{at}"), term, LONGEST_TERM));
    too_many.into_iter().chain(faulty).collect()
}

fn pronunciations(settings: &ProfileSettings) -> Vec<Violation> {
    let words = &settings.pronunciations;
    let too_many = words.len() > MOST_WORDS;
    let too_many =
        too_many.then(|| Violation::new("pronunciations", format!("more than {MOST_WORDS} words")));
    let faulty = words.iter().take(MOST_WORDS).filter_map(|(word, spoken)| {
        check_name("pronunciations", word, LONGEST_TERM)
            .or_else(|| check_name(&format!("pronunciations.{word}"), spoken, LONGEST_SPOKEN))
    });
    too_many.into_iter().chain(faulty).collect()
}

/// The control characters that a text may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineBreaks {
    /// None.
    Refused,
    /// Line breaks and tabs.
    Allowed,
}

pub(super) fn required(
    field: &str,
    content: &str,
    longest: usize,
    line_breaks: LineBreaks,
) -> Option<Violation> {
    let empty = content.trim().is_empty();
    empty
        .then(|| Violation::new(field, "it must not be empty"))
        .or_else(|| text(field, content, longest, line_breaks))
}

pub(super) fn text(field: &str, content: &str, longest: usize, line_breaks: LineBreaks) -> Option<Violation> {
    let is_refused =
        |c: char| c.is_control() && !(line_breaks == LineBreaks::Allowed && matches!(c, '\n' | '\r' | '\t'));
    if let Some(control) = content.chars().find(|c| is_refused(*c)) {
        let code = u32::from(control);
        return Some(Violation::new(
            field,
            format!("it contains the control character U+{code:04X}: remove it"),
        ));
    }
    let too_long = content.chars().count() > longest;
    too_long.then(|| Violation::new(field, format!("it is too long: {longest} characters at most")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::{EngineNames, Names};

    fn permitted() -> Permitted {
        let openai = |models: &[&str], voices| EngineNames::new("openai", Names::listed(models), voices);
        Permitted {
            stt: vec![openai(&["whisper-1"], Names::None)],
            llm: vec![
                openai(&["gpt-5.4-mini", "gpt-5.6-sol"], Names::None),
                EngineNames::new("scripted", Names::None, Names::None),
            ],
            tts: vec![openai(&["tts-1"], Names::Token)],
            ..Permitted::default()
        }
    }

    fn violations(settings: serde_json::Value) -> Vec<String> {
        let settings: ProfileSettings = serde_json::from_value(settings).expect("settings");
        let violations = check_profile(Draft { settings: Some(&settings), ..Draft::default() }, &permitted());
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn what_is_in_order_has_no_violations() {
        let settings = serde_json::json!({
            "greeting": "Hello!", "language": "de-DE", "stt": "openai", "stt_model": "whisper-1",
            "llm_model": "gpt-5.6-sol", "voice": "alloy", "phrases": { "closed": "We are closed." },
            "turn": { "max_turns": 5 }, "tools": ["end_call"],
            "hours": { "timezone": "Asia/Kolkata", "weekly": { "monday": [{ "from": "09:00", "to": "17:00" }] } },
        });
        assert_eq!(violations(settings), [] as [&str; 0]);
    }

    #[test]
    fn every_violation_is_named_at_once() {
        let settings = serde_json::json!({
            "greeting": "x".repeat(1_001), "language": "de_DE", "stt": "openai", "llm": "scripted",
            "llm_model": "gpt-5.6-sol", "tts": "crystal-ball", "tts_model": " ", "voice": "a\u{0}b",
            "phrases": { "hello": "x", "closed": "c" }, "turn": { "max_turns": 0, "commit_ms": 5000 },
            "tools": ["end_call", "fly"], "hours": { "timezone": "Mars" },
        });
        let expected = [
            "settings.greeting",
            "settings.language",
            "settings.llm_model",
            "settings.tts_model",
            "settings.voice",
            "settings.tts",
            "settings.phrases.hello",
            "settings.turn.max_turns",
            "settings.turn.commit_ms",
            "settings.hours.timezone",
            "settings.tools.1",
        ];
        assert_eq!(violations(settings), expected);
        let violations =
            check_profile(Draft { name: Some(" "), system_prompt: Some(""), settings: None }, &permitted());
        assert_eq!(
            violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(),
            ["name", "system_prompt"]
        );
    }

    #[test]
    fn names_that_an_engine_does_not_accept_are_violations() {
        let settings = serde_json::json!({
            "voice": "http://127.0.0.1:6379/x\r\nFLUSHALL\r\n", "llm_model": "gpt-5-pro", "stt_model": "../x",
            "tts_model": "tts-1\n", "language": "../../etc/passwd",
        });
        let expected = ["language", "stt_model", "llm_model", "tts_model", "voice"];
        assert_eq!(violations(settings), expected.map(|field| format!("settings.{field}")));
    }

    #[test]
    fn limits_above_the_operators_are_violations_that_name_them() {
        let settings = serde_json::json!({
            "max_reply_tokens": 501, "turn": { "max_turns": 501, "max_duration_ms": 3_600_001 },
        });
        let settings: ProfileSettings = serde_json::from_value(settings).expect("settings");
        let found = check_profile(Draft { settings: Some(&settings), ..Draft::default() }, &permitted());
        let found: Vec<_> =
            found.iter().map(|violation| (violation.field.as_str(), violation.problem.as_str())).collect();
        let problem = |wanted: u32, key: &str, most: u32| {
            format!("{wanted} is above the operator's limit, profiles.{key}: set it to {most} or less")
        };
        let expected = [
            ("settings.turn.max_turns", problem(501, "max_turns", 500)),
            ("settings.turn.max_duration_ms", problem(3_600_001, "max_duration_ms", 3_600_000)),
            ("settings.max_reply_tokens", problem(501, "max_reply_tokens", 500)),
        ];
        assert_eq!(found, expected.each_ref().map(|(field, problem)| (*field, problem.as_str())));
        assert_eq!(violations(serde_json::json!({ "max_reply_tokens": 0 })), ["settings.max_reply_tokens"]);
    }

    #[test]
    fn only_texts_may_have_line_breaks() {
        let texts =
            serde_json::json!({ "greeting": "Hello.\r\n\tWelcome.", "phrases": { "closed": "a\nb" } });
        assert_eq!(violations(texts), [] as [&str; 0]);
        let hints = serde_json::json!({ "key_terms": ["Huber", "a\nb", " "], "pronunciations": { "Huber": "", "b": "c" } });
        let fields = ["settings.key_terms.1", "settings.key_terms.2", "settings.pronunciations.Huber"];
        assert_eq!(violations(hints), fields);
        let escapes = serde_json::json!({ "greeting": "\u{1b}[2J", "phrases": { "closed": "a\u{85}b" } });
        assert_eq!(violations(escapes), ["settings.greeting", "settings.phrases.closed"]);
        let draft = Draft { name: Some("a\nb"), system_prompt: Some("a\n\tb"), settings: None };
        let found = check_profile(draft, &permitted());
        assert_eq!(found, [Violation::new("name", "it contains the control character U+000A: remove it")]);
    }

    proptest! {
        #[test]
        fn a_name_with_a_control_character_is_a_violation(before in "[a-z]{0,5}", control in "[\\x00-\\x1f\\x7f]",
                                                     after in "[a-z]{0,5}") {
            let name = format!("{before}{control}{after}");
            let settings: ProfileSettings = serde_json::from_value(serde_json::json!({
                "voice": name, "stt_model": name, "llm_model": name, "tts_model": name, "language": name,
                "stt": name, "llm": name, "tts": name, "tools": [name],
            })).expect("settings");
            let draft = Draft { name: Some(&name), system_prompt: None, settings: Some(&settings) };
            prop_assert_eq!(check_profile(draft, &permitted()).len(), 10);
        }
    }

    #[test]
    fn the_examples_of_the_documents_are_sound() {
        let profile: serde_json::Value =
            serde_json::from_str(include_str!("../../docs/examples/bakery.json")).expect("JSON");
        assert_eq!(violations(profile["settings"].clone()), [""; 0]);
        let draft = Draft { system_prompt: profile["system_prompt"].as_str(), ..Draft::default() };
        assert_eq!(check_profile(draft, &permitted()), []);
        let documents = [include_str!("../../docs/tools.md"), include_str!("../../docs/keypad.md")];
        let blocks = documents.iter().flat_map(|document| document.split("```json\n").skip(1));
        let examples: Vec<&str> = blocks.filter_map(|block| block.split("```").next()).collect();
        assert!(examples.len() >= 3);
        for example in examples {
            assert_eq!(violations(serde_json::from_str(example).expect("JSON")), [""; 0], "{example}");
        }
    }
}
