//! What the agent can always say: built-in phrases by language; and how what was said is fitted to a leg.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::audio::resample::Stream;
use crate::audio::{Clip, first_sound};
use crate::turn::Phrase;

/// The wording of every phrase for a language (BCP 47; English where the language has none), with a
/// profile's own words on top.
pub fn wording(language: Option<&str>, own: &BTreeMap<String, String>) -> HashMap<Phrase, Arc<str>> {
    let texts = built_in(language.unwrap_or("en"));
    let named = Phrase::NAMES.iter().zip(texts);
    named
        .map(|((phrase, name), text)| {
            (*phrase, own.get(*name).map_or_else(|| text.into(), |t| t.as_str().into()))
        })
        .collect()
}

/// In the order of [`Phrase::NAMES`].
fn built_in(language: &str) -> [&'static str; 12] {
    match language.split(['-', '_']).next().unwrap_or_default() {
        "de" => [
            "Hallo, wie kann ich Ihnen helfen?",
            "Das habe ich nicht verstanden. Bitte wiederholen Sie es.",
            "Es gibt eine technische Störung. Ich versuche es noch einmal.",
            "Es gibt ein Problem mit dem Ton. Bitte bleiben Sie dran.",
            "Einen Moment, bitte.",
            "Sind Sie noch da?",
            "Ich höre nichts mehr von Ihnen. Auf Wiederhören!",
            "Vielen Dank für Ihren Anruf. Auf Wiederhören!",
            "Wir haben noch eine halbe Minute.",
            "Die Gesprächszeit ist zu Ende. Vielen Dank!",
            "Vielen Dank für Ihren Anruf. Auf Wiederhören!",
            "Guten Tag. Sie rufen außerhalb unserer Geschäftszeiten an. Auf Wiederhören!",
        ],
        "es" => [
            "Hola, ¿en qué puedo ayudarle?",
            "No le he entendido. ¿Puede repetirlo, por favor?",
            "Hay un problema técnico. Lo intento de nuevo.",
            "Hay un problema de audio. Un momento, por favor.",
            "Un momento, por favor.",
            "¿Sigue usted ahí?",
            "Ya no le oigo. ¡Adiós!",
            "Gracias por su llamada. ¡Adiós!",
            "Nos queda medio minuto.",
            "Se ha acabado el tiempo de la llamada. ¡Gracias!",
            "Gracias por su llamada. ¡Adiós!",
            "Hola. En este momento estamos cerrados. ¡Adiós!",
        ],
        "fr" => [
            "Bonjour, que puis-je faire pour vous ?",
            "Je n'ai pas compris. Pouvez-vous répéter, s'il vous plaît ?",
            "Il y a un problème technique. J'essaie encore.",
            "Il y a un problème de son. Ne quittez pas, s'il vous plaît.",
            "Un instant, s'il vous plaît.",
            "Êtes-vous toujours là ?",
            "Je ne vous entends plus. Au revoir !",
            "Merci de votre appel. Au revoir !",
            "Il nous reste une demi-minute.",
            "Le temps de l'appel est écoulé. Merci !",
            "Merci de votre appel. Au revoir !",
            "Bonjour. Nous sommes fermés en ce moment. Au revoir !",
        ],
        _ => [
            "Hello, how can I help you?",
            "I didn't catch that, please repeat.",
            "Technical difficulty, trying again.",
            "Audio issues, please hold.",
            "One moment, please.",
            "Are you still there?",
            "I can't hear you any more. Goodbye!",
            "Thank you for calling. Goodbye!",
            "We have half a minute left.",
            "Maximum call time reached. Thank you!",
            "Thank you for calling. Goodbye!",
            "Hello. We are closed at the moment. Goodbye!",
        ],
    }
}

/// Brings the pieces of an utterance to a leg's rate as they come, without the silence before the first word.
pub struct Fitting {
    rate: u32,
    stream: Option<Stream>,
    /// Samples of silence that may still be dropped; 0 once a word has begun.
    droppable: usize,
}

impl Fitting {
    pub fn new(rate: u32) -> Fitting {
        Fitting { rate, stream: None, droppable: rate as usize }
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
        for language in [None, Some("de-AT"), Some("es"), Some("fr_CA"), Some("xx")] {
            let words = wording(language, &BTreeMap::new());
            assert_eq!(words.len(), Phrase::NAMES.len());
            assert!(words.values().all(|text| !text.is_empty()), "{language:?}");
        }
    }

    #[test]
    fn a_profile_has_the_last_word() {
        let own = BTreeMap::from([("filler".to_owned(), "Hm.".to_owned())]);
        let words = wording(Some("de"), &own);
        assert_eq!(&*words[&Phrase::Filler], "Hm.");
        assert_eq!(&*words[&Phrase::StillThere], "Sind Sie noch da?");
    }

    #[test]
    fn an_utterance_begins_with_its_first_word() {
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
    fn a_long_silence_is_not_waited_through_for_ever() {
        let mut fitting = Fitting::new(8_000);
        let heard: usize = (0..20).map(|_| fitting.fit(&Clip::new(8_000, vec![0; 800])).len()).sum();
        assert!((8_000..=9_000).contains(&heard), "{heard}");
    }
}
