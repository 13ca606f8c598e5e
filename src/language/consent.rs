//! The answer of a person who is asked to take a call: yes, no, or neither; and the words of a caller who does not want to
//! wait any longer.
//!
//! Doubt is neither. Each word has to be known, so that no sentence of a mailbox's greeting is an answer.

use super::{Language, words};

/// More words are no answer to the question.
const MOST_WORDS: usize = 12;

/// A person's answer to the question whether they take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    Accepted,
    Declined,
}

/// Runs of words, separated by commas, in the form of [`words`].
#[derive(Debug, PartialEq, Eq)]
pub struct ConsentWords {
    pub accepting: &'static str,
    pub declining: &'static str,
    /// Words of a caller who does not want to wait any longer.
    pub cancelling: &'static str,
    /// Words that say nothing of it, beside those that do: "yes, please".
    pub neutral: &'static str,
}

impl Language {
    /// The meaning of an answer; `None` in doubt: it says both or neither, or has other words.
    pub fn consent(&self, answer: &str) -> Option<Acceptance> {
        let ConsentWords { accepting, declining, neutral, .. } = self.consent;
        // Of two runs that are alike the declining one counts.
        let lists = [
            (neutral, None),
            (accepting, Some(Acceptance::Accepted)),
            (declining, Some(Acceptance::Declined)),
        ];
        meaning(answer, &lists)
    }

    /// Whether these are the words of a caller who does not want to wait any longer. In doubt they are not.
    pub fn cancels_wait(&self, said: &str) -> bool {
        let ConsentWords { cancelling, neutral, .. } = self.consent;
        meaning(said, &[(neutral, None), (cancelling, Some(()))]).is_some()
    }
}

