//! The part of a model's text that is meant for the caller.
//!
//! Models that reason begin with `<think>…</think>` where their server does not separate it (vLLM without a
//! reasoning parser, llama.cpp, LM Studio). Where the chat template writes the opening tag, as those of DeepSeek R1 and of Qwen's
//! thinking models do, only the closing one is in the text. Where the server does not parse tool calls, models spell them in the
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
/// The length of the longest closing tag, in bytes.
const LONGEST_TAG: usize = 12;
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
    /// Perhaps within reasoning that no tag has opened: everything is held until a closing tag or the end.
    Unopened {
        /// How much of the held text has no closing tag, in bytes.
        searched: usize,
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
    /// Some words were visible.
    has_words: bool,
    /// Reasoning that no tag had opened has ended.
    ended_unopened: bool,
}

impl Default for Visible {
    fn default() -> Visible {
        Visible { part: TextPart::Beginning, held: String::new(), has_words: false, ended_unopened: false }
    }
}

impl Visible {
    /// A text that is expected to begin within reasoning.
    pub fn in_reasoning() -> Visible {
        Visible { part: TextPart::Unopened { searched: 0 }, ..Visible::default() }
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
                let mut reply = Visible::default();
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
            TextPart::Text { at_line_start } => self.read(at_line_start, visible),
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

    fn read(&mut self, mut at_line_start: bool, visible: &mut String) -> bool {
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

/// The first closing tag of reasoning, and its place.
fn first_closing(text: &str) -> Option<(usize, &'static str)> {
    let closings = REASONING.iter().filter_map(|(_, closing)| Some((text.find(closing)?, *closing)));
    closings.min_by_key(|(at, _)| *at)
}

fn call_begins(text: &str, at_line_start: bool) -> Match {
    let anywhere = CALLS.iter().map(|mark| begins(text, mark));
    let closing =
        REASONING.iter().map(|(_, closing)| begins(text, closing)).filter(|found| *found == Match::Maybe);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&str]) -> (String, Option<String>) {
        let mut reader = Visible::default();
        let mut text = String::new();
        for piece in pieces {
            let visible = reader.push(piece);
            if reader.take_end_of_unopened() {
                text.clear();
            }
            text.push_str(&visible);
        }
        let (rest, call) = reader.end(true);
        text.push_str(&rest);
        (text, call)
    }

    /// The visible text of a reply that is expected to begin within reasoning, and whether it did.
    fn read_in_reasoning(pieces: &[&str], is_complete: bool) -> (String, bool) {
        let mut reader = Visible::in_reasoning();
        let text: String = pieces.iter().map(|piece| reader.push(piece)).collect();
        let ended = reader.take_end_of_unopened();
        (text + &reader.end(is_complete).0, ended)
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
    fn text_before_a_lone_closing_tag_is_reasoning() {
        for (text, visible) in [
            ("</think>", ""),
            ("</think>\n\nYes.", "Yes."),
            ("The caller wants hours.</think>\n\nWe open at nine.", "We open at nine."),
            ("a</think>b</think>Yes.", "Yes."),
            ("<think>a</think>b</think>Yes.", "Yes."),
            ("They may say hang_up. Hm.</think>We open at nine.", "We open at nine."),
            ("Well, 3 </ 4", "Well, 3 </ 4"),
        ] {
            assert_eq!(read(&[text]), (visible.into(), None), "{text}");
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(read(&letters), (visible.into(), None), "{text}");
        }
        let mut reader = Visible::default();
        reader.push("</think>Yes.");
        assert!(!reader.take_end_of_unopened(), "nothing was before it");
    }

    #[test]
    fn a_text_that_is_expected_to_begin_in_reasoning_is_held() {
        let reply = ["They may say hang_up. Hm.</th", "ink>We open", " at nine."];
        assert_eq!(read_in_reasoning(&reply, true), ("We open at nine.".into(), true));
        assert_eq!(read_in_reasoning(&["We open", " at nine."], true), ("We open at nine.".into(), false));
        assert_eq!(read_in_reasoning(&["They want"], false), (String::new(), false), "it was cut off");
        assert_eq!(read_in_reasoning(&["<think>a</think>Yes."], true), ("Yes.".into(), true));
        assert_eq!(LONGEST_TAG, REASONING.map(|(_, closing)| closing.len()).into_iter().max().unwrap_or(0));
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
