//! Words that recognisers of Whisper's kind write where there is no speech: they were trained on subtitles of films.
//!
//! A caller can say some of them, too. They are dropped only where the recogniser itself doubts that there was speech, or, where
//! it states nothing, in a clip that is too short and too quiet for a caller.

use std::time::Duration;

use crate::audio::Clip;

/// From here on the recogniser doubts that a segment is speech (`no_speech_threshold` of OpenAI's Whisper).
const NO_SPEECH: f64 = 0.6;
/// Below this average the words of a doubtful segment are guesses (`logprob_threshold` of OpenAI's Whisper).
const GUESSED: f64 = -1.0;
/// The longest clip that can have no words without the recogniser's own doubt.
const SHORT: Duration = Duration::from_secs(2);
/// The level of a clip's loudest tenth of a second below which no caller speaks, in dBFS. Telephones transmit speech at about
/// -26 (ITU-T G.111 and P.56), and callers who are hardly understood at -40.
const QUIET: f64 = -45.0;

/// Words for silence and noise, as Whisper is known to write them, in lower case and without punctuation.
const TYPICAL: [&[&str]; 13] = [
    // English.
    &[
        "you",
        "thank you",
        "thank you so much",
        "thank you very much",
        "thanks for watching",
        "thank you for watching",
        "thanks for listening",
        "please subscribe",
        "bye",
        "bye bye",
        "subtitles by the amara org community",
    ],
    // German.
    &[
        "vielen dank",
        "vielen dank für s zuschauen",
        "vielen dank fürs zuschauen",
        "bis zum nächsten mal",
        "untertitel der amara org community",
        "untertitelung des zdf 2020",
        "untertitel im auftrag des zdf für funk 2017",
        "tschüss",
    ],
    // French.
    &[
        "merci",
        "merci d avoir regardé cette vidéo",
        "sous titres réalisés par la communauté d amara org",
        "sous titrage st 501",
        "sous titrage société radio canada",
    ],
    // Spanish.
    &[
        "gracias",
        "gracias por ver el video",
        "subtítulos realizados por la comunidad de amara org",
        "suscríbete",
    ],
    // Italian.
    &[
        "grazie",
        "grazie a tutti",
        "sottotitoli creati dalla comunità amara org",
        "sottotitoli e revisione a cura di qtss",
    ],
    // Dutch.
    &[
        "bedankt",
        "bedankt voor het kijken",
        "ondertitels ingediend door de amara org gemeenschap",
        "ondertiteld door de amara org gemeenschap",
    ],
    // Portuguese.
    &["obrigado", "obrigada", "obrigado por assistir", "legendas pela comunidade amara org"],
    // Polish.
    &["dziękuję", "dziękuję za oglądanie", "napisy stworzone przez społeczność amara org"],
    // Turkish.
    &["teşekkürler", "izlediğiniz için teşekkür ederim", "altyazı m k"],
    // Russian.
    &["спасибо", "спасибо за просмотр", "продолжение следует", "субтитры сделал dimatorzok"],
    // Japanese.
    &["ありがとうございました", "ご視聴ありがとうございました"],
    // Chinese.
    &["谢谢", "谢谢大家", "谢谢观看", "字幕由amara org社区提供"],
    // Korean.
    &["감사합니다", "시청해주셔서 감사합니다", "mbc 뉴스 이덕영입니다"],
];

/// The recogniser's own judgement of a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// The probability that it is not speech, 0 to 1.
    pub no_speech: f64,
    /// The average logarithmic probability of its words, where it is stated.
    pub words: Option<f64>,
}

/// Whether a text is no words of a caller. `doubt` is the recogniser's judgement, where it states one.
pub fn is_noise(text: &str, doubt: Option<Doubt>, clip: &Clip) -> bool {
    match doubt {
        Some(Doubt { no_speech, words }) if no_speech > NO_SPEECH => {
            words.is_some_and(|probability| probability < GUESSED) || is_typical(text)
        }
        Some(_) => false,
        None => is_typical(text) && is_short_and_quiet(clip),
    }
}

