//! Emergencies in the caller's words: once a call, the caller hears at once, and without interruption, which number to dial. An agent
//! whose number has a route for emergencies may hand the call over then.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::response::{Question, Response};
use super::utterance::Utterance;
use super::words::Words;
use super::{At, Attempt, Conversation, Ending, Keys, Latency, Output, Phrase, Say};
use crate::language::{Language, MedicalConditions, words};

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

/// Does the caller say that there is an emergency?
fn is_emergency(text: &str, language: &Language) -> bool {
    let said = without_exceptions(text, language);
    contains_any(&said, language.emergencies) || has_acute_condition(text, &said, language)
}

/// A condition such as a heart attack counts, unless its sentence places it in the past, and no word of the whole text is about the
/// present.
fn has_acute_condition(text: &str, said: &[String], language: &Language) -> bool {
    let MedicalConditions { names, past, present } = language.conditions;
    let sentences = text.split(['.', '!', '?', ';', '।', '…']).map(words);
    let mut named = sentences.filter(|sentence| contains_any(sentence, names));
    named.any(|sentence| !contains_any(&sentence, past) || contains_any(said, present))
}

/// The words of a text without those such as "emergency plumber" and "no emergency".
fn without_exceptions(text: &str, language: &Language) -> Vec<String> {
    let mut said = words(text);
    for exception in language.emergency_exceptions {
        let exception = words(exception);
        while let Some(at) = position(&said, &exception) {
            // An empty word keeps its neighbours apart.
            said.splice(at..at + exception.len(), [String::new()]);
        }
    }
    said
}

fn contains_any(said: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| position(said, &words(phrase)).is_some())
}

/// A word of a phrase that stands for any one word: "vor any jahren".
const ANY: &str = "any";

fn position(said: &[String], phrase: &[String]) -> Option<usize> {
    let is_run =
        |run: &[String]| run.iter().zip(phrase).all(|(word, wanted)| word == wanted || wanted == ANY);
    said.windows(phrase.len().max(1)).position(|run| run.len() == phrase.len() && is_run(run))
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

    #[test]
    fn a_condition_of_the_past_is_none_unless_the_present_is_named_as_well() {
        let past = [
            ("en", "My father had a heart attack last year."),
            ("en", "He had a heart attack two years ago, so he takes pills. Can I book a table?"),
            ("de", "Mein Vater hatte letztes Jahr einen Herzinfarkt."),
            ("de", "Er hatte vor drei Jahren einen Herzinfarkt"),
            ("es", "Mi padre tuvo un infarto hace dos años."),
            ("fr", "Mon père a eu une crise cardiaque il y a deux ans."),
            ("pt", "Meu pai teve um infarto no ano passado."),
            ("hi", "मेरे पिता को पिछले साल दिल का दौरा पड़ा था।"),
            ("hi", "papa ko do saal pehle dil ka daura pada tha"),
            ("hi", "उन्हें दो साल पहले हार्ट अटैक आया था"),
        ];
        for (tag, text) in past {
            assert!(!speaks_of(tag, text), "{tag}: {text}");
        }
        let present = [
            ("en", "My father is having a heart attack."),
            ("en", "I think he had a heart attack!"),
            ("en", "He had a heart attack last year and now it hurts again."),
            ("en", "He had a heart attack last year. Now he can't breathe."),
            ("en", "He had a heart attack last year and he's having a heart attack."),
            ("de", "Mein Vater hatte gerade einen Herzinfarkt."),
            ("de", "Mein Vater, er ist 60 Jahre alt, hat einen Herzinfarkt."),
            ("de", "Vor zwei Jahren hatte er einen Herzinfarkt, und jetzt wieder."),
            ("es", "Mi padre tiene 60 años y un infarto."),
            ("fr", "Il fait une crise cardiaque."),
            ("pt", "Ele está tendo um infarto."),
            ("hi", "मेरे पिता को दिल का दौरा पड़ा है"),
            ("hi", "पिछले साल दिल का दौरा पड़ा था और अब फिर दर्द हो रहा है"),
            ("hi", "papa ko heart attack aaya hai"),
            ("hi", "पिछले साल दिल का दौरा पड़ा था, एम्बुलेंस भेजो"),
        ];
        for (tag, text) in present {
            assert!(speaks_of(tag, text), "{tag}: {text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_judged(text in "\\PC{0,60}", tag in "(en|de|es|fr|hi|pt|xx)") {
            speaks_of(&tag, &text);
        }
    }
}
