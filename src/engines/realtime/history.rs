//! The items of a session's conversation on the server, brought in line with what was said and heard.
//!
//! Pure. The session hears the caller itself, so the server's conversation may differ from the transcript: sounds that were no
//! words, words that continue an utterance, responses that were not heard. Before each response the items are compared with the
//! conversation so far: items that agree stay, with their sound; the others are deleted, and what is missing is added as text.

use serde_json::{Value, json};

use super::events::ClientEvent;
use crate::engines::llm::{Message, ToolCall};

/// The most items that one entry of the conversation is compared with: the parts of an utterance.
const PARTS: usize = 6;
/// The most items that the server may add to a conversation, and the most bytes of the words of each. A call has some hundreds.
const MOST_ITEMS: usize = 1_024;
const MOST_WORDS: usize = 16 * 1024;
/// The longest id of an item or a call, in bytes.
pub const LONGEST_ID: usize = 256;

#[derive(Debug, Default)]
pub struct ServerHistory {
    items: Vec<ServerItem>,
    /// The number of the last item that was added here.
    added: u64,
}

#[derive(Debug)]
struct ServerItem {
    id: String,
    content: ItemContent,
}

#[derive(Debug, PartialEq, Eq)]
enum ItemContent {
    /// Audio of the caller, with its words once they are known; or a text in their place.
    Caller(Option<String>),
    /// The agent's words so far.
    Agent(String),
    Call(String),
    Result {
        call: String,
        content: String,
    },
}

impl ServerHistory {
    /// The server has made an item of the caller's audio.
    pub fn committed(&mut self, id: &str) {
        self.push(id, ItemContent::Caller(None));
    }

    /// The words of an item of the caller's.
    pub fn transcribed(&mut self, id: &str, text: &str) {
        if let Some(ItemContent::Caller(words)) = self.content(id) {
            *words = Some(text[..text.floor_char_boundary(MOST_WORDS)].to_owned());
        }
    }

    /// A response begins a message.
    pub fn speaks(&mut self, id: &str) {
        self.push(id, ItemContent::Agent(String::new()));
    }

    /// More words of a message.
    pub fn words(&mut self, id: &str, more: &str) {
        if let Some(ItemContent::Agent(words)) = self.content(id)
            && words.len() + more.len() <= MOST_WORDS
        {
            words.push_str(more);
        }
    }

    /// A response calls a tool.
    pub fn calls(&mut self, id: &str, call: &str) {
        if call.len() <= LONGEST_ID {
            self.push(id, ItemContent::Call(call.to_owned()));
        }
    }

    fn push(&mut self, id: &str, content: ItemContent) {
        if self.items.len() < MOST_ITEMS && id.len() <= LONGEST_ID && self.content(id).is_none() {
            self.items.push(ServerItem { id: id.to_owned(), content });
        }
    }

    fn content(&mut self, id: &str) -> Option<&mut ItemContent> {
        self.items.iter_mut().find(|item| item.id == id).map(|item| &mut item.content)
    }

    /// The changes after which the server's conversation is `messages`.
    pub fn follow(&mut self, messages: &[Message]) -> Vec<ClientEvent> {
        let (mut events, mut at) = (Vec::new(), 0);
        for message in messages {
            match self.find(message, at) {
                Some((place, count)) => at = self.drop_items(at, place, &mut events) + count,
                None => {
                    self.insert(at, message, &mut events);
                    at += 1;
                }
            }
        }
        self.drop_items(at, self.items.len(), &mut events);
        events
    }

    /// The first items from `from` on that say the same as `message`, and their number.
    fn find(&self, message: &Message, from: usize) -> Option<(usize, usize)> {
        (from..self.items.len()).find_map(|at| Some((at, agreeing(message, &self.items[at..])?)))
    }

