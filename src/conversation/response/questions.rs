//! The caller's side of a response: what it asks, and what speech over it means.

use std::collections::HashMap;

use super::Response;
use crate::conversation::interruption::SpokenOver;
use crate::conversation::{At, Latency, Phrase, Say, TurnId};

impl Response {
    /// The response ends with a question, most of which was heard: "yes" answers it. `texts` are those of the prompts.
    fn has_asked(&self, texts: &HashMap<Phrase, String>) -> bool {
        let pending = self.speeches.iter().filter(|speech| !speech.is_over()).count();
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

    /// Its question ended at `to`, which was not known when it was prepared: its times count from then.
    pub fn question_ends(&mut self, to: At) {
        let since = std::mem::replace(&mut self.since, to);
        let Latency { reply, clause, speech, .. } = &mut self.latency;
        for stage in [reply, clause, speech] {
            *stage = stage.map(|time| since.saturating_add(time).since(to));
        }
        if let Some(question) = &mut self.question {
            question.to = to;
        }
    }

    /// It has the greeting, of the model's or as a text.
    pub fn is_greeting(&self) -> bool {
        let is_first = self.is_first();
        self.speeches.iter().any(|speech| match speech.what {
            Say::Phrase(phrase) => phrase == Phrase::Greeting,
            Say::Text(_) | Say::Spoken => is_first,
        })
    }

    /// It is the first thing that is said in the call.
    pub fn is_first(&self) -> bool {
        self.turn == TurnId(0) && self.question.is_none()
    }

    /// The model's greeting is to arrive.
    pub fn awaits_greeting(&self) -> bool {
        self.is_first() && self.is_streaming() && self.is_wordless()
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
