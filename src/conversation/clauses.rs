//! Splits a streamed response for synthesis: a first clause as soon as it can stand alone, then sentence by sentence.

use serde::{Deserialize, Serialize};

use crate::language::{CLOSERS, Language, TERMINALS, ends_without_space};

/// No clause is longer, in characters: an engine must not wait for a sentence that never ends.
const LONGEST: usize = 200;

/// The fewest characters of a first clause that ends at a comma: a shorter one sounds chopped off …
const SHORTEST_FIRST: usize = 15;

/// … and in scripts that write a word in one or two characters.
const SHORTEST_FIRST_DENSE: usize = 6;

/// The part of a response that is not split yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Clauses {
    pending: String,
    begun: bool,
}

impl Clauses {
    /// Adds the next piece of text and returns the clauses that it completes.
    pub fn push(&mut self, text: &str, language: &Language) -> Vec<String> {
        // Markdown's emphasis and code marks are not spoken.
        self.pending.extend(text.chars().filter(|c| !matches!(c, '*' | '`')));
        let mut clauses = Vec::new();
        while let Some(end) = boundary(&self.pending, !self.begun, language).or_else(|| forced(&self.pending))
        {
            self.cut(end, &mut clauses);
        }
        clauses
    }

    /// The text is complete: returns the rest of it.
    pub fn end(&mut self, language: &Language) -> Vec<String> {
        let mut clauses = self.push("\n", language);
        self.cut(self.pending.len(), &mut clauses);
        clauses
    }

    /// The text pauses, and white space may follow: returns the rest of it if that is a whole sentence.
    pub fn pause(&mut self, language: &Language) -> Vec<String> {
        let mut clauses = Vec::new();
        if is_sentence(&self.pending, language) {
            self.cut(self.pending.len(), &mut clauses);
        }
        clauses
    }

    /// The text breaks off: returns the rest of it if that is a whole sentence.
    pub fn break_off(&mut self, language: &Language) -> Vec<String> {
        let is_whole = self.pending.trim_end().trim_end_matches(CLOSERS).ends_with(TERMINALS);
        if is_whole { self.push("\n", language) } else { Vec::new() }
    }

    fn cut(&mut self, end: usize, clauses: &mut Vec<String>) {
        let clause: String = self.pending.drain(..end).collect();
        // A lone dash or list mark cannot be spoken.
        if clause.contains(char::is_alphanumeric) {
            self.begun = true;
            clauses.push(clause.trim().to_owned());
        }
    }
}

/// The end of the first clause or sentence of `text`, if it is certain.
fn boundary(text: &str, first: bool, language: &Language) -> Option<usize> {
    text.char_indices().take(LONGEST).find_map(|(at, mark)| {
        let head = &text[..at];
        let end = at + mark.len_utf8();
        let spoken = head.contains(char::is_alphanumeric);
        match mark {
            '\n' => Some(end),
            '.' => full_stop(head, &text[end..], language).map(|closers| end + closers),
            _ if TERMINALS.contains(&mark) || mark == '…' => {
                closed(&text[end..], mark).map(|closers| end + closers)
            }
            ',' | ';' | ':' | '–' | '—' if first && spoken => {
                (head.chars().count() >= SHORTEST_FIRST && followed_by_space(&text[end..])).then_some(end)
            }
            '，' | '、' | '；' | '：' if first && spoken => {
                (head.chars().count() >= SHORTEST_FIRST_DENSE).then_some(end)
            }
            _ => None,
        }
    })
}

/// Whether the full stop between `head` and `tail` ends a sentence, and how many bytes of quotes and
/// brackets go with it. Undecided until the next word has begun.
fn full_stop(head: &str, tail: &str, language: &Language) -> Option<usize> {
    let rest = tail.trim_start_matches(CLOSERS);
    let next = rest.trim_start().chars().next();
    if !followed_by_space(rest) || !(next.is_some() || rest.contains('\n')) {
        return None;
    }
    let is_abbreviation = is_abbreviation(last_word(head), language);
    let ends = !next.is_some_and(char::is_lowercase) && (next.is_none() || !is_abbreviation);
    ends.then_some(tail.len() - rest.len())
}

