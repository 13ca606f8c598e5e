//! The lines of a conversation in the order that chat templates accept.
//!
//! Templates of Gemma, Mistral and Llama 2 raise an error unless roles alternate and a user's line is first. A call begins with
//! the agent's greeting, and has lines of one speaker in a row. Mistral's template does not count calls of tools and their
//! results, so that a user's line after a result needs a line of the assistant between them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::engines::core::usage::{characters, estimated_tokens};
use crate::engines::llm::Prompt;
use crate::engines::llm::history::{AnsweredCall, HistoryEntry, begin_with_caller, entries, trim};

/// Stands for the agent, who said nothing between the result of a tool and the caller's next words.
const SILENCE: &str = "…";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatLine {
    pub role: &'static str,
    pub content: String,
    /// Of the assistant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
    /// Of the result of a tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatLine {
    fn new(role: &'static str, content: impl Into<String>) -> ChatLine {
        ChatLine { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// The rules of a server for its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRules {
    /// Roles alternate, and a user's line is first.
    pub alternate: bool,
    /// The most tokens, by estimate.
    pub budget: u32,
    pub has_tools: bool,
}

/// The system prompt, then the newest lines that fit into the budget; the last one always fits.
pub fn lines(prompt: &Prompt, rules: HistoryRules) -> Vec<ChatLine> {
    let system = ChatLine::new("system", &*prompt.system);
    let mut said = entries(prompt, rules.has_tools);
    let system_tokens = estimated_tokens(characters(&system.content)) + 4;
    let is_trimmed = trim(&mut said, u64::from(rules.budget).saturating_sub(system_tokens));
    if rules.alternate {
        begin_with_caller(&mut said, is_trimmed);
    }
    let mut lines: Vec<ChatLine> = Vec::from([system]);
    lines.retain(|line| !line.content.trim().is_empty());
    for entry in said {
        add(&mut lines, entry, rules.alternate);
    }
    lines
}

/// The same for templates without a system prompt: its text becomes the beginning of the user's first line.
pub fn without_system(lines: &[ChatLine]) -> Vec<ChatLine> {
    let Some((system, said)) = lines.split_first().filter(|(first, _)| first.role == "system") else {
        return lines.to_vec();
    };
    let (first, rest) = match said.split_first() {
        Some((line, rest)) if line.role == "user" => {
            (format!("{}\n\n{}", system.content, line.content), rest)
        }
        _ => (system.content.clone(), said),
    };
    std::iter::once(ChatLine::new("user", first)).chain(rest.iter().cloned()).collect()
}

/// How many characters the model reads.
pub fn length(lines: &[ChatLine]) -> u64 {
    let call = |call: &Value| characters(&call["function"].to_string());
    lines.iter().map(|line| characters(&line.content) + line.tool_calls.iter().map(call).sum::<u64>()).sum()
}

fn add(lines: &mut Vec<ChatLine>, entry: HistoryEntry, alternate: bool) {
    match entry {
        HistoryEntry::Caller(text) => {
            if alternate && lines.last().is_some_and(|line| line.role == "tool") {
                lines.push(ChatLine::new("assistant", SILENCE));
            }
            lines.push(ChatLine::new("user", text));
        }
        HistoryEntry::Agent(text) => lines.push(ChatLine::new("assistant", text)),
        HistoryEntry::Tools { text, calls } => {
            let tool_calls = calls.iter().map(tool_call).collect();
            lines.push(ChatLine { tool_calls, ..ChatLine::new("assistant", text) });
            let result = |it: AnsweredCall| ChatLine {
                tool_call_id: Some(it.call.id.to_string()),
                ..ChatLine::new("tool", &*it.result)
            };
            lines.extend(calls.into_iter().map(result));
        }
    }
}

fn tool_call(AnsweredCall { call, .. }: &AnsweredCall) -> Value {
    json!({ "id": call.id, "type": "function",
            "function": { "name": call.name, "arguments": call.arguments } })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::llm::history::tests::prompt;

    const RULES: HistoryRules = HistoryRules { alternate: true, budget: 6_000, has_tools: true };

    fn shown(lines: &[ChatLine]) -> String {
        let line = |line: &ChatLine| {
            let ids = line.tool_calls.iter().map(|call| call["id"].as_str().unwrap_or_default());
            format!("{}:{}{}", &line.role[..1], line.content, ids.collect::<String>())
        };
        lines.iter().map(line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_user_is_first_and_roles_alternate() {
        let said = prompt("AHello?|AStill there?|CYes.|COpen?");
        let expected = "s:Be kind.|u:(The call begins.)|a:Hello?\nStill there?|u:Yes.\nOpen?";
        assert_eq!(shown(&lines(&said, RULES)), expected);
        let expected = "s:Be kind.|a:Hello?\nStill there?|u:Yes.\nOpen?";
        assert_eq!(shown(&lines(&said, HistoryRules { alternate: false, ..RULES })), expected);
    }

    #[test]
    fn a_system_prompt_can_be_a_part_of_the_first_line() {
        let said = |text: &str| shown(&without_system(&lines(&prompt(text), RULES)));
        assert_eq!(said("AHello?|CYes."), "u:Be kind.\n\n(The call begins.)|a:Hello?|u:Yes.");
        assert_eq!(said("CYes."), "u:Be kind.\n\nYes.");
        assert_eq!(said(""), "u:Be kind.");
    }

    #[test]
    fn the_oldest_lines_are_dropped_beyond_the_budget() {
        let said = prompt("AHello?|COne two three four.|AFive six seven eight.|COpen?");
        let lines = |budget| shown(&lines(&said, HistoryRules { budget, ..RULES }));
        assert_eq!(lines(25), "s:Be kind.|u:Open?");
        assert_eq!(lines(32), "s:Be kind.|u:One two three four.|a:Five six seven eight.|u:Open?");
        assert_eq!(lines(1), "s:Be kind.|u:Open?", "the question is always asked");
    }

    #[test]
    fn results_follow_their_calls() {
        let said = prompt("CHi.|AWait.|T1|T2|CHello?|R1|R2");
        let expected = "s:Be kind.|u:Hi.|a:Wait.12|t:found|t:found|a:…|u:Hello?";
        assert_eq!(shown(&lines(&said, RULES)), expected);
        let line = json!(lines(&said, RULES)[2]);
        assert_eq!(
            line["tool_calls"][1],
            json!({ "id": "2", "type": "function", "function": { "name": "look", "arguments": "{}" } })
        );
        assert_eq!(json!(lines(&said, RULES)[4])["tool_call_id"], "2");
        assert_eq!(json!(lines(&said, RULES)[1]), json!({ "role": "user", "content": "Hi." }));
    }

    proptest! {
        /// The conditions of Gemma's and Mistral's templates: after the system prompt, a user's line at each even place, calls
        /// of tools and results not counted; and of OpenAI's servers: a result follows its call.
        #[test]
        fn strict_templates_accept_every_history(
            said in proptest::collection::vec(("[ACTR]", "[a-c ]{0,3}"), 0..20), budget in 0u32..200,
        ) {
            let text: Vec<String> = said.iter().map(|(mark, text)| format!("{mark}{text}")).collect();
            let lines = lines(&prompt(&text.join("|")), HistoryRules { budget, ..RULES });
            let counted = lines[1..].iter().filter(|it| it.role != "tool" && it.tool_calls.is_empty());
            for (at, line) in counted.enumerate() {
                prop_assert_eq!(line.role, if at % 2 == 0 { "user" } else { "assistant" });
            }
            let mut open: Vec<String> = Vec::new();
            for line in &lines {
                match &line.tool_call_id {
                    Some(id) => prop_assert_eq!(open.remove(0), id.clone()),
                    None => prop_assert!(open.is_empty(), "a call without a result"),
                }
                open.extend(line.tool_calls.iter().map(|it| it["id"].as_str().unwrap_or_default().to_owned()));
            }
            prop_assert!(open.is_empty());
        }
    }
}
