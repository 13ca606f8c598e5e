//! How much of a text is spoken at once.

/// The beginning of a text, at most `most` characters of it: cut after a sentence where that leaves
/// more than half, else after a word, else anywhere.
pub fn cut(text: &str, most: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(most) else { return text };
    let head = &text[..end];
    let next_is_space = text[end..].starts_with(char::is_whitespace);
    let sentence = head.char_indices().rev().find_map(|(at, c)| {
        let after = at + c.len_utf8();
        let ends = matches!(c, '.' | '!' | '?' | '。' | '！' | '？');
        let spaced =
            if after == end { next_is_space } else { head[after..].starts_with(char::is_whitespace) };
        (ends && (spaced || !c.is_ascii())).then_some(after)
    });
    if let Some(at) = sentence.filter(|at| head[..*at].chars().count() * 2 > most) {
        return &head[..at];
    }
    if next_is_space {
        return head;
    }
    head.rfind(char::is_whitespace).map_or(head, |at| head[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_where_a_speaker_would() {
        assert_eq!(cut("Short.", 500), "Short.");
        assert_eq!(cut("One sentence. Another one", 20), "One sentence.");
        assert_eq!(cut("Hm. A long sentence goes on", 20), "Hm. A long sentence");
        assert_eq!(cut("It costs 3.50 in all, or so", 15), "It costs 3.50");
        assert_eq!(cut("abcdefgh", 3), "abc");
        assert_eq!(cut("ab cd", 2), "ab");
    }

    proptest! {
        #[test]
        fn is_a_beginning_and_short_enough(text: String, most in 1usize..40) {
            let head = cut(&text, most);
            prop_assert!(text.starts_with(head) && head.chars().count() <= most);
        }
    }
}
