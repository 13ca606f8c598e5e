//! Endpointing by words: does an utterance sound finished, and does it want the turn? The times that follow from it are
//! settings.

use crate::language::{CLOSERS, Language, TERMINALS, ends_without_space, fold, words};

/// How complete a caller's words sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// A whole sentence.
    Finished,
    Unclear,
    /// "and", "um", digits being read out, a name being spelled: more follows.
    Trailing,
}

/// The most words of a presence check.
const LONGEST_PRESENCE_CHECK: usize = 6;

/// The most words of thanks or praise.
const LONGEST_COURTESY: usize = 6;

/// The most words of a short answer.
const LONGEST_ANSWER: usize = 5;

/// The most words of a backchannel.
const LONGEST_BACKCHANNEL: usize = 4;

/// The most words of another voice behind the caller's question, and behind another sentence; and the fewest of the caller's
/// sentence before them.
const LONGEST_AFTER_QUESTION: usize = 3;
const LONGEST_REMNANT: usize = 2;
const SHORTEST_SENTENCE: usize = 3;

/// Marks of a sentence's end that do not tell a question or an exclamation.
const FULL_STOPS: [char; 5] = ['.', '。', '।', '॥', '۔'];

/// How complete `text` sounds.
pub fn completeness(text: &str, language: &Language) -> Completeness {
    let text = text.trim_end().trim_end_matches(CLOSERS);
    let stopped = is_stopped(text);
    let asked = is_question(text);
    let words = words(text);
    let open = text.ends_with(['…', ',', '-', '–', '—', ':', '、', '،']) || text.ends_with("..");
    if open
        || (!asked
            && (leads_on(&words, stopped, language)
                || reads_out_digits(text, language)
                || spells(text, language)))
    {
        Completeness::Trailing
    } else if stopped && !begins_question(text, language) {
        Completeness::Finished
    } else {
        Completeness::Unclear
    }
}

/// Does `text` end with a mark of a sentence's end?
fn is_stopped(text: &str) -> bool {
    text.ends_with(TERMINALS) && !text.ends_with("..")
}

/// Does `text` end as a question or an exclamation? Recognisers write these marks where they belong, unlike full stops.
pub(super) fn is_question(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(CLOSERS);
    is_stopped(text) && !text.ends_with(FULL_STOPS)
}

/// `text` up to the end of its last sentence, if the few words after it may be another voice's. A recogniser that puts a full stop behind
/// everything puts one behind each part of a sentence, too: only a question before them has ended then.
pub(super) fn without_remnant(text: &str) -> &str {
    let is_asked = |c: char| TERMINALS.contains(&c) && !FULL_STOPS.contains(&c);
    let question = up_to(text, is_asked, LONGEST_AFTER_QUESTION);
    let sentence = || up_to(text, |c| TERMINALS.contains(&c), LONGEST_REMNANT).filter(|_| !is_stopped(text));
    question.or_else(sentence).unwrap_or(text)
}

/// `text` up to its last mark that `ends` a sentence, if few words follow.
fn up_to(text: &str, ends: impl Fn(char) -> bool, most: usize) -> Option<&str> {
    let (at, mark) = text.char_indices().rfind(|(_, c)| ends(*c))?;
    let rest = text[at + mark.len_utf8()..].trim_start_matches(CLOSERS);
    let sentence = text[..at].rsplit(&ends).next().unwrap_or_default();
    let has_ended = ends_without_space(mark) || rest.starts_with(char::is_whitespace);
    let is_short = words(rest).len() <= most && words(sentence).len() >= SHORTEST_SENTENCE;
    (has_ended && is_short).then(|| &text[..text.len() - rest.len()])
}

/// Do the last words announce more? A full stop is no proof: recognisers of whole clips put one behind everything.
fn leads_on(words: &[String], stopped: bool, language: &Language) -> bool {
    let last = words.last().map_or("", String::as_str);
    language.trailing.contains(&last)
        || (!stopped && language.often_trailing.contains(&last))
        || lacks_predicate(words, language)
}

