//! Reads a text from left to right and replaces each notation that it recognises.

use super::digits::phone_number;
use super::forms::Forms;
use super::notation::{abbreviation, address, sign};
use super::quantity::{money, quantity};
use super::time::date;
use crate::language::words::is_part_of_word;

/// The text with its notations in words. Its length is at most some twenty times that of the text.
pub(super) fn spell_out(text: &str, forms: &Forms) -> String {
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(next) = rest.chars().next() {
        let (words, length) = recognised(rest, next, &said, forms).unwrap_or_else(|| unchanged(rest, next));
        said.push_str(&words);
        rest = &rest[length..];
    }
    said
}

/// The words of a notation at the beginning of `text`, and its length.
fn recognised(text: &str, next: char, said: &str, forms: &Forms) -> Option<(String, usize)> {
    if next.is_ascii_digit() {
        return address(text, forms)
            .or_else(|| date(text, forms))
            .or_else(|| phone_number(text, forms))
            .or_else(|| quantity(text, said, forms));
    }
    if next == '+' || next == '(' {
        return phone_number(text, forms).or_else(|| sign(text, said, forms));
    }
    if is_part_of_word(next) {
        return money(text, forms).or_else(|| address(text, forms)).or_else(|| abbreviation(text, forms));
    }
    money(text, forms).or_else(|| sign(text, said, forms))
}

/// A word, a token that begins with a digit, or a mark as it is.
fn unchanged(text: &str, next: char) -> (String, usize) {
    let end = if next.is_ascii_digit() {
        text.find(char::is_whitespace)
    } else if is_part_of_word(next) {
        text.find(|c| !is_part_of_word(c))
    } else {
        Some(next.len_utf8())
    };
    let end = end.unwrap_or(text.len());
    (text[..end].to_owned(), end)
}
