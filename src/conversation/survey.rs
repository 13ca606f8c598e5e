//! The question for the caller's satisfaction, from 1 to 5, when the agent ends a proper conversation.
//!
//! It is asked once more after a reply without a rating, then the call ends as it would have without it. A key counts at once,
//! over the question as well; words count when the turn is committed, and no response is asked for.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::timer::Timer;
use super::{At, Command, Conversation, Ending, Output, Phrase};
use crate::dtmf::Digit;
use crate::language::{Language, words};

/// More words than these are no rating: a number among them may count something else.
const MOST_WORDS: usize = 6;

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
            self.out.command(Command::Cancel { turn: utterance.turn });
            self.record_utterance(&utterance);
        }
        for timer in [Timer::Commit, Timer::Ask, Timer::Monologue] {
            self.timers.stop(timer);
        }
        self.stop_responding();
        self.prompt(now, Phrase::Satisfaction, None);
    }
}

/// The first rating in a short reply, as a digit or as a word of the language.
fn rating_in(text: &str, language: &Language) -> Option<u8> {
    let words = words(text);
    if words.len() > MOST_WORDS {
        return None;
    }
    words.iter().find_map(|word| match word.as_str() {
        "1" => Some(1),
        "2" => Some(2),
        "3" => Some(3),
        "4" => Some(4),
        "5" => Some(5),
        word => language.ratings.iter().find(|(name, _)| *name == word).map(|(_, rating)| *rating),
    })
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
            ("en", "well I have been there for one year", None),
            ("de", "Eine Fünf!", Some(5)),
            ("de", "zwo", Some(2)),
            ("es", "un cuatro", Some(4)),
            ("fr", "cinq sur cinq", Some(5)),
            ("pt", "três", Some(3)),
            ("hi", "पाँच", Some(5)),
            ("hi", "teen", Some(3)),
            ("it", "5", Some(5)),
        ] {
            assert_eq!(rating_in(text, Language::of(Some(tag))), rating, "{tag}: {text}");
        }
    }
}
