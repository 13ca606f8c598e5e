//! The stream of a reply: server-sent events in, pieces of the reply out.
//!
//! <https://platform.openai.com/docs/api-reference/chat/streaming>. Servers differ in the details, so events without text and
//! usage are skipped. A reply ends with its `finish_reason`; the token counts that follow are waited for, but the reply does
//! not depend on them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::habits::Habits;
use super::sentences::Sentences;
use super::visible::{Marks, Visible};
use crate::engines::core::error_body::message;
use crate::engines::core::usage::{Charge, Unit, characters, estimated_tokens};
use crate::engines::core::{EngineError, FailureReason};
use crate::engines::llm::tool_calls::{CallPiece, ToolCalls};
use crate::engines::llm::{Delta, Deltas, ToolCall, ToolSpec, spelled};

/// The most bytes of a reply: far beyond what is said in a call, and an end to a server that never ends a line.
pub const LONGEST: usize = 1 << 20;
/// How long the token counts are waited for after the end of the reply.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

type Item = Result<Delta, EngineError>;

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    error: Option<Value>,
    usage: Option<Value>,
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

/// Token counts so far; the last ones count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct ReportedUsage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// The usage of a reply: as the server reports it, or else estimated.
pub struct UsageCounter {
    charge: Charge,
    /// Characters that arrived.
    said: u64,
    is_reported: bool,
}

impl UsageCounter {
    pub fn new(charge: Charge) -> UsageCounter {
        UsageCounter { charge, said: 0, is_reported: false }
    }

    fn add(&mut self, text: &str) {
        self.said += characters(text);
        if !self.is_reported {
            self.charge.set(Unit::OutputTokens, estimated_tokens(self.said));
        }
    }

    fn report(&mut self, usage: ReportedUsage) {
        self.is_reported = true;
        self.charge.set(Unit::InputTokens, usage.prompt_tokens);
        self.charge.set(Unit::OutputTokens, usage.completion_tokens);
    }
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

/// How a reply ended, as metrics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// Complete, or the end of a body without a `finish_reason`.
    Stop,
    /// Cut off at the token limit.
    Length,
    /// Withheld by the server's filter.
    ContentFilter,
}

impl Finish {
    fn read(reason: &str) -> Finish {
        match reason {
            "length" | "max_tokens" => Finish::Length,
            "content_filter" => Finish::ContentFilter,
            _ => Finish::Stop,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
        }
    }
}

