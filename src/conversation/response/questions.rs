//! The caller's side of a response: what it asks, and what speech over it means.

use std::collections::HashMap;

use super::{Progress, Response};
use crate::conversation::interruption::SpokenOver;
use crate::conversation::{At, Phrase, Say};

impl Response {
    /// The response ends with a question, most of which was heard: "yes" answers it. `texts` are those of the prompts.
    fn has_asked(&self, texts: &HashMap<Phrase, String>) -> bool {
        let pending = self.speeches.iter().filter(|speech| speech.progress != Progress::Ended).count();
        self.is_complete()
            && pending <= 1
            && self.speeches.last().is_some_and(|last| {
                let text = last.text(texts).trim_end();
                text.ends_with(['?', '？', '؟']) && last.heard(text).len() * 2 >= text.len()
            })
    }

    /// Its last words want an answer: a question, or a prompt.
    pub fn wants_an_answer(&self, texts: &HashMap<Phrase, String>) -> bool {
        self.speeches.last().is_some_and(|last| {
            matches!(last.what, Say::Phrase(_)) || last.text(texts).trim_end().ends_with(['?', '？', '؟'])
        })
    }

    pub fn is_greeting(&self) -> bool {
        self.speeches.iter().any(|speech| speech.what == Say::Phrase(Phrase::Greeting))
    }

    /// The side of the agent that a caller speaks over who began at `from`.
    pub fn spoken_over(&self, from: At, texts: &HashMap<Phrase, String>) -> SpokenOver {
        if self.was_unheard(from) || self.is_busy() {
            SpokenOver::Silence
        } else if self.has_asked(texts) {
            let last = self.speeches.last().map(|last| &last.what);
            let still_there = last == Some(&Say::Phrase(Phrase::StillThere));
            if still_there { SpokenOver::StillThere } else { SpokenOver::Question }
        } else {
            SpokenOver::Words
        }
    }
}
