//! The transcript as far as it was heard: the caller's words once their turn is committed, the agent's as far as they
//! were played.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ContextItem, Keys, ToolId};

/// Speaking rate while the length of a speech is unknown, in characters a second: a brisk 150 to 180 words a minute.
const CHARS_PER_SECOND: u128 = 15;

/// The items of the conversation so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Transcript {
    items: Vec<ContextItem>,
}

impl Transcript {
    pub fn items(&self) -> &[ContextItem] {
        &self.items
    }

    /// Adds the caller's words, unless there are none.
    pub fn add_caller(&mut self, text: &str) {
        if !text.is_empty() {
            self.items.push(ContextItem::Caller { text: text.to_owned() });
        }
    }

    /// Adds the agent's words of a finished turn, and its tools.
    pub fn add_agent(&mut self, items: impl IntoIterator<Item = ContextItem>) {
        self.items.extend(items);
    }

    /// Puts a result that arrived after its turn in its place.
    pub fn complete_tool(&mut self, id: ToolId, result: &Arc<str>) {
        for item in &mut self.items {
            if let ContextItem::ToolResult { tool, content, .. } = item
                && *tool == id
            {
                content.clone_from(result);
            }
        }
    }

    /// Repeats a call with its result as the last items, from which a model goes on. Their place so far refers to them.
    pub fn repeat_result(&mut self, id: ToolId) {
        let is_of = |item: &&mut ContextItem| matches!(item, ContextItem::ToolCall { tool, .. } | ContextItem::ToolResult { tool, .. } if *tool == id);
        let mut repeated = Vec::new();
        for item in self.items.iter_mut().filter(is_of) {
            let mut copy = item.clone();
            if let ContextItem::ToolCall { call, .. } | ContextItem::ToolResult { call, .. } = &mut copy {
                *call = format!("{call}-later").into();
            }
            repeated.push(copy);
            if let ContextItem::ToolResult { content, .. } = item {
                *content = r#"{"status":"finished: the result is repeated later"}"#.into();
            }
        }
        self.items.extend(repeated);
    }

    /// Adds an item that is neither side's words.
    pub fn add(&mut self, item: ContextItem) {
        self.items.push(item);
    }

    pub fn add_keys(&mut self, keys: &Keys) {
        self.items.push(ContextItem::Dtmf(keys.clone()));
    }

    /// Removes the last item if it is these keys. Notes do not count.
    pub fn take_back_keys(&mut self, keys: &Keys) {
        self.pop_if(|last| matches!(last, ContextItem::Dtmf(pressed) if pressed == keys));
    }

    /// Removes the last item if it is the caller's `text`: the utterance had not ended. Notes do not count.
    pub fn take_back(&mut self, text: &str) {
        self.pop_if(|last| matches!(last, ContextItem::Caller { text: said } if said == text));
    }

    fn pop_if(&mut self, is_meant: impl FnOnce(&ContextItem) -> bool) {
        let last = self.items.iter().rposition(|item| !matches!(item, ContextItem::Note { .. }));
        if let Some(last) = last.filter(|last| is_meant(&self.items[*last])) {
            self.items.remove(last);
        }
    }

    /// The items so far.
    pub fn context(&self) -> Arc<[ContextItem]> {
        self.items.as_slice().into()
    }

    /// The items so far, and those of a turn that is not over.
    pub fn continued_by(&self, turn: Vec<ContextItem>) -> Arc<[ContextItem]> {
        self.items.iter().cloned().chain(turn).collect()
    }

    /// The items so far, and keys and an utterance that are not committed yet.
    pub fn followed_by(&self, keys: Option<&Keys>, caller: &str) -> Arc<[ContextItem]> {
        let keys = keys.cloned().map(ContextItem::Dtmf);
        let question = ContextItem::Caller { text: caller.to_owned() };
        self.items.iter().cloned().chain(keys).chain([question]).collect()
    }
}

