//! The lines of a conversation in the order that chat templates accept.
//!
//! Templates of Gemma, Mistral and Llama 2 raise an error unless roles alternate and a user's line is first. A call begins with
//! the agent's greeting, and has lines of one speaker in a row.

use serde::Serialize;

use crate::engines::core::usage::{characters, estimated_tokens};
use crate::engines::llm::{Prompt, Role};

/// Stands for the caller, who has said nothing yet, before the agent's greeting.
const BEGINNING: &str = "(The call begins.)";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatLine {
    pub role: &'static str,
    pub content: String,
}

/// The system prompt, then the newest lines that fit into `budget` tokens, by estimate; the last one always fits.
pub fn lines(prompt: &Prompt, alternate: bool, budget: u32) -> Vec<ChatLine> {
    let system = ChatLine { role: "system", content: prompt.system.to_string() };
    let mut said = merged(prompt);
    let is_trimmed = trim(&mut said, u64::from(budget).saturating_sub(tokens(&system)));
    if alternate && said.first().is_some_and(|line| line.role == "assistant") {
        if is_trimmed {
            said.remove(0);
        } else {
            said.insert(0, ChatLine { role: "user", content: BEGINNING.into() });
        }
    }
    std::iter::once(system).filter(|line| !line.content.trim().is_empty()).chain(said).collect()
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
    let first = ChatLine { role: "user", content: first };
    std::iter::once(first).chain(rest.iter().cloned()).collect()
}

/// How many characters the model reads.
pub fn length(lines: &[ChatLine]) -> u64 {
    lines.iter().map(|line| characters(&line.content)).sum()
}

/// The lines without empty ones, neighbours of one role joined.
fn merged(prompt: &Prompt) -> Vec<ChatLine> {
    let mut lines: Vec<ChatLine> = Vec::new();
    for message in prompt.messages.iter().filter(|message| !message.text.trim().is_empty()) {
        let role = match message.role {
            Role::Caller => "user",
            Role::Agent => "assistant",
        };
        match lines.last_mut().filter(|line| line.role == role) {
            Some(line) => line.content = format!("{}\n{}", line.content, message.text),
            None => lines.push(ChatLine { role, content: message.text.clone() }),
        }
    }
    lines
}

/// Drops the oldest lines beyond the budget; whether any was dropped.
fn trim(lines: &mut Vec<ChatLine>, budget: u64) -> bool {
    let mut left = budget;
    let newest = lines.iter().rev().take_while(|line| {
        let fits = left.checked_sub(tokens(line));
        left = fits.unwrap_or_default();
        fits.is_some()
    });
    let kept = newest.count().max(1);
    let dropped = lines.len().saturating_sub(kept);
    lines.drain(..dropped);
    dropped > 0
}

/// With four tokens for the marks around a line.
fn tokens(line: &ChatLine) -> u64 {
    estimated_tokens(characters(&line.content)) + 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::llm::Message;

    fn prompt(said: &str) -> Prompt {
        let message = |(mark, text): (char, &str)| Message {
            role: if mark == 'A' { Role::Agent } else { Role::Caller },
            text: text.into(),
        };
        let messages = said.split('|').filter_map(|it| Some((it.chars().next()?, &it[1..]))).map(message);
        Prompt { system: "Be kind.".into(), messages: messages.collect(), ..Prompt::default() }
    }

    fn shown(lines: &[ChatLine]) -> String {
        let line = |line: &ChatLine| format!("{}:{}", &line.role[..1], line.content);
        lines.iter().map(line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_user_is_first_and_roles_alternate() {
        let said = prompt("AHello?|AStill there?|CYes.|COpen?");
        let expected = "s:Be kind.|u:(The call begins.)|a:Hello?\nStill there?|u:Yes.\nOpen?";
        assert_eq!(shown(&lines(&said, true, 6_000)), expected);
        let expected = "s:Be kind.|a:Hello?\nStill there?|u:Yes.\nOpen?";
        assert_eq!(shown(&lines(&said, false, 6_000)), expected);
    }

    #[test]
    fn a_system_prompt_can_be_a_part_of_the_first_line() {
        let said = |text: &str| shown(&without_system(&lines(&prompt(text), true, 6_000)));
        assert_eq!(said("AHello?|CYes."), "u:Be kind.\n\n(The call begins.)|a:Hello?|u:Yes.");
        assert_eq!(said("CYes."), "u:Be kind.\n\nYes.");
        assert_eq!(said(""), "u:Be kind.");
    }

    #[test]
    fn the_oldest_lines_are_dropped_beyond_the_budget() {
        let said = prompt("AHello?|COne two three four.|AFive six seven eight.|COpen?");
        assert_eq!(shown(&lines(&said, true, 25)), "s:Be kind.|u:Open?");
        assert_eq!(
            shown(&lines(&said, true, 32)),
            "s:Be kind.|u:One two three four.|a:Five six seven eight.|u:Open?"
        );
        assert_eq!(shown(&lines(&said, true, 1)), "s:Be kind.|u:Open?", "the question is always asked");
    }

    proptest! {
        /// The condition of Gemma's template: after the system prompt, a user's line at each even place.
        #[test]
        fn strict_templates_accept_every_history(
            said in proptest::collection::vec(("[AC]", "[a-z ]{0,30}"), 0..20), budget in 0u32..200,
        ) {
            let text: Vec<String> = said.iter().map(|(mark, text)| format!("{mark}{text}")).collect();
            let lines = lines(&prompt(&text.join("|")), true, budget);
            for (at, line) in lines[1..].iter().enumerate() {
                prop_assert_eq!(line.role, if at % 2 == 0 { "user" } else { "assistant" });
            }
        }
    }
}
