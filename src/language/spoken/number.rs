//! Numbers as they are written: digits, groups of digits, decimals.

use super::forms::Forms;

/// A number at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numeral<'a> {
    /// As it is written.
    pub written: &'a str,
    /// Digits before the decimal mark, with the marks between groups.
    pub whole: &'a str,
    /// Digits after it.
    pub decimals: &'a str,
}

/// The number at the beginning of `text`. `None` where there is none, or where more than a number is written, such as a
/// version or an address ("1.2.3").
pub(super) fn number<'a>(text: &'a str, forms: &Forms) -> Option<Numeral<'a>> {
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    let separator = if forms.decimal == '.' { ',' } else { '.' };
    while let Some(more) = group(&text[end..], separator) {
        end += more;
    }
    let whole = &text[..end];
    let after = text[end..].strip_prefix(forms.decimal).map_or(0, digits);
    let (decimals, end) = match after {
        0 => ("", end),
        length => (&text[end + 1..=end + length], end + 1 + length),
    };
    let mut rest = text[end..].chars();
    let continues = matches!(rest.next(), Some('.' | ',')) && rest.next().is_some_and(|c| c.is_numeric());
    (!continues).then_some(Numeral { written: &text[..end], whole, decimals })
}

/// The length of the ASCII digits at the beginning of `text`.
pub(super) fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The length of a mark and a group of two (Indian) or three digits.
fn group(text: &str, separator: char) -> Option<usize> {
    let length = digits(text.strip_prefix(separator)?);
    (length == 3 || (length == 2 && separator == ',')).then_some(1 + length)
}

impl Numeral<'_> {
    pub fn is_one(&self) -> bool {
        self.whole == "1" && self.decimals.is_empty()
    }

    /// The number for an engine: "1,25,000" in thousands, lakhs and crores, any other as it is written.
    pub fn spoken(&self, forms: &Forms) -> String {
        let indian = forms.indian.and_then(|words| indian(self.whole, words));
        match indian {
            Some(words) if self.decimals.is_empty() => words,
            _ => self.written.to_owned(),
        }
    }
}

/// A number that is grouped in the Indian way: "1,25,300" is "1 lakh 25 thousand 300".
fn indian(whole: &str, words: [&str; 3]) -> Option<String> {
    let groups: Vec<&str> = whole.split(',').collect();
    let (last, others) = groups.split_last()?;
    let (first, middle) = others.split_first()?;
    let is_indian = last.len() == 3 && first.len() <= 2 && !middle.is_empty();
    if !is_indian || middle.iter().any(|group| group.len() != 2) {
        return None;
    }
    let value: u64 = groups.concat().parse().ok()?;
    let [thousand, lakh, crore] = words;
    let parts = [
        (value / 10_000_000, crore),
        (value / 100_000 % 100, lakh),
        (value / 1_000 % 100, thousand),
        (value % 1_000, ""),
    ];
    let spoken = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    Some(spoken.collect::<Vec<_>>().join(" ").trim_end().to_owned())
}
