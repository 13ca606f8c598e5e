//! A reply as it arrives: its text, its tool calls, its usage and its end, common to all vendors.

use std::sync::Arc;

use super::events::{DeltaResult, StreamProgress};
use super::sentences::Sentences;
use super::tool_calls::{CallPiece, ToolCalls};
use super::{Delta, ToolCall, ToolSpec};
use crate::engines::core::usage::{Charge, Unit, characters, estimated_tokens};
use crate::engines::core::{EngineError, FailureReason, label};

/// The most tokens that a server can have counted: far beyond any reply, and little enough for sums of them.
const MOST_TOKENS: u64 = 1 << 32;

/// How a reply ended, as metrics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Complete.
    Stop,
    /// Cut off at the token limit.
    Length,
    /// Withheld by the server's filter, or refused by the model.
    ContentFilter,
}

impl Finish {
    pub fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
        }
    }
}

/// The usage of a reply: as the server reports it, or else estimated.
#[derive(Debug)]
pub struct UsageCounter {
    charge: Charge,
    /// Characters that arrived.
    said: u64,
    /// The server has counted its output.
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

    /// The server's count of the tokens that it read, cached ones included. The last report counts, unless it is beyond
    /// [`MOST_TOKENS`].
    pub fn report_input(&mut self, tokens: u64) {
        if tokens <= MOST_TOKENS {
            self.charge.set(Unit::InputTokens, tokens);
        }
    }

    /// The server's count of the tokens that it wrote, in place of the estimate; as above.
    pub fn report_output(&mut self, tokens: u64) {
        if tokens <= MOST_TOKENS {
            self.is_reported = true;
            self.charge.set(Unit::OutputTokens, tokens);
        }
    }
}

/// A reply so far.
#[derive(Debug)]
pub struct ReplyBuilder {
    engine: Arc<str>,
    tools: Arc<[ToolSpec]>,
    pub usage: UsageCounter,
    pub sentences: Sentences,
    calls: ToolCalls,
    pub progress: StreamProgress,
}

impl ReplyBuilder {
    pub fn new(engine: Arc<str>, tools: Arc<[ToolSpec]>, usage: UsageCounter) -> ReplyBuilder {
        ReplyBuilder {
            engine,
            tools,
            usage,
            sentences: Sentences::default(),
            calls: ToolCalls::default(),
            progress: StreamProgress::Open,
        }
    }

    pub fn engine(&self) -> &str {
        &self.engine
    }

    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }

    /// Takes the next text that arrived, and the part of the text so far that is for the caller.
    pub fn say(&mut self, arrived: &str, visible: &str) -> Vec<DeltaResult> {
        self.usage.add(arrived);
        let text = self.sentences.push(visible);
        let goes_on = text.is_empty() || self.sentences.keeps_back();
        let writing = goes_on.then(|| self.writing(arrived)).into_iter().flatten();
        said(text).chain(writing).collect()
    }

    /// Text arrived that completes no piece. Before its first piece a reply has not begun, and is asked for again if it fails.
    fn writing(&self, arrived: &str) -> Vec<DeltaResult> {
        let goes_on = !arrived.is_empty() && self.sentences.has_begun();
        goes_on.then_some(Ok(Delta::Writing)).into_iter().collect()
    }

    /// Takes the next piece of a tool call. Too long arguments end the reply.
    pub fn call(&mut self, piece: CallPiece<'_>) -> Vec<DeltaResult> {
        self.usage.add(piece.arguments);
        match self.calls.push(piece) {
            Ok(()) => self.writing(piece.arguments),
            Err(error) => self.fail(error),
        }
    }

    /// The reply failed on its way: the caller hears so, unless it was complete.
    pub fn fail(&mut self, error: EngineError) -> Vec<DeltaResult> {
        let was_open = self.progress == StreamProgress::Open;
        self.progress = StreamProgress::Closed;
        was_open.then_some(Err(error)).into_iter().collect()
    }

    /// Ends the reply. `rest` is the last text for the caller, `spelled` has the calls that the model wrote as text, which count
    /// where there are no others.
    pub fn finish(
        &mut self,
        finish: Finish,
        progress: StreamProgress,
        rest: &str,
        spelled: Vec<ToolCall>,
    ) -> Vec<DeltaResult> {
        self.progress = progress;
        let calls = self.take_calls(finish, spelled);
        let mut text = self.sentences.push(rest);
        text += &match finish {
            Finish::Stop => self.sentences.end(),
            Finish::Length | Finish::ContentFilter => self.sentences.cut(),
        };
        let is_empty = !self.sentences.has_words() && calls.is_empty();
        self.count(if is_empty { "empty" } else { finish.as_str() });
        let calls = calls.into_iter().map(|call| Ok(Delta::ToolCall(call)));
        let mut items: Vec<DeltaResult> = said(text).chain(calls).collect();
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

    fn take_calls(&mut self, finish: Finish, spelled: Vec<ToolCall>) -> Vec<ToolCall> {
        let calls = std::mem::take(&mut self.calls).finish(&self.tools, finish == Finish::Length);
        match finish {
            Finish::ContentFilter => Vec::new(),
            _ if calls.is_empty() => spelled,
            _ => calls,
        }
    }

    fn count(&self, finish: &'static str) {
        metrics::counter!("vca_llm_replies_total", "engine" => label(&self.engine), "finish" => finish)
            .increment(1);
    }
}

fn said(text: String) -> impl Iterator<Item = DeltaResult> {
    (!text.is_empty()).then_some(Ok(Delta::Text(text))).into_iter()
}

fn empty(finish: Finish) -> EngineError {
    let hint = match finish {
        Finish::Length => {
            ": the model may have spent its tokens on reasoning: raise max_tokens, or switch reasoning off"
        }
        _ => "",
    };
    let text = format!("the reply is empty, finish_reason {}{hint}", finish.as_str());
    EngineError::refused(FailureReason::Empty, text)
}
