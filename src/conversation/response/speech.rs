//! One speech of a response, and how far it was played.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::conversation::transcript::{first_letters, heard};
use crate::conversation::{Attempt, Phrase, PlaybackProgress, Say, SpeechId};

/// A sentence or a prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResponseSpeech {
    pub id: SpeechId,
    pub what: Say,
    /// The text of a prompt of an agent that another one has followed; or the words so far of the model's own speech.
    pub kept: Option<String>,
    /// The round of tools in which it was said.
    pub round: usize,
    pub progress: Progress,
    pub position: Duration,
    pub total: Option<Duration>,
    /// Letters of the text that were played, where the engine reports the times of words.
    pub letters: Option<u32>,
    pub broken: bool,
    pub attempt: Attempt,
}

/// How far a speech was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Progress {
    Waiting,
    Playing,
    Ended,
    /// It was dropped before its end.
    Dropped,
}

impl ResponseSpeech {
    pub fn new(id: SpeechId, what: Say, round: usize) -> ResponseSpeech {
        ResponseSpeech {
            id,
            what,
            kept: None,
            round,
            progress: Progress::Waiting,
            position: Duration::ZERO,
            total: None,
            letters: None,
            broken: false,
            attempt: Attempt::First,
        }
    }

    /// More of it was played.
    pub fn advance(&mut self, progress: PlaybackProgress) {
        self.position = self.position.max(progress.position);
        self.total = progress.total.or(self.total);
        self.letters = self.letters.max(progress.letters);
    }

    /// No more of it is played.
    pub fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Ended | Progress::Dropped)
    }

    pub fn is_waiting(&self) -> bool {
        self.progress == Progress::Waiting
    }

    /// A prompt that reports a failure: the model, which would imitate it, does not read it.
    pub fn is_apology(&self) -> bool {
        matches!(self.what, Say::Phrase(Phrase::Difficulty | Phrase::AskAgain | Phrase::AudioIssues))
    }

    pub fn is_protected(&self) -> bool {
        self.is_notice() || self.what == Say::Phrase(Phrase::Emergency)
    }

    pub fn is_notice(&self) -> bool {
        self.what == Say::Phrase(Phrase::Notice)
    }

    /// Its text; empty for a prompt without a known text.
    pub fn text<'a>(&'a self, texts: &'a HashMap<Phrase, String>) -> &'a str {
        match (&self.what, &self.kept) {
            (Say::Text(text), _) | (Say::Phrase(_) | Say::Spoken, Some(text)) => text,
            (Say::Spoken, None) => "",
            (Say::Phrase(phrase), None) => texts.get(phrase).map_or("", String::as_str),
        }
    }

    /// The agent is changed: a prompt keeps its text, which is one of `texts`.
    pub fn keep_text(&mut self, texts: &HashMap<Phrase, String>) {
        if matches!(self.what, Say::Phrase(_)) {
            self.kept = Some(self.text(texts).to_owned());
        }
    }

    pub fn heard<'a>(&self, text: &'a str) -> &'a str {
        match (self.progress, self.letters) {
            (Progress::Ended, _) if !self.broken => text,
            (_, Some(letters)) => first_letters(text, letters),
            (_, None) => heard(text, self.position, self.total),
        }
    }

    /// The part of `text` that will have been heard once everything is played.
    pub fn expected<'a>(&self, text: &'a str) -> &'a str {
        let is_cut = self.broken || self.progress == Progress::Dropped;
        if is_cut { self.heard(text) } else { text }
    }
}
