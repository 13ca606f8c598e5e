//! The words of a session. They are bounded: a server that sends text without end fills no memory.

use std::collections::VecDeque;

use crate::engines::core::EngineError;
use crate::engines::stt::{SttEvent, Utterance};

/// The longest text of an utterance, in bytes: an hour of speech.
pub const LONGEST: usize = 64 * 1024;

/// The most parts that are kept, with their words; a caller makes some ten pauses a minute.
const MOST_PARTS: usize = 256;

/// A text without what is too long.
pub fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.shrink_to_fit();
    }
    text
}

/// Appends words behind a space, as far as there is room.
pub fn append(words: &mut String, more: &str) {
    let more = more.trim();
    if more.is_empty() || words.len() >= LONGEST {
        return;
    }
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(&more[..more.floor_char_boundary(LONGEST - words.len())]);
}

/// A part of the audio with final words.
pub struct FinalPart {
    /// Where the speech in it ends.
    pub end: u64,
    pub text: String,
}

/// The final words so far.
#[derive(Default)]
pub struct FinalWords {
    /// Oldest first.
    parts: VecDeque<FinalPart>,
}

impl FinalWords {
    /// Adds the words of the next part. The oldest are dropped beyond the length of one utterance.
    pub fn keep(&mut self, end: u64, text: String) {
        self.parts.push_back(FinalPart { end, text: bounded(text) });
        let mut length: usize = self.parts.iter().map(|part| part.text.len()).sum();
        while self.parts.len() > MOST_PARTS || length > LONGEST {
            length -= self.parts.pop_front().map_or(length, |part| part.text.len());
        }
    }

    /// Drops the words of speech before a position.
    pub fn forget(&mut self, position: u64) {
        self.parts.retain(|part| part.end > position);
    }

    /// The words of the speech from a position on.
    pub fn since(&self, position: u64) -> String {
        let mut words = String::new();
        self.parts.iter().filter(|part| part.end > position).for_each(|part| append(&mut words, &part.text));
        words
    }
}

/// The events of a session that are not taken yet.
#[derive(Default)]
pub struct SttEvents(VecDeque<SttEvent>);

impl SttEvents {
    pub fn push(&mut self, event: SttEvent) {
        self.0.push_back(event);
    }

    pub fn pop(&mut self) -> Option<SttEvent> {
        self.0.pop_front()
    }

    /// Drops all events of an utterance.
    pub fn cancel(&mut self, utterance: Utterance) {
        self.0.retain(|event| event.utterance() != utterance);
    }

    /// Drops the words so far of an utterance: newer ones replace them.
    pub fn drop_partial(&mut self, utterance: Utterance) {
        let is_partial =
            |event: &SttEvent| matches!(event, SttEvent::Partial { utterance: of, .. } if *of == utterance);
        self.0.retain(|event| !is_partial(event));
    }

    /// An utterance fails, unless it was cancelled.
    pub fn fail(&mut self, utterance: Option<Utterance>, error: &EngineError) {
        if let Some(utterance) = utterance {
            self.push(SttEvent::Failed { utterance, error: error.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_a_character() {
        let mut words = "a".repeat(LONGEST - 4);
        append(&mut words, " ää ");
        assert_eq!((words.len(), words.ends_with("a ä")), (LONGEST - 1, true));
        append(&mut words, "b");
        append(&mut words, "b");
        assert_eq!(words.len(), LONGEST);
        assert_eq!(bounded("ä".repeat(LONGEST)).len(), LONGEST);
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[test]
    fn the_newest_words_are_kept() {
        let mut words = FinalWords::default();
        for end in 1..=1_000 {
            words.keep(end, format!("{end}"));
        }
        assert_eq!(words.parts.len(), MOST_PARTS);
        assert_eq!(words.since(998), "999 1000");
        for end in 1_001..1_010 {
            words.keep(end, "x".repeat(LONGEST / 2));
        }
        assert_eq!(words.parts.len(), 2);
        words.forget(1_008);
        assert_eq!(words.since(0).len(), LONGEST / 2);
        words.keep(1_010, "y".repeat(10 * LONGEST));
        assert_eq!(words.since(0).len(), LONGEST);
    }
}
