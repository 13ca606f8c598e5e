//! Decides by the caller's words that the conversation goes on in another language.
//!
//! In the first turns one utterance that is certain suffices. Later, and after a change, two in a row are needed: a caller who quotes
//! something does not want another language.

use super::Agent;
use crate::language::{self, Language};

/// Turns in which one utterance suffices.
const FIRST_TURNS: usize = 3;

/// Changes in one call.
const MOST_CHANGES: usize = 4;

/// The evidence so far.
#[derive(Default)]
pub struct LanguageDetector {
    changes: usize,
    /// The language of the latest utterance, where it was another one, and the number of turns before that.
    latest: Option<(&'static Language, usize)>,
}

impl LanguageDetector {
    /// The caller said `words`, after so many turns of theirs. `agents` are the present agent and the same one in its other
    /// languages. Returns the language in which the conversation goes on, if it is another one.
    pub fn hear(
        &mut self,
        words: &str,
        turns: usize,
        present: &Agent,
        agents: &[&Agent],
    ) -> Option<&'static Language> {
        if !present.detects_language || self.changes >= MOST_CHANGES {
            return None;
        }
        let candidates: Vec<&'static Language> = agents.iter().map(|agent| agent.language).collect();
        let heard = language::detect(words, &candidates);
        if heard == Some(present.language) {
            self.latest = None;
        }
        let other = heard.filter(|heard| *heard != present.language)?;
        let is_repeated = self.latest.is_some_and(|(latest, before)| latest == other && before < turns);
        if is_repeated || (self.changes == 0 && turns < FIRST_TURNS) {
            self.changes += 1;
            self.latest = None;
            return Some(other);
        }
        // A transcript of the same turn is no further evidence.
        let since = self.latest.filter(|(latest, _)| *latest == other).map_or(turns, |(_, before)| before);
        self.latest = Some((other, since));
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::agent::tests::profile;

    const GERMAN: &str = "Ich möchte wissen, wann Sie heute geöffnet haben.";
    const ENGLISH: &str = "I would like to know when you are open today.";

    /// Hears the texts, each in a turn of its own, and returns the languages that the conversation changes to.
    fn heard(detects: bool, texts: &[&str]) -> Vec<Option<&'static str>> {
        let settings = json!({ "languages": ["en", "de", "hi"], "detect_language": detects });
        let agent = profile("front desk", "You answer.", settings);
        let agents: Vec<&Agent> = agent.in_languages().collect();
        let (mut detector, mut present) = (LanguageDetector::default(), &agent);
        let mut hear = |(turns, text): (usize, &&str)| {
            let changed = detector.hear(text, turns, present, &agents)?;
            present =
                agents.iter().find(|agent| agent.language == changed).expect("a language of the profile");
            Some(changed.tag)
        };
        texts.iter().enumerate().map(&mut hear).collect()
    }

    #[test]
    fn one_of_the_first_utterances_suffices() {
        assert_eq!(heard(true, &[GERMAN]), [Some("de")]);
        assert_eq!(heard(true, &["Ok.", "0471", "नमस्ते, आप कैसे हैं?"]), [None, None, Some("hi")]);
        assert_eq!(heard(true, &[ENGLISH, GERMAN]), [None, Some("de")]);
        assert_eq!(heard(false, &[GERMAN, GERMAN, GERMAN, GERMAN]), [None; 4]);
    }

    #[test]
    fn later_two_in_a_row_are_needed() {
        let english = [ENGLISH; 3];
        let heard_after = |texts: &[&str]| heard(true, &[&english[..], texts].concat())[3..].to_vec();
        assert_eq!(heard_after(&[GERMAN, GERMAN]), [None, Some("de")]);
        assert_eq!(heard_after(&[GERMAN, "Ja.", GERMAN]), [None, None, Some("de")], "a yes decides nothing");
        assert_eq!(heard_after(&[GERMAN, ENGLISH, GERMAN]), [None, None, None]);
        assert_eq!(heard(true, &[GERMAN, ENGLISH, ENGLISH]), [Some("de"), None, Some("en")]);
    }

    #[test]
    fn a_transcript_of_the_same_turn_is_no_further_evidence() {
        let agent = profile("front desk", "x", json!({ "languages": ["en", "de"], "detect_language": true }));
        let agents: Vec<&Agent> = agent.in_languages().collect();
        let mut detector = LanguageDetector::default();
        for _ in 0..3 {
            assert_eq!(detector.hear(GERMAN, 7, &agent, &agents), None);
        }
        assert_eq!(detector.hear(GERMAN, 8, &agent, &agents).map(|it| it.tag), Some("de"));
    }

    #[test]
    fn the_changes_of_a_call_are_bounded() {
        let texts: Vec<&str> = (0..20).map(|turn| if turn / 2 % 2 == 0 { GERMAN } else { ENGLISH }).collect();
        let changes = heard(true, &texts).into_iter().flatten().count();
        assert_eq!(changes, MOST_CHANGES);
    }

    #[test]
    fn a_recogniser_is_not_bound_to_one_language() {
        let agent = profile("front desk", "x", json!({ "languages": ["en", "de"], "detect_language": true }));
        for agent in agent.in_languages() {
            assert_eq!(agent.hints.language, None);
            assert_eq!(agent.hints.languages.len(), 2);
        }
    }
}
