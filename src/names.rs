//! The names of voices and models that an engine accepts, and the form of language tags.
//!
//! Tenants set these names, and they end up in a program's arguments, in a path or in a vendor's request. Each engine
//! states one rule for them. `tenancy` applies it when a profile is saved and when a call begins, the engine itself
//! before each use.

use std::fmt;

/// The longest name, in bytes.
pub const LONGEST: usize = 100;
/// The beginning of the name by which a profile chooses an engine of its tenant's own account. No engine of the operator's has
/// such a name.
pub const OWN: &str = "own:";
/// In a list of models: every model is allowed.
pub const ANY: &str = "*";

/// Whether an engine's name is that of a tenant's own.
pub fn is_own(engine: &str) -> bool {
    engine.starts_with(OWN)
}

/// A rule for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// The engine accepts no names of this kind.
    #[default]
    None,
    /// One of a list.
    Listed(Vec<String>),
    /// A vendor's voice: ASCII letters, digits and `.`, `_`, `+`, `-`.
    Token,
    /// A vendor's model: a token that may have `/`, `:` and `@` between its parts.
    ModelId,
    /// A voice of espeak-ng: a language or voice, then perhaps `+` and a variant.
    Espeak,
}

/// A name that an engine does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not accepted: {rule}")]
pub struct NameError {
    /// Cut to [`LONGEST`] characters.
    name: String,
    rule: String,
}

impl NameError {
    fn new(name: &str, rule: impl fmt::Display) -> NameError {
        NameError { name: name.chars().take(LONGEST).collect(), rule: rule.to_string() }
    }
}

/// An engine as a profile names it, and the names that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineNames {
    pub engine: String,
    pub models: Names,
    pub voices: Names,
}

impl EngineNames {
    pub fn new(engine: &str, models: Names, voices: Names) -> EngineNames {
        EngineNames { engine: engine.to_owned(), models, voices }
    }
}

impl Names {
    pub fn listed(names: &[&str]) -> Names {
        Names::Listed(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The models that profiles may choose: the configured one and those of `allowed`, or all models if `allowed`
    /// contains [`ANY`].
    pub fn models(configured: &str, allowed: &[String]) -> Names {
        if allowed.iter().any(|name| name == ANY) {
            return Names::ModelId;
        }
        let mut names = vec![configured.to_owned()];
        names.extend(allowed.iter().filter(|name| *name != configured).cloned());
        Names::Listed(names)
    }

    /// # Errors
    /// When the engine does not accept the name.
    pub fn check(&self, name: &str) -> Result<(), NameError> {
        if name.len() <= LONGEST && self.has(name) { Ok(()) } else { Err(NameError::new(name, self)) }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Names::None => false,
            // A listed model is used in requests, so it has to be well-formed as well.
            Names::Listed(names) => is_model_id(name) && names.iter().any(|listed| listed == name),
            Names::Token => is_token(name),
            Names::ModelId => is_model_id(name),
            Names::Espeak => is_espeak_voice(name),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Names::None => f.write_str("the engine has none"),
            Names::Listed(names) => write!(f, "use one of {}", names.join(", ")),
            Names::Token => {
                write!(f, "use letters, digits and . _ + - only, {LONGEST} at most, a letter or digit first")
            }
            Names::ModelId => {
                write!(
                    f,
                    "use letters, digits and . _ + - / : @ only, {LONGEST} at most, a letter or digit first"
                )
            }
            Names::Espeak => write!(
                f,
                "use a voice of espeak-ng, such as en-us or de+f3: letters, digits and -, {LONGEST} at most"
            ),
        }
    }
}

/// Checks the form of an engine's name: it becomes part of variables' names, labels of metrics and records of usage.
///
/// # Errors
/// The rule.
pub fn check_engine_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let has_form = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_plain);
    if has_form && name.len() <= 32 && !name.contains("__") {
        return Ok(());
    }
    Err("write 1 to 32 lowercase letters, digits, - and single _, a letter first")
}

/// Checks that a text has the form of a BCP 47 tag.
///
/// # Errors
/// When it has not.
pub fn check_language(tag: &str) -> Result<(), NameError> {
    let error = || NameError::new(tag, "write a language tag (BCP 47), such as en or de-DE");
    if is_language_tag(tag) { Ok(()) } else { Err(error()) }
}

/// The form alone (RFC 5646, 2.1): subtags are not looked up.
fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && tag.len() <= 35
}

