//! A conversation's state, to be stored and resumed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Conversation, Phrase, Settings};
use crate::language::Language;

/// The whole state of a conversation at one moment, without settings, prompt texts and language.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot(Conversation);

impl Conversation {
    /// The state to be stored. Take it when [`Conversation::poll`] is drained: a pending output is part of it and is
    /// yielded again after it resumes.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Conversation {
            settings: Settings::default(),
            texts: HashMap::new(),
            language: Language::of(None),
            ..self.clone()
        })
    }

    /// Continues a stored conversation exactly as it would have gone on. Moments keep their origin: the driver counts
    /// on from the stored conversation's.
    pub fn resume(
        snapshot: Snapshot,
        settings: Settings,
        texts: impl IntoIterator<Item = (Phrase, String)>,
        language: &'static Language,
    ) -> Conversation {
        Conversation { settings, texts: texts.into_iter().collect(), language, ..snapshot.0 }
    }
}