/// One event of the stream.
enum StreamItem {
    Chunk(Chunk),
    End,
    Failure(EngineError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamProgress {
    Open,
    /// The reply is complete; token counts may follow.
    Finished,
    Closed,
}

/// The state of a reply between two events.
struct StreamReader {
    engine: Arc<str>,
    usage: UsageCounter,
    tools: Arc<[ToolSpec]>,
    visible: Visible,
    reasoning: ReasoningHabit,
    sentences: Sentences,
    calls: ToolCalls,
    progress: StreamProgress,
}

/// The pieces of the reply in a body of server-sent events, up to its end or the first error.
pub fn deltas<S>(
    engine: Arc<str>,
    body: S,
    usage: UsageCounter,
    tools: Arc<[ToolSpec]>,
    reasoning: ReasoningHabit,
) -> Deltas
where
    S: Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
{
    let marks = Marks::of(&tools);
    let reader = StreamReader {
        engine,
        usage,
        tools,
        visible: if reasoning.is_expected { Visible::in_reasoning(marks) } else { Visible::new(marks) },
        reasoning,
        sentences: Sentences::default(),
        calls: ToolCalls::default(),
        progress: StreamProgress::Open,
    };
    let events = bounded(body).eventsource().map(stream_item).boxed();
    let state = (reader, events, VecDeque::new());
    stream::unfold(state, |(mut reader, mut events, mut pending)| async move {
        let item = next(&mut reader, &mut events, &mut pending).await?;
        Some((item, (reader, events, pending)))
    })
    .boxed()
}

async fn next(
    reader: &mut StreamReader,
    events: &mut BoxStream<'static, StreamItem>,
    pending: &mut VecDeque<Item>,
) -> Option<Item> {
    loop {
        if let Some(item) = pending.pop_front() {
            return Some(item);
        }
        let event = match reader.progress {
            StreamProgress::Closed => return None,
            StreamProgress::Finished => timeout(USAGE_TIMEOUT, events.next()).await.ok().flatten(),
            StreamProgress::Open => events.next().await,
        };
        pending.extend(reader.read(event.unwrap_or(StreamItem::End)));
    }
}

impl StreamReader {
    fn read(&mut self, item: StreamItem) -> Vec<Item> {
        match (item, self.progress) {
            (StreamItem::Chunk(chunk), _) => self.chunk(chunk),
            (StreamItem::End, StreamProgress::Open) => self.finish(Finish::Stop, StreamProgress::Closed),
            (StreamItem::Failure(error), StreamProgress::Open) => {
                self.progress = StreamProgress::Closed;
                vec![Err(error)]
            }
            // The reply was complete before this end or fault.
            (StreamItem::End | StreamItem::Failure(_), _) => {
                self.progress = StreamProgress::Closed;
                Vec::new()
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk) -> Vec<Item> {
        // Counts that cannot be read cost the estimate, not the reply.
        if let Some(reported) = chunk.usage.and_then(|usage| serde_json::from_value(usage).ok()) {
            self.usage.report(reported);
        }
        let choice = chunk.choices.and_then(|choices| choices.into_iter().next());
        let Some(choice) = choice.filter(|_| self.progress == StreamProgress::Open) else {
            return Vec::new();
        };
        let mut items = choice.delta.map(|piece| self.piece(piece)).unwrap_or_default();
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            items.extend(self.finish(Finish::read(&reason), StreamProgress::Finished));
        }
        items
    }

    fn piece(&mut self, piece: DeltaPiece) -> Vec<Item> {
        for call in piece.tool_calls.into_iter().flatten() {
            if let Err(error) = self.call(&call) {
                self.progress = StreamProgress::Closed;
                return vec![Err(error)];
            }
        }
        let text = piece.content.unwrap_or_default() + &piece.refusal.unwrap_or_default();
        self.usage.add(&text);
        let visible = self.visible.push(&text);
        if self.visible.take_end_of_unopened() {
            self.sentences.retract();
            self.reasoning.note(&self.engine, true);
            self.reasoning.is_expected = false;
        }
        said(self.sentences.push(&visible)).collect()
    }

    fn call(&mut self, piece: &ToolCallPiece) -> Result<(), EngineError> {
        let function = piece.function.as_ref();
        let arguments = match function.and_then(|function| function.arguments.as_ref()) {
            None | Some(Value::Null) => Cow::default(),
            Some(Value::String(text)) => Cow::from(text),
            Some(object) => Cow::from(object.to_string()),
        };
        self.usage.add(&arguments);
        let name = function.and_then(|function| function.name.as_deref());
        let piece = CallPiece { index: piece.index, id: piece.id.as_deref(), name, arguments: &arguments };
        self.calls.push(piece)
    }

    /// The calls of the reply: those that the server read, or else those that the model spelled.
    fn take_calls(&mut self, finish: Finish, spelled_text: Option<&str>) -> Vec<ToolCall> {
        let calls = std::mem::take(&mut self.calls).finish(&self.tools, finish == Finish::Length);
        match spelled_text {
            _ if finish == Finish::ContentFilter => Vec::new(),
            Some(text) if calls.is_empty() => spelled::calls(text, &self.tools),
            _ => calls,
        }
    }

    /// Ends the reply.
    fn finish(&mut self, finish: Finish, progress: StreamProgress) -> Vec<Item> {
        self.progress = progress;
        let (rest, spelled) = std::mem::take(&mut self.visible).end(finish == Finish::Stop);
        let calls = self.take_calls(finish, spelled.as_deref());
        let mut text = self.sentences.push(&rest);
        text += &match finish {
            Finish::Stop => self.sentences.end(),
            Finish::Length | Finish::ContentFilter => self.sentences.cut(),
        };
        let mut items: Vec<Item> = said(text).collect();
        let is_empty = !self.sentences.has_words() && calls.is_empty();
        if self.reasoning.is_expected && finish == Finish::Stop && self.sentences.has_words() {
            self.reasoning.note(&self.engine, false);
        }
        self.count(if is_empty { "empty" } else { finish.as_str() });
        items.extend(calls.into_iter().map(|call| Ok(Delta::ToolCall(call))));
        match (is_empty, finish) {
            (true, Finish::ContentFilter) => items.extend([Ok(Delta::Declined), Ok(Delta::End)]),
            (true, _) => {
                self.progress = StreamProgress::Closed;
                items.push(Err(empty(finish)));
            }
            (false, _) => items.push(Ok(Delta::End)),
        }
        items
    }

    fn count(&self, finish: &'static str) {
        metrics::counter!("vca_llm_replies_total", "engine" => self.engine.clone(), "finish" => finish)
            .increment(1);
    }
}

fn said(text: String) -> impl Iterator<Item = Item> {
    (!text.is_empty()).then_some(Ok(Delta::Text(text))).into_iter()
}

fn empty(finish: Finish) -> EngineError {
    let hint = match finish {
        Finish::Length => {
            ": the model may have spent its tokens on reasoning: raise max_tokens, or set reasoning_effort"
        }
        _ => "",
    };
    let text = format!("the reply is empty, finish_reason {}{hint}", finish.as_str());
    EngineError::refused(FailureReason::Empty, text)
}

fn stream_item(event: Result<Event, EventStreamError<EngineError>>) -> StreamItem {
    let event = match event {
        Ok(event) => event,
        Err(EventStreamError::Transport(error)) => return StreamItem::Failure(error),
        Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => {
            return failure("the reply is no stream of events".into());
        }
    };
    if event.data.trim() == "[DONE]" {
        return StreamItem::End;
    }
    if event.event == "error" {
        return failure(message(event.data.as_bytes()));
    }
    match serde_json::from_str::<Chunk>(&event.data) {
        Ok(chunk) if chunk.error.is_some() => failure(message(event.data.as_bytes())),
        Ok(chunk) => StreamItem::Chunk(chunk),
        Err(_) => failure("the reply has an event that is no JSON chunk".into()),
    }
}

fn failure(text: String) -> StreamItem {
    StreamItem::Failure(EngineError::Temporary(text))
}

fn bounded(
    body: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    let mut read = 0;
    body.map(move |piece| {
        let piece = piece?;
        read += piece.len();
        if read > LONGEST { Err(EngineError::Permanent("the reply does not end".into())) } else { Ok(piece) }
    })
}
