//! Amounts with their signs: money, percentages, units, and ranges of them.

use super::forms::{Currency, Forms};
use super::number::{Numeral, number};
use super::time::time;
use crate::language::words::is_part_of_word;

/// A number or a time, or a range of two, with its unit; and its length. `before` is the text that was said before it.
pub(super) fn quantity(text: &str, before: &str, forms: &Forms) -> Option<(String, usize)> {
    let first = item(text, before, forms)?;
    let (mut spoken, mut end, mut last) = (first.spoken, first.length, first.number);
    let mut extent = QuantityExtent::One;
    if let Some((gap, second)) = second(&text[end..], None, forms) {
        spoken = format!("{spoken} {} {}", forms.to, second.spoken);
        end += gap + second.length;
        last = second.number;
        extent = QuantityExtent::Range;
    } else if is_code(&text[end..]) {
        return None;
    }
    let Some(number) = last else { return Some((spoken, end)) };
    let (spoken, length) = with_unit(spoken, &number, extent, &text[end..], forms)?;
    Some((spoken, end + length))
}

/// A dash and a digit after a number: "2-3-4", "555-01".
fn is_code(text: &str) -> bool {
    text.strip_prefix(['-', '–', '—']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// An amount of money with its sign in front, or a range of two, and its length.
pub(super) fn money(text: &str, forms: &Forms) -> Option<(String, usize)> {
    let (currency, sign) = sign(text, forms)?;
    let start = sign + usize::from(text[sign..].starts_with(' '));
    let first = number(&text[start..], forms)?;
    let end = start + first.written.len();
    let rest = &text[end..];
    let (spoken, more) = if let Some((gap, second)) = second(rest, Some(currency), forms) {
        let (from, to) = (first.spoken(forms), second.spoken);
        (format!("{from} {} {to} {}", forms.to, currency.many), gap + second.length)
    } else if let Some((word, link, length)) = magnitude(rest, forms) {
        (format!("{} {word}{link} {}", first.spoken(forms), currency.many), length)
    } else {
        (amount(&first, currency, forms), 0)
    };
    // "₹500/-" is a habit of bills.
    let dash = if text[end + more..].starts_with("/-") { 2 } else { 0 };
    let end = end + more + dash;
    (!text[end..].starts_with(is_part_of_word)).then_some((spoken, end))
}

/// Whether a quantity is one number or a range of two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuantityExtent {
    One,
    Range,
}

/// A number or a time of day.
struct NumberOrTime<'a> {
    spoken: String,
    length: usize,
    /// `None` for a time.
    number: Option<Numeral<'a>>,
}

fn item<'a>(text: &'a str, before: &str, forms: &Forms) -> Option<NumberOrTime<'a>> {
    if let Some((spoken, length)) = time(text, before, forms) {
        return Some(NumberOrTime { spoken, length, number: None });
    }
    let number = number(text, forms)?;
    // "10:30:15" and "1/2" are no quantities.
    let rest = &text[number.written.len()..];
    let continues = rest.starts_with([':', '/']) && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    let item =
        NumberOrTime { spoken: number.spoken(forms), length: number.written.len(), number: Some(number) };
    (!continues).then_some(item)
}

/// The end of a range: a dash and an item, with the sign of the first amount or without.
fn second<'a>(
    text: &'a str,
    currency: Option<&Currency>,
    forms: &Forms,
) -> Option<(usize, NumberOrTime<'a>)> {
    let dash = ["–", "-", "—", " – ", " - "].into_iter().find(|dash| {
        let after = text.strip_prefix(*dash);
        after.is_some_and(|after| {
            after.starts_with(|c: char| c.is_ascii_digit())
                || (currency.is_some() && sign(after, forms).is_some())
        })
    })?;
    let mut gap = dash.len();
    if currency.is_some()
        && let Some((_, length)) = sign(&text[gap..], forms)
    {
        gap += length;
    }
    let item = item(&text[gap..], "", forms)?;
    // "555-01" is no range, nor is "2-3-4".
    let has_zero = item.number.is_some() && text[gap..].starts_with('0') && item.length > 1;
    (!has_zero && !is_code(&text[gap + item.length..])).then_some((gap, item))
}

/// A number with the unit that follows it in `text`, and the length of that unit. `None` where the number is part of a
/// longer word.
fn with_unit(
    spoken: String,
    number: &Numeral<'_>,
    extent: QuantityExtent,
    text: &str,
    forms: &Forms,
) -> Option<(String, usize)> {
    if let Some((word, link, length)) = magnitude(text, forms)
        && let Some((currency, sign)) = spaced_sign(&text[length..], forms)
    {
        return Some((format!("{spoken} {word}{link} {}", currency.many), length + sign));
    }
    let space = usize::from(text.starts_with(' '));
    let rest = &text[space..];
    if rest.starts_with('%') {
        return Some((format!("{spoken} {}", forms.percent), space + 1));
    }
    if let Some((currency, length)) = spaced_sign(text, forms) {
        let is_range = extent == QuantityExtent::Range;
        let money =
            if is_range { format!("{spoken} {}", currency.many) } else { amount(number, currency, forms) };
        return Some((money, length));
    }
    let is_unit = |sign| rest.strip_prefix(sign).is_some_and(|rest| !rest.starts_with(is_part_of_word));
    if let Some(unit) = forms.units.iter().find(|unit| is_unit(unit.sign)) {
        let word = if number.is_one() && extent == QuantityExtent::One { unit.one } else { unit.many };
        return Some((format!("{spoken} {word}"), space + unit.sign.len()));
    }
    (!text.starts_with(is_part_of_word)).then_some((spoken, 0))
}

/// The sign of a currency at the beginning of `text`, and its length.
fn sign<'a>(text: &str, forms: &'a Forms) -> Option<(&'a Currency, usize)> {
    let signs = forms.currencies.iter().flat_map(|it| it.signs.iter().map(move |sign| (it, *sign)));
    let found = signs.filter(|(_, sign)| text.starts_with(sign)).max_by_key(|(_, sign)| sign.len());
    found.map(|(currency, sign)| (currency, sign.len()))
}

/// The same after an optional space, as a word of its own.
fn spaced_sign<'a>(text: &str, forms: &'a Forms) -> Option<(&'a Currency, usize)> {
    let space = usize::from(text.starts_with(' '));
    let (currency, length) = sign(&text[space..], forms)?;
    let rest = &text[space + length..];
    // "5 Rs. 3" and "5 $3" belong to the number behind.
    let ends =
        !rest.starts_with(is_part_of_word) && !rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((currency, space + length))
}

fn magnitude<'a>(text: &str, forms: &'a Forms) -> Option<(&'a str, &'a str, usize)> {
    let rest = text.strip_prefix(' ')?;
    let found = forms
        .magnitudes
        .iter()
        .find(|(word, _)| rest.strip_prefix(word).is_some_and(|after| !after.starts_with(is_part_of_word)));
    found.map(|(word, link)| (*word, *link, 1 + word.len()))
}

/// "5 dollars", "1 euro 50 cents".
fn amount(number: &Numeral<'_>, currency: &Currency, forms: &Forms) -> String {
    let whole = Numeral { written: number.whole, whole: number.whole, decimals: "" };
    let word = if whole.is_one() { currency.one } else { currency.many };
    match number.decimals {
        "" | "00" => format!("{} {word}", whole.spoken(forms)),
        cents if cents.len() == 2 => {
            let cents = cents.trim_start_matches('0');
            format!("{} {word} {cents} {}", whole.spoken(forms), currency.cents)
        }
        _ => format!("{} {}", number.spoken(forms), currency.many),
    }
}