/// Is the last sentence "how much", "which methods do you", but not "what I need is a table"? Recognisers put a question mark behind
/// a whole question, which this is not.
pub(super) fn begins_question(text: &str, language: &Language) -> bool {
    if is_question(text) {
        return false;
    }
    let words = words(text.trim_end_matches(TERMINALS).rsplit(TERMINALS).next().unwrap_or_default());
    let is_in =
        |list: &[&str], place: usize| words.get(place).is_some_and(|word| list.contains(&word.as_str()));
    is_in(language.question_words, 0) && !is_in(language.subjects, 1)
}

/// "All circuits are", "my number is", but not "I think it is" or "what the prices are".
fn lacks_predicate(words: &[String], language: &Language) -> bool {
    let [before @ .., last] = words else { return false };
    let is_subject = |word: &String| language.subjects.contains(&word.as_str());
    let is_question = |word: &String| language.question_words.contains(&word.as_str());
    language.auxiliaries.contains(&last.as_str())
        && !before.last().is_none_or(is_subject)
        && !before.iter().any(is_question)
}

/// Is `text` a whole answer to a question: "yes", "no, thank you", a digit, a day or a month?
pub(super) fn is_short_answer(text: &str, language: &Language) -> bool {
    let words = words(text);
    let answers = |word: &String| language.answers.contains(&word.as_str());
    match words.as_slice() {
        [] => false,
        [word] if answers(word) || digits(word, language) == 1 => true,
        [word] => language.names_day_or_month(word),
        words => words.len() <= LONGEST_ANSWER && words.iter().all(answers),
    }
}

/// Does `text`, said while the agent speaks, leave the turn with the agent? No words, or a backchannel.
pub(super) fn is_backchannel(text: &str, language: &Language) -> bool {
    let words = words(text);
    words.len() <= LONGEST_BACKCHANNEL
        && words.iter().all(|word| language.backchannels.contains(&word.as_str()))
}

/// Does `text`, said while the agent speaks, only thank or praise it?
pub(super) fn is_courtesy(text: &str, language: &Language) -> bool {
    let words = words(text);
    let is_kind = |word: &String| {
        language.courtesies.contains(&word.as_str()) || language.backchannels.contains(&word.as_str())
    };
    words.len() <= LONGEST_COURTESY && words.iter().all(is_kind)
}

/// A text without its margins; empty without a letter or digit, as recognisers write for noise.
pub(super) fn spoken(text: &str) -> &str {
    if text.contains(char::is_alphanumeric) { text.trim() } else { "" }
}

/// Does `text`, said while the response is awaited, only check that the line is alive?
pub(super) fn is_presence_check(text: &str, language: &Language) -> bool {
    let words = words(text);
    let adds = |word: &String| {
        !language.backchannels.contains(&word.as_str()) && !language.presence_checks.contains(&word.as_str())
    };
    words.len() <= LONGEST_PRESENCE_CHECK && !words.iter().any(adds)
}

/// The words of a partial transcript without the last one, which may be the beginning of another word.
pub(super) fn settled_words(text: &str) -> &str {
    let text = text.trim_end();
    if text.ends_with(TERMINALS) {
        return text;
    }
    text.rfind(char::is_whitespace).map_or("", |end| text[..end].trim_end())
}

/// Whether two texts differ in case and punctuation only.
pub(super) fn same_words(one: &str, other: &str) -> bool {
    words(one) == words(other)
}

/// "0 1 7 1", "five five five", "555-01", "my number is 0171": a number in the making, unlike "at 9:30" or "in 2026".
fn reads_out_digits(text: &str, language: &Language) -> bool {
    let groups = text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '/'));
    let groups = groups.map(|group| group.trim_matches(['.', ','])).filter(|group| !group.is_empty());
    let mut run = groups.rev().map(|group| digits(group, language)).take_while(|digits| *digits > 0);
    let last = run.next().unwrap_or(0);
    let (groups, total) = run.fold((1, last), |(groups, total), digits| (groups + 1, total + digits));
    let is_announced = || words(text).iter().any(|word| language.number_words.contains(&word.as_str()));
    last >= 5 || (last >= 3 && is_announced()) || (groups >= 2 && (total >= 3 || total == groups))
}

