//! Any language without a file of its own: the hesitations and backchannels that most languages share.

use super::{Language, MedicalConditions, en};

pub(super) static OTHER: Language = Language {
    tag: "und",
    name: "another language",
    trailing: &["um", "uhm", "uh", "eh", "ehm", "hm", "euh", "äh", "ähm"],
    often_trailing: &[],
    auxiliaries: &[],
    subjects: &[],
    question_words: &[],
    digits: &[],
    number_words: &[],
    ratings: &[],
    other_digits: &[],
    rating_words: &[],
    spelling_links: &[],
    spelling_marks: &[],
    answers: &["ok", "okay"],
    backchannels: &["ah", "aha", "oh", "hm", "hmm", "mm", "mmm", "mhm", "mmhm", "uh", "huh", "ok", "okay"],
    courtesies: &["thanks", "thank", "you", "danke", "gracias", "merci", "grazie", "super", "perfect"],
    presence_checks: &["hello", "hallo", "hola", "allo"],
    emergencies: &[],
    emergency_exceptions: &[],
    conditions: MedicalConditions::NONE,
    abbreviations: &["dr", "st", "etc"],
    consent: en::CONSENT,
    common: &[],
    prompts: en::PROMPTS,
    forms: None,
};
