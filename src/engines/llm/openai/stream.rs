//! The stream of a reply: server-sent events in, pieces of the reply out.
//!
//! <https://platform.openai.com/docs/api-reference/chat/streaming>. Servers differ in the details, so events without text and
//! usage are skipped. A reply ends with its `finish_reason`.

use std::borrow::Cow;
use std::sync::Arc;

use eventsource_stream::Event;
use serde::Deserialize;
use serde_json::Value;

use super::habits::Habits;
use super::visible::{Marks, Visible};
use crate::engines::core::EngineError;
use crate::engines::core::error_body::in_stream;
use crate::engines::core::usage::readable;
use crate::engines::llm::ReplyForm;
use crate::engines::llm::events::{DeltaResult, EventReader, StreamProgress};
use crate::engines::llm::reply::{Finish, ReplyBuilder};
use crate::engines::llm::spelled;
use crate::engines::llm::tool_calls::CallPiece;

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    error: Option<Value>,
    #[serde(default, deserialize_with = "readable")]
    usage: Option<ChunkUsage>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<DeltaPiece>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct DeltaPiece {
    content: Option<String>,
    /// Written for the user, in place of the content.
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCallPiece>>,
}

#[derive(Deserialize)]
struct ToolCallPiece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    /// A text; of some servers an object.
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkUsage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Whether the replies of a model begin in reasoning: assumed of a reply, and corrected by it.
pub struct ReasoningHabit {
    habits: Arc<Habits>,
    model: String,
    is_expected: bool,
}

impl ReasoningHabit {
    pub fn of(habits: &Arc<Habits>, model: &str) -> ReasoningHabit {
        let is_expected = habits.of(model).begins_in_reasoning;
        ReasoningHabit { habits: habits.clone(), model: model.to_owned(), is_expected }
    }

    fn note(&self, engine: &str, begins: bool) {
        if self.habits.begin_in_reasoning(&self.model, begins) {
            tracing::info!(
                engine,
                model = self.model,
                begins,
                "whether replies begin in reasoning has changed"
            );
        }
    }
}

fn finish_of(reason: &str) -> Finish {
    match reason {
        "length" | "max_tokens" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// The state of a reply between two events.
pub struct ChatReader {
    reply: ReplyBuilder,
    visible: Visible,
    reasoning: ReasoningHabit,
}

impl ChatReader {
    pub fn new(reply: ReplyBuilder, reasoning: ReasoningHabit, form: ReplyForm) -> ChatReader {
        let marks = match form {
            ReplyForm::Speech => Marks::of(reply.tools()),
            ReplyForm::Data => Marks::Ignored,
        };
        let visible = if reasoning.is_expected { Visible::in_reasoning(marks) } else { Visible::new(marks) };
        ChatReader { reply, visible, reasoning }
    }

    fn chunk(&mut self, chunk: Chunk) -> Vec<DeltaResult> {
        if let Some(usage) = chunk.usage {
            self.reply.usage.report_input(usage.prompt_tokens);
            self.reply.usage.report_output(usage.completion_tokens);
        }
        let choice = chunk.choices.and_then(|choices| choices.into_iter().next());
        let Some(choice) = choice.filter(|_| self.progress() == StreamProgress::Open) else {
            return Vec::new();
        };
        let mut items = choice.delta.map(|piece| self.piece(piece)).unwrap_or_default();
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        if let Some(reason) = reason.filter(|_| self.progress() == StreamProgress::Open) {
            items.extend(self.finish(finish_of(&reason), StreamProgress::Finished));
        }
        items
    }

    fn piece(&mut self, piece: DeltaPiece) -> Vec<DeltaResult> {
        let text = piece.content.unwrap_or_default() + &piece.refusal.unwrap_or_default();
        let visible = self.visible.push(&text);
        if self.visible.take_end_of_unopened() {
            self.reply.sentences.retract();
            self.reasoning.note(self.reply.engine(), true);
            self.reasoning.is_expected = false;
        }
        let mut items = self.reply.say(&text, &visible);
        for call in piece.tool_calls.into_iter().flatten() {
            if self.progress() == StreamProgress::Open {
                items.extend(self.call(&call));
            }
        }
        items
    }

    fn call(&mut self, piece: &ToolCallPiece) -> Vec<DeltaResult> {
        let function = piece.function.as_ref();
        let arguments = match function.and_then(|function| function.arguments.as_ref()) {
            None | Some(Value::Null) => Cow::default(),
            Some(Value::String(text)) => Cow::from(text),
            Some(object) => Cow::from(object.to_string()),
        };
        let name = function.and_then(|function| function.name.as_deref());
        let id = piece.id.as_deref();
        self.reply.call(CallPiece { index: piece.index, id, name, arguments: &arguments })
    }

    /// Ends the reply.
    fn finish(&mut self, finish: Finish, progress: StreamProgress) -> Vec<DeltaResult> {
        let (rest, spelled) = std::mem::take(&mut self.visible).end(finish == Finish::Stop);
        let is_cut_off = finish == Finish::Length;
        let spelled = spelled.map(|text| spelled::calls(&text, self.reply.tools(), is_cut_off));
        let items = self.reply.finish(finish, progress, &rest, spelled.unwrap_or_default());
        if self.reasoning.is_expected && finish == Finish::Stop && self.reply.sentences.has_words() {
            self.reasoning.note(self.reply.engine(), false);
        }
        items
    }
}

impl EventReader for ChatReader {
    fn event(&mut self, event: Event) -> Vec<DeltaResult> {
        if event.data.trim() == "[DONE]" {
            return self.end();
        }
        if event.event == "error" {
            return self.fail(in_stream(event.data.as_bytes()));
        }
        match serde_json::from_str::<Chunk>(&event.data) {
            Ok(chunk) if chunk.error.is_some() => self.fail(in_stream(event.data.as_bytes())),
            Ok(chunk) => self.chunk(chunk),
            Err(_) => {
                self.fail(EngineError::Temporary("the reply has an event that is no JSON chunk".into()))
            }
        }
    }

    /// A body without a `finish_reason` is a complete reply.
    fn end(&mut self) -> Vec<DeltaResult> {
        if self.progress() == StreamProgress::Open {
            return self.finish(Finish::Stop, StreamProgress::Closed);
        }
        self.reply.progress = StreamProgress::Closed;
        Vec::new()
    }

    fn fail(&mut self, error: EngineError) -> Vec<DeltaResult> {
        self.reply.fail(error)
    }

    fn progress(&self) -> StreamProgress {
        self.reply.progress
    }
}