/// Whether the text is a whole sentence, as far as that can be known without the text that follows. A full stop after a digit
/// may be a decimal point.
fn is_sentence(text: &str, language: &Language) -> bool {
    let text = text.trim_end().trim_end_matches(CLOSERS);
    let Some(head) = text.strip_suffix('.') else {
        return text.ends_with(TERMINALS) || text.ends_with('…');
    };
    let word = last_word(head);
    word.ends_with(char::is_alphabetic) && !is_abbreviation(word, language)
}

fn last_word(text: &str) -> &str {
    let is_before = |c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“' | '«' | '¿' | '¡');
    text.rsplit(is_before).next().unwrap_or("")
}

/// "Dr", "e.g", "J" and "3" (an ordinal, or the number of a list item) before a full stop.
fn is_abbreviation(word: &str, language: &Language) -> bool {
    let word = word.to_lowercase();
    let letters = word.chars().count();
    let time_of_day = matches!(word.as_str(), "a.m" | "p.m");
    language.abbreviations.contains(&word.as_str())
        || (letters == 1 && word != "i")
        || (word.contains('.') && !time_of_day && word.chars().any(char::is_alphabetic))
        || (letters <= 2 && word.chars().all(char::is_numeric))
}

/// The quotes and brackets after a sentence's `mark`, if it ends one: "?!" ends at its last mark, and
/// marks of scripts that write no spaces, or no other full stop, end by themselves.
fn closed(tail: &str, mark: char) -> Option<usize> {
    let rest = tail.trim_start_matches(CLOSERS);
    let dense = ends_without_space(mark) && !rest.starts_with(TERMINALS);
    (dense || followed_by_space(rest)).then_some(tail.len() - rest.len())
}

fn followed_by_space(text: &str) -> bool {
    text.starts_with(char::is_whitespace)
}

