//! The spoken form of a text that is written for the eye.
//!
//! Markdown, tables, links and emoji are removed in any language. Money, dates, times, ranges, percentages, phone
//! numbers, addresses, units and abbreviations are spelled in words where the language has [`Forms`]. Plain numbers stay
//! digits: TTS engines read them in the voice's language, but misread the notations around them.

mod digits;
pub(super) mod forms;
mod marks;
mod notation;
mod number;
mod quantity;
mod scan;
mod time;

pub use forms::Forms;

use super::Language;

/// The text as it is to be spoken; empty when nothing in it can be. A spoken form of words and notations is its own spoken
/// form; only stray marks can make a new notation.
pub fn spoken(text: &str, language: &Language) -> String {
    let plain = marks::speakable(text);
    match language.forms {
        Some(forms) => scan::spell_out(&plain, forms),
        None => plain,
    }
}

#[cfg(test)]
mod tests;
