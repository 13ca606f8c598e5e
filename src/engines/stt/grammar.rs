//! Phrases of callers, as a grammar for a recogniser.
//!
//! A phrase consists of words, with optional parts in brackets and alternatives in parentheses: `i (want | would
//! like) to book a table [please]`. The result is JSGF (<https://www.w3.org/TR/jsgf/>). Pure: no files and no
//! programs.

use std::collections::BTreeSet;

/// A set of phrases in the form that a recogniser reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar {
    rules: Vec<String>,
    words: BTreeSet<String>,
}

/// Why a phrase is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPhrase {
    #[error("the phrase {phrase:?} has {found:?}: it takes words, [ ], ( ) and | only; spell numbers out")]
    Character { phrase: String, found: char },
    #[error("the phrase {phrase:?} is not well formed: brackets match, and every alternative has words")]
    Form { phrase: String },
    #[error("there is no phrase: a grammar needs one at least")]
    None,
}

impl Grammar {
    /// Upper case becomes lower case, sentence punctuation is dropped.
    pub fn new(phrases: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Grammar, BadPhrase> {
        let mut grammar = Grammar { rules: Vec::new(), words: BTreeSet::new() };
        for phrase in phrases {
            grammar.add(phrase.as_ref())?;
        }
        if grammar.rules.is_empty() { Err(BadPhrase::None) } else { Ok(grammar) }
    }

    /// Every word that occurs in it.
    pub fn words(&self) -> &BTreeSet<String> {
        &self.words
    }

    /// The grammar as JSGF text: one phrase is said.
    pub fn jsgf(&self) -> String {
        format!("#JSGF V1.0;\ngrammar vca;\npublic <said> =\n  {}\n;\n", self.rules.join("\n  | "))
    }

    fn add(&mut self, phrase: &str) -> Result<(), BadPhrase> {
        let tokens = tokens(phrase)?;
        if !well_formed(&tokens) {
            return Err(BadPhrase::Form { phrase: shown(phrase) });
        }
        self.words.extend(tokens.iter().filter(|t| is_word(t)).cloned());
        self.rules.push(tokens.join(" "));
        Ok(())
    }
}

fn is_word(token: &str) -> bool {
    !matches!(token, "[" | "]" | "(" | ")" | "|")
}

fn tokens(phrase: &str) -> Result<Vec<String>, BadPhrase> {
    let mut spaced = String::with_capacity(phrase.len() + 8);
    for c in phrase.chars() {
        match c {
            '[' | ']' | '(' | ')' | '|' => spaced.extend([' ', c, ' ']),
            '.' | ',' | '?' | '!' => spaced.push(' '),
            '’' => spaced.push('\''),
            c if c.is_alphabetic() || c.is_whitespace() || matches!(c, '\'' | '-') => {
                spaced.extend(c.to_lowercase())
            }
            found => return Err(BadPhrase::Character { phrase: shown(phrase), found }),
        }
    }
    Ok(spaced.split_whitespace().map(str::to_owned).collect())
}

/// Brackets match; no alternative and no bracket is empty; a word remains without the optional parts.
fn well_formed(tokens: &[String]) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut filled = false;
    let mut needed = false;
    for token in tokens {
        match token.as_str() {
            bracket @ ("[" | "(") => {
                open.push(bracket);
                filled = false;
            }
            "|" if filled && !open.is_empty() => filled = false,
            "|" => return false,
            close @ ("]" | ")") => {
                let opened = open.pop();
                if !filled || opened != Some(if close == "]" { "[" } else { "(" }) {
                    return false;
                }
            }
            _ => {
                filled = true;
                needed |= !open.contains(&"[");
            }
        }
    }
    open.is_empty() && filled && needed
}

fn shown(phrase: &str) -> String {
    phrase.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phrases_become_alternatives() {
        let grammar = Grammar::new(["What are your opening hours?", "I('d like | want) a table [please]"]);
        let grammar = grammar.expect("a grammar");
        assert_eq!(
            grammar.jsgf(),
            "#JSGF V1.0;\ngrammar vca;\npublic <said> =\n  what are your opening hours\n  | \
             i ( 'd like | want ) a table [ please ]\n;\n"
        );
        assert!(
            grammar.words().contains("please") && !grammar.words().contains("("),
            "{:?}",
            grammar.words()
        );
    }

    #[test]
    fn what_is_no_phrase_is_refused() {
        for bad in
            ["[please]", "a (b", "a ) b", "a ( b ]", "a | b", "a ( | b )", "a [ ]", "", "at 7", "<x>", "a;b"]
        {
            assert!(Grammar::new([bad]).is_err(), "{bad:?}");
        }
        assert_eq!(Grammar::new(Vec::<String>::new()), Err(BadPhrase::None));
    }

    proptest! {
        #[test]
        fn random_phrases_do_no_harm(phrases: Vec<String>) {
            let _ = Grammar::new(&phrases);
        }

        #[test]
        fn nothing_but_phrases_gets_into_the_text(phrase in "[a-c()|\\[\\];<> .]{0,24}") {
            if let Ok(grammar) = Grammar::new([&phrase]) {
                prop_assert_eq!(grammar.jsgf().matches(';').count(), 3);
                prop_assert_eq!(grammar.jsgf().matches('<').count(), 1);
            }
        }
    }
}
