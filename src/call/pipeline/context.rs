//! A conversation's context as a language model reads it.

use crate::conversation::{Attempt, ContextItem};
use crate::engines::llm::{Message, ToolCall};

/// Asks the model to go on with a reply of which the caller has heard the beginning.
const GO_ON: &str = "(Your reply broke off here. Go on from there, without repeating it.)";

/// The context as the model reads it.
pub fn messages(context: &[ContextItem], attempt: Attempt) -> Vec<Message> {
    let message = |item: &ContextItem| match item {
        ContextItem::Caller { text } => Message::Caller(text.clone()),
        ContextItem::Dtmf(keys) => Message::Caller(keys.to_string()),
        ContextItem::Agent { text, .. } => Message::Agent(text.clone()),
        ContextItem::ToolCall { call, name, arguments, .. } => {
            Message::ToolCall(ToolCall { id: call.clone(), name: name.clone(), arguments: arguments.clone() })
        }
        ContextItem::ToolResult { call, content, .. } => {
            Message::ToolResult { call: call.clone(), content: content.clone() }
        }
    };
    let breaks_off =
        attempt == Attempt::AfterFailure && matches!(context.last(), Some(ContextItem::Agent { .. }));
    let go_on = breaks_off.then(|| Message::Caller(GO_ON.to_owned()));
    context.iter().map(message).chain(go_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_whose_reply_broke_off_is_asked_to_go_on() {
        let caller = ContextItem::Caller { text: "Hello?".into() };
        let agent = ContextItem::Agent { text: "We open at nine.".into(), cut_short: false };
        let both = [caller.clone(), agent];
        let asked = vec![Message::Caller("Hello?".into()), Message::Agent("We open at nine.".into())];
        assert_eq!(messages(&both, Attempt::First), asked);
        let go_on = Message::Caller(GO_ON.into());
        assert_eq!(messages(&both, Attempt::AfterFailure), [asked.clone(), vec![go_on]].concat());
        assert_eq!(messages(&[caller], Attempt::AfterFailure), asked[..1]);
    }
}
