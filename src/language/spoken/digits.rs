//! Phone numbers and other long runs of digits, digit by digit and in groups.

use super::forms::Forms;
use super::number::digits;

/// The most digits of a phone number (E.164).
const LONGEST: usize = 15;
/// The fewest digits of a phone number.
const SHORTEST: usize = 7;
/// Digits without a gap that are no quantity.
const NO_QUANTITY: usize = 9;
/// The most digits that are spoken without a pause.
const WITHOUT_PAUSE: usize = 5;

/// Groups of digits, as they are written.
struct DigitGroups<'a> {
    international: bool,
    groups: Vec<&'a str>,
    separators: Vec<char>,
    length: usize,
}

/// A phone number at the beginning of `text`, digit by digit, and its length.
pub(super) fn phone_number(text: &str, forms: &Forms) -> Option<(String, usize)> {
    let run = run(text)?;
    let next = text[run.length..].chars().next();
    let continues = next.is_some_and(|c| c.is_alphanumeric() || matches!(c, ':' | '%' | '@'));
    if continues || !run.is_phone_number() {
        return None;
    }
    let groups: Vec<String> = run.groups.iter().flat_map(|group| chunks(group)).map(spaced).collect();
    let plus = if run.international { format!("{} ", forms.plus) } else { String::new() };
    Some((format!("{plus}{}", groups.join(", ")), run.length))
}

fn run(text: &str) -> Option<DigitGroups<'_>> {
    let international = text.starts_with('+');
    let mut run = DigitGroups {
        international,
        groups: Vec::new(),
        separators: Vec::new(),
        length: usize::from(international),
    };
    while let Some((gap, mark, digits)) = next_group(&text[run.length..], run.groups.is_empty()) {
        let start = run.length + gap;
        if run.total() + digits > LONGEST {
            return None;
        }
        run.separators.extend(mark);
        run.groups.push(&text[start..start + digits]);
        run.length = start + digits;
    }
    (!run.groups.is_empty()).then_some(run)
}

/// The gap before the next group of digits, its mark, and the number of digits.
fn next_group(text: &str, is_first: bool) -> Option<(usize, Option<char>, usize)> {
    let gap = text.bytes().take_while(|b| matches!(b, b' ' | b'-' | b'/' | b'.' | b'(' | b')')).count();
    let length = digits(&text[gap..]);
    let mark = match &text[..gap] {
        "" | "(" if is_first => None,
        " " | "-" | "/" | "." | " (" | ") " | ")" | ")-" => text[..gap].chars().next(),
        _ => return None,
    };
    (length > 0).then_some((gap, mark, length))
}

impl DigitGroups<'_> {
    fn total(&self) -> usize {
        self.groups.iter().map(|group| group.len()).sum()
    }

    fn is_phone_number(&self) -> bool {
        let lengths: Vec<usize> = self.groups.iter().map(|group| group.len()).collect();
        let total = self.total();
        let starts_with_zero = self.groups.first().is_some_and(|group| group.starts_with('0'));
        let is_decimal = self.groups.len() == 2 && self.separators.contains(&'.');
        let is_date = self.separators.iter().filter(|mark| **mark == '/').count() > 1;
        if is_date {
            return false;
        }
        if (self.international || starts_with_zero) && !is_decimal {
            return total >= SHORTEST;
        }
        let is_fraction = self.separators.iter().any(|mark| matches!(mark, '.' | '/'));
        let thousands =
            self.separators.iter().all(|mark| *mark == ' ') && lengths[1..].iter().all(|it| *it == 3);
        match lengths.as_slice() {
            [one] => *one >= NO_QUANTITY,
            _ if is_fraction || thousands => false,
            [3, 4] => self.separators == ['-'],
            [_, others @ ..] => total >= NO_QUANTITY && others.iter().all(|length| *length >= 2),
            [] => false,
        }
    }
}

/// The digits in parts that can be spoken in one breath.
fn chunks(group: &str) -> Vec<&str> {
    let length = group.len();
    let country = if length == 12 { 2 } else { 0 };
    let size = if length - country == 10 { WITHOUT_PAUSE } else { 3 };
    if length <= WITHOUT_PAUSE {
        return vec![group];
    }
    let (head, rest) = group.split_at(country);
    let mut parts: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
    let mut rest = rest;
    while rest.len() > size + 1 {
        let (part, after) = rest.split_at(size);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn spaced(digits: &str) -> String {
    digits.chars().map(String::from).collect::<Vec<_>>().join(" ")
}
