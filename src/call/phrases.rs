//! The agent's fixed prompts, and synthesised audio at the leg's rate.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::audio::resample::Stream;
use crate::audio::{Clip, first_sound};
use crate::conversation::Phrase;
use crate::language::{Language, Prompts};

/// The text of every prompt in a language (BCP 47; English for one without texts of its own), with a profile's own
/// texts in their place.
pub fn phrases(language: Option<&str>, own: &BTreeMap<String, String>) -> HashMap<Phrase, Arc<str>> {
    let prompts = &Language::of(language).prompts;
    let text = |phrase: &Phrase, name: &str| match own.get(name) {
        Some(text) => text.as_str().into(),
        None => built_in(prompts, *phrase).into(),
    };
    Phrase::NAMES.iter().map(|(phrase, name)| (*phrase, text(phrase, name))).collect()
}

fn built_in(prompts: &Prompts, phrase: Phrase) -> &'static str {
    match phrase {
        Phrase::Greeting => prompts.greeting,
        Phrase::Notice => prompts.notice,
        Phrase::DidNotCatch => prompts.did_not_catch,
        Phrase::Difficulty => prompts.difficulty,
        Phrase::AskAgain => prompts.ask_again,
        Phrase::AudioIssues => prompts.audio_issues,
        Phrase::Filler => prompts.filler,
        Phrase::StillThere => prompts.still_there,
        Phrase::SilenceGoodbye => prompts.silence_goodbye,
        Phrase::TurnWarning => prompts.turn_warning,
        Phrase::TurnLimitGoodbye => prompts.turn_limit_goodbye,
        Phrase::TimeWarning => prompts.time_warning,
        Phrase::TimeLimitGoodbye => prompts.time_limit_goodbye,
        Phrase::Goodbye => prompts.goodbye,
        Phrase::Emergency => prompts.emergency,
        Phrase::Closed => prompts.closed,
        Phrase::Satisfaction => prompts.satisfaction,
    }
}

/// Converts the pieces of a speech to a leg's rate as they arrive, without the silence before the first word.
pub struct Fitting {
    rate: u32,
    stream: Option<Stream>,
    /// Samples of silence that may still be dropped; 0 once a word has begun.
    droppable: usize,
    /// Samples of silence that were dropped.
    dropped: usize,
}

impl Fitting {
    pub fn new(rate: u32) -> Fitting {
        Fitting { rate, stream: None, droppable: rate as usize, dropped: 0 }
    }

    /// How much of the beginning was dropped so far.
    pub fn cut(&self) -> Duration {
        Duration::from_micros(self.dropped as u64 * 1_000_000 / u64::from(self.rate))
    }

    pub fn fit(&mut self, piece: &Clip) -> Vec<i16> {
        let stream = self.stream.get_or_insert_with(|| Stream::new(piece.rate, self.rate));
        let mut out = Vec::with_capacity(piece.samples.len());
        stream.push(&piece.samples, &mut out);
        self.trim(&mut out);
        out
    }

    pub fn finish(mut self) -> Vec<i16> {
        let mut out = Vec::new();
        if let Some(stream) = self.stream.take() {
            stream.finish(&mut out);
        }
        self.trim(&mut out);
        out
    }

    fn trim(&mut self, out: &mut Vec<i16>) {
        if self.droppable == 0 {
            return;
        }
        let silence = match first_sound(out) {
            Some(at) => at.saturating_sub(lead_in(self.rate)),
            None => out.len(),
        };
        let dropped = silence.min(self.droppable);
        self.droppable = if silence < out.len() { 0 } else { self.droppable - dropped };
        out.drain(..dropped);
        self.dropped += dropped;
    }
}

/// Samples before the first sound that are kept: 10 ms, so that a soft beginning is not cut.
pub fn lead_in(rate: u32) -> usize {
    rate as usize / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_has_words_in_every_language() {
        for language in
            [None, Some("de-AT"), Some("es"), Some("fr_CA"), Some("hi-IN"), Some("pt"), Some("xx")]
        {
            let words = phrases(language, &BTreeMap::new());
            assert_eq!(words.len(), Phrase::NAMES.len());
            assert!(words.values().all(|text| !text.is_empty()), "{language:?}");
        }
    }

    #[test]
    fn a_profiles_texts_replace_the_built_in_ones() {
        let own = BTreeMap::from([("filler".to_owned(), "Hm.".to_owned())]);
        let words = phrases(Some("de"), &own);
        assert_eq!(&*words[&Phrase::Filler], "Hm.");
        assert_eq!(&*words[&Phrase::StillThere], "Sind Sie noch da?");
    }

    #[test]
    fn a_speech_begins_with_its_first_word() {
        let mut samples = vec![0; 4_000];
        samples.extend([5_000; 800]);
        for piece in [100, 777, 4_800] {
            let mut fitting = Fitting::new(8_000);
            let mut heard: Vec<i16> = Vec::new();
            for part in samples.chunks(piece) {
                heard.extend(fitting.fit(&Clip::new(8_000, part)));
            }
            heard.extend(fitting.finish());
            let first = heard.iter().position(|sample| *sample == 5_000).unwrap();
            assert!(first <= 80, "in pieces of {piece}: {first} samples of silence are left");
            assert_eq!(heard.len() - first, 800);
        }
    }

    #[test]
    fn a_long_silence_is_cut_at_one_second() {
        let mut fitting = Fitting::new(8_000);
        let heard: usize = (0..20).map(|_| fitting.fit(&Clip::new(8_000, vec![0; 800])).len()).sum();
        assert!((8_000..=9_000).contains(&heard), "{heard}");
    }
}
