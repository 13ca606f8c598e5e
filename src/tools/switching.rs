//! The tools `switch_agent` and `set_language`: another agent, or the same one in another language, goes on with the call.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::parsed;
use crate::conversation::{AgentChoice, ToolAction};
use crate::engines::llm::ToolSpec;
use crate::language::Language;
use crate::tenancy::{ProfileSettings, Tool};

/// The longest reason for a change, in characters.
const LONGEST_REASON: usize = 300;

/// The specification of one of the two tools; `None` where the profile has nothing to change to.
pub(super) fn spec(tool: Tool, settings: &ProfileSettings) -> Option<ToolSpec> {
    let (description, parameters) = match tool {
        Tool::SwitchAgent if !settings.switch_to.is_empty() => switch_agent(&settings.switch_to),
        Tool::SetLanguage if settings.languages.len() > 1 => set_language(&settings.languages),
        _ => return None,
    };
    let (name, description) = (tool.as_str().into(), description.into());
    Some(ToolSpec { name, description, parameters: Arc::new(parameters) })
}

fn switch_agent(agents: &[String]) -> (&'static str, Value) {
    let description = "Let another agent go on with this call, after the words of the same reply. It knows the conversation so \
                       far. Do not answer for it.";
    let parameters = json!({
        "type": "object",
        "properties": {
            "agent": { "type": "string", "enum": agents },
            "reason": { "type": "string", "maxLength": LONGEST_REASON,
                "description": "What the caller wants of the other agent, in one sentence." },
        },
        "required": ["agent", "reason"], "additionalProperties": false,
    });
    (description, parameters)
}

fn set_language(languages: &[String]) -> (&'static str, Value) {
    let name = |tag: &String| format!("{tag}: {}", Language::of(Some(tag)).name);
    let names: Vec<String> = languages.iter().map(name).collect();
    let description = "Continue this call in another language, when the caller speaks it or asks for it. Say nothing before this \
                       call; after it, answer in the new language.";
    let parameters = json!({
        "type": "object",
        "properties": { "language": {
            "type": "string", "enum": languages, "description": names.join(", "),
        } },
        "required": ["language"], "additionalProperties": false,
    });
    (description, parameters)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchAgent {
    agent: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLanguage {
    language: String,
}

/// Reads a call of `switch_agent` to one of these agents.
///
/// # Errors
/// For the model: the arguments cannot be read, or name no agent of the list.
pub(super) fn agent(arguments: &str, agents: &[String]) -> Result<ToolAction, String> {
    let SwitchAgent { agent, reason } = parsed(arguments)?;
    let name = agents.iter().find(|known| **known == agent).ok_or("agent: there is no such agent")?;
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    let to = AgentChoice::Agent { name: name.as_str().into(), reason: reason.into() };
    Ok(ToolAction::ChangeAgent(to))
}

/// Reads a call of `set_language` to one of these languages.
///
/// # Errors
/// For the model: the arguments cannot be read, or name no language of the list.
pub(super) fn language(arguments: &str, languages: &[String]) -> Result<ToolAction, String> {
    let SetLanguage { language } = parsed(arguments)?;
    let tag = languages.iter().find(|known| **known == language);
    let tag = tag.ok_or("language: it is none of the languages of this agent")?;
    Ok(ToolAction::ChangeAgent(AgentChoice::Language { tag: tag.as_str().into() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> ProfileSettings {
        let settings = json!({
            "switch_to": ["sales", "Support"], "languages": ["en", "hi-IN"], "tools": ["switch_agent", "set_language"],
        });
        serde_json::from_value(settings).expect("settings")
    }

    #[test]
    fn the_specifications_list_the_choices() {
        let agents = spec(Tool::SwitchAgent, &settings()).expect("a tool");
        assert_eq!(agents.parameters["properties"]["agent"]["enum"], json!(["sales", "Support"]));
        let languages = spec(Tool::SetLanguage, &settings()).expect("a tool");
        let language = &languages.parameters["properties"]["language"];
        assert_eq!(language["enum"], json!(["en", "hi-IN"]));
        assert_eq!(language["description"], "en: English, hi-IN: Hindi");
        let one = ProfileSettings { languages: vec!["en".to_owned()], ..ProfileSettings::default() };
        assert_eq!(spec(Tool::SetLanguage, &one), None);
        assert_eq!(spec(Tool::SwitchAgent, &one), None);
    }

    #[test]
    fn only_listed_agents_and_languages_are_chosen() {
        let ProfileSettings { switch_to, languages, .. } = settings();
        let long = "x".repeat(400);
        let chosen = agent(&json!({ "agent": "sales", "reason": long }).to_string(), &switch_to);
        let Ok(ToolAction::ChangeAgent(AgentChoice::Agent { name, reason })) = chosen else {
            panic!("{chosen:?}")
        };
        assert_eq!((&*name, reason.len()), ("sales", LONGEST_REASON));
        let hindi = AgentChoice::Language { tag: "hi-IN".into() };
        assert_eq!(language(r#"{"language":"hi-IN"}"#, &languages), Ok(ToolAction::ChangeAgent(hindi)));
        for wrong in [
            "",
            "{}",
            r#"{"agent":"SALES","reason":""}"#,
            r#"{"agent":"sales","tenant":"x"}"#,
            r#"{"agent":1}"#,
        ] {
            assert!(agent(wrong, &switch_to).is_err(), "{wrong}");
        }
        for wrong in ["", "{}", r#"{"language":"hi"}"#, r#"{"language":"fr"}"#, r#"{"language":["en"]}"#] {
            assert!(language(wrong, &languages).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_other_name_is_an_agent(name: String, arguments: String) {
            let agents = settings().switch_to;
            let named = json!({ "agent": name, "reason": "" }).to_string();
            prop_assert_eq!(agent(&named, &agents).is_ok(), agents.contains(&name));
            let _ = agent(&arguments, &agents);
            let _ = language(&arguments, &agents);
        }
    }
}
