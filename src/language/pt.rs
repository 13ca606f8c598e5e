//! Portuguese, in words that Brazil and Portugal share where there are any. Not reviewed by a native speaker.

use super::spoken::forms;
use super::{Language, Prompts};

pub(super) static PORTUGUESE: Language = Language {
    tag: "pt",
    name: "Portuguese",
    trailing: &[
        "é", "eh", "hum", "hm", "ahn", "e", "ou", "mas", "porque", "que", "se", "o", "a", "os", "as", "meu",
        "minha", "de", "do", "da", "em", "nem", "embora", "para", "seu", "sua",
    ],
    often_trailing: &["com", "pra", "no", "na", "um", "uma", "então", "tipo", "por"],
    digits: &[
        "zero", "um", "uma", "dois", "duas", "três", "quatro", "cinco", "seis", "meia", "sete", "oito",
        "nove",
    ],
    number_words: &["número", "telefone", "celular", "cartão", "conta", "código", "pin", "cep"],
    spelling_links: &["de", "como"],
    spelling_marks: &["ponto", "arroba", "hífen", "traço"],
    answers: &[
        "sim", "não", "nao", "ok", "okay", "claro", "certo", "isso", "exato", "por", "favor", "obrigado",
        "obrigada", "é", "talvez", "ambos", "nenhum", "nenhuma",
    ],
    backchannels: &[
        "ah", "aha", "ahã", "aham", "oh", "hm", "hmm", "hum", "mm", "mmm", "mhm", "uhum", "ok", "okay",
        "sim", "certo", "tá", "está", "bem", "bom", "claro", "isso", "entendi", "pois", "é", "exato",
    ],
    courtesies: &[
        "obrigado",
        "obrigada",
        "muito",
        "perfeito",
        "ótimo",
        "excelente",
        "maravilha",
        "legal",
        "beleza",
    ],
    presence_checks: &[
        "alô", "olá", "oi", "estou", "está", "você", "o", "a", "senhor", "senhora", "aí", "ainda", "tem",
        "alguém", "me", "ouve", "ouvindo", "na", "linha",
    ],
    abbreviations: &[
        "dr", "dra", "sr", "sra", "srta", "prof", "profa", "eng", "av", "tel", "aprox", "ltda", "etc", "pág",
        "núm",
    ],
    prompts: Prompts {
        greeting: "Olá, em que posso ajudar?",
        did_not_catch: "Não entendi. Pode repetir, por favor?",
        difficulty: "Houve um problema técnico. Vou tentar de novo.",
        ask_again: "Desculpe, não funcionou. Por favor, pergunte-me outra vez.",
        declined: "Desculpe, não posso ajudar com isso.",
        audio_issues: "Há um problema de áudio. Por favor, aguarde na linha.",
        filler: "Um momento, por favor.",
        still_there: "Ainda está na linha?",
        silence_goodbye: "Já não ouço a sua voz. Até logo!",
        turn_warning: "Teremos de terminar em breve.",
        turn_limit_goodbye: "Obrigado por ligar. Até logo!",
        time_warning: "Temos mais meio minuto.",
        time_limit_goodbye: "O tempo da chamada terminou. Obrigado!",
        goodbye: "Obrigado por ligar. Até logo!",
        closed: "Olá. No momento estamos fechados. Até logo!",
        notice: "Está a falar com um assistente automático e esta chamada é transcrita.",
    },
    forms: Some(&forms::PORTUGUESE),
};