/// The words of `text` that were played completely after `position` of `total`.
pub(super) fn heard(text: &str, position: Duration, total: Option<Duration>) -> &str {
    let chars = text.chars().count() as u128;
    let played = match total.filter(|total| !total.is_zero()) {
        Some(total) => chars * position.as_micros() / total.as_micros().max(1),
        None => position.as_micros() * CHARS_PER_SECOND / 1_000_000,
    };
    if played >= chars { text } else { whole_words(text, played as usize) }
}

/// The whole words at the beginning of `text` that have this many letters and digits at most, with the punctuation after them.
pub(super) fn first_letters(text: &str, letters: u32) -> &str {
    let (mut count, mut end) = (0u32, 0);
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        if character.is_whitespace() || written_without_spaces(previous) {
            end = at;
        }
        count = count.saturating_add(u32::from(character.is_alphanumeric()));
        if count > letters {
            return text[..end].trim_end();
        }
        previous = character;
    }
    text
}

/// The longest run of whole words within the first `limit` characters.
fn whole_words(text: &str, limit: usize) -> &str {
    let mut end = 0;
    let mut previous = ' ';
    for (index, (at, character)) in text.char_indices().enumerate() {
        if index > limit {
            break;
        }
        if character.is_whitespace() || written_without_spaces(previous) {
            end = at;
        }
        previous = character;
    }
    text[..end].trim_end()
}

/// Chinese, Japanese, Thai and others put no spaces between words: any character may be the last.
fn written_without_spaces(character: char) -> bool {
    matches!(character, '\u{0E00}'..='\u{0EFF}' | '\u{2E80}'..='\u{9FFF}' | '\u{FF00}'..='\u{FFEF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_known_length_cuts_in_proportion_at_the_word() {
        let text = "We are open from nine to five.";
        let cut = |position| heard(text, ms(position), Some(ms(3_000)));
        assert_eq!(cut(0), "");
        assert_eq!(cut(150), "");
        assert_eq!(cut(200), "We");
        assert_eq!(cut(1_100), "We are open");
        assert_eq!(cut(1_650), "We are open from");
        assert_eq!(cut(2_999), "We are open from nine to");
        assert_eq!(cut(3_000), text);
        assert_eq!(cut(9_000), text);
    }

    #[test]
    fn an_unknown_length_is_guessed() {
        assert_eq!(heard("We are open from nine to five.", ms(1_000), None), "We are open");
    }

    #[test]
    fn languages_without_spaces_are_cut_at_the_character() {
        assert_eq!(heard("営業時間は九時です", ms(500), Some(ms(900))), "営業時間は");
    }

    #[test]
    fn a_number_of_letters_is_cut_at_the_word() {
        let text = "We're open, okay?";
        for (letters, expected) in [
            (0, ""),
            (3, ""),
            (4, "We're"),
            (7, "We're"),
            (8, "We're open,"),
            (11, "We're open,"),
            (12, text),
        ] {
            assert_eq!(first_letters(text, letters), expected, "{letters}");
        }
        assert_eq!(first_letters("営業時間は九時です", 5), "営業時間は");
        assert_eq!(first_letters("Hello!", u32::MAX), "Hello!");
    }

    #[test]
    fn an_utterance_is_taken_back_only_if_it_is_the_last_item() {
        let mut transcript = Transcript::default();
        transcript.add_caller("one");
        transcript.add_agent([ContextItem::Agent { text: "two".to_owned(), cut_short: false }]);
        transcript.take_back("one");
        assert_eq!(transcript.items().len(), 2);
        transcript.add_caller("three");
        transcript.take_back("three");
        assert_eq!(transcript.items().len(), 2);
    }

    proptest! {
        #[test]
        fn what_was_heard_is_the_beginning_of_what_was_said(
            text in "\\PC{0,80}", position in 0u64..9_000, total in proptest::option::of(0u64..6_000)
        ) {
            let cut = heard(&text, ms(position), total.map(ms));
            prop_assert!(text.starts_with(cut));
        }

        #[test]
        fn any_number_of_letters_is_a_beginning(text in "\\PC{0,80}", letters in 0u32..60) {
            prop_assert!(text.starts_with(first_letters(&text, letters)));
        }
    }
}
