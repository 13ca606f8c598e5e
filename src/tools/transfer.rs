//! The tool `transfer`: the caller goes to one of the tenant's targets.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::conversation::ToolAction;
use crate::engines::llm::ToolSpec;
use crate::tenancy::Tool;

/// A target as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChoice {
    pub name: Arc<str>,
    /// When to choose it.
    pub description: Arc<str>,
}

/// The specification names all targets, so that a model can choose no other one.
pub(super) fn spec(targets: &[TargetChoice]) -> ToolSpec {
    let lines: Vec<String> =
        targets.iter().map(|target| format!("{}: {}", target.name, target.description)).collect();
    let names: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
    let description = "Transfer the caller to a person or a queue, after the words of the same reply. Tell the caller \
        first. If the transfer fails, the caller returns to you and the result says why.";
    let parameters = json!({
        "type": "object",
        "properties": { "target": {
            "type": "string", "enum": names,
            "description": format!("Where to transfer the caller. {}", lines.join(" ")),
        } },
        "required": ["target"], "additionalProperties": false,
    });
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
}

/// # Errors
/// For the model: the arguments cannot be read, or name no target of the list.
pub(super) fn read(arguments: &str, targets: &[TargetChoice]) -> Result<ToolAction, String> {
    let read: Arguments =
        serde_json::from_str(arguments).map_err(|error| format!("the arguments cannot be read: {error}"))?;
    let target = targets.iter().find(|target| *target.name == *read.target);
    let target = target.ok_or_else(|| "target: there is no such target".to_owned())?;
    Ok(ToolAction::Transfer { target: target.name.clone() })
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn targets() -> Vec<TargetChoice> {
        let target = |name: &str| TargetChoice { name: name.into(), description: "People.".into() };
        vec![target("shop"), target("a-1")]
    }

    #[test]
    fn the_specification_lists_the_targets() {
        let spec = spec(&targets());
        assert_eq!(spec.parameters["properties"]["target"]["enum"], json!(["shop", "a-1"]));
        let transfer = ToolAction::Transfer { target: "shop".into() };
        assert_eq!(read(r#"{"target":"shop"}"#, &targets()), Ok(transfer));
        for wrong in
            ["", "{}", r#"{"target":"SHOP"}"#, r#"{"target":"shop","number":"+49"}"#, r#"{"target":7}"#]
        {
            assert!(read(wrong, &targets()).is_err(), "{wrong}");
        }
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
