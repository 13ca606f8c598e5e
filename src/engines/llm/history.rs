//! The conversation in the order that servers accept: neighbours of one speaker joined, and each call of a tool followed by
//! its result. Servers refuse a call without a result, and a result that does not follow its call.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Message, Prompt, ToolCall};
use crate::engines::core::usage::{characters, estimated_tokens};

/// Stands for the caller, who has said nothing yet, before the agent's greeting.
const BEGINNING: &str = "(The call begins.)";
/// Stands for older lines that were left out.
const CONTINUATION: &str = "(The call continues.)";
/// The result of a call that has none yet.
const NO_RESULT: &str = "(no result yet)";

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryEntry {
    Caller(String),
    Agent(String),
    /// Calls of tools in one reply, and the words before them, which may be empty.
    Tools {
        text: String,
        calls: Vec<AnsweredCall>,
    },
}

/// A call of a tool with its result. The arguments are a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredCall {
    pub call: ToolCall,
    pub result: Arc<str>,
}

impl HistoryEntry {
    /// How many characters the model reads.
    pub fn length(&self) -> u64 {
        match self {
            HistoryEntry::Caller(text) | HistoryEntry::Agent(text) => characters(text),
            HistoryEntry::Tools { text, calls } => {
                let call = |it: &AnsweredCall| {
                    characters(&it.call.name) + characters(&it.call.arguments) + characters(&it.result)
                };
                characters(text) + calls.iter().map(call).sum::<u64>()
            }
        }
    }

    /// With four tokens for the marks around a line.
    fn tokens(&self) -> u64 {
        estimated_tokens(self.length()) + 4
    }
}

/// How many characters the model reads.
pub fn length(prompt: &Prompt, said: &[HistoryEntry]) -> u64 {
    characters(&prompt.system) + said.iter().map(HistoryEntry::length).sum::<u64>()
}

/// The history of a prompt, without empty lines. Where the server has no tools, results are words of the user.
pub fn entries(prompt: &Prompt, has_tools: bool) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = Vec::new();
    // Whether the next call belongs to the reply of the call before it.
    let mut is_same_reply = false;
    for (at, message) in prompt.messages.iter().enumerate() {
        match message {
            Message::Caller(text) | Message::Agent(text) if text.trim().is_empty() => continue,
            Message::Caller(text) => say_as_caller(&mut entries, text),
            Message::Agent(text) => say_as_agent(&mut entries, text),
            Message::ToolCall(call) if has_tools => {
                let call = answered(call, &prompt.messages[at + 1..]);
                add_call(&mut entries, call, is_same_reply);
            }
            Message::ToolCall(_) => {}
            Message::ToolResult { content, .. } if !has_tools => {
                say_as_caller(&mut entries, &format!("(Result of a tool: {content})"));
            }
            Message::ToolResult { .. } => {}
        }
        is_same_reply = matches!(message, Message::ToolCall(_));
    }
    entries
}

/// Drops the oldest entries beyond `budget` tokens, by estimate; the last one is kept. Whether any was dropped.
pub fn trim(entries: &mut Vec<HistoryEntry>, budget: u64) -> bool {
    let mut left = budget;
    let newest = entries.iter().rev().take_while(|entry| {
        let fits = left.checked_sub(entry.tokens());
        left = fits.unwrap_or_default();
        fits.is_some()
    });
    let kept = newest.count().max(1);
    let dropped = entries.len().saturating_sub(kept);
    entries.drain(..dropped);
    dropped > 0
}

/// Lets the history begin with the caller, as chat templates and Anthropic's servers require.
pub fn begin_with_caller(entries: &mut Vec<HistoryEntry>, is_trimmed: bool) {
    if is_trimmed && entries.len() > 1 && matches!(entries[0], HistoryEntry::Agent(_)) {
        entries.remove(0);
    }
    if matches!(entries.first(), Some(HistoryEntry::Agent(_) | HistoryEntry::Tools { .. })) {
        let stand_in = if is_trimmed { CONTINUATION } else { BEGINNING };
        entries.insert(0, HistoryEntry::Caller(stand_in.into()));
    }
}

fn say_as_caller(entries: &mut Vec<HistoryEntry>, text: &str) {
    match entries.last_mut() {
        Some(HistoryEntry::Caller(said)) => *said = format!("{said}\n{text}"),
        _ => entries.push(HistoryEntry::Caller(text.to_owned())),
    }
}

