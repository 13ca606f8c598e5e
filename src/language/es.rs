//! Spanish. Not reviewed by a native speaker.

use super::spoken::forms;
use super::{Language, Prompts};

pub(super) static SPANISH: Language = Language {
    tag: "es",
    name: "Spanish",
    trailing: &[
        "eh", "ehm", "hm", "este", "y", "o", "pero", "porque", "que", "el", "la", "mi", "un", "una", "los",
        "las", "su", "sino", "aunque", "con", "para", "de", "del", "al",
    ],
    often_trailing: &["a", "es", "entonces"],
    digits: &["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
    number_words: &["número", "teléfono", "móvil", "celular", "tarjeta", "cuenta", "código", "pin"],
    spelling_links: &["de", "como"],
    spelling_marks: &["punto", "arroba", "guion", "guión"],
    answers: &[
        "sí", "si", "no", "ok", "okay", "vale", "claro", "gracias", "por", "favor", "correcto", "exacto",
        "eso", "es", "así", "quizás", "ambos", "ninguno", "ninguna",
    ],
    backchannels: &[
        "ah", "aha", "ajá", "oh", "hm", "hmm", "mm", "mmm", "mhm", "ok", "okay", "sí", "si", "vale", "claro",
        "ya", "bueno", "eh",
    ],
    courtesies: &[
        "gracias",
        "muchas",
        "muy",
        "bien",
        "perfecto",
        "genial",
        "estupendo",
        "excelente",
        "entiendo",
        "de",
        "acuerdo",
    ],
    presence_checks: &["hola", "oye", "está", "sigue", "usted", "hay", "alguien", "ahí", "me"],
    abbreviations: &["dr", "dra", "sr", "sra", "srta", "ud", "uds", "av", "núm", "tel", "aprox", "etc"],
    prompts: Prompts {
        greeting: "Hola, ¿en qué puedo ayudarle?",
        did_not_catch: "No le he entendido. ¿Puede repetirlo, por favor?",
        difficulty: "Hay un problema técnico. Lo intento de nuevo.",
        ask_again: "Lo siento, no ha funcionado. Por favor, pregúntemelo otra vez.",
        declined: "Lo siento, no puedo ayudarle con eso.",
        audio_issues: "Hay un problema de audio. Un momento, por favor.",
        filler: "Un momento, por favor.",
        still_there: "¿Sigue usted ahí?",
        silence_goodbye: "Ya no le oigo. ¡Adiós!",
        turn_warning: "Tendremos que terminar pronto.",
        turn_limit_goodbye: "Gracias por su llamada. ¡Adiós!",
        time_warning: "Nos queda medio minuto.",
        time_limit_goodbye: "Se ha acabado el tiempo de la llamada. ¡Gracias!",
        goodbye: "Gracias por su llamada. ¡Adiós!",
        closed: "Hola. En este momento estamos cerrados. ¡Adiós!",
        notice: "Habla usted con un asistente automático y esta llamada se transcribe.",
    },
    forms: Some(&forms::SPANISH),
};
