//! The question for the caller's satisfaction, from 1 to 5, when the agent ends a proper conversation.
//!
//! It is asked once more after a reply without a rating, then the call ends as it would have without it. A key counts at once,
//! over the question as well; words count when the turn is committed, and no response is asked for, unless they speak of an emergency:
//! then the conversation goes on.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::timer::Timer;
use super::{At, Conversation, Ending, Output, Phrase};
use crate::dtmf::Digit;
use crate::language::{Language, words};

/// How far the question is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Survey {
    #[default]
    NotAsked,
    Asked,
    /// A second time.
    AskedAgain,
    Over,
}

impl Survey {
    /// The caller's next words or key are the rating.
    pub fn is_open(self) -> bool {
        matches!(self, Survey::Asked | Survey::AskedAgain)
    }

    /// An open question is over: the caller has said something else that is answered.
    pub fn end(&mut self) {
        if self.is_open() {
            *self = Survey::Over;
        }
    }
}

impl Conversation {
    /// The agent has said its last words: asks for the rating where that is due, or hangs up.
    pub(super) fn agent_ends_call(&mut self, now: At) {
        let is_due = self.settings.satisfaction
            && self.survey == Survey::NotAsked
            && self.limits.had_a_conversation(&self.settings);
        if is_due {
            self.survey = Survey::Asked;
            self.prompt(now, Phrase::Satisfaction, None);
        } else {
            self.hang_up(Ending::AgentHungUp);
        }
    }

    /// A key while the rating is awaited. Over the question, other keys than the five have no effect.
    pub(super) fn rating_key(&mut self, now: At, key: Digit) {
        let rating = key.as_char().to_digit(10).and_then(|digit| u8::try_from(digit).ok());
        let rating = rating.filter(|rating| (1..=5).contains(rating));
        match &self.floor {
            Floor::Agent(response, _) if response.is_goodbye() || rating.is_none() => {}
            _ => self.rated(now, rating),
        }
    }

    /// The caller's words while the rating is awaited; `None` where there are none.
    pub(super) fn rating_words(&mut self, now: At, text: Option<&str>) {
        self.rated(now, text.and_then(|text| rating_in(text, self.language)));
    }

    /// Takes the rating. Without one, asks again, once.
    pub(super) fn rated(&mut self, now: At, rating: Option<u8>) {
        if rating.is_none() && self.survey == Survey::Asked {
            self.survey = Survey::AskedAgain;
            return self.ask_for_rating_again(now);
        }
        self.survey = Survey::Over;
        if let Some(rating) = rating {
            self.out.push(Output::Rated { rating });
        }
        self.say_goodbye(now, Phrase::Goodbye, Ending::AgentHungUp);
    }

    fn ask_for_rating_again(&mut self, now: At) {
        if let Floor::Caller(utterance) = std::mem::replace(&mut self.floor, Floor::Free) {
            utterance.abandon(&mut self.out);
            self.record_utterance(&utterance);
        }
        for timer in [Timer::Commit, Timer::Ask, Timer::Monologue] {
            self.timers.stop(timer);
        }
        self.stop_responding();
        self.prompt(now, Phrase::Satisfaction, None);
    }
}

/// The rating in a reply: a number from 1 to 5 with no other words than those that go with one. In "one moment, please" the number
/// counts something else.
fn rating_in(text: &str, language: &Language) -> Option<u8> {
    let words = words(text);
    let mut numbers = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_accepted = goes_with_a_rating(word, language);
        match number(word, language) {
            // An article: "un quatre".
            Some(_)
                if is_accepted && words.get(at + 1).is_some_and(|next| number(next, language).is_some()) => {}
            Some(number) => numbers.push(number),
            None if is_accepted => {}
            None => return None,
        }
    }
    match numbers[..] {
        // "4 out of 5", and in Hindi "5 में से 4".
        [rating] | [rating, 5] | [5, rating] => Some(rating),
        _ => None,
    }
}

/// The number from 1 to 5 that a word is.
fn number(word: &str, language: &Language) -> Option<u8> {
    let digit = word.parse().ok().filter(|digit| (1..=5).contains(digit));
    digit.or_else(|| language.ratings.iter().find(|(name, _)| *name == word).map(|(_, rating)| *rating))
}

/// An article, a hesitation, "please", or a word such as "stars".
fn goes_with_a_rating(word: &str, language: &Language) -> bool {
    [language.rating_words, language.trailing, language.often_trailing, language.answers]
        .iter()
        .any(|list| list.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_found_in_each_language() {
        for (tag, text, rating) in [
            ("en", "Four, I'd say.", Some(4)),
            ("en", "4 out of 5", Some(4)),
            ("en", "fourteen", None),
            ("en", "0", None),
            ("en", "It was good.", None),
            ("en", "Um, I would give it a five, please.", Some(5)),
            ("en", "3 stars", Some(3)),
            ("en", "1 out of 5", Some(1)),
            ("de", "Eine Fünf!", Some(5)),
            ("de", "zwo", Some(2)),
            ("de", "Ich gebe eine Vier.", Some(4)),
            ("es", "un cuatro", Some(4)),
            ("es", "Le doy un cinco.", Some(5)),
            ("fr", "un", Some(1)),
            ("fr", "un cinq", Some(5)),
            ("fr", "cinq sur cinq", Some(5)),
            ("pt", "três", Some(3)),
            ("pt", "Dou um quatro.", Some(4)),
            ("hi", "पाँच", Some(5)),
            ("hi", "teen", Some(3)),
            ("hi", "5 में से 4", Some(4)),
            ("hi", "four", Some(4)),
            ("it", "5", Some(5)),
        ] {
            assert_eq!(rating_in(text, Language::of(Some(tag))), rating, "{tag}: {text}");
        }
    }

    #[test]
    fn a_number_that_counts_something_else_is_no_rating() {
        for (tag, text) in [
            ("en", "one moment please"),
            ("en", "I want one more."),
            ("en", "well I have been there for one year"),
            ("en", "one two three four five"),
            ("en", "25"),
            ("de", "Zwei Minuten, bitte."),
            ("es", "tres cosas más"),
            ("fr", "Un instant, s'il vous plaît."),
            ("pt", "um momento"),
            ("hi", "एक मिनट"),
            ("hi", "ek minute"),
            ("it", "2 minuti"),
        ] {
            assert_eq!(rating_in(text, Language::of(Some(tag))), None, "{tag}: {text}");
        }
    }
}
