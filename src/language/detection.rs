//! The language of a text, by words that only one of the candidates has.
//!
//! The words are the commonest ones of each language (`Language::common`). Names, numbers, "ok" and short answers have none of them,
//! so they are no evidence; neither is a word that two candidates share, such as "de".

use super::words::words;
use super::{Language, hi};

/// Own words of a language that make it certain, as far as the others have few.
const CERTAIN: usize = 3;

/// Devanagari words that make Hindi certain.
const CERTAIN_BY_SCRIPT: usize = 2;

/// The one of the candidates that a text is in; `None` where it is not certain.
pub fn detect(text: &str, candidates: &[&'static Language]) -> Option<&'static Language> {
    let words = words(text);
    if let Some(hindi) = by_script(&words, candidates) {
        return Some(hindi);
    }
    let count = |language: &Language| words.iter().filter(|word| is_own(word, language, candidates)).count();
    let mut counts: Vec<(usize, &'static Language)> =
        candidates.iter().map(|language| (count(language), *language)).collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let (most, best) = *counts.first()?;
    // Candidates of one language, such as `en-IN` and `en-GB`, have the same words.
    let next = counts.iter().find(|(_, other)| other.tag != best.tag).map_or(0, |(count, _)| *count);
    // A few words of a language in a long text are quotations.
    let is_certain = most >= CERTAIN && most >= next * 3 && most * 4 >= words.len();
    is_certain.then_some(best)
}

fn by_script(words: &[String], candidates: &[&'static Language]) -> Option<&'static Language> {
    let is_devanagari = |word: &&String| word.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c));
    let count = words.iter().filter(is_devanagari).count();
    let is_certain = count >= CERTAIN_BY_SCRIPT && count * 2 > words.len();
    candidates.iter().copied().find(|language| is_certain && language.tag == hi::HINDI.tag)
}

/// Is this word a common one of the language, and of no other candidate?
fn is_own(word: &str, language: &Language, candidates: &[&'static Language]) -> bool {
    let has = |language: &Language| language.common.contains(&word);
    has(language) && !candidates.iter().any(|other| other.tag != language.tag && has(other))
}

#[cfg(test)]
mod tests {
    use super::super::LANGUAGES;
    use super::*;

    /// Sentences of callers, by language.
    const SENTENCES: [(&str, [&str; 6]); 6] = [
        (
            "en",
            [
                "Hi, I would like to book a table for tomorrow evening.",
                "Do you have any bread left today?",
                "Can you tell me what time you are open?",
                "I need to change the appointment that I made last week.",
                "How much is it for two of them?",
                "My order has not arrived and I want to know where it is.",
            ],
        ),
        (
            "de",
            [
                "Guten Tag, ich möchte einen Tisch für morgen Abend bestellen.",
                "Haben Sie heute noch Brot?",
                "Können Sie mir sagen, wann Sie geöffnet haben?",
                "Ich muss den Termin verschieben, den ich letzte Woche gemacht habe.",
                "Was kostet das, wenn ich zwei davon nehme?",
                "Meine Bestellung ist nicht angekommen und ich will wissen, wo sie ist.",
            ],
        ),
        (
            "es",
            [
                "Hola, quisiera reservar una mesa para mañana por la noche.",
                "¿Todavía tienen pan hoy? Es que lo necesito para mi madre.",
                "¿Me puede decir a qué hora abren los domingos, por favor?",
                "Necesito cambiar la cita que hice la semana pasada con usted.",
                "¿Cuánto cuesta si quiero dos de los grandes?",
                "Mi pedido no ha llegado y quiero saber dónde está.",
            ],
        ),
        (
            "fr",
            [
                "Bonjour, je voudrais réserver une table pour demain soir.",
                "Est-ce que vous avez encore du pain aujourd'hui ?",
                "Pouvez-vous me dire à quelle heure vous ouvrez ?",
                "Je dois changer le rendez-vous que j'ai pris la semaine dernière.",
                "Combien ça coûte si j'en prends deux avec vous ?",
                "Ma commande n'est pas arrivée et je veux savoir où elle est.",
            ],
        ),
        (
            "hi",
            [
                "नमस्ते, मुझे कल शाम के लिए एक मेज़ चाहिए।",
                "क्या आपके पास आज रोटी है?",
                "आप कितने बजे खुलते हैं?",
                "mujhe kal ke liye ek appointment chahiye, kya aap bata sakte hain?",
                "aap log kitne baje tak khule hain, mujhe batao",
                "mera order abhi tak nahi aaya hai, woh kahan hai?",
            ],
        ),
        (
            "pt",
            [
                "Bom dia, eu queria reservar uma mesa para amanhã à noite.",
                "Vocês ainda têm pão hoje? Eu preciso dele para a minha mãe.",
                "Você pode me dizer a que horas vocês abrem, por favor?",
                "Eu preciso mudar o horário que marquei com você na semana passada.",
                "Quanto custa se eu quiser dois, e vocês entregam em casa?",
                "O meu pedido não chegou e eu quero saber onde ele está.",
            ],
        ),
    ];

    fn language(tag: &str) -> &'static Language {
        Language::of(Some(tag))
    }

    #[test]
    fn each_pair_of_languages_is_kept_apart() {
        let (mut missed, mut all) = (Vec::new(), 0);
        for (one, _) in SENTENCES {
            for (tag, sentences) in SENTENCES.iter().filter(|(tag, _)| *tag != one) {
                for sentence in sentences {
                    for candidates in [[language(one), language(tag)], [language(tag), language(one)]] {
                        all += 1;
                        match detect(sentence, &candidates) {
                            Some(found) => assert_eq!(found.tag, *tag, "{one}: {sentence}"),
                            None => missed.push(format!("{one}-{tag}: {sentence}")),
                        }
                    }
                }
            }
        }
        assert!(missed.len() * 10 <= all, "{} of {all} are not certain: {missed:#?}", missed.len());
    }

    #[test]
    fn all_six_languages_are_kept_apart() {
        for (tag, sentences) in SENTENCES {
            let found = sentences.map(|sentence| detect(sentence, &LANGUAGES).map(|language| language.tag));
            assert!(found.iter().flatten().all(|found| *found == tag), "{tag}: {found:?}");
            assert!(found.iter().flatten().count() >= 4, "{tag}: {found:?}");
        }
    }

    #[test]
    fn names_numbers_and_short_answers_are_no_evidence() {
        for text in [
            "",
            "Ok.",
            "Okay, ok.",
            "Yes.",
            "No.",
            "Ja.",
            "Sí, gracias.",
            "Hola!",
            "Merci beaucoup!",
            "Hans Müller",
            "José García López",
            "Priya Sharma",
            "Jean-Pierre Dubois, Rue de la Paix",
            "0471 22 33",
            "eins zwei drei vier fünf",
            "uno dos tres",
            "दो",
            "अच्छा",
            "Berlin Alexanderplatz",
            "info@example.com",
            "Thank you very much!",
        ] {
            assert_eq!(detect(text, &LANGUAGES).map(|language| language.tag), None, "{text}");
        }
    }

    #[test]
    fn two_variants_of_a_language_do_not_rival_each_other() {
        let candidates = [language("en-IN"), language("en-GB"), language("hi")];
        let found = detect("Can you tell me what time you are open?", &candidates);
        assert_eq!(found.map(|language| language.tag), Some("en"));
    }

    #[test]
    fn a_quotation_does_not_decide() {
        let text = "Do you know the song with the line that goes je ne veux pas, which my mother used to sing to me?";
        let found = detect(text, &[language("fr"), language("en")]);
        assert_ne!(found.map(|language| language.tag), Some("fr"));
    }
}
