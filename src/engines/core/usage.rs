//! Usage of engines by a call, counted by each engine itself, in the units that its vendor bills, so that the
//! usage of a fallback is its own.
//!
//! A request counts as soon as it is sent, because a vendor bills requests that it has begun, even if the response
//! is no longer wanted. A refused request is waived.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::covered::CoveredFailures;
use super::retry::Kind;
use super::timing::SpeechTiming;

/// The model of engines that are programs of this machine.
pub const LOCAL: &str = "local";

/// The unit of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    Requests,
    /// Milliseconds of speech that were heard.
    AudioMs,
    /// Characters (not bytes) of a text that was spoken or said.
    Characters,
    /// Tokens of text, without those in a unit of their own.
    InputTokens,
    OutputTokens,
    /// Tokens of text that the vendor had in its cache.
    CachedInputTokens,
    AudioInputTokens,
    AudioOutputTokens,
    CachedAudioTokens,
}

/// One thing that is counted apart from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub kind: Kind,
    pub engine: Arc<str>,
    pub model: Arc<str>,
    pub unit: Unit,
}

/// Counts the usage of one call, and notes failures that fallbacks covered; without readers they are dropped. Clones share
/// their counts.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counts: Arc<Mutex<BTreeMap<Item, u64>>>,
    pub covered: CoveredFailures,
    /// The words of the speech that a request synthesises.
    pub timing: SpeechTiming,
}

impl Meter {
    /// Counts a request that is about to be sent. The rest of its usage is added to the returned charge.
    pub fn charge(&self, kind: Kind, engine: &Arc<str>, model: &str) -> Charge {
        let (meter, engine) = (self.clone(), engine.clone());
        let mut charge = Charge { meter, kind, engine, model: model.into(), taken: BTreeMap::new() };
        charge.set(Unit::Requests, 1);
        charge
    }

    /// A meter with the same counts and failures for one piece of work: it learns whether a failure is noted through it, and has
    /// the words of its speech.
    #[must_use]
    pub fn watched(&self) -> Meter {
        Meter { covered: self.covered.watched(), ..self.untimed() }
    }

    /// The same meter for a request of which the words are not kept.
    #[must_use]
    pub fn untimed(&self) -> Meter {
        Meter { timing: SpeechTiming::default(), ..self.clone() }
    }

    /// The usage so far, in a stable order.
    pub fn total(&self) -> Vec<(Item, u64)> {
        let counts = self.counts();
        counts.iter().filter(|(_, count)| **count > 0).map(|(item, count)| (item.clone(), *count)).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Item, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usage of one request. Dropping it changes nothing: the usage stays counted.
#[derive(Debug)]
pub struct Charge {
    meter: Meter,
    kind: Kind,
    engine: Arc<str>,
    model: Arc<str>,
    taken: BTreeMap<Unit, u64>,
}

impl Charge {
    /// Sets a quantity, in place of an earlier one.
    pub fn set(&mut self, unit: Unit, quantity: u64) {
        let before = self.taken.insert(unit, quantity).unwrap_or(0);
        let item = Item { kind: self.kind, engine: self.engine.clone(), model: self.model.clone(), unit };
        let mut counts = self.meter.counts();
        let count = counts.entry(item).or_default();
        *count = count.saturating_sub(before).saturating_add(quantity);
    }

    /// The charge beside the answer; a refusal is not charged.
    pub fn settle<T, E>(self, answer: Result<T, E>) -> Result<(T, Charge), E> {
        match answer {
            Ok(answer) => Ok((answer, self)),
            Err(refusal) => {
                self.waive();
                Err(refusal)
            }
        }
    }

    fn waive(mut self) {
        for unit in self.taken.keys().copied().collect::<Vec<_>>() {
            self.set(unit, 0);
        }
    }
}

/// Reads a part of an answer that is none where it cannot be read: negative counts cost the usage that they report, not the answer.
pub fn readable<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// How many characters a text has, as vendors count them.
pub fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

/// The number of tokens of a number of characters, where the server does not report it: four to a token, the rule of thumb of
/// <https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them> for English. Other
/// languages take more.
pub fn estimated_tokens(characters: u64) -> u64 {
    characters.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(meter: &Meter) -> Vec<(String, Unit, u64)> {
        let total = meter.total().into_iter();
        total.map(|(item, count)| (item.engine.to_string(), item.unit, count)).collect()
    }

    #[test]
    fn requests_count_and_refusals_do_not() {
        let meter = Meter::default();
        let mut first = meter.charge(Kind::Llm, &"openai".into(), "gpt-5.4-mini");
        first.set(Unit::OutputTokens, 10);
        first.set(Unit::OutputTokens, 7);
        let mut refused = meter.clone().charge(Kind::Llm, &"openai".into(), "gpt-5.4-mini");
        refused.set(Unit::InputTokens, 99);
        assert_eq!(
            counted(&meter),
            [
                ("openai".to_owned(), Unit::Requests, 2),
                ("openai".to_owned(), Unit::InputTokens, 99),
                ("openai".to_owned(), Unit::OutputTokens, 7)
            ]
        );
        assert_eq!(refused.settle(Err::<(), _>("no")).err(), Some("no"));
        drop(first);
        assert_eq!(
            counted(&meter),
            [("openai".to_owned(), Unit::Requests, 1), ("openai".to_owned(), Unit::OutputTokens, 7)]
        );
    }

    #[test]
    fn engines_and_models_are_counted_apart() {
        let meter = Meter::default();
        meter.charge(Kind::Tts, &"openai".into(), "tts-1");
        meter.charge(Kind::Tts, &"openai".into(), "tts-2");
        meter.charge(Kind::Tts, &"espeak".into(), LOCAL);
        assert_eq!(meter.total().len(), 3);
        assert!(Meter::default().total().is_empty());
    }

    #[test]
    fn characters_are_not_bytes() {
        assert_eq!((characters("Grüße"), estimated_tokens(5), estimated_tokens(0)), (5, 2, 0));
    }
}
