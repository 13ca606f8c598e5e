//! The tool calls of a reply, put together from the pieces of its stream.

use std::sync::Arc;

use serde_json::Value;

use super::{ToolCall, ToolSpec};
use crate::engines::core::EngineError;

/// The longest arguments of a call, in bytes.
pub const LONGEST_ARGUMENTS: usize = 16 * 1024;
/// The most calls of a reply; further ones are left out.
pub const MOST_CALLS: usize = 16;
/// The most calls that are put together, of offered tools or not; more end the reply.
const MOST_OPEN: usize = 64;
/// The longest id of a call in a request to OpenAI.
const LONGEST_ID: usize = 40;

/// A piece of a call. Servers differ in the fields that they repeat or leave out.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallPiece<'a> {
    /// The place of the call in its reply. Some servers send none, or 0 for each call.
    pub index: Option<u64>,
    pub id: Option<&'a str>,
    /// Whole, in the first piece of a call.
    pub name: Option<&'a str>,
    /// The next part of the arguments.
    pub arguments: &'a str,
}

#[derive(Debug, Default)]
struct OpenCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// The calls of a reply so far.
#[derive(Debug, Default)]
pub struct ToolCalls(Vec<OpenCall>);

impl ToolCalls {
    /// Takes the next piece.
    ///
    /// # Errors
    /// A permanent one where there are too many calls, or the arguments of one are too long.
    pub fn push(&mut self, piece: CallPiece<'_>) -> Result<(), EngineError> {
        let (id, name) = (piece.id.unwrap_or_default(), piece.name.unwrap_or_default());
        let at = match self.0.iter().rposition(|call| continues(call, piece.index, id, name)) {
            Some(at) => at,
            None if self.0.len() >= MOST_OPEN => {
                return Err(EngineError::Permanent("the tool calls of the reply do not end".into()));
            }
            None => {
                self.0.push(OpenCall { index: piece.index, ..OpenCall::default() });
                self.0.len() - 1
            }
        };
        let call = &mut self.0[at];
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        if call.arguments.len() + piece.arguments.len() > LONGEST_ARGUMENTS {
            return Err(EngineError::Permanent("the arguments of a tool call do not end".into()));
        }
        call.arguments.push_str(piece.arguments);
        Ok(())
    }

    /// The calls of offered tools, in order. Of a reply that was cut off, only those with whole arguments.
    pub fn finish(self, offered: &[ToolSpec], is_cut_off: bool) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = Vec::new();
        for call in self.0 {
            let arguments = if call.arguments.trim().is_empty() { "{}".to_owned() } else { call.arguments };
            let is_whole = !is_cut_off || serde_json::from_str::<Value>(&arguments).is_ok();
            let Some(name) = offered_name(offered, &call.name).filter(|_| is_whole) else { continue };
            let is_kept = is_plain_id(&call.id) && calls.iter().all(|it| *it.id != *call.id);
            let id = if is_kept { call.id.into() } else { new_id() };
            calls.push(ToolCall { id, name, arguments: arguments.into() });
        }
        calls.truncate(MOST_CALLS);
        calls
    }
}

/// Whether a piece belongs to a call: by its place, unless it has the name of a new call.
fn continues(call: &OpenCall, index: Option<u64>, id: &str, name: &str) -> bool {
    let is_other = !id.is_empty() && !call.id.is_empty() && id != call.id;
    match index {
        Some(_) => call.index == index && (!is_other || name.is_empty()),
        None => name.is_empty() && !is_other,
    }
}

/// Whether OpenAI and Anthropic accept an id that another server gave: a fallback reads the calls of the engine before it.
fn is_plain_id(id: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain)
}

/// The name of an offered tool.
pub fn offered_name(offered: &[ToolSpec], name: &str) -> Option<Arc<str>> {
    offered.iter().find(|tool| *tool.name == *name).map(|tool| tool.name.clone())
}