    /// Deletes the items from `from` to `to`, except those of which the words are not known yet. Returns the place behind them.
    fn drop_items(&mut self, from: usize, to: usize, events: &mut Vec<ClientEvent>) -> usize {
        let dropped: Vec<ServerItem> =
            self.items.extract_if(from..to, |item| item.content != ItemContent::Caller(None)).collect();
        let count = dropped.len();
        events.extend(dropped.into_iter().map(|item| ClientEvent::DeleteItem { id: item.id }));
        to - count
    }

    fn insert(&mut self, at: usize, message: &Message, events: &mut Vec<ClientEvent>) {
        self.added += 1;
        let id = format!("vca_{}", self.added);
        let after = at.checked_sub(1).map(|before| self.items[before].id.clone());
        let (content, item) = as_item(message);
        events.push(ClientEvent::CreateItem { id: id.clone(), after, item });
        self.items.insert(at, ServerItem { id, content });
    }
}

/// How many of the first `items` say the same as `message`, if they do.
fn agreeing(message: &Message, items: &[ServerItem]) -> Option<usize> {
    match message {
        Message::Caller(text) => joined(items, caller_text, |said| *said == words(text)),
        // The server has cut the words that were not heard.
        Message::Agent(text) => {
            let heard = words(text);
            joined(items, agent_text, |said| !heard.is_empty() && said.starts_with(&heard))
        }
        Message::ToolCall(call) => {
            let is_it = matches!(&items.first()?.content, ItemContent::Call(id) if **id == *call.id);
            is_it.then_some(1)
        }
        Message::ToolResult { call, content } => {
            let it = ItemContent::Result { call: call.to_string(), content: content.to_string() };
            (items.first()?.content == it).then_some(1)
        }
    }
}

/// The smallest number of items of one side that have the wanted words together.
fn joined(
    items: &[ServerItem],
    text: fn(&ServerItem) -> Option<&str>,
    is_wanted: impl Fn(&Vec<String>) -> bool,
) -> Option<usize> {
    let mut said = Vec::new();
    for (at, item) in items.iter().take(PARTS).enumerate() {
        said.extend(words(text(item)?));
        if is_wanted(&said) {
            return Some(at + 1);
        }
    }
    None
}

fn caller_text(item: &ServerItem) -> Option<&str> {
    match &item.content {
        ItemContent::Caller(text) => text.as_deref(),
        _ => None,
    }
}

fn agent_text(item: &ServerItem) -> Option<&str> {
    match &item.content {
        ItemContent::Agent(text) => Some(text),
        _ => None,
    }
}

