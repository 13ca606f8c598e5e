//! Texts of models, whole and in pieces.

use proptest::prelude::*;

use super::*;

fn reader() -> Visible {
    Visible::new(Marks::of(&[]))
}

fn read(pieces: &[&str]) -> (String, Option<String>) {
    let mut reader = reader();
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
    let mut reader = Visible::in_reasoning(Marks::of(&[]));
    let text: String = pieces.iter().map(|piece| reader.push(piece)).collect();
    let ended = reader.take_end_of_unopened();
    (text + &reader.end(is_complete).0, ended)
}

#[test]
fn data_is_all_visible_except_reasoning() {
    for (text, visible) in [
        ("{\"summary\": \"They want end_call.\"}", "{\"summary\": \"They want end_call.\"}"),
        ("<think>Hm.</think>\n[{\"a\": 1}]", "[{\"a\": 1}]"),
        ("```json\n{\"a\": \"<tool_call>\"}\n```", "```json\n{\"a\": \"<tool_call>\"}\n```"),
    ] {
        for size in 1..=text.len() {
            let mut reader = Visible::new(Marks::Ignored);
            let read: String = text
                .as_bytes()
                .chunks(size)
                .map(|it| reader.push(str::from_utf8(it).expect("ASCII")))
                .collect();
            let (rest, call) = reader.end(true);
            assert_eq!((read + &rest, call), (visible.to_owned(), None), "in pieces of {size}");
        }
    }
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
        ("They may say end_call. Hm.</think>We open at nine.", "We open at nine."),
        ("Well, 3 </ 4", "Well, 3 </ 4"),
    ] {
        assert_eq!(read(&[text]), (visible.into(), None), "{text}");
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(read(&letters), (visible.into(), None), "{text}");
    }
    let mut reader = reader();
    reader.push("</think>Yes.");
    assert!(!reader.take_end_of_unopened(), "nothing was before it");
}

#[test]
fn a_text_that_is_expected_to_begin_in_reasoning_is_held() {
    let reply = ["They may say end_call. Hm.</th", "ink>We open", " at nine."];
    assert_eq!(read_in_reasoning(&reply, true), ("We open at nine.".into(), true));
    assert_eq!(read_in_reasoning(&["We open", " at nine."], true), ("We open at nine.".into(), false));
    assert_eq!(read_in_reasoning(&["They want"], false), (String::new(), false), "it was cut off");
    assert_eq!(read_in_reasoning(&["<think>a</think>Yes."], true), ("Yes.".into(), true));
    assert_eq!(LONGEST_TAG, REASONING.map(|(_, closing)| closing.len()).into_iter().max().unwrap_or(0));
}

#[test]
fn spelled_tool_calls_are_left_out() {
    for (text, visible, call) in [
        ("Bye!\n<tool_call>{\"name\": \"end_call\"}</tool_call>", "Bye!\n", true),
        ("{\"name\": \"end_call\", \"arguments\": {}}", "", true),
        ("Goodbye.\n  [ { \"name\": \"end_call\" } ]", "Goodbye.\n  ", true),
        ("```json\n{}\n```", "", true),
        ("Goodbye! [end_call]", "Goodbye! ", true),
        ("Goodbye! end_call()", "Goodbye! ", true),
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
    let mut reasoning = reader();
    for _ in 0..1_000 {
        assert_eq!(reasoning.push("<think>über "), "");
    }
    assert!(reasoning.held.len() < 32, "{}", reasoning.held);
}

fn texts() -> impl Strategy<Value = String> {
    const PART: &str = "<think>|</think>|<thinking>|</thinking>|<th|<tool_call>|end_call|\\[end_call\\]|\\{|\"|\\[|```json|ä|\n| |\\. |a";
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
