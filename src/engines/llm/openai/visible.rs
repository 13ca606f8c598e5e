//! The part of a model's text that is meant for the caller.
//!
//! Models that reason begin with `<think>…</think>` where their server does not separate it (vLLM without a
//! reasoning parser, llama.cpp, LM Studio). Where the server does not parse tool calls, models spell them in the
//! text. Neither is to be spoken.

/// Opening tags of reasoning, which count at the beginning of a reply only, and their closing tags.
const REASONING: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];
/// Beginnings of a tool call, anywhere in the text.
const CALLS: [&str; 13] = [
    "<tool_call",
    "<function_call",
    "<function=",
    "<|tool",
    "<|python_tag|>",
    "<｜tool",
    "[TOOL_CALL",
    "[hang_up",
    "(hang_up",
    "<hang_up",
    "*hang_up",
    "`hang_up",
    "hang_up",
];
/// Beginnings of a tool call at the start of a line.
const BLOCKS: [&str; 3] = ["```json", "```tool", "```xml"];
/// How much of a tool call is kept, in bytes.
const LONGEST_CALL: usize = 4 * 1024;
/// How much white space within the beginning of a JSON object is waited for, in bytes.
const LONGEST_SPACE: usize = 64;

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
    Text {
        /// Nothing but white space since the last line break.
        at_line_start: bool,
    },
    Call,
}

/// Divides a text that arrives in pieces. The result does not depend on how it is cut into pieces.
#[derive(Debug)]
pub struct Visible {
    part: TextPart,
    /// Text that is not decided yet; of a call, the call.
    held: String,
}

impl Default for Visible {
    fn default() -> Visible {
        Visible { part: TextPart::Beginning, held: String::new() }
    }
}

impl Visible {
    /// Takes the next piece; the visible text that is now certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let mut visible = String::new();
        while self.step(&mut visible) {}
        visible
    }

    /// Ends the text: the rest of the visible text, and the tool call that the model spelled, if any.
    pub fn end(self) -> (String, Option<String>) {
        match self.part {
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
            TextPart::Text { at_line_start } => self.read(at_line_start, visible),
            TextPart::Call => {
                let end = self.held.floor_char_boundary(LONGEST_CALL);
                self.held.truncate(end);
                false
            }
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
            None => self.part = TextPart::Text { at_line_start: true },
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
        self.held.drain(..at + closing.len());
        self.part = TextPart::Beginning;
        true
    }

    fn read(&mut self, mut at_line_start: bool, visible: &mut String) -> bool {
        for (at, char) in self.held.char_indices() {
            let found = call_begins(&self.held[at..], at_line_start);
            if found != Match::No {
                visible.push_str(&self.held[..at]);
                self.held.drain(..at);
                self.part =
                    if found == Match::Yes { TextPart::Call } else { TextPart::Text { at_line_start } };
                return found == Match::Yes;
            }
            at_line_start = char == '\n' || (at_line_start && char.is_whitespace());
        }
        visible.push_str(&self.held);
        self.held.clear();
        self.part = TextPart::Text { at_line_start };
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

fn call_begins(text: &str, at_line_start: bool) -> Match {
    let anywhere = CALLS.iter().map(|mark| begins(text, mark));
    let blocks = BLOCKS.iter().filter(|_| at_line_start).map(|mark| begins(text, mark));
    let object = if at_line_start { object_begins(text) } else { Match::No };
    anywhere.chain(blocks).chain([object]).fold(Match::No, |best, found| match (best, found) {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&str]) -> (String, Option<String>) {
        let mut reader = Visible::default();
        let mut text: String = pieces.iter().map(|piece| reader.push(piece)).collect();
        let (rest, call) = reader.end();
        text.push_str(&rest);
        (text, call)
    }

    #[test]
    fn reasoning_is_left_out() {
        for (text, visible) in [
            ("<think>The caller wants hours.</think>\n\nWe open at nine.", "We open at nine."),
            ("\n <thinking>a</thinking> <think>b</think>Yes.", "Yes."),
            ("<think>never closed", ""),
            ("<think></think>Yes.", "Yes."),
            ("I <think> so.", "I <think> so."),
            ("<thin ice>", "<thin ice>"),
            ("<thi", "<thi"),
            ("  Hello", "Hello"),
        ] {
            assert_eq!(read(&[text]), (visible.into(), None), "{text}");
        }
    }

    #[test]
    fn spelled_tool_calls_are_left_out() {
        for (text, visible, call) in [
            ("Bye!\n<tool_call>{\"name\": \"hang_up\"}</tool_call>", "Bye!\n", true),
            ("{\"name\": \"hang_up\", \"arguments\": {}}", "", true),
            ("Goodbye.\n  [ { \"name\": \"hang_up\" } ]", "Goodbye.\n  ", true),
            ("```json\n{}\n```", "", true),
            ("Goodbye! [hang_up]", "Goodbye! ", true),
            ("Goodbye! hang_up()", "Goodbye! ", true),
            ("[TOOL_CALLS][{\"name\":\"x\"}]", "", true),
            ("It costs {3} or [4].", "It costs {3} or [4].", false),
            ("{3}", "{3}", false),
            ("5 < 6, (hang on)", "5 < 6, (hang on)", false),
            ("[", "[", false),
        ] {
            let (seen, found) = read(&[text]);
            assert_eq!((seen.as_str(), found.is_some()), (visible, call), "{text}");
        }
    }

    #[test]
    fn a_call_is_bounded() {
        let (_, call) = read(&["<tool_call>", &"ä".repeat(LONGEST_CALL), &"x".repeat(LONGEST_CALL)]);
        assert!(call.expect("a call").len() <= LONGEST_CALL);
        let mut reasoning = Visible::default();
        for _ in 0..1_000 {
            assert_eq!(reasoning.push("<think>über "), "");
        }
        assert!(reasoning.held.len() < 32, "{}", reasoning.held);
    }

    fn texts() -> impl Strategy<Value = String> {
        const PART: &str = "<think>|</think>|<thinking>|</thinking>|<th|<tool_call>|hang_up|\\[hang_up\\]|\\{|\"|\\[|```json|ä|\n| |\\. |a";
        proptest::collection::vec(PART, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_splitting_gives_the_same(text in texts(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
            let (visible, call) = read(&pieces);
            prop_assert_eq!(&(visible, call), &read(&[&text]));
        }

        #[test]
        fn any_text_is_read(pieces: Vec<String>) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            read(&pieces);
        }
    }
}