/// The text without remarks such as `[BLANK_AUDIO]`, `(music)`, `*coughs*` and notes; empty when there are only remarks.
pub fn without_remarks(text: &str) -> String {
    let has_words = |text: &str| text.chars().any(char::is_alphanumeric);
    let outside = without(without(text, '[', ']').as_str(), '♪', '♪').replace(['♪', '♫'], " ");
    let bare = without(&without(&outside, '(', ')'), '*', '*');
    // In round brackets and between asterisks there may be words, beside others.
    let kept = if has_words(&bare) { outside } else { String::new() };
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text without its parts between two marks.
fn without(text: &str, opening: char, closing: char) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(from) = rest.find(opening) {
        let inside = from + opening.len_utf8();
        let Some(length) = rest[inside..].find(closing) else { break };
        kept.push_str(&rest[..from]);
        rest = &rest[inside + length + closing.len_utf8()..];
    }
    kept + rest
}

fn is_typical(text: &str) -> bool {
    let words = text.to_lowercase();
    let words: Vec<&str> =
        words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    TYPICAL.iter().any(|texts| texts.contains(&words.as_str()))
}

fn is_short_and_quiet(clip: &Clip) -> bool {
    let window = (clip.rate / 10).max(1) as usize;
    let power = |samples: &[i16]| {
        samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
    };
    let loudest = clip.samples.chunks(window).map(power).fold(0.0, f64::max);
    clip.duration() <= SHORT && 10.0 * (loudest / 32_768_f64.powi(2)).log10() < QUIET
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A second of a tone, at a level in dBFS.
    fn clip(level: f64) -> Clip {
        let peak = 32_768.0 * 2_f64.sqrt() * 10_f64.powf(level / 20.0);
        let sample = |n: i32| (f64::from(n) * 0.7).sin() * peak;
        Clip::new(8_000, (0..8_000).map(|n| sample(n) as i16).collect::<Vec<_>>())
    }

    fn doubt(no_speech: f64, words: f64) -> Option<Doubt> {
        Some(Doubt { no_speech, words: Some(words) })
    }

    #[test]
    fn typical_words_are_dropped_where_the_recogniser_doubts() {
        let loud = clip(-20.0);
        for text in ["Thank you.", "Thanks for watching!", "Untertitel der Amara.org-Community", "Merci."] {
            assert!(is_noise(text, doubt(0.8, -0.3), &loud), "{text}");
            assert!(!is_noise(text, doubt(0.1, -0.3), &loud), "{text}: a caller said it");
            assert!(!is_noise(text, doubt(0.1, -0.3), &clip(-50.0)), "{text}: a quiet caller said it");
        }
        assert!(is_noise("Mmm I see it", doubt(0.9, -1.4), &loud), "a guess");
        assert!(!is_noise("What are your hours?", doubt(0.8, -0.3), &loud), "words of a noisy line");
    }

    #[test]
    fn without_a_judgement_only_short_and_quiet_clips_have_no_words() {
        assert!(is_noise("Thank you.", None, &clip(-50.0)));
        assert!(!is_noise("Thank you.", None, &clip(-40.0)));
        assert!(!is_noise("Do you deliver?", None, &clip(-50.0)));
        let long = Clip::new(8_000, vec![0; 17_000]);
        assert!(!is_noise("Thank you.", None, &long));
    }

    #[test]
    fn remarks_are_no_words() {
        for (text, words) in [
            ("[BLANK_AUDIO]", ""),
            (" [ Silence ] (music)", ""),
            ("♪", ""),
            ("♪ la la ♪", ""),
            ("*coughs*", ""),
            ("...", ""),
            ("[Music] Hello.", "Hello."),
            ("It is 3 (three).", "It is 3 (three)."),
            ("a * b", "a * b"),
            ("[unclosed", "[unclosed"),
        ] {
            assert_eq!(without_remarks(text), words, "{text}");
        }
    }

    #[test]
    fn typical_words_are_written_as_they_are_compared() {
        for text in TYPICAL.into_iter().flatten() {
            assert!(is_typical(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            prop_assert!(without_remarks(&text).len() <= text.len());
            is_noise(&text, None, &Clip::new(8_000, [1]));
        }
    }
}
