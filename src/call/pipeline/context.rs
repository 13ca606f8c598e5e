//! A conversation's context as a language model reads it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::conversation::{ContextItem, Phrase};
use crate::engines::llm::{Message, ToolCall};

/// The context as the model reads it: without the prompts for failed engines, which models imitate.
pub fn messages(context: &[ContextItem], phrases: &HashMap<Phrase, Arc<str>>) -> Vec<Message> {
    let message = |item: &ContextItem| match item {
        ContextItem::Caller { text } => Message::Caller(text.clone()),
        ContextItem::Dtmf(keys) => Message::Caller(keys.to_string()),
        ContextItem::Agent { text, .. } => Message::Agent(without_failures(text, phrases)),
        ContextItem::ToolCall { call, name, arguments, .. } => {
            Message::ToolCall(ToolCall { id: call.clone(), name: name.clone(), arguments: arguments.clone() })
        }
        ContextItem::ToolResult { call, content, .. } => {
            Message::ToolResult { call: call.clone(), content: content.clone() }
        }
    };
    let is_said = |message: &Message| !matches!(message, Message::Caller(text) | Message::Agent(text) if text.is_empty());
    context.iter().map(message).filter(is_said).collect()
}

/// The agent's words without prompts for failed engines. A prompt that the caller interrupted is the whole of its line.
fn without_failures(text: &str, phrases: &HashMap<Phrase, Arc<str>>) -> String {
    let prompts = [Phrase::Difficulty, Phrase::AudioIssues].iter().filter_map(|phrase| phrases.get(phrase));
    let mut text = text.trim().to_owned();
    for prompt in prompts.map(|prompt| prompt.trim()).filter(|prompt| !prompt.is_empty()) {
        if prompt.starts_with(&text) {
            return String::new();
        }
        text = text.replace(prompt, "").trim().to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_does_not_read_prompts_for_failures() {
        let phrases = HashMap::from([
            (Phrase::Difficulty, "Technical difficulty, trying again.".into()),
            (Phrase::AudioIssues, "Audio issues, please hold.".into()),
        ]);
        let caller = |text: &str| ContextItem::Caller { text: text.into() };
        let agent = |text: &str| ContextItem::Agent { text: text.into(), cut_short: false };
        let context = [
            agent("Hello."),
            caller("Audio issues, please hold."),
            agent("Technical difficulty, trying again."),
            agent("We open at nine. Audio issues, please hold."),
            agent("Technical difficulty,"),
        ];
        let expected = [
            Message::Agent("Hello.".into()),
            Message::Caller("Audio issues, please hold.".into()),
            Message::Agent("We open at nine.".into()),
        ];
        assert_eq!(messages(&context, &phrases), expected);
    }
}
