//! The tools `transfer`, `queue` and `voicemail`: the caller goes to one of the tenant's targets.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::arguments::parsed;
use crate::conversation::ToolAction;
use crate::engines::llm::ToolSpec;
use crate::tenancy::{ProfileSettings, TargetKind, Tool};

/// The tools that lead to targets, in the order in which the model reads them.
const TARGET_TOOLS: [Tool; 3] = [Tool::Transfer, Tool::Queue, Tool::Voicemail];

/// The longest summary, in characters: some 30 seconds of speech.
const LONGEST_SUMMARY: usize = 400;

/// A target as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChoice {
    pub name: Arc<str>,
    pub kind: TargetKind,
    /// When to choose it.
    pub description: Arc<str>,
    /// The agent's summary of the call reaches it.
    pub takes_summary: bool,
}

/// The tools that lead a caller to a target, each with the targets that it offers.
#[derive(Debug, Clone, Default)]
pub struct TargetTools(Vec<(Tool, Vec<TargetChoice>)>);

impl TargetTools {
    /// Queues and mailboxes belong to the tools of their own, where the profile has these, and to `transfer` otherwise.
    pub fn new(settings: &ProfileSettings, targets: Vec<TargetChoice>) -> TargetTools {
        let tool_of = |choice: &TargetChoice| {
            let own = match choice.kind {
                TargetKind::Queue => Some(Tool::Queue),
                TargetKind::Voicemail => Some(Tool::Voicemail),
                TargetKind::Extension | TargetKind::Number | TargetKind::Sip | TargetKind::Http => None,
            };
            own.filter(|tool| settings.may(*tool)).unwrap_or(Tool::Transfer)
        };
        let offered = TARGET_TOOLS.into_iter().filter(|tool| settings.may(*tool));
        let tools = offered.map(|tool| {
            let choices = targets.iter().filter(|choice| tool_of(choice) == tool);
            (tool, choices.cloned().collect::<Vec<_>>())
        });
        TargetTools(tools.filter(|(_, choices)| !choices.is_empty()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn specs(&self) -> impl Iterator<Item = ToolSpec> {
        self.0.iter().map(|(tool, targets)| spec(*tool, targets))
    }

    /// # Errors
    /// For the model: the arguments cannot be read, or name no target of the tool.
    pub(super) fn read(&self, tool: Tool, arguments: &str) -> Result<ToolAction, String> {
        let targets = self.0.iter().find(|(it, _)| *it == tool).map_or(&[][..], |(_, targets)| targets);
        read(tool, arguments, targets)
    }
}

/// The specification names all targets, so that a model can choose no other one.
fn spec(tool: Tool, targets: &[TargetChoice]) -> ToolSpec {
    let lines: Vec<String> =
        targets.iter().map(|target| format!("{}: {}", target.name, target.description)).collect();
    let names: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
    let (description, place) = match tool {
        Tool::Queue => (
            "Put the caller into a queue, where they wait for a person, after the words of the same reply. Tell the caller \
             first. Your part of the call ends.",
            "The queue.",
        ),
        Tool::Voicemail => (
            "Let the caller leave a message in a mailbox, after the words of the same reply. Tell the caller first. Your part \
             of the call ends.",
            "The mailbox.",
        ),
        _ => (
            "Transfer the caller to a person or a queue, after the words of the same reply. Tell the caller first. While a \
             person is being called, the caller can press * to return to you. If the transfer fails, the caller returns to \
             you and the result says why.",
            "Where to transfer the caller.",
        ),
    };
    let mut parameters = json!({
        "type": "object",
        "properties": { "target": {
            "type": "string", "enum": names, "description": format!("{place} {}", lines.join(" ")),
        } },
        "required": ["target"], "additionalProperties": false,
    });
    if targets.iter().any(|target| target.takes_summary) {
        parameters["properties"]["summary"] = json!({
            "type": "string", "maxLength": LONGEST_SUMMARY,
            "description": "Who calls and why, in one or two sentences of the conversation's language. It is for the \
                person who takes the call. The caller does not hear it.",
        });
        parameters["required"] = json!(["target", "summary"]);
    }
    ToolSpec { name: tool.as_str().into(), description: description.into(), parameters: Arc::new(parameters) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    summary: Option<String>,
}

/// Models leave out the only queue or mailbox that there is.
fn read(tool: Tool, arguments: &str, targets: &[TargetChoice]) -> Result<ToolAction, String> {
    let read: Arguments = if arguments.trim().is_empty() { parsed("{}")? } else { parsed(arguments)? };
    let target = match (&read.target, targets) {
        (Some(name), _) => targets.iter().find(|target| *target.name == **name),
        (None, [only]) if tool != Tool::Transfer => Some(only),
        (None, _) => None,
    };
    let target = target.ok_or_else(|| "target: there is no such target".to_owned())?;
    Ok(ToolAction::Transfer { target: target.name.clone(), summary: read.summary.and_then(|it| tidied(&it)) })
}

/// A summary on one line, cut off after its last whole word that fits, or within its first one. `None` without words.
fn tidied(summary: &str) -> Option<Arc<str>> {
    let words = summary.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut text = String::new();
    let mut length = 0;
    for word in words {
        length += word.chars().count() + 1;
        if length > LONGEST_SUMMARY + 1 {
            if text.is_empty() {
                text.extend(word.chars().take(LONGEST_SUMMARY));
            }
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn targets() -> Vec<TargetChoice> {
        let (description, takes_summary): (Arc<str>, _) = ("People.".into(), false);
        let kind = TargetKind::Extension;
        let target = |name: &str| TargetChoice {
            name: name.into(),
            kind,
            description: description.clone(),
            takes_summary,
        };
        vec![target("shop"), target("a-1")]
    }

    #[test]
    fn the_specification_lists_the_targets() {
        let spec = spec(Tool::Transfer, &targets());
        assert_eq!(spec.parameters["properties"]["target"]["enum"], json!(["shop", "a-1"]));
        assert_eq!(spec.parameters["required"], json!(["target"]));
        let transfer = ToolAction::Transfer { target: "shop".into(), summary: None };
        assert_eq!(read(Tool::Transfer, r#"{"target":"shop"}"#, &targets()), Ok(transfer));
        for wrong in
            ["", "{}", r#"{"target":"SHOP"}"#, r#"{"target":"shop","number":"+49"}"#, r#"{"target":7}"#]
        {
            assert!(read(Tool::Transfer, wrong, &targets()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn queues_and_mailboxes_have_tools_of_their_own() {
        let of_kind = |name: &str, kind| TargetChoice { name: name.into(), kind, ..targets()[0].clone() };
        let all = vec![
            of_kind("shop", TargetKind::Extension),
            of_kind("reception", TargetKind::Queue),
            of_kind("box", TargetKind::Voicemail),
            of_kind("night-box", TargetKind::Voicemail),
        ];
        let tools = |names: &[&str]| {
            let tools = names.iter().map(|name| (*name).to_owned()).collect();
            TargetTools::new(&ProfileSettings { tools, ..ProfileSettings::default() }, all.clone())
        };
        let offers = |names: &[&str]| -> Vec<(String, serde_json::Value)> {
            let tools = tools(names);
            let targets = |spec: &ToolSpec| spec.parameters["properties"]["target"]["enum"].clone();
            tools.specs().map(|spec| (spec.name.to_string(), targets(&spec))).collect()
        };
        let offer = |name: &str, targets: serde_json::Value| (name.to_owned(), targets);
        assert!(offers(&["end_call"]).is_empty());
        assert_eq!(offers(&["queue"]), [offer("queue", json!(["reception"]))]);
        let everything = json!(["shop", "reception", "box", "night-box"]);
        assert_eq!(offers(&["transfer"]), [offer("transfer", everything)]);
        let expected = [
            offer("transfer", json!(["shop"])),
            offer("queue", json!(["reception"])),
            offer("voicemail", json!(["box", "night-box"])),
        ];
        assert_eq!(offers(&["voicemail", "queue", "transfer"]), expected);
        let tools = tools(&["queue", "voicemail"]);
        let to = |name: &str| Ok(ToolAction::Transfer { target: name.into(), summary: None });
        assert_eq!(tools.read(Tool::Queue, ""), to("reception"), "the only one");
        assert_eq!(tools.read(Tool::Queue, "{}"), to("reception"));
        assert_eq!(tools.read(Tool::Voicemail, r#"{"target":"night-box"}"#), to("night-box"));
        for (tool, arguments) in [
            (Tool::Voicemail, "{}"),
            (Tool::Voicemail, r#"{"target":"reception"}"#),
            (Tool::Queue, r#"{"target":"shop"}"#),
            (Tool::Transfer, r#"{"target":"shop"}"#),
            (Tool::Transfer, "{}"),
        ] {
            assert!(tools.read(tool, arguments).is_err(), "{tool} {arguments}");
        }
    }

    #[test]
    fn a_summary_is_bounded_and_one_line() {
        let warm = |target| TargetChoice { takes_summary: true, ..target };
        let targets: Vec<_> = targets().into_iter().map(warm).collect();
        let spec = spec(Tool::Transfer, &targets);
        assert_eq!(spec.parameters["required"], json!(["target", "summary"]));
        let summary = |text: &str| {
            let arguments = json!({ "target": "shop", "summary": text }).to_string();
            match read(Tool::Transfer, &arguments, &targets) {
                Ok(ToolAction::Transfer { summary, .. }) => summary,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            summary("Ms Ito\r\nX-Evil: 1\u{7}  late order").as_deref(),
            Some("Ms Ito X-Evil: 1 late order")
        );
        assert_eq!(summary(" \n"), None);
        let exact = "x".repeat(LONGEST_SUMMARY);
        assert_eq!(summary(&exact).as_deref(), Some(&*exact));
        assert_eq!(summary(&format!("one {exact}")).as_deref(), Some("one"));
        assert_eq!(
            summary(&format!("{exact}y and more")).as_deref(),
            Some(&*exact),
            "a script without spaces"
        );
        assert_eq!(read(Tool::Transfer, r#"{"target":"shop"}"#, &targets).map(|_| ()), Ok(()));
    }

    /// A million calls of the tools, with names of the characters that names have and others, and other arguments.
    #[test]
    fn no_call_leads_to_another_target() {
        const CHARACTERS: &[u8] = b"shopa1-+@/&,$ SP";
        let of_kind = |name: &str, kind| TargetChoice { name: name.into(), kind, ..targets()[0].clone() };
        let mut all = targets();
        all.extend([of_kind("po", TargetKind::Queue), of_kind("so", TargetKind::Voicemail)]);
        let settings = json!({ "tools": ["transfer", "queue", "voicemail"] });
        let settings = serde_json::from_value(settings).expect("settings");
        let (tools, mut random) = (TargetTools::new(&settings, all), SmallRng::seed_from_u64(14));
        for _ in 0..1_000_000 {
            let (tool, targets) = &tools.0[random.random_range(0..tools.0.len())];
            let length = random.random_range(0..6);
            let character = |_| char::from(CHARACTERS[random.random_range(0..CHARACTERS.len())]);
            let name: String = (0..length).map(character).collect();
            let arguments = match random.random_range(0..8) {
                0 => format!(r#"{{"target":"{name}","summary":"{name}"}}"#),
                1 => format!(r#"{{"number":"{name}"}}"#),
                2 => format!(r#"{{"target":["{name}"]}}"#),
                3 => format!(r#"{{"summary":"{name}"}}"#),
                4 => name.clone(),
                _ => format!(r#"{{"target":"{name}"}}"#),
            };
            let Ok(action) = tools.read(*tool, &arguments) else { continue };
            let ToolAction::Transfer { target, .. } = action else { panic!("{action:?}") };
            let names_it = arguments.contains(&format!(r#""target":"{target}""#));
            let is_only = *tool != Tool::Transfer && !arguments.contains("target");
            assert!(targets.iter().any(|it| it.name == target) && (names_it || is_only), "{arguments}");
        }
        for (tool, targets) in &tools.0 {
            for target in targets {
                assert!(tools.read(*tool, &format!(r#"{{"target":"{}"}}"#, target.name)).is_ok());
            }
        }
    }
}
