//! Has the caller finished? A judgement from the words alone, in a few languages.
//!
//! It knows no time: how long each answer makes the agent wait is a setting.

/// How complete a caller's words sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// A whole sentence.
    Finished,
    Unclear,
    /// "and", "um", digits being read out: more will come.
    Trailing,
}

/// Marks that end a sentence, beyond those of English: Chinese and Japanese, Hindi, Arabic and Urdu.
pub(super) const TERMINALS: &[char] = &['.', '?', '!', '。', '？', '！', '।', '؟', '۔'];

/// Quotes and brackets that may close after a sentence has ended.
pub(super) const CLOSERS: &[char] = &['"', '\'', '”', '’', '»', '“', ')', ']', '」', '』', '）'];

/// Last words after which more is to come even where an STT engine has put a full stop: hesitation,
/// conjunctions and articles of English, German, Spanish and French.
const LEADING_ON: &[&str] = &[
    "um", "uhm", "uh", "er", "erm", "hm", "and", "or", "but", "because", "the", "my", "if", //
    "äh", "ähm", "öh", "öhm", "und", "oder", "aber", "weil", "dass", "wenn", "der", "die", "das", "mein",
    "meine", //
    "eh", "ehm", "este", "y", "o", "pero", "porque", "que", "el", "la", "mi", //
    "euh", "heu", "et", "ou", "mais", "parce", "le", "les", "mon", "ma",
];

/// Last words that lead on unless a full stop follows: "so" and "I think so."
const OFTEN_LEADING_ON: &[&str] = &[
    "so", "that", "like", "to", "for", "with", "at", "of", "a", "an", "is", "then", //
    "also", "mit", "für", "zu", "ein", "eine", "ich", "ist", "dann", //
    "con", "para", "de", "un", "una", "es", "entonces", //
    "avec", "pour", "à", "une", "est", "alors", "donc",
];

const DIGITS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", //
    "null", "eins", "zwei", "zwo", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", //
    "cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", //
    "zéro", "un", "deux", "trois", "quatre", "cinq", "sept", "huit", "neuf",
];

/// Sounds and words that say "I am listening, go on".
const BACKCHANNELS: &[&str] = &[
    "uh", "huh", "uhhuh", "ah", "aha", "oh", "hm", "hmm", "mm", "mmm", "mhm", "mmhm", "mmhmm", "um", //
    "ok", "okay", "yeah", "yep", "yup", "yes", "right", "sure", "alright", //
    "ja", "jo", "genau", "klar", "gut", "ach", "achso", "äh", "ähm", //
    "sí", "si", "vale", "claro", "ajá", "ya", //
    "oui", "ouais", "d", "accord", "bien", "euh",
];

/// With the backchannels, what makes up "Hello?" and "Are you still there?": a caller who is tired of waiting.
const NUDGES: &[&str] = &[
    "hello", "hi", "hey", "are", "you", "is", "anybody", "anyone", "someone", "still", "there", "can",
    "hear", "me", //
    "hallo", "sind", "sie", "bist", "du", "ist", "jemand", "noch", "da", "dran", "hören", "hörst",
    "mich", //
    "hola", "está", "sigue", "usted", "hay", "alguien", "ahí", "oye", //
    "allô", "allo", "êtes", "vous", "es", "tu", "toujours", "là", "m", "entendez", "il", "y", "a", "quelqu",
    "un",
];

/// More words than this are more than a nudge, whatever they are.
const LONGEST_NUDGE: usize = 6;

/// More words than this are meant, whatever they are.
const LONGEST_BACKCHANNEL: usize = 4;

/// How complete `text` sounds.
pub(super) fn completeness(text: &str) -> Completeness {
    let text = text.trim_end().trim_end_matches(CLOSERS);
    let stopped = text.ends_with(TERMINALS) && !text.ends_with("..");
    let asked = stopped && !text.ends_with(['.', '。', '।', '۔']);
    let words = words(text);
    let last = words.last().map_or("", String::as_str);
    let leads_on = LEADING_ON.contains(&last) || (!stopped && OFTEN_LEADING_ON.contains(&last));
    let open = text.ends_with(['…', ',', '-', '–', '—', ':', '、', '،']) || text.ends_with("..");
    if open || (!asked && (leads_on || reads_out_digits(text))) {
        Completeness::Trailing
    } else if stopped {
        Completeness::Finished
    } else {
        Completeness::Unclear
    }
}

