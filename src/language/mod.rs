//! Languages: the words and prompts that turn-taking depends on, one file per language.
//!
//! Pure tables and look-ups. A list holds words of its own language only: English "die" and German "die" are
//! different words, and only one of them can end a sentence.

mod calendar;
mod consent;
mod de;
mod detection;
mod dictation;
mod en;
mod es;
mod fr;
mod hi;
mod marks;
mod other;
mod pronunciation;
mod pt;
mod settled;
mod spoken;
mod words;

pub use consent::{Acceptance, ConsentWords};
pub use detection::detect;
pub use dictation::dictated_digits;
pub use marks::{CLOSERS, TERMINALS, ends_without_space};
pub use pronunciation::Pronunciations;
pub use settled::settled;
pub use spoken::{Forms, spoken};
pub use words::{fold, words};

/// One language.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Primary subtag (BCP 47, RFC 5646), such as `en`.
    pub tag: &'static str,
    /// Its English name.
    pub name: &'static str,
    /// Last words that announce more, even before a full stop of the recogniser: hesitations, conjunctions,
    /// articles.
    pub trailing: &'static [&'static str],
    /// Last words that announce more unless a full stop follows: "so", but not "I think so."
    pub often_trailing: &'static [&'static str],
    /// Verbs that announce more even before a full stop, as in "my number is.", except in "I think it is." and in "what the
    /// prices are."
    pub auxiliaries: &'static [&'static str],
    /// Subjects with which such a verb may end a sentence.
    pub subjects: &'static [&'static str],
    /// Question words, whose clauses may end with such a verb.
    pub question_words: &'static [&'static str],
    /// Words of which short answers consist: "yes", "no thank you".
    pub answers: &'static [&'static str],
    /// Words that announce a number of several digits: "my phone number is".
    pub number_words: &'static [&'static str],
    /// Words that read out a digit, or several alike ("double").
    pub digits: &'static [&'static str],
    /// The words for 1 to 5, and those numbers.
    pub ratings: &'static [(&'static str, u8)],
    /// The words for 0 and 6 to 9, and those numbers.
    pub other_digits: &'static [(&'static str, u8)],
    /// Words beside the number of a rating, in addition to the answers: "I'd give it 4 stars".
    pub rating_words: &'static [&'static str],
    /// Words between a letter and the word that it stands for: "B as in Berlin".
    pub spelling_links: &'static [&'static str],
    /// Names of the marks within e-mail addresses, which more follows.
    pub spelling_marks: &'static [&'static str],
    /// Words of a listener who does not want the turn.
    pub backchannels: &'static [&'static str],
    /// Thanks and praise, in addition to the backchannels: "Great, thank you."
    pub courtesies: &'static [&'static str],
    /// Words of a caller who checks the connection, in addition to the backchannels: "Hello? Are you still there?"
    pub presence_checks: &'static [&'static str],
    /// Runs of words by which callers say that there is an emergency.
    pub emergencies: &'static [&'static str],
    /// Runs of words that do not say so, such as "emergency plumber".
    pub emergency_exceptions: &'static [&'static str],
    /// Conditions that are emergencies unless they lie in the past.
    pub conditions: MedicalConditions,
    /// The words by which a person takes a transferred call or declines it.
    pub consent: ConsentWords,
    /// The commonest words, by which the language is detected.
    pub common: &'static [&'static str],
    /// Words with a full stop that does not end a sentence.
    pub abbreviations: &'static [&'static str],
    pub prompts: Prompts,
    /// The words for notations; where it has none, these stay as they are written.
    pub forms: Option<&'static Forms>,
}

/// Conditions that callers also speak of when they are over, such as a heart attack of last year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MedicalConditions {
    /// Runs of words that name one.
    pub names: &'static [&'static str],
    /// Runs of words that place a sentence in the past, weeks ago at least. The word `any` stands for any one word.
    pub past: &'static [&'static str],
    /// Words about the present.
    pub present: &'static [&'static str],
}

impl MedicalConditions {
    pub const NONE: MedicalConditions = MedicalConditions { names: &[], past: &[], present: &[] };
}

