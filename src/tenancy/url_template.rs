//! URLs with variables, `https://example.com/stock/{{bread}}?shop={{shop}}`.
//!
//! Variables are in the path and the query only, and their values are encoded: a value changes neither the server nor the
//! structure of the path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// All but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The longest URL, in characters, with its variables as they are written.
const LONGEST: usize = 2_000;

/// A URL with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    pieces: Vec<TemplatePiece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePiece {
    Literal(String),
    InPath(String),
    InQuery(String),
}

impl UrlTemplate {
    /// # Errors
    /// The problem of the text.
    pub fn parse(text: &str) -> Result<UrlTemplate, String> {
        if text.chars().count() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        let mut pieces = Vec::new();
        let (mut rest, mut before) = (text, String::new());
        while let Some((literal, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("a variable ends with }}")?;
            let name = name.trim();
            if !is_variable(name) {
                return Err(format!(
                    "{{{{{name}}}}} is no variable: a lower-case letter, then letters, digits and _"
                ));
            }
            before.push_str(literal);
            pieces.push(TemplatePiece::Literal(literal.to_owned()));
            pieces.push(placed(&before, name)?);
            rest = after;
        }
        pieces.push(TemplatePiece::Literal(rest.to_owned()));
        let template = UrlTemplate { pieces };
        let example = template.example()?;
        match example.scheme() {
            "https" | "http" if example.host_str().is_some_and(|host| !host.is_empty()) => Ok(template),
            _ => Err("the URL has to begin with https://".to_owned()),
        }
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Literal(_) => None,
            TemplatePiece::InPath(name) | TemplatePiece::InQuery(name) => Some(name.as_str()),
        })
    }

    /// The URL with these values. A variable without a value is empty in the query.
    ///
    /// # Errors
    /// A variable of the path without a value, or with one that means another directory.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                TemplatePiece::Literal(literal) => text.push_str(literal),
                TemplatePiece::InPath(name) => {
                    let value = value(name).unwrap_or_default();
                    if value.chars().all(|c| c == '.') {
                        return Err(format!("{name}: a value is needed in the URL's path"));
                    }
                    text.extend(utf8_percent_encode(&value, ENCODED));
                }
                TemplatePiece::InQuery(name) => {
                    text.extend(utf8_percent_encode(&value(name).unwrap_or_default(), ENCODED))
                }
            }
        }
        let url = Url::parse(&text).map_err(|_| "the URL cannot be read".to_owned())?;
        let same_server = self.example().is_ok_and(|example| example.origin() == url.origin());
        same_server.then_some(url).ok_or_else(|| "the URL leads to another server".to_owned())
    }

    fn example(&self) -> Result<Url, String> {
        let text = self.pieces.iter().map(|piece| match piece {
            TemplatePiece::Literal(literal) => literal.as_str(),
            TemplatePiece::InPath(_) | TemplatePiece::InQuery(_) => "x",
        });
        let text: String = text.collect();
        Url::parse(&text)
            .map_err(|_| "this is not a URL; an example is https://example.com/stock/{{bread}}".to_owned())
    }
}

/// Names of variables, arguments and kept fields.
pub(super) fn is_variable(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() <= 64 && name.chars().all(is_word)
}

/// A variable behind the literal text `before`.
fn placed(before: &str, name: &str) -> Result<TemplatePiece, String> {
    let misplaced = || "variables are in the URL's path and query only".to_owned();
    let (_, rest) = before.split_once("://").ok_or_else(misplaced)?;
    if rest.contains('#') {
        return Err(misplaced());
    }
    let server_ends = rest.find(['/', '?', '\\']).ok_or_else(misplaced)?;
    let name = name.to_owned();
    Ok(if rest[server_ends..].contains('?') {
        TemplatePiece::InQuery(name)
    } else {
        TemplatePiece::InPath(name)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, value: &str) -> Result<String, String> {
        let template = UrlTemplate::parse(template).expect("a template");
        template.fill(|_| Some(value.to_owned())).map(String::from)
    }

    #[test]
    fn values_are_encoded() {
        let stock = "https://example.com/stock/{{bread}}?shop={{ shop }}&all=1";
        assert_eq!(
            filled(stock, "a b/../c?d=1&e#f").as_deref(),
            Ok(
                "https://example.com/stock/a%20b%2F..%2Fc%3Fd%3D1%26e%23f?shop=a%20b%2F..%2Fc%3Fd%3D1%26e%23f&all=1"
            )
        );
        assert_eq!(
            filled("https://example.com/{{bread}}", "Brötchen").as_deref(),
            Ok("https://example.com/Br%C3%B6tchen")
        );
        for value in ["", ".", ".."] {
            assert!(filled("https://example.com/stock/{{bread}}", value).is_err(), "{value}");
        }
        assert_eq!(
            filled("https://example.com/?shop={{shop}}", "").as_deref(),
            Ok("https://example.com/?shop=")
        );
    }

    #[test]
    fn variables_are_in_path_and_query_only() {
        for template in [
            "{{url}}",
            "https://{{host}}/",
            "https://example.com{{x}}/",
            "https://example.com:{{port}}/",
            "https://{{user}}@example.com/",
            "{{scheme}}://example.com/",
            "https://example.com/#{{x}}",
            "https://example.com/{{x",
            "https://example.com/{{}}",
            "https://example.com/{{a b}}",
            "ftp://example.com/{{x}}",
            "example.com/{{x}}",
            "",
        ] {
            assert!(UrlTemplate::parse(template).is_err(), "{template}");
        }
        let long = format!("https://example.com/{}", "x".repeat(LONGEST));
        assert!(UrlTemplate::parse(&long[..LONGEST]).is_ok() && UrlTemplate::parse(&long).is_err());
    }

    proptest! {
        #[test]
        fn no_value_leaves_the_server_or_the_directory(path: String, query: String) {
            let template = UrlTemplate::parse("https://example.com:8443/a/{{p}}/z?q={{q}}").expect("a template");
            let value = |name: &str| Some(if name == "p" { path.clone() } else { query.clone() });
            if let Ok(url) = template.fill(value) {
                prop_assert_eq!(url.host_str(), Some("example.com"));
                prop_assert_eq!(url.port(), Some(8443));
                let segments: Vec<_> = url.path_segments().expect("a path").collect();
                prop_assert_eq!((segments.len(), segments[0], segments[2]), (3, "a", "z"));
                let pairs: Vec<_> = url.query_pairs().collect();
                prop_assert_eq!((pairs.len(), pairs[0].1.as_ref()), (1, query.as_str()));
            }
        }

        #[test]
        fn no_template_panics(template: String) {
            let _ = UrlTemplate::parse(&template).map(|it| it.fill(|_| Some("x".to_owned())));
            let _ = UrlTemplate::parse(&format!("https://example.com/{template}"));
        }
    }
}