/// Two dots in a row could lead out of the folder of a server that keeps voices as files.
fn is_token(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        && !name.contains("..")
}

/// Tokens with a slash or one or two colons between them: `Qwen/Qwen3-8B`, `ft:gpt-4.1-mini:acme::a1`.
fn is_model_id(name: &str) -> bool {
    let mut parts = name.split('/').flat_map(|part| part.split("::")).flat_map(|part| part.split([':', '@']));
    parts.all(is_token)
}

fn is_espeak_voice(name: &str) -> bool {
    let (voice, variant) = name.split_once('+').unwrap_or((name, "m1"));
    let is_voice = voice.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_variant = !variant.is_empty() && variant.bytes().all(|b| b.is_ascii_alphanumeric());
    voice.starts_with(|first: char| first.is_ascii_alphanumeric()) && is_voice && is_variant
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: [&str; 14] = [
        "",
        " ",
        "http://127.0.0.1:18999/admin",
        "http://127.0.0.1:16379/x\r\nFLUSHALL\r\n",
        "/etc/shadow",
        "../../../../etc/passwd",
        "a/../../b",
        "-o/tmp/x",
        "--help",
        "file:///etc/passwd",
        "slt\0",
        "slt\n",
        "ünï",
        "a b",
    ];

    fn rules() -> Vec<Names> {
        let allowed =
            Names::listed(&["slt", "http://127.0.0.1:18999/admin", "../../../../etc/passwd", "a b"]);
        vec![Names::None, allowed, Names::Token, Names::ModelId, Names::Espeak]
    }

    #[test]
    fn urls_paths_options_and_control_characters_are_refused_by_every_rule() {
        for rule in rules() {
            for name in HOSTILE {
                assert!(rule.check(name).is_err(), "{rule:?} accepts {name:?}");
            }
            assert!(rule.check(&"a".repeat(LONGEST + 1)).is_err(), "{rule:?} accepts a long name");
        }
    }

    #[test]
    fn names_in_use_are_accepted() {
        let cases: [(Names, &[&str]); 4] = [
            (Names::Token, &["alloy", "af_bella", "en_US-lessac-medium", "af_bella+af_sky", "v1.2"]),
            (
                Names::ModelId,
                &["gpt-5.4-mini", "Qwen/Qwen3-8B", "ft:gpt-4.1-mini:acme::a1", "llama3.2:3b", "m@1"],
            ),
            (Names::Espeak, &["en-us", "de", "en-gb+f3", "es-419", "mb-de5", "cmn", "en+Alex"]),
            (Names::models("whisper-1", &["large-v3".into()]), &["whisper-1", "large-v3"]),
        ];
        for (rule, names) in cases {
            for name in names {
                assert_eq!(rule.check(name), Ok(()), "{rule:?}");
            }
        }
    }

    #[test]
    fn models_are_the_configured_one_unless_more_are_allowed() {
        assert!(Names::models("gpt-5.4-mini", &[]).check("gpt-5.6-sol").is_err());
        assert!(Names::models("gpt-5.4-mini", &["gpt-5.6-sol".into()]).check("gpt-5.6-sol").is_ok());
        assert!(Names::models("gpt-5.4-mini", &["*".into()]).check("o9").is_ok());
    }

    #[test]
    fn an_error_names_the_rule() {
        let error = Names::listed(&["slt", "kal"]).check("http://x\r\n").expect_err("it is refused");
        assert_eq!(error.to_string(), r#""http://x\r\n" is not accepted: use one of slt, kal"#);
    }

    #[test]
    fn a_language_tag_has_a_form() {
        for tag in ["en", "de-DE", "zh-Hant-TW", "sr-Latn"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for tag in ["", "e", "de_DE", "de-", "1a", "de DE", "ü", "../etc", "en\r\n"] {
            assert!(!is_language_tag(tag), "{tag:?}");
        }
    }

    proptest! {
        /// An accepted name is neither an option, a URL, a path that leaves its folder, nor a second line.
        #[test]
        fn accepted_names_are_harmless(name in "[ -~\\r\\n\u{0}]{0,20}|([a-z0-9.]{1,3}[/:.+-]{1,2}){1,6}") {
            for rule in [Names::Token, Names::ModelId, Names::Espeak] {
                if rule.check(&name).is_ok() {
                    prop_assert!(!name.starts_with(['-', '/', '.']), "{:?}", name);
                    prop_assert!(!name.contains("..") && !name.contains("//"), "{:?}", name);
                    prop_assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{:?}", name);
                }
            }
        }
    }
}