/// The words of a text without case and punctuation.
fn words(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '\'';
    text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn as_item(message: &Message) -> (ItemContent, Value) {
    let text = |role: &str, kind: &str, text: &str| json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] });
    match message {
        Message::Caller(words) => {
            (ItemContent::Caller(Some(words.clone())), text("user", "input_text", words))
        }
        Message::Agent(words) => (ItemContent::Agent(words.clone()), text("assistant", "output_text", words)),
        Message::ToolCall(ToolCall { id, name, arguments }) => (
            ItemContent::Call(id.to_string()),
            json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments }),
        ),
        Message::ToolResult { call, content } => (
            ItemContent::Result { call: call.to_string(), content: content.to_string() },
            json!({ "type": "function_call_output", "call_id": call, "output": content }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(text: &str) -> Message {
        Message::Caller(text.to_owned())
    }

    fn agent(text: &str) -> Message {
        Message::Agent(text.to_owned())
    }

    /// Deletions as `-id`, additions as `+id behind`.
    fn changes(history: &mut ServerHistory, messages: &[Message]) -> Vec<String> {
        let change = |event: ClientEvent| match event {
            ClientEvent::DeleteItem { id } => format!("-{id}"),
            ClientEvent::CreateItem { id, after, .. } => format!("+{id} {}", after.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        history.follow(messages).into_iter().map(change).collect()
    }

    /// An item of the caller's audio with its words.
    fn heard(history: &mut ServerHistory, id: &str, text: &str) {
        history.committed(id);
        history.transcribed(id, text);
    }

    fn said(history: &mut ServerHistory, id: &str, text: &str) {
        history.speaks(id);
        history.words(id, text);
    }

    #[test]
    fn what_the_session_heard_and_said_itself_stays() {
        let mut history = ServerHistory::default();
        heard(&mut history, "a", "When do you open?");
        let mut messages = vec![agent("Hello."), caller("when do you open")];
        assert_eq!(changes(&mut history, &messages), ["+vca_1 "]);
        said(&mut history, "b", "We open at nine. And close at six.");
        heard(&mut history, "c", "And on");
        heard(&mut history, "d", "Sunday?");
        messages.extend([agent("We open at nine."), caller("And on Sunday?")]);
        assert_eq!(changes(&mut history, &messages), [""; 0], "cut words, and an utterance in two parts");
    }

    #[test]
    fn what_was_not_heard_is_deleted_and_the_rest_added() {
        let mut history = ServerHistory::default();
        heard(&mut history, "noise", "");
        heard(&mut history, "a", "Good morning.");
        said(&mut history, "unheard", "Good morning to you.");
        heard(&mut history, "b", "I want");
        let messages = [caller("Good morning. I want a cake."), agent("Gladly.")];
        let expected = ["+vca_1 ", "+vca_2 vca_1", "-noise", "-a", "-unheard", "-b"];
        assert_eq!(changes(&mut history, &messages), expected);
        history.committed("pending");
        assert_eq!(changes(&mut history, &messages[..1]), ["-vca_2"], "its words are still to be known");
    }

    #[test]
    fn a_server_that_adds_items_and_words_without_end_is_bounded() {
        let mut history = ServerHistory::default();
        (0..MOST_ITEMS * 2).for_each(|item| history.committed(&format!("i{item}")));
        assert_eq!(history.items.len(), MOST_ITEMS);
        let mut history = ServerHistory::default();
        history.committed(&"i".repeat(LONGEST_ID + 1));
        history.calls("c", &"c".repeat(LONGEST_ID + 1));
        assert_eq!(history.items.len(), 0);
        history.committed("words");
        history.transcribed("words", &"é".repeat(MOST_WORDS));
        assert_eq!(history.items[0].content, ItemContent::Caller(Some("é".repeat(MOST_WORDS / 2))));
        let mut history = ServerHistory::default();
        history.speaks("a");
        (0..MOST_WORDS).for_each(|_| history.words("a", "word "));
        let ItemContent::Agent(words) = &history.items[0].content else { panic!("{history:?}") };
        assert!(words.len() <= MOST_WORDS && words.len() > MOST_WORDS - 5);
    }

    #[test]
    fn a_result_that_has_changed_is_replaced() {
        let call = |id: &str| {
            Message::ToolCall(ToolCall { id: id.into(), name: "t".into(), arguments: "{}".into() })
        };
        let result = |content: &str| Message::ToolResult { call: "c1".into(), content: content.into() };
        let mut history = ServerHistory::default();
        history.calls("x", "c1");
        assert_eq!(changes(&mut history, &[call("c1"), result("wait")]), ["+vca_1 x"]);
        assert_eq!(changes(&mut history, &[call("c1"), result("done")]), ["+vca_2 x", "-vca_1"]);
    }

    proptest! {
        /// Afterwards the server has the conversation, and following it again changes nothing.
        #[test]
        fn the_conversation_is_the_truth(
            before in prop::collection::vec((any::<bool>(), "[ab ]{0,4}"), 0..8),
            after in prop::collection::vec((any::<bool>(), "[ab]{1,3}( [ab]{1,2})?"), 0..8),
        ) {
            let mut history = ServerHistory::default();
            for (at, (is_caller, text)) in before.iter().enumerate() {
                match is_caller {
                    true => heard(&mut history, &format!("i{at}"), text),
                    false => said(&mut history, &format!("i{at}"), text),
                }
            }
            let side = |(is_caller, text): &(bool, String)| if *is_caller { caller(text) } else { agent(text) };
            let messages: Vec<Message> = after.iter().map(side).collect();
            history.follow(&messages);
            prop_assert_eq!(changes(&mut history, &messages), [""; 0]);
        }
    }
}
