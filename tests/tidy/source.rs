//! A reading of Rust source that is sufficient for counting: comments, functions and type names, without a parser.

use std::fs;
use std::path::{Path, PathBuf};

/// The source files of the program, without the files and folders named `tests`.
pub fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            match path.extension() {
                _ if is_test => {}
                None => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                Some(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// The package's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text without the tests at its end.
pub fn product(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file is text");
    let cut = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..cut].to_owned()
}

/// The lines that are comments, with their line numbers from 1, without the slashes before them.
pub fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let comment = line.trim().strip_prefix("//")?;
        let comment = comment.strip_prefix(['/', '!']).unwrap_or(comment);
        Some((index + 1, comment.trim_start()))
    })
}

/// The code alone: comments and the contents of literals become spaces, line breaks stay.
pub fn code(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, in_word);
        let (piece, after) = rest.split_at(length.unwrap_or(first.len_utf8()));
        match length {
            Some(_) => code.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' })),
            None => code.push(first),
        }
        in_word = length.is_none() && is_name(first);
        rest = after;
    }
    code
}

/// The bytes of the comment or literal that `text` begins with. After a letter, `r"` is not a raw string.
fn blank_length(text: &str, in_word: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    match text.as_bytes()[0] {
        b'"' => Some(quoted_length(text)),
        b'r' if !in_word => raw_length(text),
        b'\'' => character_length(text),
        _ => None,
    }
}

/// A string with its quotes. A backslash escapes the next character.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_length(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

/// A character literal, or nothing for a lifetime.
fn character_length(text: &str) -> Option<usize> {
    let inside = &text[1..];
    let first = inside.chars().next()?;
    if first == '\\' {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    inside[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8() + 2)
}

pub fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// A function: the line of its `fn`, from 1, and the lines from there to its closing brace.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub line: usize,
    pub length: usize,
}

/// All functions with a body, those within other functions as well.
pub fn functions(code: &str) -> Vec<Function> {
    words(code, "fn")
        .filter(|at| code[at + "fn".len()..].trim_start().starts_with(|c| is_name(c) || c == '$'))
        .filter_map(|at| {
            let end = closing_brace(&code[at..])?;
            let line = 1 + line_breaks(&code[..at]);
            Some(Function { line, length: 1 + line_breaks(&code[at..at + end]) })
        })
        .collect()
}

fn line_breaks(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The end of the body of the function that `code` begins with. A declaration without a body has none.
fn closing_brace(code: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if brackets == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => braces -= 1,
            _ => continue,
        }
        if byte == b'}' && braces == 0 {
            return Some(at);
        }
    }
    None
}

/// The positions at which `word` stands alone.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name))
}

/// The names that `struct`, `enum` and `trait` declare anywhere, and `type` outside of `impl` and `trait`.
pub fn type_names(code: &str) -> Vec<String> {
    code.lines().filter_map(declared_type).collect()
}

fn declared_type(line: &str) -> Option<String> {
    let declaration = line.trim_start();
    let nested = declaration.len() < line.len();
    let mut rest = declaration.strip_prefix("pub").unwrap_or(declaration).trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(") ")?.1;
    }
    let (keyword, name) = rest.split_once(' ')?;
    let declares = matches!(keyword, "struct" | "enum" | "trait") || (keyword == "type" && !nested);
    let name: String = name.chars().take_while(|c| is_name(*c)).collect();
    (declares && !name.is_empty()).then_some(name)
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"fn b() {\"; // fn c() {}\nlet d = '{'; let e: &'static str = r#\"fn \"f() {\"#; /* { */ g('\\'')";
    let code = code(text);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>().join(" "),
        "let a = ; let d = ; let e: &'static str = ; g( )"
    );
    assert_eq!(code.len(), text.len());
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let text =
        "trait T {\n    fn declared(x: [u8; 4]);\n}\nfn one() { a() }\nfn four(\n    f: fn(u8),\n) {\n}\n";
    let [one, four] = [Function { line: 4, length: 1 }, Function { line: 5, length: 4 }];
    assert_eq!(functions(&code(text)), [one, four]);
}

#[test]
fn names_of_associated_types_are_not_counted() {
    let text = "pub(super) struct A;\nenum B {}\npub type C = u8;\nimpl D for A {\n    type E = u8;\n}\n// struct F\n";
    assert_eq!(type_names(&code(text)), ["A", "B", "C"]);
}