/// Where to cut a text that has grown too long: after its last comma, or else its last word.
fn forced(text: &str) -> Option<usize> {
    let (limit, _) = text.char_indices().nth(LONGEST)?;
    let head = &text[..limit];
    let comma =
        head.rmatch_indices([',', ';', ':']).map(|(at, _)| at + 1).find(|at| followed_by_space(&text[*at..]));
    let space = head.rfind(char::is_whitespace).filter(|at| *at > 0);
    comma.filter(|at| *at > limit / 2).or(space).or(Some(limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Streams `text` in pieces of `size` characters; `|` marks the cuts.
    fn cut(text: &str, size: usize) -> String {
        cut_in(Language::of(None), text, size)
    }

    fn cut_in(language: &Language, text: &str, size: usize) -> String {
        let mut clauses = Clauses::default();
        let letters: Vec<char> = text.chars().collect();
        let mut all = Vec::new();
        for piece in letters.chunks(size) {
            all.extend(clauses.push(&piece.iter().collect::<String>(), language));
        }
        all.extend(clauses.end(language));
        all.join("|")
    }

    #[track_caller]
    fn cuts(expected: &str) {
        let text: String = expected.replace('|', " ");
        for size in [1, 3, 7, 1_000] {
            assert_eq!(cut(&text, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_full_stop_abbreviates_in_its_own_language_only() {
        let cut = |tag, text| cut_in(Language::of(Some(tag)), text, 3);
        assert_eq!(cut("en", "No. We are closed."), "No.|We are closed.");
        assert_eq!(cut("de", "Zimmer Nr. Zwei ist frei."), "Zimmer Nr. Zwei ist frei.");
        assert_eq!(cut("en", "The Nr. Two"), "The Nr.|Two");
        assert_eq!(cut("es", "¿Sr. Pérez? ¡Un momento! ¿Sigue ahí?"), "¿Sr. Pérez?|¡Un momento!|¿Sigue ahí?");
        assert_eq!(cut("hi", "नमस्ते, डॉ. शर्मा आज हैं।कल नहीं। ठीक है?"), "नमस्ते, डॉ. शर्मा आज हैं।|कल नहीं।|ठीक है?");
        assert_eq!(cut("hi", "कीमत रु. 500 है॥ और?"), "कीमत रु. 500 है॥|और?");
    }

    #[test]
    fn a_pause_ends_a_whole_sentence() {
        let paused = |text: &str| {
            let mut clauses = Clauses::default();
            assert_eq!(clauses.push(text, Language::of(None)), [""; 0], "{text}");
            clauses.pause(Language::of(None)).join("|")
        };
        for whole in ["We are open.", "Really?!", "\"Yes.\"", "Until 5 p.m.", "Well…", "So do I."] {
            assert_eq!(paused(whole), whole);
        }
        for unfinished in
            ["We are open", "It costs 3.", "In 2026.", "Ask Dr.", "Take fruit, e.g.", "J.", "Sure,", "..."]
        {
            assert_eq!(paused(unfinished), "", "{unfinished}");
        }
    }

    #[test]
    fn the_text_goes_on_after_a_pause() {
        let (mut clauses, language) = (Clauses::default(), Language::of(None));
        clauses.push("It costs 3.", language);
        assert_eq!(clauses.pause(language), [""; 0]);
        assert_eq!(clauses.push("50 now. And", language), ["It costs 3.50 now."]);
        clauses.push(" later.", language);
        assert_eq!(clauses.pause(language), ["And later."]);
        assert_eq!(clauses.pause(language), [""; 0]);
        assert_eq!(clauses.push("\"", language), [""; 0]);
        assert_eq!(clauses.end(language), [""; 0]);
    }

    #[test]
    fn a_first_clause_then_sentences() {
        cuts(
            "We are open from nine to five,|Monday to Friday, except on holidays.|Shall I book you in?|Great!",
        );
        cuts("Sure, one moment.|Here we go, and so on.");
        cuts("Of course I can do that:|we have three.");
    }

    #[test]
    fn full_stops_that_end_no_sentence() {
        cuts("Ask for Dr. Smith today.|He is in.");
        cuts("Take fruit, e.g. Apples.|Or others.");
        cuts("That is 3.5 miles.|It is 1,000 yards.");
        cuts("See J. Smith.|He knows.");
        cuts("Come at 9.30 or 10:15.|Bye.");
        cuts("Am 3. Mai um 9 Uhr.|Danke.");
        cuts("1. Soup.|2. Salad.");
        cuts("It takes approx. five days.|Fine.");
        cuts("We close at 5 p.m. on Friday.|We open at 9 a.m.|Bring it.");
        cuts("That was in 2026.|Then it closed.");
    }

    #[test]
    fn quotes_and_runs_of_marks_stay_with_their_sentence() {
        cuts("He said \"Hello.\"|Then he left.");
        cuts("Really?!|Yes (of course).|Well… maybe.".replace("… m", "…|m").as_str());
    }

    #[test]
    fn markdown_is_not_spoken() {
        assert_eq!(
            cut("**Hours**: `9` to *5*.\n\n- Monday\n- Tuesday\n---\n", 4),
            "Hours: 9 to 5.|- Monday|- Tuesday"
        );
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(
            cut("はい、営業時間は九時からです。何時にしますか？「明日。」", 1),
            "はい、営業時間は九時からです。|何時にしますか？|「明日。|」".trim_end_matches("|」")
        );
    }

    #[test]
    fn nothing_is_spoken_of_nothing() {
        assert_eq!(cut("** — **\n ...\n", 2), "");
    }

    #[test]
    fn an_endless_sentence_is_cut_at_a_word() {
        let text = "word ".repeat(100);
        let clauses = cut(&text, 5);
        assert!(
            clauses.split('|').all(|clause| clause.len() <= LONGEST && clause.ends_with("word")),
            "{clauses}"
        );
        assert_eq!(cut(&"x".repeat(450), 10).split('|').map(str::len).collect::<Vec<_>>(), [200, 200, 50]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_long(text in "[a-zA-Z0-9äあ。 .,?!:\n\"()-]{0,900}", size in 1usize..40) {
            let cut = cut(&text, size);
            prop_assert!(cut.split('|').all(|clause| clause.chars().count() <= LONGEST + CLOSERS.len()));
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&cut), letters(&text));
        }

        #[test]
        fn any_text_can_be_cut(text in "\\PC{0,600}", size in 1usize..40) {
            cut(&text, size);
        }
    }
}