/// "J O H", "B as in", "b for Berlin", "john dot", "john at": a name or an e-mail address in the making.
fn spells(text: &str, language: &Language) -> bool {
    let words = words(text);
    let is_letter = |word: &String| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let letters = words.iter().rev().take_while(|word| is_letter(word)).count();
    let is_link = |word: &String| language.spelling_links.contains(&word.as_str());
    let rest = words.iter().rev().skip(1).skip_while(|word| is_link(word));
    let links = words.iter().rev().skip(1).take_while(|word| is_link(word)).count();
    let stands_for = links > 0 && rest.clone().next().is_some_and(is_letter);
    let marks = words.last().is_some_and(|word| language.spelling_marks.contains(&word.as_str()));
    letters >= 2 || stands_for || marks || has_open_address(text)
}

/// An e-mail address without the end of its domain: "john@example".
fn has_open_address(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit(char::is_whitespace).next().unwrap_or_default();
    last.split_once('@').is_some_and(|(_, domain)| !domain.contains('.'))
}

/// How many digits a group of letters or digits stands for.
fn digits(group: &str, language: &Language) -> usize {
    if group.chars().all(|c| c.is_numeric()) {
        group.chars().count()
    } else {
        usize::from(language.digits.contains(&fold(group).as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn language(tag: &str) -> &'static Language {
        Language::of(Some(tag))
    }

    #[track_caller]
    fn sounds(expected: Completeness, tag: &str, texts: &[&str]) {
        for text in texts {
            assert_eq!(completeness(text, language(tag)), expected, "{tag}: {text}");
        }
    }

    #[test]
    fn sentences_are_finished() {
        let finished = |tag, texts| sounds(Completeness::Finished, tag, texts);
        finished(
            "en",
            &[
                "What are your hours?",
                "I want to book a table.",
                "“Yes.”",
                "I think so.",
                "At 9:30.",
                "It was in 2026.",
                "A table for 2.",
                "It costs 3.50.",
            ],
        );
        finished("de", &["Danke!"]);
        finished("ja", &["営業時間は何時ですか。"]);
        finished("hi", &["मुझे एक टेबल चाहिए।", "Aap kab khulte hain?", "राम॥"]);
        finished("pt", &["Quero marcar uma mesa.", "Que horas são?"]);
        finished("ar", &["ما هي ساعات العمل؟"]);
        finished("ur", &["مجھے ایک میز چاہیے۔", "”آپ کب کھلتے ہیں؟“"]);
        finished("zh", &["你们几点开门？", "「明天见！」", "（谢谢。）"]);
    }

    #[test]
    fn a_verb_that_ends_a_clause_announces_nothing() {
        let whole = [
            "I think it is.",
            "Yes, we are.",
            "Tell me what the prices are.",
            "I know where the shop is.",
            "Is.",
        ];
        sounds(Completeness::Finished, "en", &whole);
    }

    #[test]
    fn few_words_after_a_sentence_may_be_anothers() {
        for (text, own) in [
            ("What are your hours? lost", "What are your hours?"),
            ("What are your hours? the.", "What are your hours?"),
            ("What are your hours? team has lost.", "What are your hours?"),
            ("What are your hours? tonight. The.", "What are your hours?"),
            ("Do you have bicycles. for children? has.", "Do you have bicycles. for children?"),
            ("“What are your hours?” in the", "“What are your hours?”"),
            ("आप कब खुलते हैं। और", "आप कब खुलते हैं।"),
            ("你们 几点 开门？ 明天", "你们 几点 开门？"),
        ] {
            assert_eq!(without_remnant(text), own);
        }
        for text in [
            "What are your hours?",
            "what are your hours",
            "What are your hours? On Sundays I mean",
            "Good morning. What are your hours?",
            "Heavy rain is expected. Where is your.",
            "I have no question. Where is your",
            "I have a question. What are your hours.",
            "Hello. I",
            "It costs 3.50",
            "",
        ] {
            assert_eq!(without_remnant(text), text);
        }
    }

    #[test]
    fn words_without_an_end_are_unclear() {
        sounds(Completeness::Unclear, "en", &["what are your hours", "hello", "at 9:30", "room 12", ""]);
        sounds(Completeness::Unclear, "de", &["ich möchte einen Tisch"]);
    }

    /// A recogniser puts a question mark behind a whole question, and a full stop behind everything.
    #[test]
    fn a_question_without_its_mark_is_unclear() {
        let begun = ["How much.", "Which payment methods do you.", "Whatever."];
        sounds(Completeness::Unclear, "en", &begun);
        let whole = [
            "How much?",
            "What I need is a table.",
            "When we arrived, it was closed.",
            "I know how.",
            "What time is it? One moment.",
        ];
        sounds(Completeness::Finished, "en", &whole);
        sounds(Completeness::Unclear, "de", &["Wann haben Sie."]);
        sounds(Completeness::Unclear, "es", &["Cuánto cuesta."]);
        sounds(Completeness::Unclear, "fr", &["Combien coûte."]);
        sounds(Completeness::Unclear, "pt", &["Quanto custa."]);
    }

    #[test]
    fn words_that_lead_on_are_trailing() {
        let trailing = |tag, texts| sounds(Completeness::Trailing, tag, texts);
        trailing(
            "en",
            &[
                "I want to book and",
                "I want to book and.",
                "Um...",
                "well, um",
                "I think so",
                "on Monday,",
                "my number is five five five",
                "0 1 7 1",
                "It's 555-01.",
                "01715",
            ],
        );
        trailing(
            "en",
            &["My number is.", "All circuits are.", "The table should be.", "I've.", "My wife and they've."],
        );
        trailing("de", &["ich möchte einen Tisch, aber", "Ähm.", "eins zwei"]);
        trailing("es", &["quiero una mesa para"]);
        trailing("fr", &["je voudrais, euh"]);
        trailing(
            "hi",
            &[
                "मुझे टेबल चाहिए और",
                "मेरा नंबर है नौ आठ सात",
                "mera number hai nine eight double seven",
                "९८७६५",
                "kyonki",
            ],
        );
        trailing("pt", &["queria marcar, mas", "o número é nove, meia, três"]);
    }

    #[test]
    fn a_full_stop_of_the_recogniser_does_not_end_a_sentence_that_leads_on() {
        let trailing = |tag, texts| sounds(Completeness::Trailing, tag, texts);
        trailing(
            "en",
            &["I need a.", "It is for my.", "More than.", "My number is 555.", "The code is 4711."],
        );
        trailing("de", &["Ich möchte einen.", "Das ist für.", "Meine Nummer ist 0171."]);
        trailing("es", &["Quiero una mesa para.", "Mi número es 612."]);
        trailing("fr", &["Je voudrais une.", "Mon numéro est 612."]);
        trailing("pt", &["Quero uma mesa para.", "O meu número é 912."]);
        trailing("hi", &["मुझे टेबल चाहिए और।", "मेरा नंबर है 987."]);
        sounds(Completeness::Finished, "en", &["We are 120.", "That makes 555.", "I think so.", "Room 412."]);
    }

    #[test]
    fn short_answers_are_whole_by_language() {
        let answers = [
            (
                "en",
                vec![
                    "yes",
                    "No",
                    "yes please",
                    "no thank you",
                    "that's right",
                    "seven",
                    "7",
                    "Monday",
                    "may",
                ],
            ),
            ("de", vec!["ja", "nein danke", "ja gerne", "sieben", "Montag", "stimmt"]),
            ("es", vec!["sí", "no gracias", "sí por favor", "siete", "lunes"]),
            ("fr", vec!["oui", "non merci", "oui s'il vous plaît", "sept", "lundi"]),
            ("pt", vec!["sim", "não", "sim por favor", "sete", "isso"]),
            ("hi", vec!["हाँ", "जी नहीं", "haan ji", "ठीक है", "सात"]),
        ];
        for (tag, texts) in answers {
            for text in texts {
                assert!(is_short_answer(text, language(tag)), "{tag}: {text}");
            }
        }
        for text in ["", "yes but", "what", "I'd like", "yes yes yes yes yes yes", "my name", "555"] {
            assert!(!is_short_answer(text, language("en")), "{text}");
        }
        assert!(!is_short_answer("oui", language("en")), "a word counts in its own language only");
    }

    #[test]
    fn names_and_addresses_that_are_spelled_are_waited_for() {
        let en = [
            "My name is S M I",
            "J. O. H. N.",
            "B as in Berlin.",
            "b as in boy",
            "it's M for Mike",
            "john dot",
            "john underscore.",
            "My address is john@example.",
            "john.smith@",
        ];
        sounds(Completeness::Trailing, "en", &en);
        sounds(Completeness::Trailing, "de", &["B wie Berlin", "hans Punkt", "hans Unterstrich"]);
        let finished = [
            "Take plan B.",
            "Write to john@example.com.",
            "I like it as it is.",
            "What is plan a b?",
            "This is for Mike.",
        ];
        sounds(Completeness::Finished, "en", &finished);
    }

    #[test]
    fn a_word_counts_in_its_own_language_only() {
        sounds(Completeness::Trailing, "de", &["die", "das ist für die."]);
        sounds(Completeness::Finished, "en", &["All my plants die."]);
        sounds(Completeness::Unclear, "en", &["all my plants die"]);
        assert!(
            is_backchannel("Ja, genau.", language("de")) && !is_backchannel("Ja, genau.", language("en"))
        );
        assert!(is_backchannel("Mhm, okay.", language("it")), "sounds that languages share");
    }

    #[test]
    fn a_backchannel_leaves_the_turn() {
        let backchannels = [
            ("en", vec!["", "...", "Uh-huh.", "mm-hmm", "Okay, yeah.", "right", "Mhm"]),
            ("de", vec!["Ja, genau."]),
            ("es", vec!["Sí."]),
            ("fr", vec!["D'accord"]),
            ("hi", vec!["हाँ जी", "अच्छा, ठीक है।", "Haan ji.", "theek hai", "Okay, accha"]),
            ("pt", vec!["Uhum, certo.", "Está bem."]),
        ];
        for (tag, texts) in backchannels {
            assert!(texts.iter().all(|text| is_backchannel(text, language(tag))), "{texts:?}");
        }
        for text in ["wait", "Okay, but when?", "no", "yes yes yes yes yes", "はい待って"] {
            assert!(!is_backchannel(text, language("en")), "{text}");
        }
    }

    #[test]
    fn a_presence_check_adds_nothing() {
        let checks = [
            ("en", vec!["Hello?", "Okay.", "Hello? Are you there?", "Hey, can you hear me?"]),
            ("de", vec!["Hallo, sind Sie noch dran?"]),
            ("es", vec!["¿Hola? ¿Sigue usted ahí?"]),
            ("fr", vec!["Allô, vous êtes là ?", "Il y a quelqu'un ?"]),
            ("hi", vec!["हैलो? आप सुन रहे हैं?", "Hello, aap sun rahe ho?", "मेरी आवाज़ आ रही है?"]),
            ("pt", vec!["Alô? Você está aí?", "Tem alguém na linha?"]),
        ];
        for (tag, texts) in checks {
            assert!(texts.iter().all(|text| is_presence_check(text, language(tag))), "{texts:?}");
        }
        for text in
            ["no", "On Monday.", "Hello, for four people.", "hello hello hello hello hello hello hello"]
        {
            assert!(!is_presence_check(text, language("en")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_judged(text in "\\PC{0,60}", tag in "(en|de|es|fr|hi|pt|xx)") {
            completeness(&text, language(&tag));
            is_backchannel(&text, language(&tag));
            is_presence_check(&text, language(&tag));
        }
    }
}
