//! The caller's language, as servers with OpenAI's API take it.

use serde::Deserialize;

use crate::engines::core::EngineError;
use crate::names;

/// The field of a request that has the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hint {
    Language,
    /// A list, of one language here. `gpt-transcribe` takes it in place of `language`.
    Languages,
    None,
}

impl Hint {
    pub fn of_model(model: &str) -> Hint {
        if model.starts_with("gpt-transcribe") { Hint::Languages } else { Hint::Language }
    }

    /// The name of the field in a form.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Hint::Language => Some("language"),
            Hint::Languages => Some("languages[]"),
            Hint::None => None,
        }
    }
}

/// The code of a BCP 47 tag's language by ISO 639-1, as Whisper knows it: `de` of `de-DE`, `no` of `nb`.
///
/// # Errors
/// Permanent: it is no language tag.
pub fn code(tag: &str) -> Result<String, EngineError> {
    let language = tag.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    names::check_language(&language).map_err(|error| EngineError::name("language", &error))?;
    let known = match language.as_str() {
        "nb" | "nn" => "no",
        "fil" => "tl",
        "yue" | "cmn" => "zh",
        "iw" => "he",
        "in" => "id",
        "ji" => "yi",
        other => other,
    };
    Ok(known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_codes_of_whisper() {
        for (tag, expected) in [
            ("de-DE", "de"),
            ("nb-NO", "no"),
            ("nn", "no"),
            ("fil-PH", "tl"),
            ("yue-Hant-HK", "zh"),
            ("cmn", "zh"),
            ("zh_TW", "zh"),
            ("iw", "he"),
        ] {
            assert_eq!(code(tag).as_deref(), Ok(expected), "{tag}");
        }
        for tag in ["", "../x", "d\r\ne"] {
            assert!(code(tag).is_err(), "{tag:?}");
        }
    }
}
