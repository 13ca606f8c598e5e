//! The codes by which vendors know the languages of calls.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::engines::core::EngineError;
use crate::names;

/// `languages` of an engine: the vendor's code for a BCP 47 tag, in place of the built-in one; an empty one leaves the language
/// out. A tag without a region is for all regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct LanguageCodes(BTreeMap<String, String>);

impl LanguageCodes {
    /// The code of a tag: as it is set, else the usual one. None: the vendor chooses.
    pub fn of(&self, tag: &str, usual: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        match self.get(tag) {
            Some("") => None,
            Some(code) => Some(code.to_owned()),
            None => usual(tag),
        }
    }

    /// The code of a tag: as it is set, else by [`code`].
    ///
    /// # Errors
    /// Permanent: it is no language tag.
    pub fn by_iso(&self, tag: &str) -> Result<Option<String>, EngineError> {
        let usual = code(tag)?;
        Ok(self.of(tag, |_| Some(usual)))
    }

    /// The code that is set for the tag, or for its language.
    fn get(&self, tag: &str) -> Option<&str> {
        let find = |wanted: &str| self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(wanted));
        let found = find(tag).or_else(|| find(tag.split(['-', '_']).next().unwrap_or_default()));
        found.map(|(_, code)| code.as_str())
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

/// The code of a tag's language, where it is one of those that a vendor knows: it refuses requests with others. Cantonese is Chinese
/// to a vendor that does not tell them apart.
pub fn known(tag: &str, languages: &[&str]) -> Option<String> {
    let code = match is_cantonese(tag) && languages.contains(&"yue") {
        true => "yue".to_owned(),
        false => code(tag).ok()?,
    };
    languages.contains(&code.as_str()).then_some(code)
}

/// Whether a tag's language is Cantonese.
pub fn is_cantonese(tag: &str) -> bool {
    tag.split(['-', '_']).next().is_some_and(|language| language.eq_ignore_ascii_case("yue"))
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

    #[test]
    fn a_set_code_replaces_the_usual_one() {
        let codes = r#"{ "en-IN": "en-IN", "en": "en-US", "sw": "" }"#;
        let codes: LanguageCodes = serde_json::from_str(codes).expect("codes");
        for (tag, expected) in [
            ("en-in", Some("en-IN")),
            ("en-GB", Some("en-US")),
            ("EN", Some("en-US")),
            ("sw-KE", None),
            ("nb-NO", Some("no")),
        ] {
            assert_eq!(codes.by_iso(tag), Ok(expected.map(str::to_owned)), "{tag}");
        }
        assert!(codes.by_iso("../x").is_err());
        assert_eq!(codes.of("de", |tag| known(tag, &["fr"])), None);
        assert_eq!(known("yue-HK", &["en"]), None);
        assert_eq!(known("yue-HK", &["zh"]).as_deref(), Some("zh"));
        assert_eq!(known("YUE", &["zh", "yue"]).as_deref(), Some("yue"));
        assert_eq!(known("cmn", &["zh"]).as_deref(), Some("zh"));
        assert_eq!(codes.of("fr-CA", |tag| known(tag, &["fr"])).as_deref(), Some("fr"));
    }
}
