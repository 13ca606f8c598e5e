//! Variables from a file: `NAME=value` a line, as systemd, Docker and python-dotenv read it.
//!
//! Nothing in it is expanded or run.

use std::path::{Path, PathBuf};

use super::error::ConfigError;

/// The variables of one file, and the line of each.
#[derive(Debug)]
pub(super) struct EnvFile {
    pub path: PathBuf,
    pub entries: Vec<EnvEntry>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnvEntry {
    pub line: usize,
    pub name: String,
    pub value: String,
}

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, and each line that sets no variable.
    pub fn read(path: &Path) -> Result<EnvFile, Vec<ConfigError>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![ConfigError {
                key: path.display().to_string(),
                source: "the file of environment variables".into(),
                problem: format!("cannot be read: {error}"),
                remedy: "name another file with --env-file (VCA_ENV_FILE), or make this one readable for this user".into(),
            }]
        })?;
        let (entries, broken) = parse(&text);
        let fault = |(line, problem): (usize, &str)| ConfigError {
            key: path.display().to_string(),
            source: format!("{}:{line}", path.display()),
            problem: problem.to_owned(),
            remedy: "write NAME=value, with quotes around a value that has spaces or #".into(),
        };
        if broken.is_empty() {
            Ok(EnvFile { path: path.to_owned(), entries })
        } else {
            Err(broken.into_iter().map(fault).collect())
        }
    }
}

/// The variables of a text, and the lines that set none with the reason.
fn parse(text: &str) -> (Vec<EnvEntry>, Vec<(usize, &'static str)>) {
    let mut entries = Vec::new();
    let mut broken = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text.trim())) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match assignment(text) {
            Ok((name, value)) => entries.push(EnvEntry { line, name: name.to_owned(), value }),
            Err(problem) => broken.push((line, problem)),
        }
    }
    (entries, broken)
}

fn assignment(text: &str) -> Result<(&str, String), &'static str> {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let (name, value) = text.split_once('=').ok_or("this line sets no variable")?;
    let name = name.trim();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !is_name || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("this is not the name of a variable");
    }
    Ok((name, self::value(value.trim())?))
}

/// A value in single quotes stands as it is; in double quotes a backslash stands for the character after it; one
/// without quotes ends at a comment.
fn value(text: &str) -> Result<String, &'static str> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or("the quote is not closed")?;
            (value.to_owned(), rest)
        }
        Some('"') => double_quoted(&text[1..])?,
        _ => return Ok(text.split(" #").next().unwrap_or_default().trim_end().to_owned()),
    };
    let rest = rest.trim();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(value)
    } else {
        Err("there is text behind the closing quote")
    }
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            _ => value.push(character),
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Result<(String, String), &'static str> {
        assignment(line).map(|(name, value)| (name.to_owned(), value))
    }

    #[test]
    fn a_line_sets_a_variable() {
        for (line, name, value) in [
            ("A=1", "A", "1"),
            ("export A_2 = x y ", "A_2", "x y"),
            ("A=", "A", ""),
            ("A=x # a comment", "A", "x"),
            ("A=x#y", "A", "x#y"),
            ("A='x # \"y\" $Z' # a comment", "A", "x # \"y\" $Z"),
            (r#"A="x \"y\" \\ \n$Z""#, "A", "x \"y\" \\ \n$Z"),
            ("A=postgres://u:p@h/d?sslmode=x", "A", "postgres://u:p@h/d?sslmode=x"),
        ] {
            assert_eq!(one(line), Ok((name.to_owned(), value.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_line_that_sets_none_is_refused() {
        for line in ["A", "=x", "1A=x", "A B=x", "A-B=x", "A='x", "A=\"x", "A=\"x\\", "A='x' y"] {
            assert!(one(line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let (entries, broken) = parse("# a comment\n\nA=1\nnonsense\r\nB=2\r\n");
        let entry = |line, name: &str, value: &str| EnvEntry { line, name: name.into(), value: value.into() };
        assert_eq!(entries, [entry(3, "A", "1"), entry(5, "B", "2")]);
        assert_eq!(broken, [(4, "this line sets no variable")]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            parse(&text);
        }

        #[test]
        fn a_quoted_value_is_kept(value in "[^'\r\n]*") {
            prop_assert_eq!(one(&format!("A='{value}'")), Ok(("A".to_owned(), value)));
        }
    }
}