/// The one meaning of the runs that a text consists of.
fn meaning<T: Copy + PartialEq>(text: &str, lists: &[(&'static str, Option<T>)]) -> Option<T> {
    let words = words(text);
    if words.len() > MOST_WORDS {
        return None;
    }
    let (mut rest, mut found) = (words.as_slice(), None);
    while !rest.is_empty() {
        let (meaning, length) = longest_run(rest, lists)?;
        if found.is_some() && meaning.is_some() && found != meaning {
            return None;
        }
        found = found.or(meaning);
        rest = &rest[length..];
    }
    found
}

/// The longest known run at the beginning of these words, and its meaning. Of two that are alike that of the later list counts.
fn longest_run<T: Copy>(words: &[String], lists: &[(&'static str, Option<T>)]) -> Option<(Option<T>, usize)> {
    let runs = lists.iter().flat_map(|(list, meaning)| runs(list).map(|run| (*meaning, run)));
    let found = runs.filter_map(|(meaning, run)| {
        let length = run.split(' ').count();
        let is_run = words.len() >= length && run.split(' ').eq(&words[..length]);
        is_run.then_some((meaning, length))
    });
    found.max_by_key(|(_, length)| *length)
}

fn runs(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{LANGUAGES, other};
    use super::*;

    fn consent(tag: &str, answer: &str) -> Option<Acceptance> {
        Language::of(Some(tag)).consent(answer)
    }

    #[test]
    fn a_person_accepts_in_their_own_words() {
        for (tag, answers) in [
            (
                "en",
                &[
                    "Yes.",
                    "Yeah, sure.",
                    "Yes please, put them through.",
                    "I'll take it, thanks.",
                    "No problem.",
                ][..],
            ),
            ("de", &["Ja.", "Ja, gerne.", "Stellen Sie durch, bitte.", "Okay, ich nehme den Anruf an."]),
            ("es", &["Sí.", "Sí, claro, gracias.", "Pásemelo, por favor.", "De acuerdo."]),
            ("fr", &["Oui.", "Oui, d'accord.", "Passez-le-moi, s'il vous plaît.", "Bien sûr."]),
            ("hi", &["हाँ।", "जी हाँ, जोड़ दीजिए।", "ठीक है।", "haan ji"]),
            ("pt", &["Sim.", "Sim, pode passar.", "Com certeza, obrigado.", "Está bem."]),
        ] {
            for answer in answers {
                assert_eq!(consent(tag, answer), Some(Acceptance::Accepted), "{tag}: {answer}");
            }
        }
    }

    #[test]
    fn a_person_declines_in_their_own_words() {
        for (tag, answers) in [
            ("en", &["No.", "No, thanks.", "Not now, please.", "Sorry, I can't.", "I'm in a meeting."][..]),
            ("de", &["Nein.", "Nein, danke.", "Jetzt nicht.", "Ich habe keine Zeit."]),
            ("es", &["No.", "Ahora no, gracias.", "No puedo."]),
            ("fr", &["Non.", "Non merci.", "Pas maintenant."]),
            ("hi", &["नहीं।", "जी नहीं।", "अभी नहीं।"]),
            ("pt", &["Não.", "Agora não, obrigada.", "Não posso."]),
        ] {
            for answer in answers {
                assert_eq!(consent(tag, answer), Some(Acceptance::Declined), "{tag}: {answer}");
            }
        }
    }

    #[test]
    fn doubt_is_neither() {
        for (tag, answer) in [
            ("en", ""),
            ("en", "Hello?"),
            ("en", "Yes, no."),
            ("en", "Yes, but who is it?"),
            ("en", "What?"),
            ("en", "Please leave a message after the tone."),
            ("en", "Yes, you have reached the Smiths. Leave a message."),
            ("en", "The person you have called is not available. To leave a message, press one."),
            ("en", "yes yes yes yes yes yes yes yes yes yes yes yes yes"),
            ("de", "Ja, hallo, hier ist die Mailbox von Schmidt."),
            ("de", "Yes."),
            ("es", "Sí, ha llamado al buzón de voz."),
            ("fr", "Oui, vous êtes bien sur la messagerie."),
            ("hi", "जी?"),
            ("pt", "Sim, deixe a sua mensagem."),
        ] {
            assert_eq!(consent(tag, answer), None, "{tag}: {answer}");
        }
    }

    #[test]
    fn a_caller_does_not_want_to_wait_in_their_own_words() {
        for (tag, said) in [
            (
                "en",
                &["Cancel.", "Cancel, please.", "Never mind.", "I don't want to wait anymore, thanks."][..],
            ),
            (
                "de",
                &["Abbrechen.", "Bitte abbrechen!", "Vergessen Sie es.", "Ich möchte nicht länger warten."],
            ),
            ("es", &["Cancelar.", "Cancele, por favor.", "Olvídelo.", "No quiero esperar más."]),
            (
                "fr",
                &["Annulez.", "Annulez, s'il vous plaît.", "Laissez tomber.", "Je ne veux plus attendre."],
            ),
            ("hi", &["रद्द कर दीजिए।", "रहने दीजिए।", "मुझे इंतज़ार नहीं करना है।", "cancel kar do"]),
            ("pt", &["Cancelar.", "Cancele, por favor.", "Deixa pra lá.", "Não quero esperar mais."]),
        ] {
            for said in said {
                assert!(Language::of(Some(tag)).cancels_wait(said), "{tag}: {said}");
            }
        }
    }

    #[test]
    fn other_words_do_not_end_the_wait() {
        for (tag, said) in [
            ("en", ""),
            ("en", "Please."),
            ("en", "No."),
            ("en", "Hello?"),
            ("en", "Don't cancel."),
            ("en", "Cancel my order."),
            ("en", "He said never mind."),
            ("de", "Nicht abbrechen."),
            ("de", "Cancel."),
            ("de", "Schon gut."),
            ("es", "No cancele."),
            ("es", "No importa."),
            ("fr", "N'annulez pas."),
            ("fr", "Ce n'est pas grave."),
            ("hi", "रद्द मत कीजिए।"),
            ("pt", "Não cancele."),
            ("pt", "Não importa."),
        ] {
            assert!(!Language::of(Some(tag)).cancels_wait(said), "{tag}: {said}");
        }
    }

    #[test]
    fn every_run_is_folded_and_has_one_meaning() {
        for language in LANGUAGES.iter().chain([&&other::OTHER]) {
            let ConsentWords { accepting, declining, cancelling, neutral } = language.consent;
            for lists in [&[accepting, declining, neutral][..], &[cancelling, neutral]] {
                let all: Vec<&str> = lists.iter().copied().flat_map(runs).collect();
                for (at, run) in all.iter().enumerate() {
                    assert_eq!(words(run).join(" "), *run, "{}", language.tag);
                    assert!(!all[..at].contains(run), "{}: {run} twice", language.tag);
                }
            }
        }
    }

    /// A text of words of the lists and of others, in any order.
    fn text() -> impl Strategy<Value = String> {
        let known: Vec<&str> = LANGUAGES
            .iter()
            .flat_map(|language| {
                [language.consent.accepting, language.consent.declining, language.consent.neutral]
            })
            .flat_map(runs)
            .collect();
        let part = prop_oneof![
            4 => prop::sample::select(known).prop_map(str::to_owned),
            1 => "\\PC{0,12}",
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(" "))
    }

    proptest! {
        #[test]
        fn no_text_without_an_accepting_word_accepts(text in text()) {
            for language in LANGUAGES {
                if language.consent(&text) != Some(Acceptance::Accepted) {
                    continue;
                }
                let said = format!(" {} ", words(&text).join(" "));
                let has = |list| runs(list).any(|run| said.contains(&format!(" {run} ")));
                prop_assert!(has(language.consent.accepting), "{}: {text}", language.tag);
                let without = runs(language.consent.accepting).fold(said.clone(), |said, run| said.replace(&format!(" {run} "), "  "));
                let declines = runs(language.consent.declining).any(|run| without.contains(&format!(" {run} ")));
                prop_assert!(!declines, "{}: {text}", language.tag);
            }
        }
    }
}
