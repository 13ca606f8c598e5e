//! The stream of a reply (<https://platform.openai.com/docs/api-reference/responses-streaming>).

use std::collections::BTreeSet;

use eventsource_stream::Event;
use serde::Deserialize;
use serde_json::Value;

use crate::engines::core::EngineError;
use crate::engines::core::error_body::in_stream;
use crate::engines::core::usage::readable;
use crate::engines::llm::events::{DeltaResult, EventReader, StreamProgress};
use crate::engines::llm::reply::{Finish, ReplyBuilder};
use crate::engines::llm::tool_calls::CallPiece;

/// An event. Those about parts of the reply that are not said or called are skipped.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum ResponseStreamEvent {
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: u64, item: OutputItem },
    #[serde(rename = "response.output_text.delta", alias = "response.refusal.delta")]
    Text { delta: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { output_index: u64, delta: String },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: u64, item: OutputItem },
    #[serde(rename = "response.completed")]
    Completed { response: ResponseObject },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: ResponseObject },
    #[serde(rename = "response.failed")]
    Failed { response: ResponseObject },
    #[serde(rename = "error")]
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputItem {
    FunctionCall {
        call_id: String,
        name: String,
        #[serde(default)]
        arguments: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct ResponseObject {
    #[serde(default, deserialize_with = "readable")]
    usage: Option<ResponseUsage>,
    error: Option<Value>,
    incomplete_details: Option<IncompleteDetails>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: Option<String>,
}

/// Cached tokens are in `input_tokens`, those of reasoning in `output_tokens`.
#[derive(Deserialize)]
struct ResponseUsage {
    input_tokens: u64,
    output_tokens: u64,
}

/// The state of a reply between two events.
pub struct ResponseReader {
    reply: ReplyBuilder,
    /// The places of calls of which arguments arrived in pieces.
    streamed: BTreeSet<u64>,
}

impl ResponseReader {
    pub fn new(reply: ReplyBuilder) -> ResponseReader {
        ResponseReader { reply, streamed: BTreeSet::new() }
    }

    fn begin_item(&mut self, index: u64, item: OutputItem) -> Vec<DeltaResult> {
        let OutputItem::FunctionCall { call_id, name, .. } = item else { return Vec::new() };
        let (id, name) = (Some(call_id.as_str()), Some(name.as_str()));
        self.reply.call(CallPiece { index: Some(index), id, name, arguments: "" })
    }

    fn add_arguments(&mut self, index: u64, arguments: &str) -> Vec<DeltaResult> {
        if !arguments.is_empty() {
            self.streamed.insert(index);
        }
        self.reply.call(CallPiece { index: Some(index), arguments, ..CallPiece::default() })
    }

    /// The whole item: its arguments, where they did not arrive in pieces.
    fn end_item(&mut self, index: u64, item: OutputItem) -> Vec<DeltaResult> {
        match item {
            OutputItem::FunctionCall { call_id, name, arguments } if !self.streamed.contains(&index) => {
                let (id, name) = (Some(call_id.as_str()), Some(name.as_str()));
                self.reply.call(CallPiece { index: Some(index), id, name, arguments: &arguments })
            }
            _ => Vec::new(),
        }
    }

    fn finish(&mut self, finish: Finish, response: &ResponseObject) -> Vec<DeltaResult> {
        if let Some(usage) = &response.usage {
            self.reply.usage.report_input(usage.input_tokens);
            self.reply.usage.report_output(usage.output_tokens);
        }
        self.reply.finish(finish, StreamProgress::Closed, "", Vec::new())
    }
}

impl EventReader for ResponseReader {
    fn event(&mut self, event: Event) -> Vec<DeltaResult> {
        let Ok(data) = serde_json::from_str::<ResponseStreamEvent>(&event.data) else {
            return self.fail(EngineError::Temporary("the reply has an event that cannot be read".into()));
        };
        match data {
            ResponseStreamEvent::ItemAdded { output_index, item } => self.begin_item(output_index, item),
            ResponseStreamEvent::Text { delta } => self.reply.say(&delta, &delta),
            ResponseStreamEvent::Arguments { output_index, delta } => {
                self.add_arguments(output_index, &delta)
            }
            ResponseStreamEvent::ItemDone { output_index, item } => self.end_item(output_index, item),
            ResponseStreamEvent::Completed { response } => self.finish(Finish::Stop, &response),
            ResponseStreamEvent::Incomplete { response } => {
                let reason = response.incomplete_details.as_ref().and_then(|it| it.reason.as_deref());
                let is_filtered = reason == Some("content_filter");
                let finish = if is_filtered { Finish::ContentFilter } else { Finish::Length };
                self.finish(finish, &response)
            }
            ResponseStreamEvent::Failed { response } => {
                let error = response.error.unwrap_or_default().to_string();
                self.fail(in_stream(error.as_bytes()))
            }
            ResponseStreamEvent::Error => self.fail(in_stream(event.data.as_bytes())),
            ResponseStreamEvent::Other => Vec::new(),
        }
    }

    /// A body that ends before the response is complete was broken off.
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
