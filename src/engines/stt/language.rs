//! The caller's language, as servers with OpenAI's API take it.

use serde::Deserialize;

use super::Hints;
use crate::engines::core::EngineError;
use crate::engines::core::languages::LanguageCodes;

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

    /// The fields of a form, with the engine's codes. Without a list, the server recognises by itself which of several languages
    /// is spoken.
    ///
    /// # Errors
    /// Permanent: a language that is no language tag.
    pub fn fields(self, hints: &Hints, codes: &LanguageCodes) -> Result<Vec<(String, String)>, EngineError> {
        let (field, tags) = match self {
            Hint::Language => ("language", hints.language.iter().chain(&[])),
            Hint::Languages => ("languages[]", hints.language.iter().chain(&*hints.languages)),
            Hint::None => return Ok(Vec::new()),
        };
        let codes = tags.map(|tag| codes.by_iso(tag)).filter_map(Result::transpose);
        codes.map(|code| Ok((field.to_owned(), code?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_languages_are_a_list_or_left_to_the_server() {
        let hints = Hints { languages: ["en-IN".into(), "hi".into()].into(), ..Hints::default() };
        assert_eq!(Hint::Language.fields(&hints, &LanguageCodes::default()), Ok(vec![]));
        let list = ["en", "hi"].map(|code| ("languages[]".to_owned(), code.to_owned()));
        assert_eq!(Hint::Languages.fields(&hints, &LanguageCodes::default()), Ok(list.to_vec()));
        let hints = Hints { language: Some("de-AT".into()), ..Hints::default() };
        assert_eq!(
            Hint::Language.fields(&hints, &LanguageCodes::default()),
            Ok(vec![("language".to_owned(), "de".to_owned())])
        );
    }
}