fn say_as_agent(entries: &mut Vec<HistoryEntry>, text: &str) {
    match entries.last_mut() {
        Some(HistoryEntry::Agent(said)) => *said = format!("{said}\n{text}"),
        _ => entries.push(HistoryEntry::Agent(text.to_owned())),
    }
}

fn add_call(entries: &mut Vec<HistoryEntry>, call: AnsweredCall, is_same_reply: bool) {
    match entries.last_mut() {
        Some(HistoryEntry::Tools { calls, .. }) if is_same_reply => calls.push(call),
        Some(HistoryEntry::Agent(said)) => {
            let text = std::mem::take(said);
            entries.pop();
            entries.push(HistoryEntry::Tools { text, calls: vec![call] });
        }
        _ => entries.push(HistoryEntry::Tools { text: String::new(), calls: vec![call] }),
    }
}

/// A call with the first result of its id in the `later` messages.
fn answered(call: &ToolCall, later: &[Message]) -> AnsweredCall {
    let result = later.iter().find_map(|message| match message {
        Message::ToolResult { call: id, content } if *id == call.id => Some(content.clone()),
        _ => None,
    });
    // A server parses the arguments again, and would refuse each request of the call for those that are no JSON.
    let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
    let arguments = if is_object { call.arguments.clone() } else { "{}".into() };
    AnsweredCall {
        call: ToolCall { arguments, ..call.clone() },
        result: result.unwrap_or_else(|| NO_RESULT.into()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A prompt of messages such as `C` for words of the caller, `A` for the agent's, `T` for a call of the tool `look` with
    /// the text as its id, and `R` for its result, "found".
    pub fn prompt(said: &str) -> Prompt {
        let message = |(mark, text): (char, &str)| match mark {
            'A' => Message::Agent(text.into()),
            'C' => Message::Caller(text.into()),
            'T' => {
                Message::ToolCall(ToolCall { id: text.into(), name: "look".into(), arguments: "{}".into() })
            }
            _ => Message::ToolResult { call: text.into(), content: "found".into() },
        };
        let messages = said.split('|').filter_map(|it| Some((it.chars().next()?, &it[1..]))).map(message);
        Prompt { system: "Be kind.".into(), messages: messages.collect(), ..Prompt::default() }
    }

    fn shown(entries: &[HistoryEntry]) -> String {
        let call = |it: &AnsweredCall| format!("{}={}", it.call.id, it.result);
        let entry = |entry: &HistoryEntry| match entry {
            HistoryEntry::Caller(text) => format!("C{text}"),
            HistoryEntry::Agent(text) => format!("A{text}"),
            HistoryEntry::Tools { text, calls } => {
                format!("T{text}[{}]", calls.iter().map(call).collect::<Vec<_>>().join(","))
            }
        };
        entries.iter().map(entry).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn calls_are_joined_with_their_results() {
        for (said, expected) in [
            ("CHi.|AOne moment.|T1|T2|R1|R2|AYes.", "CHi.|TOne moment.[1=found,2=found]|AYes."),
            ("CHi.|T1|R1|T2|R2", "CHi.|T[1=found]|T[2=found]"),
            ("CHi.|T1|CHello?|R1|AYes.", "CHi.|T[1=found]|CHello?|AYes."),
            ("CHi.|T1|C ", "CHi.|T[1=(no result yet)]"),
            ("CHi.|T1|R1|CMore.|T1|CHm.", "CHi.|T[1=found]|CMore.|T[1=(no result yet)]|CHm."),
            ("R7|CHi.", "CHi."),
        ] {
            assert_eq!(shown(&entries(&prompt(said), true)), expected, "{said}");
        }
    }

    #[test]
    fn without_tools_results_are_words() {
        let entries = entries(&prompt("CHi.|AOne moment.|T1|R1|AYes."), false);
        assert_eq!(shown(&entries), "CHi.|AOne moment.|C(Result of a tool: found)|AYes.");
    }

    #[test]
    fn arguments_that_are_no_object_are_left_out() {
        for (arguments, sent) in [("{\"a\": 1}", "{\"a\": 1}"), ("{\"a\": ", "{}"), ("7", "{}")] {
            let call = ToolCall { id: "1".into(), name: "look".into(), arguments: arguments.into() };
            assert_eq!(&*answered(&call, &[]).call.arguments, sent);
        }
    }

    #[test]
    fn a_call_is_trimmed_with_its_result() {
        let mut said = entries(&prompt("CHi.|T1|R1"), true);
        assert!(trim(&mut said, 1));
        begin_with_caller(&mut said, true);
        assert_eq!(shown(&said), "C(The call continues.)|T[1=found]");
    }
}
