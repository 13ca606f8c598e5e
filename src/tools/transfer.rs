//! The tool `transfer`: the caller goes to one of the tenant's targets.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::arguments::parsed;
use crate::conversation::ToolAction;
use crate::engines::llm::ToolSpec;
use crate::tenancy::Tool;

/// The longest summary, in characters: some 30 seconds of speech.
const LONGEST_SUMMARY: usize = 400;

/// A target as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChoice {
    pub name: Arc<str>,
    /// When to choose it.
    pub description: Arc<str>,
    /// The agent's summary of the call reaches it.
    pub takes_summary: bool,
}

/// The specification names all targets, so that a model can choose no other one.
pub(super) fn spec(targets: &[TargetChoice]) -> ToolSpec {
    let lines: Vec<String> =
        targets.iter().map(|target| format!("{}: {}", target.name, target.description)).collect();
    let names: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
    let description = "Transfer the caller to a person or a queue, after the words of the same reply. Tell the caller \
        first. While a person is being called, the caller can press * to return to you. If the transfer fails, the caller \
        returns to you and the result says why.";
    let mut parameters = json!({
        "type": "object",
        "properties": { "target": {
            "type": "string", "enum": names,
            "description": format!("Where to transfer the caller. {}", lines.join(" ")),
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
    ToolSpec {
        name: Tool::Transfer.as_str().into(),
        description: description.into(),
        parameters: Arc::new(parameters),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    target: String,
    #[serde(default)]
    summary: Option<String>,
}

/// # Errors
/// For the model: the arguments cannot be read, or name no target of the list.
pub(super) fn read(arguments: &str, targets: &[TargetChoice]) -> Result<ToolAction, String> {
    let read: Arguments = parsed(arguments)?;
    let target = targets.iter().find(|target| *target.name == *read.target);
    let target = target.ok_or_else(|| "target: there is no such target".to_owned())?;
    Ok(ToolAction::Transfer { target: target.name.clone(), summary: read.summary.and_then(|it| tidied(&it)) })
}

/// A summary on one line, cut off after its last whole word that fits. `None` without words.
fn tidied(summary: &str) -> Option<Arc<str>> {
    let words = summary.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut text = String::new();
    let mut length = 0;
    for word in words {
        length += word.chars().count() + 1;
        if length > LONGEST_SUMMARY + 1 {
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
        let target =
            |name: &str| TargetChoice { name: name.into(), description: description.clone(), takes_summary };
        vec![target("shop"), target("a-1")]
    }

    #[test]
    fn the_specification_lists_the_targets() {
        let spec = spec(&targets());
        assert_eq!(spec.parameters["properties"]["target"]["enum"], json!(["shop", "a-1"]));
        assert_eq!(spec.parameters["required"], json!(["target"]));
        let transfer = ToolAction::Transfer { target: "shop".into(), summary: None };
        assert_eq!(read(r#"{"target":"shop"}"#, &targets()), Ok(transfer));
        for wrong in
            ["", "{}", r#"{"target":"SHOP"}"#, r#"{"target":"shop","number":"+49"}"#, r#"{"target":7}"#]
        {
            assert!(read(wrong, &targets()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_summary_is_bounded_and_one_line() {
        let warm = |target| TargetChoice { takes_summary: true, ..target };
        let targets: Vec<_> = targets().into_iter().map(warm).collect();
        let spec = spec(&targets);
        assert_eq!(spec.parameters["required"], json!(["target", "summary"]));
        let summary = |text: &str| {
            let arguments = json!({ "target": "shop", "summary": text }).to_string();
            match read(&arguments, &targets) {
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
        assert_eq!(read(r#"{"target":"shop"}"#, &targets).map(|_| ()), Ok(()));
    }

    /// A million names, of the characters that names have and others.
    #[test]
    fn no_other_name_is_a_target() {
        const CHARACTERS: &[u8] = b"shopa1-+@/&,$ SP";
        let (targets, mut random) = (targets(), SmallRng::seed_from_u64(14));
        for _ in 0..1_000_000 {
            let length = random.random_range(0..6);
            let character = |_| char::from(CHARACTERS[random.random_range(0..CHARACTERS.len())]);
            let name: String = (0..length).map(character).collect();
            let is_listed = targets.iter().any(|target| *target.name == *name);
            let arguments = format!(r#"{{"target":"{name}"}}"#);
            assert_eq!(read(&arguments, &targets).is_ok(), is_listed, "{name}");
        }
    }
}
