//! Splits a text that is too long for one request.

use std::sync::Arc;

use crate::language::{CLOSERS, TERMINALS, ends_without_space};

/// The parts of a text, none of them blank and each of at most `longest` characters: split after a sentence where that
/// leaves more than half of the length, else after a word, else anywhere.
pub fn parts(text: &str, longest: usize) -> Vec<Arc<str>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = beginning(rest, longest.max(1));
        parts.push(part.trim_end().into());
        rest = rest[part.len()..].trim_start();
    }
    parts
}

/// The first part of a text.
fn beginning(text: &str, longest: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(longest) else { return text };
    let head = &text[..end];
    let next_is_space = text[end..].starts_with(char::is_whitespace);
    let sentence = head.char_indices().rev().find_map(|(at, c)| {
        let rest = head[at + c.len_utf8()..].trim_start_matches(CLOSERS);
        let spaced = if rest.is_empty() { next_is_space } else { rest.starts_with(char::is_whitespace) };
        let ends = TERMINALS.contains(&c) && (spaced || ends_without_space(c));
        ends.then_some(head.len() - rest.len())
    });
    if let Some(at) = sentence.filter(|at| head[..*at].chars().count() * 2 > longest) {
        return &head[..at];
    }
    if next_is_space {
        return head;
    }
    head.rfind(char::is_whitespace).map_or(head, |at| &head[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, longest: usize) -> String {
        parts(text, longest).join("|")
    }

    #[test]
    fn splits_where_a_speaker_would_pause() {
        assert_eq!(split("Short.", 500), "Short.");
        assert_eq!(split("One sentence. Another one", 20), "One sentence.|Another one");
        assert_eq!(split("Hm. A long sentence goes on", 20), "Hm. A long sentence|goes on");
        assert_eq!(split("It costs 3.50 in all, or so", 15), "It costs 3.50|in all, or so");
        assert_eq!(split("abcdefgh", 3), "abc|def|gh");
        assert_eq!(split("ab cd", 2), "ab|cd");
        assert_eq!(split("何時ですか。三時です。", 8), "何時ですか。|三時です。");
        assert_eq!(split("हम खुले हैं। आप आइए", 15), "हम खुले हैं।|आप आइए");
        assert_eq!(split("「何時ですか。」三時です。", 9), "「何時ですか。」|三時です。");
        assert_eq!(split("کیا آپ کھلے ہیں؟ جی ہاں۔", 19), "کیا آپ کھلے ہیں؟|جی ہاں۔");
        assert_eq!(split("She said \"Yes.\" Then we go", 20), "She said \"Yes.\"|Then we go");
        assert_eq!(split("  ", 8), "");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_part_is_too_long(text: String, longest in 1usize..40) {
            let parts = parts(&text, longest);
            prop_assert!(parts.iter().all(|part| (1..=longest).contains(&part.chars().count())));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&parts.concat()), letters(&text));
        }
    }
}
