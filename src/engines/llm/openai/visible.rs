//! The part of a model's text that is meant for the caller.
//!
//! Models that reason begin with `<think>…</think>` where their server does not separate it (vLLM without a
//! reasoning parser, llama.cpp, LM Studio). Where the chat template writes the opening tag, as those of DeepSeek R1 and of Qwen's
//! thinking models do, only the closing one is in the text. Where the server does not parse tool calls, models spell them in the
//! text. Neither is to be spoken.

use std::sync::Arc;

use crate::engines::llm::spelled::marks;
use crate::engines::llm::{END_CALL, ToolSpec};

/// Opening tags of reasoning, which count at the beginning of a reply only, and their closing tags.
const REASONING: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];
/// Beginnings of a tool call, anywhere in the text.
const CALLS: [&str; 7] =
    ["<tool_call", "<function_call", "<function=", "<|tool", "<|python_tag|>", "<｜tool", "[TOOL_CALL"];
/// Beginnings of a tool call at the start of a line.
const BLOCKS: [&str; 3] = ["```json", "```tool", "```xml"];
/// How much of a tool call is kept, in bytes.
const LONGEST_CALL: usize = 4 * 1024;
/// The length of the longest closing tag, in bytes.
const LONGEST_TAG: usize = 12;
/// How much white space within the beginning of a JSON object is waited for, in bytes.
const LONGEST_SPACE: usize = 64;

/// The calls of tools that are looked for in a text.
#[derive(Debug, Clone)]
pub enum Marks {
    /// Those in any spelling, and those that begin like this.
    Calls(Arc<[String]>),
    /// None: the text is data, and JSON in it belongs to the reply.
    Ignored,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks::Calls(Arc::default())
    }
}

impl Marks {
    /// Models spell `end_call` out even where it is not offered.
    pub fn of(tools: &[ToolSpec]) -> Marks {
        let names = tools.iter().map(|tool| &*tool.name).filter(|name| *name != END_CALL);
        Marks::Calls(marks(names.chain([END_CALL])).into())
    }
}

/// Whether a text begins with something, or might when more of it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    No,
    Maybe,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextPart {
    /// Before the first word.
    Beginning,
    Reasoning {
        closing: &'static str,
    },
    /// Perhaps within reasoning that no tag has opened: everything is held until a closing tag or the end.
    Unopened {
        /// How much of the held text has no closing tag, in bytes.
        searched: usize,
    },
    Text {
        place: TextPlace,
    },
    Call,
}

/// What precedes a place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextPlace {
    /// Nothing but white space since the last line break.
    LineStart,
    WordStart,
    InWord,
}

impl TextPlace {
    fn after(self, char: char) -> TextPlace {
        match char {
            '\n' => TextPlace::LineStart,
            _ if char.is_alphanumeric() || char == '_' || char == '-' => TextPlace::InWord,
            _ if char.is_whitespace() && self == TextPlace::LineStart => TextPlace::LineStart,
            _ => TextPlace::WordStart,
        }
    }
}

/// Divides a text that arrives in pieces. The result does not depend on how it is cut into pieces.
#[derive(Debug)]
pub struct Visible {
    marks: Marks,
    part: TextPart,
    /// Text that is not decided yet; of a call, the call.
    held: String,
    /// Some words were visible.
    has_words: bool,
    /// Reasoning that no tag had opened has ended.
    ended_unopened: bool,
}

impl Default for Visible {
    fn default() -> Visible {
        Visible::new(Marks::default())
    }
}

impl Visible {
    pub fn new(marks: Marks) -> Visible {
        let part = TextPart::Beginning;
        Visible { marks, part, held: String::new(), has_words: false, ended_unopened: false }
    }

    /// A text that is expected to begin within reasoning.
    pub fn in_reasoning(marks: Marks) -> Visible {
        Visible { part: TextPart::Unopened { searched: 0 }, ..Visible::new(marks) }
    }

    /// Whether reasoning that no tag had opened has ended since the last question: the visible text before it was a part of it.
    pub fn take_end_of_unopened(&mut self) -> bool {
        std::mem::take(&mut self.ended_unopened)
    }