/// Whether `text`, said while the agent speaks, asks for nothing: no words at all, or a backchannel.
pub(super) fn is_backchannel(text: &str) -> bool {
    let words = words(text);
    words.len() <= LONGEST_BACKCHANNEL && words.iter().all(|word| BACKCHANNELS.contains(&word.as_str()))
}

/// Whether `text`, said while nothing is heard of the agent, adds nothing to what the caller has asked.
pub(super) fn is_nudge(text: &str) -> bool {
    let words = words(text);
    let adds = |word: &String| !BACKCHANNELS.contains(&word.as_str()) && !NUDGES.contains(&word.as_str());
    words.len() <= LONGEST_NUDGE && !words.iter().any(adds)
}

/// The words of `text` in lower case, without punctuation.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// "0 1 7 1", "five five five", "555-01": a number in the making, unlike "at 9:30" or "in 2026".
fn reads_out_digits(text: &str) -> bool {
    let groups = text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '/'));
    let groups = groups.map(|group| group.trim_matches(['.', ','])).filter(|group| !group.is_empty());
    let mut run = groups.rev().map(digits).take_while(|digits| *digits > 0);
    let last = run.next().unwrap_or(0);
    let (groups, total) = run.fold((1, last), |(groups, total), digits| (groups + 1, total + digits));
    last >= 5 || (groups >= 2 && (total >= 3 || total == groups))
}

/// How many digits a group of letters or digits stands for.
fn digits(group: &str) -> usize {
    if group.chars().all(|c| c.is_numeric()) {
        group.chars().count()
    } else {
        usize::from(DIGITS.contains(&group.to_lowercase().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_are_finished() {
        for text in [
            "What are your hours?",
            "I want to book a table.",
            "Danke!",
            "“Yes.”",
            "営業時間は何時ですか。",
            "ما هي ساعات العمل؟",
            "I think so.",
            "At 9:30.",
            "It was in 2026.",
            "A table for 2.",
            "It costs 3.50.",
        ] {
            assert_eq!(completeness(text), Completeness::Finished, "{text}");
        }
    }

    #[test]
    fn words_without_an_end_are_unclear() {
        for text in ["what are your hours", "hello", "ich möchte einen Tisch", "at 9:30", "room 12", ""] {
            assert_eq!(completeness(text), Completeness::Unclear, "{text}");
        }
    }

    #[test]
    fn what_leads_on_is_trailing() {
        for text in [
            "I want to book and",
            "I want to book and.",
            "Um...",
            "well, um",
            "I think so",
            "on Monday,",
            "ich möchte einen Tisch, aber",
            "Ähm.",
            "quiero una mesa para",
            "je voudrais, euh",
            "my number is five five five",
            "0 1 7 1",
            "It's 555-01.",
            "01715",
            "eins zwei",
        ] {
            assert_eq!(completeness(text), Completeness::Trailing, "{text}");
        }
    }

    #[test]
    fn a_backchannel_asks_for_nothing() {
        for text in
            ["", "...", "Uh-huh.", "mm-hmm", "Okay, yeah.", "right", "Ja, genau.", "Mhm", "Sí.", "D'accord"]
        {
            assert!(is_backchannel(text), "{text}");
        }
        for text in ["wait", "Okay, but when?", "no", "yes yes yes yes yes", "はい待って"] {
            assert!(!is_backchannel(text), "{text}");
        }
    }

    #[test]
    fn a_nudge_adds_nothing() {
        for text in [
            "Hello?",
            "Okay.",
            "Hello? Are you there?",
            "Hey, can you hear me?",
            "Hallo, sind Sie noch dran?",
            "¿Hola? ¿Sigue usted ahí?",
            "Allô, vous êtes là ?",
            "Il y a quelqu'un ?",
        ] {
            assert!(is_nudge(text), "{text}");
        }
        for text in
            ["no", "On Monday.", "Hello, for four people.", "hello hello hello hello hello hello hello"]
        {
            assert!(!is_nudge(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_words_can_be_judged(text in "\\PC{0,60}") {
            completeness(&text);
            is_backchannel(&text);
            is_nudge(&text);
        }
    }
}