/// An id for a call that has none. Mistral's models take nine letters or digits, and no other length.
pub fn new_id() -> Arc<str> {
    format!("{:09x}", rand::random::<u64>() >> 28).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offered() -> Vec<ToolSpec> {
        let look = ToolSpec { name: "look".into(), ..ToolSpec::end_call() };
        vec![ToolSpec::end_call(), look]
    }

    fn piece<'a>(index: Option<u64>, id: &'a str, name: &'a str, arguments: &'a str) -> CallPiece<'a> {
        let given = |text: &'a str| (!text.is_empty()).then_some(text);
        CallPiece { index, id: given(id), name: given(name), arguments }
    }

    fn shown(pieces: &[CallPiece<'_>], is_cut_off: bool) -> Vec<String> {
        let mut calls = ToolCalls::default();
        pieces.iter().for_each(|piece| calls.push(*piece).expect("short arguments"));
        let calls = calls.finish(&offered(), is_cut_off);
        calls.iter().map(|it| format!("{}{}{}", it.id, it.name, it.arguments)).collect()
    }

    #[test]
    fn pieces_of_parallel_calls_are_put_together() {
        let pieces = [
            piece(Some(0), "a", "look", ""),
            piece(Some(0), "", "", "{\"n\":"),
            piece(Some(1), "b", "look", ""),
            piece(Some(0), "", "", "1}"),
            piece(Some(1), "", "", "{\"n\":2}"),
            piece(Some(2), "c", "end_call", ""),
        ];
        assert_eq!(shown(&pieces, false), ["alook{\"n\":1}", "blook{\"n\":2}", "cend_call{}"]);
    }

    /// Gemini's and Ollama's servers have sent index 0, or none, for each of several calls.
    #[test]
    fn calls_are_told_apart_without_an_index() {
        for index in [None, Some(0)] {
            let pieces = [piece(index, "a", "look", "{}"), piece(index, "b", "end_call", "{}")];
            assert_eq!(shown(&pieces, false), ["alook{}", "bend_call{}"]);
        }
        let pieces =
            [piece(None, "a", "look", "{"), piece(None, "", "", "}"), piece(None, "b", "look", "{}")];
        assert_eq!(shown(&pieces, false), ["alook{}", "blook{}"]);
        let repeated = [piece(Some(0), "a", "look", "{"), piece(Some(0), "a", "look", "}")];
        assert_eq!(shown(&repeated, false), ["alook{}"]);
    }

    #[test]
    fn only_offered_tools_are_called_and_ids_are_unique() {
        assert!(shown(&[piece(Some(0), "a", "fly", "{}")], false).is_empty());
        let same = [piece(Some(0), "a", "look", ""), piece(Some(1), "a", "look", "")];
        let calls = shown(&same, false);
        assert!(calls[0] == "alook{}" && calls[1].len() == 15, "{calls:?}");
    }

    #[test]
    fn an_id_that_a_fallback_would_refuse_is_replaced() {
        for id in ["functions.look:0", "a b", "ä", "a\0", &"x".repeat(LONGEST_ID + 1)] {
            let calls = shown(&[piece(Some(0), id, "look", "{}")], false);
            assert!(calls[0].len() == 15 && calls[0].ends_with("look{}"), "{calls:?}");
        }
        let longest = "x".repeat(LONGEST_ID);
        assert_eq!(shown(&[piece(Some(0), &longest, "look", "")], false), [format!("{longest}look{{}}")]);
    }

    #[test]
    fn an_unfinished_call_is_left_out_of_a_reply_that_was_cut_off() {
        let pieces = [piece(Some(0), "a", "look", "{}"), piece(Some(1), "b", "look", "{\"n\":")];
        assert_eq!(shown(&pieces, true), ["alook{}"]);
    }

    #[test]
    fn arguments_and_calls_are_bounded() {
        let half = "x".repeat(LONGEST_ARGUMENTS / 2);
        let mut calls = ToolCalls::default();
        calls.push(piece(Some(0), "a", "look", &half)).expect("room");
        calls.push(piece(Some(0), "", "", &half)).expect("room");
        calls.push(piece(Some(0), "", "", "x")).expect_err("too long");
        let many: Vec<_> = (0..40).map(|n| piece(Some(n), "", "look", "{}")).collect();
        assert_eq!(shown(&many, false).len(), MOST_CALLS);
        let mut calls = ToolCalls::default();
        let mut endless = (0..1_000).map(|n| calls.push(piece(Some(n), "", "fly", "")));
        assert_eq!(endless.position(|it| it.is_err()), Some(MOST_OPEN));
    }

    proptest! {
        #[test]
        fn arguments_may_be_split_anywhere(cuts in proptest::collection::vec(0usize..20, 0..5)) {
            let arguments = "{\"city\": \"Wien\"}";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(arguments.len())).collect();
            cuts.extend([0, arguments.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| piece(Some(0), "", "", &arguments[ends[0]..ends[1]]));
            let pieces: Vec<_> = std::iter::once(piece(Some(0), "a", "look", "")).chain(pieces).collect();
            prop_assert_eq!(shown(&pieces, false), [format!("alook{arguments}")]);
        }
    }
}
