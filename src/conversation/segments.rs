//! The parts of a long utterance that have ended, each transcribed by itself: no audio is transcribed again and again while
//! a caller tells a story.

use serde::{Deserialize, Serialize};

use super::UtteranceId;
use super::words::bounded;

/// The words before those of the latest part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segments {
    known: String,
    /// Parts of which some words are awaited, oldest first.
    awaited: Vec<(UtteranceId, Option<String>)>,
}

impl Segments {
    pub fn known(words: String) -> Segments {
        Segments { known: words, awaited: Vec::new() }
    }

    /// Adds a part; its words are awaited if there are none yet.
    pub fn add(&mut self, part: UtteranceId, words: Option<&str>) {
        self.awaited.push((part, words.map(str::to_owned)));
    }

    /// The words of a part. Returns whether it is one of these.
    pub fn take(&mut self, part: UtteranceId, words: &str) -> bool {
        let found = self.awaited.iter_mut().find(|(id, _)| *id == part);
        let is_one = found.is_some();
        if let Some((_, known)) = found {
            *known = Some(words.to_owned());
        }
        is_one
    }

    /// Whether the words of a part are awaited.
    pub fn awaits(&self, part: UtteranceId) -> bool {
        self.awaited.iter().any(|(id, words)| *id == part && words.is_none())
    }

    /// Whether no words are awaited.
    pub fn are_known(&self) -> bool {
        self.awaited.iter().all(|(_, words)| words.is_some())
    }

    /// Their words as far as they are known, and `latest` after them.
    pub fn followed_by(&self, latest: &str) -> String {
        let parts = self.awaited.iter().filter_map(|(_, words)| words.as_deref());
        let texts = [self.known.as_str()].into_iter().chain(parts).chain([latest]);
        let mut words = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        words.truncate(bounded(&words).len());
        words
    }

    pub fn are_all_of(&self, words: &str) -> bool {
        self.awaited.is_empty() && !words.is_empty() && self.known == words
    }
}
