//! The caller's language, as servers with OpenAI's API take it.

use serde::Deserialize;

use super::Hints;
use crate::engines::core::EngineError;
use crate::names;

/// The field of a request that has the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hint {
    Language,
    /// A list. `gpt-transcribe` takes it in place of `language`.
    Languages,
    None,
}

impl Hint {
    pub fn of_model(model: &str) -> Hint {
        if model.starts_with("gpt-transcribe") { Hint::Languages } else { Hint::Language }
    }

    /// The fields of a form. Without a list, the server recognises by itself which of several languages is spoken.
    ///
    /// # Errors
    /// Permanent: a language that is no language tag.
    pub fn fields(self, hints: &Hints) -> Result<Vec<(String, String)>, EngineError> {
        let (field, tags) = match self {
            Hint::Language => ("language", hints.language.iter().chain(&[])),
            Hint::Languages => ("languages[]", hints.language.iter().chain(&*hints.languages)),
            Hint::None => return Ok(Vec::new()),
        };
        tags.map(|tag| Ok((field.to_owned(), code(tag)?))).collect()
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
    fn several_languages_are_a_list_or_left_to_the_server() {
        let hints = Hints { languages: ["en-IN".into(), "hi".into()].into(), ..Hints::default() };
        assert_eq!(Hint::Language.fields(&hints), Ok(vec![]));
        let list = ["en", "hi"].map(|code| ("languages[]".to_owned(), code.to_owned()));
        assert_eq!(Hint::Languages.fields(&hints), Ok(list.to_vec()));
        let hints = Hints { language: Some("de-AT".into()), ..Hints::default() };
        assert_eq!(Hint::Language.fields(&hints), Ok(vec![("language".to_owned(), "de".to_owned())]));
    }

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
