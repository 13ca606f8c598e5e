//! The stream of a reply (<https://docs.claude.com/en/api/messages-streaming>).

use eventsource_stream::Event;
use serde::Deserialize;
use serde_json::Value;

use crate::engines::core::EngineError;
use crate::engines::core::error_body::in_stream;
use crate::engines::core::usage::readable;
use crate::engines::llm::events::{DeltaResult, EventReader, StreamProgress};
use crate::engines::llm::reply::{Finish, ReplyBuilder};
use crate::engines::llm::tool_calls::CallPiece;

/// An event. The API adds types over time, which are skipped.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum MessageEvent {
    MessageStart {
        message: MessageHead,
    },
    ContentBlockStart {
        index: u64,
        content_block: ContentBlock,
    },
    ContentBlockDelta {
        index: u64,
        delta: BlockDelta,
    },
    MessageDelta {
        delta: MessageChange,
        #[serde(default, deserialize_with = "readable")]
        usage: Option<MessageUsage>,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageHead {
    #[serde(default, deserialize_with = "readable")]
    usage: Option<MessageUsage>,
}

#[derive(Deserialize)]
struct MessageChange {
    stop_reason: Option<String>,
}

/// Counts so far. Tokens that the server read from its cache, or wrote to it, are not in `input_tokens`.
#[derive(Deserialize)]
struct MessageUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl MessageUsage {
    fn input(&self) -> Option<u64> {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        Some(cached.into_iter().flatten().fold(self.input_tokens?, u64::saturating_add))
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentBlock {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        /// Empty: the input follows in pieces. Some servers have the whole of it here.
        input: Option<Value>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockDelta {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

fn finish_of(stop_reason: &str) -> Finish {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// The state of a reply between two events.
pub struct MessageReader {
    reply: ReplyBuilder,
}

impl MessageReader {
    pub fn new(reply: ReplyBuilder) -> MessageReader {
        MessageReader { reply }
    }

    fn say(&mut self, text: &str) -> Vec<DeltaResult> {
        self.reply.say(text, text)
    }

    fn begin_block(&mut self, index: u64, block: ContentBlock) -> Vec<DeltaResult> {
        match block {
            ContentBlock::Text { text } => self.say(&text),
            ContentBlock::ToolUse { id, name, input } => {
                let input = input.filter(|it| it.as_object().is_some_and(|fields| !fields.is_empty()));
                let arguments = input.map(|it| it.to_string()).unwrap_or_default();
                let (id, name) = (Some(id.as_str()), Some(name.as_str()));
                self.reply.call(CallPiece { index: Some(index), id, name, arguments: &arguments })
            }
            ContentBlock::Other => Vec::new(),
        }
    }

    fn add_to_block(&mut self, index: u64, delta: BlockDelta) -> Vec<DeltaResult> {
        match delta {
            BlockDelta::TextDelta { text } => self.say(&text),
            BlockDelta::InputJsonDelta { partial_json } => {
                let index = Some(index);
                self.reply.call(CallPiece { index, arguments: &partial_json, ..CallPiece::default() })
            }
            BlockDelta::Other => Vec::new(),
        }
    }

    fn report(&mut self, usage: Option<&MessageUsage>) {
        if let Some(tokens) = usage.and_then(MessageUsage::input) {
            self.reply.usage.report_input(tokens);
        }
    }

    fn change(&mut self, change: &MessageChange, usage: Option<&MessageUsage>) -> Vec<DeltaResult> {
        self.report(usage);
        if let Some(tokens) = usage.and_then(|usage| usage.output_tokens) {
            self.reply.usage.report_output(tokens);
        }
        match &change.stop_reason {
            Some(reason) if self.progress() == StreamProgress::Open => {
                self.reply.finish(finish_of(reason), StreamProgress::Finished, "", Vec::new())
            }
            _ => Vec::new(),
        }
    }
}

impl EventReader for MessageReader {
    fn event(&mut self, event: Event) -> Vec<DeltaResult> {
        let Ok(data) = serde_json::from_str::<MessageEvent>(&event.data) else {
            return self.fail(EngineError::Temporary("the reply has an event that cannot be read".into()));
        };
        match data {
            MessageEvent::MessageStart { message } => {
                self.report(message.usage.as_ref());
                Vec::new()
            }
            MessageEvent::ContentBlockStart { index, content_block } => {
                self.begin_block(index, content_block)
            }
            MessageEvent::ContentBlockDelta { index, delta } => self.add_to_block(index, delta),
            MessageEvent::MessageDelta { delta, usage } => self.change(&delta, usage.as_ref()),
            MessageEvent::MessageStop => self.end(),
            MessageEvent::Error => self.fail(in_stream(event.data.as_bytes())),
            MessageEvent::Other => Vec::new(),
        }
    }

    /// A body that ends before the reply's `stop_reason` was broken off.
    fn end(&mut self) -> Vec<DeltaResult> {
        self.fail(EngineError::Temporary("the reply broke off".into()))
    }

    fn fail(&mut self, error: EngineError) -> Vec<DeltaResult> {
        self.reply.fail(error)
    }

    fn progress(&self) -> StreamProgress {
        self.reply.progress
    }
}
