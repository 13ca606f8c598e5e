//! Emergencies in the caller's words: once a call, the caller hears at once, and without interruption, which number to dial. An agent
//! whose number has a route for emergencies may hand the call over then.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::response::{Question, Response};
use super::utterance::Utterance;
use super::words::Words;
use super::{At, Attempt, Conversation, Ending, Keys, Latency, Output, Phrase, Say};
use crate::language::{Language, words};

/// The action after the caller has heard which number to dial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyAction {
    /// The agent responds as ever.
    #[default]
    Say,
    /// The call continues at the number's route for emergencies, if it has one.
    Route,
}

impl EmergencyAction {
    /// The values, as they are written.
    pub const NAMES: [&str; 2] = ["say", "route"];
}

/// Whether the caller has been given the number to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Emergency {
    Unsaid,
    Said,
}

impl Conversation {
    /// The caller speaks of an emergency, for the first time.
    pub(super) fn is_new_emergency(&self, text: &str) -> bool {
        self.emergency == Emergency::Unsaid && is_emergency(text, self.language)
    }

    /// The words of the caller's utterance are known, and speak of one.
    pub(super) fn is_emergency_known(&self) -> bool {
        matches!(&self.floor, Floor::Caller(Utterance { words: Words::Known(text), .. }) if self.is_new_emergency(text))
    }

    /// Gives the floor to the agent, whose first words are not the model's. A rating is no longer asked for.
    pub(super) fn respond_to_emergency(
        &mut self,
        now: At,
        mut utterance: Utterance,
        question: Question,
        latency: Latency,
        keys: Option<Keys>,
    ) {
        if utterance.early.is_some() {
            utterance.discard_response(&mut self.out);
        }
        let turn = utterance.turn;
        self.transcript.add_caller(&question.text);
        let mut response = Response::to(turn, question, latency);
        response.answer_keys(keys);
        response.commit(now);
        if !self.answer_emergency(now, &mut response) {
            let context = self.transcript.context();
            self.ask_model(turn, context, Attempt::First);
        }
        self.floor = Floor::Agent(response, None);
    }

    /// Gives the caller the number to dial, first of all. Returns whether the call continues elsewhere afterwards, so that the
    /// model is not asked.
    fn answer_emergency(&mut self, now: At, response: &mut Response) -> bool {
        self.emergency = Emergency::Said;
        self.survey.end();
        self.out.push(Output::EmergencyNoticed);
        response.say(Say::Phrase(Phrase::Emergency), &mut self.out);
        let routes = self.settings.emergency == EmergencyAction::Route
            && self.without_goodbye.contains(&Ending::Emergency);
        if routes {
            response.end_call_afterwards(Ending::Emergency, &mut self.out);
            self.limit_goodbye(now);
        }
        routes
    }
}

/// Does the caller say that there is an emergency? Words such as "emergency plumber" and "no emergency" are left out first.
fn is_emergency(text: &str, language: &Language) -> bool {
    let mut said = words(text);
    for exception in language.emergency_exceptions {
        let exception = words(exception);
        while let Some(at) = position(&said, &exception) {
            // An empty word keeps its neighbours apart.
            said.splice(at..at + exception.len(), [String::new()]);
        }
    }
    language.emergencies.iter().any(|phrase| position(&said, &words(phrase)).is_some())
}

fn position(said: &[String], phrase: &[String]) -> Option<usize> {
    said.windows(phrase.len().max(1)).position(|run| run == phrase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn speaks_of(tag: &str, text: &str) -> bool {
        is_emergency(text, Language::of(Some(tag)))
    }

    #[test]
    fn emergencies_are_noticed_by_language() {
        let said = [
            (
                "en",
                vec![
                    "Help, this is an emergency!",
                    "My husband can't breathe.",
                    "Please call an ambulance",
                    "It's a medical emergency.",
                    "I think my father is dying!",
                    "There's a fire in the kitchen.",
                ],
            ),
            (
                "de",
                vec![
                    "Das ist ein Notfall!",
                    "Ich brauche einen Krankenwagen.",
                    "Hilfe, es brennt!",
                    "Er bekommt keine Luft.",
                ],
            ),
            ("es", vec!["¡Es una emergencia!", "Necesito una ambulancia.", "No puede respirar."]),
            ("fr", vec!["C'est une urgence !", "Appelez une ambulance.", "Il n'arrive pas à respirer."]),
            ("pt", vec!["É uma emergência!", "Preciso de uma ambulância.", "Não consegue respirar."]),
            ("hi", vec!["यह इमरजेंसी है!", "एम्बुलेंस बुलाओ", "Yeh emergency hai", "सांस नहीं आ रही"]),
        ];
        for (tag, texts) in said {
            for text in texts {
                assert!(speaks_of(tag, text), "{tag}: {text}");
            }
        }
    }

    #[test]
    fn words_about_emergencies_are_none() {
        let said = [
            (
                "en",
                vec![
                    "I need an emergency plumber.",
                    "It's a non-emergency.",
                    "This is not an emergency.",
                    "I have an emergency appointment tomorrow.",
                    "Is there an emergency exit?",
                    "It is no emergency",
                    "What do you do in an emergency?",
                    "Hurry up, my phone is dying.",
                    "Sorry, my battery is dying",
                    "My sister is dying to see it.",
                    "I don't need an ambulance.",
                    "Is there a fire extinguisher?",
                    "",
                ],
            ),
            (
                "de",
                vec![
                    "Es ist kein Notfall.",
                    "Haben Sie einen Notfallklempner?",
                    "Was kostet der Notdienst?",
                    "Mein Akku stirbt gerade.",
                    "Der Reifen hat keine Luft.",
                ],
            ),
            (
                "es",
                vec![
                    "No es una emergencia.",
                    "Busco un fontanero de emergencia.",
                    "Mi teléfono se está muriendo.",
                ],
            ),
            (
                "fr",
                vec![
                    "Ce n'est pas une urgence.",
                    "Je cherche un plombier d'urgence.",
                    "Ma batterie est en train de mourir.",
                ],
            ),
            (
                "pt",
                vec![
                    "Não é uma emergência.",
                    "Preciso de um canalizador de emergência.",
                    "O meu celular está morrendo.",
                ],
            ),
            ("hi", vec!["यह इमरजेंसी नहीं है", "emergency nahi hai", "एम्बुलेंस नहीं चाहिए"]),
        ];
        for (tag, texts) in said {
            for text in texts {
                assert!(!speaks_of(tag, text), "{tag}: {text}");
            }
        }
        assert!(!speaks_of("de", "This is an emergency"), "a phrase counts in its own language only");
        assert!(speaks_of("en", "It is no emergency plumber that I need, this is an emergency!"));
    }

    proptest! {
        #[test]
        fn any_text_can_be_judged(text in "\\PC{0,60}", tag in "(en|de|es|fr|hi|pt|xx)") {
            speaks_of(&tag, &text);
        }
    }
}
