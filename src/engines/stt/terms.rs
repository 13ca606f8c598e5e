//! Key terms, as far as vendors take them.

use std::sync::Arc;

use super::Hints;

/// The most characters of OpenAI's `prompt`: models read its last 224 tokens.
const LONGEST_PROMPT: usize = 600;

/// Deepgram takes 500 tokens and stops transcribing at more. A token is at least one byte.
const DEEPGRAM_BYTES: usize = 400;

/// Limits of `keyterms` of ElevenLabs' Scribe in real time.
const SCRIBE_TERMS: usize = 50;
const SCRIBE_CHARS: usize = 20;
const SCRIBE_WORDS: usize = 5;

/// Whether a model of OpenAI's takes a list of `keywords`; earlier ones take a `prompt`.
pub(super) fn has_keywords(model: &str) -> bool {
    ["gpt-live-transcribe", "gpt-transcribe"].iter().any(|it| model.starts_with(it))
}

/// OpenAI's `keywords`: one line each, without angle brackets.
pub(super) fn keywords(hints: &Hints) -> impl Iterator<Item = &str> {
    terms(hints).filter(|term| !term.contains(['<', '>']))
}

/// OpenAI's `prompt`.
pub(super) fn vocabulary(hints: &Hints) -> Option<String> {
    let text = within(terms(hints), LONGEST_PROMPT).join(", ");
    (!text.is_empty()).then_some(text)
}

/// Deepgram's `keyterm`s. Models before Nova-3 refuse them.
pub(super) fn of_deepgram<'a>(hints: &'a Hints, model: &str) -> Vec<&'a str> {
    let takes_terms = ["nova-3", "flux"].iter().any(|it| model.starts_with(it));
    if takes_terms { within(terms(hints), DEEPGRAM_BYTES) } else { Vec::new() }
}

/// Scribe's `keyterms`.
pub(super) fn of_scribe(hints: &Hints) -> impl Iterator<Item = &str> {
    let fits =
        |term: &&str| term.chars().count() <= SCRIBE_CHARS && term.split_whitespace().count() <= SCRIBE_WORDS;
    terms(hints).filter(fits).take(SCRIBE_TERMS)
}

fn terms(hints: &Hints) -> impl Iterator<Item = &str> {
    hints.key_terms.iter().map(Arc::as_ref)
}

/// The first terms that have `bytes` together, with two more for each.
fn within<'a>(terms: impl Iterator<Item = &'a str>, bytes: usize) -> Vec<&'a str> {
    let mut left = bytes;
    let mut taken = Vec::new();
    for term in terms {
        let Some(rest) = left.checked_sub(term.len() + 2) else { break };
        left = rest;
        taken.push(term);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(terms: &[&str]) -> Hints {
        Hints { key_terms: terms.iter().map(|term| Arc::from(*term)).collect(), ..Hints::default() }
    }

    #[test]
    fn each_vendor_gets_as_many_terms_as_it_takes() {
        let some = hints(&["Ada", "<b>", "a term of more than twenty characters"]);
        assert_eq!(keywords(&some).count(), 2);
        assert_eq!(of_scribe(&some).collect::<Vec<_>>(), ["Ada", "<b>"]);
        assert_eq!(of_deepgram(&some, "nova-2"), [] as [&str; 0]);
        assert_eq!(of_deepgram(&some, "nova-3").len(), 3);
        let long = "x".repeat(50);
        let many = hints(&[long.as_str(); 100]);
        let bytes: usize = of_deepgram(&many, "flux-general-en").iter().map(|term| term.len()).sum();
        assert!(bytes <= DEEPGRAM_BYTES && bytes > DEEPGRAM_BYTES / 2, "{bytes}");
        assert!(vocabulary(&many).is_some_and(|text| text.len() <= LONGEST_PROMPT));
        assert_eq!(vocabulary(&hints(&[])), None);
    }
}
