//! The marks that end a sentence, of all scripts.

/// Marks that end a sentence, beyond those of English: Chinese and Japanese, Hindi, Arabic and Urdu.
pub const TERMINALS: &[char] = &['.', '?', '!', '。', '？', '！', '।', '॥', '؟', '۔'];

/// Quotes and brackets that may follow the end of a sentence.
pub const CLOSERS: &[char] = &['"', '\'', '”', '’', '»', '“', ')', ']', '」', '』', '）'];

/// Whether a mark ends a sentence by itself: its script writes no spaces, or no other full stop.
pub fn ends_without_space(mark: char) -> bool {
    matches!(mark, '。' | '？' | '！' | '।' | '॥')
}
