//! French. Not reviewed by a native speaker.

use super::spoken::forms;
use super::{Language, Prompts};

pub(super) static FRENCH: Language = Language {
    tag: "fr",
    name: "French",
    trailing: &["euh", "heu", "hm", "et", "ou", "mais", "parce", "que", "le", "la", "les", "mon", "ma"],
    often_trailing: &["avec", "pour", "à", "de", "un", "une", "est", "alors", "donc"],
    digits: &["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "double"],
    // "D'accord" counts as two words, because only letters make a word.
    spelling_links: &["comme"],
    spelling_marks: &["point", "arobase", "tiret"],
    backchannels: &[
        "ah", "aha", "oh", "hm", "hmm", "mm", "mmm", "mhm", "ok", "okay", "oui", "ouais", "d", "accord",
        "bien", "euh",
    ],
    courtesies: &[
        "merci",
        "beaucoup",
        "très",
        "parfait",
        "super",
        "génial",
        "excellent",
        "formidable",
        "je",
        "vois",
        "comprends",
    ],
    presence_checks: &[
        "allô", "allo", "bonjour", "êtes", "vous", "es", "tu", "toujours", "là", "m", "entendez", "il", "y",
        "a", "quelqu", "un",
    ],
    abbreviations: &["dr", "m", "mme", "mlle", "mgr", "pr", "st", "av", "env", "tél", "etc"],
    prompts: Prompts {
        greeting: "Bonjour, que puis-je faire pour vous ?",
        did_not_catch: "Je n'ai pas compris. Pouvez-vous répéter, s'il vous plaît ?",
        difficulty: "Il y a un problème technique. J'essaie encore.",
        ask_again: "Je suis désolé, cela n'a pas marché. Veuillez me le redemander.",
        declined: "Je suis désolé, je ne peux pas vous aider sur ce point.",
        audio_issues: "Il y a un problème de son. Ne quittez pas, s'il vous plaît.",
        filler: "Un instant, s'il vous plaît.",
        still_there: "Êtes-vous toujours là ?",
        silence_goodbye: "Je ne vous entends plus. Au revoir !",
        turn_limit_goodbye: "Merci de votre appel. Au revoir !",
        time_warning: "Il nous reste une demi-minute.",
        time_limit_goodbye: "Le temps de l'appel est écoulé. Merci !",
        goodbye: "Merci de votre appel. Au revoir !",
        closed: "Bonjour. Nous sommes fermés en ce moment. Au revoir !",
        notice: "Vous parlez avec un assistant automatique et cet appel est transcrit.",
    },
    forms: Some(&forms::FRENCH),
};
