//! English.

use super::spoken::forms;
use super::{Language, Prompts};

pub(super) static ENGLISH: Language = Language {
    tag: "en",
    name: "English",
    trailing: &[
        "um", "uhm", "uh", "er", "erm", "hm", "and", "or", "but", "because", "the", "my", "if", "a", "an",
        "your", "our", "their", "although", "while", "unless", "plus", "than", "whose", "every",
    ],
    often_trailing: &["so", "that", "like", "to", "for", "with", "at", "of", "is", "then"],
    digits: &[
        "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double",
        "triple",
    ],
    number_words: &["number", "phone", "mobile", "card", "account", "code", "pin", "zip", "postcode"],
    spelling_links: &["as", "in", "for", "like"],
    spelling_marks: &["dot", "underscore", "hyphen", "dash"],
    answers: &[
        "yes", "yeah", "yep", "yup", "no", "nope", "ok", "okay", "sure", "please", "thanks", "thank", "you",
        "correct", "right", "exactly", "that", "s", "is", "it", "not", "really", "maybe", "both", "neither",
        "none", "of", "course",
    ],
    backchannels: &[
        "uh", "huh", "uhhuh", "ah", "aha", "oh", "hm", "hmm", "mm", "mmm", "mhm", "mmhm", "mmhmm", "um",
        "ok", "okay", "yeah", "yep", "yup", "yes", "right", "sure", "alright",
    ],
    courtesies: &[
        "thanks",
        "thank",
        "you",
        "very",
        "much",
        "so",
        "great",
        "perfect",
        "wonderful",
        "lovely",
        "cool",
        "nice",
        "good",
        "awesome",
        "excellent",
        "brilliant",
        "fantastic",
        "fine",
        "super",
        "got",
        "it",
        "i",
        "see",
    ],
    presence_checks: &[
        "hello", "hi", "hey", "are", "you", "is", "anybody", "anyone", "someone", "still", "there", "can",
        "hear", "me",
    ],
    abbreviations: &[
        "dr", "mr", "mrs", "ms", "prof", "st", "mt", "vs", "approx", "dept", "gen", "rep", "inc", "ltd",
        "jr", "sr", "etc",
    ],
    prompts: PROMPTS,
    forms: Some(&forms::ENGLISH),
};

pub(super) const PROMPTS: Prompts = Prompts {
    greeting: "Hello, how can I help you?",
    did_not_catch: "I didn't catch that, please repeat.",
    difficulty: "Technical difficulty, trying again.",
    ask_again: "I am sorry, that did not work. Please ask me again.",
    declined: "I am sorry, I cannot help with that.",
    audio_issues: "Audio issues, please hold.",
    filler: "One moment, please.",
    still_there: "Are you still there?",
    silence_goodbye: "I can't hear you any more. Goodbye!",
    turn_warning: "We will have to finish soon.",
    turn_limit_goodbye: "Thank you for calling. Goodbye!",
    time_warning: "We have half a minute left.",
    time_limit_goodbye: "Maximum call time reached. Thank you!",
    goodbye: "Thank you for calling. Goodbye!",
    closed: "Hello. We are closed at the moment. Goodbye!",
    notice: "You are speaking with an automated assistant, and this call is transcribed.",
};