    /// Takes the next piece; the visible text that is now certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let mut visible = String::new();
        while self.step(&mut visible) {}
        self.has_words |= !visible.trim().is_empty();
        visible
    }

    /// Ends the text: the rest of the visible text, and the tool call that the model spelled, if any. Without a closing tag,
    /// `is_complete` decides whether the text was the reply or reasoning that was cut off.
    pub fn end(self, is_complete: bool) -> (String, Option<String>) {
        match self.part {
            TextPart::Unopened { .. } if is_complete => {
                let mut reply = Visible::new(self.marks);
                let visible = reply.push(&self.held);
                let (rest, call) = reply.end(is_complete);
                (visible + &rest, call)
            }
            TextPart::Unopened { .. } => (String::new(), None),
            TextPart::Beginning | TextPart::Text { .. } => (self.held, None),
            TextPart::Reasoning { .. } => (String::new(), None),
            TextPart::Call => (String::new(), Some(self.held)),
        }
    }

    /// Decides about the next part of the held text; false when more has to arrive first.
    fn step(&mut self, visible: &mut String) -> bool {
        match self.part {
            TextPart::Beginning => self.begin(),
            TextPart::Reasoning { closing } => self.reason(closing),
            TextPart::Unopened { searched } => self.search(searched),
            TextPart::Text { place } => self.read(place, visible),
            TextPart::Call => self.collect_call(visible),
        }
    }

    fn begin(&mut self) -> bool {
        self.held.drain(..self.held.len() - self.held.trim_start().len());
        if self.held.is_empty() {
            return false;
        }
        let opening =
            REASONING.iter().map(|(opening, closing)| (begins(&self.held, opening), opening, closing));
        let mut opening = opening.filter(|(found, ..)| *found != Match::No);
        match opening.next() {
            None => self.part = TextPart::Text { place: TextPlace::LineStart },
            Some((Match::Yes, opening, closing)) => {
                self.held.drain(..opening.len());
                self.part = TextPart::Reasoning { closing };
            }
            Some(_) => return false,
        }
        true
    }

    fn reason(&mut self, closing: &'static str) -> bool {
        let Some(at) = self.held.find(closing) else {
            // Only the beginning of a closing tag has to be kept.
            let tail = self.held.len().saturating_sub(closing.len() - 1);
            let tail = self.held.ceil_char_boundary(tail);
            self.held.drain(..tail);
            return false;
        };
        self.close(at, closing);
        true
    }

    fn search(&mut self, searched: usize) -> bool {
        let from = self.held.floor_char_boundary(searched.saturating_sub(LONGEST_TAG));
        let Some((at, closing)) = first_closing(&self.held[from..]) else {
            self.part = TextPart::Unopened { searched: self.held.len() };
            return false;
        };
        self.close(from + at, closing);
        self.ended_unopened = true;
        true
    }

    /// Keeps the beginning of a call, and as much of its end as can begin a closing tag: a model that reasons about its tools
    /// names them.
    fn collect_call(&mut self, visible: &mut String) -> bool {
        if let Some((at, closing)) = first_closing(&self.held) {
            visible.clear();
            self.close(at, closing);
            self.ended_unopened = true;
            return true;
        }
        let beginning = self.held.floor_char_boundary(LONGEST_CALL - LONGEST_TAG);
        let end = self.held.ceil_char_boundary(self.held.len().saturating_sub(LONGEST_TAG));
        if beginning < end {
            self.held.drain(beginning..end);
        }
        false
    }

    /// Reasoning ends with the closing tag at a place of the held text.
    fn close(&mut self, at: usize, closing: &str) {
        self.held.drain(..at + closing.len());
        self.part = TextPart::Beginning;
    }

    fn read(&mut self, mut place: TextPlace, visible: &mut String) -> bool {
        for (at, char) in self.held.char_indices() {
            let rest = &self.held[at..];
            let closing = REASONING.iter().find(|(_, closing)| rest.starts_with(closing));
            if let Some((_, closing)) = closing {
                let has_words =
                    self.has_words || !visible.trim().is_empty() || !self.held[..at].trim().is_empty();
                self.ended_unopened |= has_words;
                visible.clear();
                self.close(at, closing);
                return true;
            }
            let found = call_begins(&self.held[at..], place, &self.marks);
            if found != Match::No {
                visible.push_str(&self.held[..at]);
                self.held.drain(..at);
                self.part = if found == Match::Yes { TextPart::Call } else { TextPart::Text { place } };
                return found == Match::Yes;
            }
            place = place.after(char);
        }
        visible.push_str(&self.held);
        self.held.clear();
        self.part = TextPart::Text { place };
        false
    }
}

fn begins(text: &str, mark: &str) -> Match {
    if text.starts_with(mark) {
        Match::Yes
    } else if mark.starts_with(text) {
        Match::Maybe
    } else {
        Match::No
    }
}

/// The first closing tag of reasoning, and its place.
fn first_closing(text: &str) -> Option<(usize, &'static str)> {
    let closings = REASONING.iter().filter_map(|(_, closing)| Some((text.find(closing)?, *closing)));
    closings.min_by_key(|(at, _)| *at)
}

fn call_begins(text: &str, place: TextPlace, marks: &Marks) -> Match {
    let at_line_start = place == TextPlace::LineStart;
    let mut closing =
        REASONING.iter().map(|(_, closing)| begins(text, closing)).filter(|found| *found == Match::Maybe);
    let Marks::Calls(marks) = marks else { return closing.next_back().unwrap_or(Match::No) };
    // A name within a longer word is none: most words end with the first letter of some tool.
    let names = marks.iter().map(String::as_str);
    let names = names.filter(|mark| place != TextPlace::InWord || !mark.starts_with(char::is_alphanumeric));
    let anywhere = CALLS.into_iter().chain(names).map(|mark| begins(text, mark));
    let blocks = BLOCKS.iter().filter(|_| at_line_start).map(|mark| begins(text, mark));
    let object = if at_line_start { object_begins(text) } else { Match::No };
    anywhere.chain(closing).chain(blocks).chain([object]).fold(Match::No, |best, found| match (best, found) {
        (Match::Yes, _) | (_, Match::Yes) => Match::Yes,
        (Match::Maybe, _) | (_, Match::Maybe) => Match::Maybe,
        _ => Match::No,
    })
}

/// A JSON object, or a list of them: braces and brackets with a brace among them, then a quotation mark.
fn object_begins(text: &str) -> Match {
    if !text.starts_with(['{', '[']) {
        return Match::No;
    }
    let is_opening = |c: char| c == '{' || c == '[' || c.is_whitespace();
    let end = text.find(|c| !is_opening(c)).unwrap_or(text.len());
    match text[end..].chars().next() {
        Some('"') if text[..end].contains('{') => Match::Yes,
        None if end < LONGEST_SPACE => Match::Maybe,
        _ => Match::No,
    }
}

#[cfg(test)]
mod tests;