/// The agent's fixed prompts.
#[derive(Debug, PartialEq, Eq)]
pub struct Prompts {
    pub greeting: &'static str,
    pub did_not_catch: &'static str,
    /// The language model failed, and is asked again.
    pub difficulty: &'static str,
    /// It failed again.
    pub ask_again: &'static str,
    /// In place of a reply that a language model's server withheld.
    pub declined: &'static str,
    pub audio_issues: &'static str,
    pub filler: &'static str,
    pub still_there: &'static str,
    pub silence_goodbye: &'static str,
    /// The limit of turns is near.
    pub turn_warning: &'static str,
    pub turn_limit_goodbye: &'static str,
    pub time_warning: &'static str,
    pub time_limit_goodbye: &'static str,
    pub goodbye: &'static str,
    pub closed: &'static str,
    /// The caller speaks of an emergency; `{{emergency}}` is the number to dial.
    pub emergency: &'static str,
    /// The agent is a machine, and the call is transcribed.
    pub notice: &'static str,
    /// To the target of a transfer: for whom the call is. `{name}` is the tenant's name.
    pub transfer_call: &'static str,
    /// To the target of a transfer: yes or 1 accepts the call, no or 2 declines it.
    pub transfer_choice: &'static str,
    /// Asks for a rating from 1 to 5, by word or key.
    pub satisfaction: &'static str,
}

static LANGUAGES: [&Language; 6] =
    [&en::ENGLISH, &de::GERMAN, &es::SPANISH, &fr::FRENCH, &hi::HINDI, &pt::PORTUGUESE];

impl Language {
    /// The language of a tag such as `de`, `de-AT` or `fr_CA`. English without a tag; a language without a file of
    /// its own has the sounds that all languages share, and English prompts.
    pub fn of(tag: Option<&str>) -> &'static Language {
        let Some(tag) = tag else { return &en::ENGLISH };
        Language::built_in(tag).unwrap_or(&other::OTHER)
    }

    /// Does this language have a file of its own, with phrases?
    pub fn is_built_in(tag: &str) -> bool {
        Language::built_in(tag).is_some()
    }

    fn built_in(tag: &str) -> Option<&'static Language> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(primary)).copied()
    }
}

impl Default for &'static Language {
    fn default() -> &'static Language {
        &en::ENGLISH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_does_not_matter() {
        for (tag, expected) in [
            ("de", "de"),
            ("de-AT", "de"),
            ("fr_CA", "fr"),
            ("EN-us", "en"),
            ("hi-IN", "hi"),
            ("pt_BR", "pt"),
            ("xx", "und"),
        ] {
            assert_eq!(Language::of(Some(tag)).tag, expected, "{tag}");
        }
        assert_eq!(Language::of(None).tag, "en");
    }

    #[test]
    fn no_language_borrows_a_prompt_of_another() {
        let prompts = |language: &Language| {
            let p = &language.prompts;
            [
                p.greeting,
                p.did_not_catch,
                p.difficulty,
                p.ask_again,
                p.declined,
                p.audio_issues,
                p.filler,
                p.still_there,
                p.silence_goodbye,
                p.turn_warning,
                p.turn_limit_goodbye,
                p.time_warning,
                p.time_limit_goodbye,
                p.goodbye,
                p.closed,
                p.emergency,
                p.notice,
                p.transfer_call,
                p.transfer_choice,
                p.satisfaction,
            ]
        };
        let english = prompts(&en::ENGLISH);
        for language in LANGUAGES.iter().filter(|language| language.tag != "en") {
            for (own, english) in prompts(language).into_iter().zip(english) {
                assert!(!own.is_empty() && own != english, "{}: {own}", language.tag);
            }
        }
    }

    #[test]
    fn hindi_is_written_in_its_script() {
        let is_devanagari = |c: char| ('\u{900}'..='\u{97f}').contains(&c);
        let prompts = &hi::HINDI.prompts;
        for text in [prompts.greeting, prompts.difficulty, prompts.closed] {
            assert!(text.chars().filter(|c| c.is_alphabetic()).all(is_devanagari), "{text}");
        }
    }

    #[test]
    fn every_word_is_in_lower_case_and_listed_once() {
        for language in LANGUAGES.iter().chain([&&other::OTHER]) {
            let lists = [
                language.trailing,
                language.often_trailing,
                language.auxiliaries,
                language.subjects,
                language.question_words,
                language.answers,
                language.number_words,
                language.rating_words,
                language.digits,
                language.spelling_links,
                language.spelling_marks,
                language.backchannels,
                language.courtesies,
                language.presence_checks,
                language.common,
                language.abbreviations,
            ];
            for list in lists {
                for (at, word) in list.iter().enumerate() {
                    assert_eq!(*word, fold(word), "{}", language.tag);
                    assert!(!list[..at].contains(word), "{}: {word} twice", language.tag);
                }
            }
        }
    }
}
