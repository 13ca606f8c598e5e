//! German. Not reviewed by a native speaker.

use super::spoken::forms;
use super::{Language, Prompts};

pub(super) static GERMAN: Language = Language {
    tag: "de",
    name: "German",
    trailing: &[
        "äh", "ähm", "öh", "öhm", "hm", "und", "oder", "aber", "weil", "dass", "wenn", "der", "die", "das",
        "mein", "meine",
    ],
    often_trailing: &["so", "also", "mit", "für", "zu", "ein", "eine", "ich", "ist", "dann", "an"],
    digits: &["null", "eins", "zwei", "zwo", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    spelling_links: &["wie"],
    spelling_marks: &["punkt", "unterstrich", "bindestrich", "minus"],
    backchannels: &[
        "ah", "aha", "oh", "hm", "hmm", "mm", "mmm", "mhm", "ok", "okay", "ja", "jo", "genau", "klar", "gut",
        "ach", "achso", "so", "äh", "ähm", "richtig",
    ],
    courtesies: &[
        "danke",
        "vielen",
        "dank",
        "schön",
        "sehr",
        "super",
        "toll",
        "prima",
        "perfekt",
        "wunderbar",
        "klasse",
        "fein",
        "ausgezeichnet",
        "verstehe",
        "alles",
    ],
    presence_checks: &[
        "hallo", "hey", "sind", "sie", "bist", "du", "ist", "jemand", "noch", "da", "dran", "hören", "hörst",
        "mich",
    ],
    abbreviations: &[
        "dr", "prof", "hr", "fr", "st", "str", "bzw", "ca", "usw", "evtl", "ggf", "inkl", "nr", "tel", "vgl",
        "bspw", "etc",
    ],
    prompts: Prompts {
        greeting: "Hallo, wie kann ich Ihnen helfen?",
        did_not_catch: "Das habe ich nicht verstanden. Bitte wiederholen Sie es.",
        difficulty: "Es gibt eine technische Störung. Ich versuche es noch einmal.",
        ask_again: "Das hat leider nicht geklappt. Bitte fragen Sie mich noch einmal.",
        declined: "Dabei kann ich leider nicht helfen.",
        audio_issues: "Es gibt ein Problem mit dem Ton. Bitte bleiben Sie dran.",
        filler: "Einen Moment, bitte.",
        still_there: "Sind Sie noch da?",
        silence_goodbye: "Ich höre nichts mehr von Ihnen. Auf Wiederhören!",
        turn_limit_goodbye: "Vielen Dank für Ihren Anruf. Auf Wiederhören!",
        time_warning: "Wir haben noch eine halbe Minute.",
        time_limit_goodbye: "Die Gesprächszeit ist zu Ende. Vielen Dank!",
        goodbye: "Vielen Dank für Ihren Anruf. Auf Wiederhören!",
        closed: "Guten Tag. Sie rufen außerhalb unserer Geschäftszeiten an. Auf Wiederhören!",
        notice: "Sie sprechen mit einem automatischen Assistenten, und das Gespräch wird mitgeschrieben.",
    },
    forms: Some(&forms::GERMAN),
};
