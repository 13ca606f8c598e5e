//! Notations that begin with a letter or a mark: e-mail addresses, hosts, abbreviations, signs.

use super::forms::{AddressWords, Forms};
use super::number::digits;
use crate::language::words::is_part_of_word;

/// The longest e-mail address (RFC 5321, 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 254;

/// The last labels of hosts that are written without a scheme.
const ENDINGS: [&str; 22] = [
    "com", "org", "net", "info", "edu", "gov", "biz", "app", "dev", "io", "ai", "in", "de", "at", "ch", "fr",
    "es", "pt", "br", "uk", "eu", "us",
];

/// An e-mail address or a host at the beginning of `text`, and its length.
pub(super) fn address(text: &str, forms: &Forms) -> Option<(String, usize)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    let written = text.bytes().take(LONGEST_ADDRESS).take_while(|b| is_part(char::from(*b))).count();
    let address = text[..written].trim_end_matches(['.', '-', '_', '+', '@']);
    let ends = !text[address.len()..].starts_with(is_part_of_word);
    let is_address = match address.split_once('@') {
        Some((local, host)) => !local.is_empty() && host.contains('.') && is_host(host),
        None => address.rsplit_once('.').is_some_and(|(_, last)| ENDINGS.contains(&last)) && is_host(address),
    };
    (ends && is_address).then(|| (spelled(address, &forms.address), address.len()))
}

fn is_host(host: &str) -> bool {
    host.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn spelled(address: &str, words: &AddressWords) -> String {
    let mut spoken = String::with_capacity(address.len() * 2);
    for c in address.chars() {
        let word = match c {
            '@' => words.at,
            '.' => words.dot,
            '-' => words.dash,
            '_' => words.underscore,
            '+' => "plus",
            letter => {
                spoken.push(letter);
                continue;
            }
        };
        spoken.push(' ');
        spoken.push_str(word);
        spoken.push(' ');
    }
    spoken
}

/// An abbreviation at the beginning of `text`, and its length. A full stop that also ends the text is kept.
pub(super) fn abbreviation(text: &str, forms: &Forms) -> Option<(String, usize)> {
    let numbered = forms.numbered.iter().find_map(|sign| {
        let rest = text.strip_prefix(sign)?;
        let space = usize::from(rest.starts_with(' '));
        rest[space..]
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| (format!("{} ", forms.number), sign.len() + space))
    });
    if numbered.is_some() {
        return numbered;
    }
    let (written, words) = forms.abbreviations.iter().find(|(written, _)| {
        text.strip_prefix(written).is_some_and(|rest| !rest.starts_with(is_part_of_word))
    })?;
    let is_last = written.ends_with('.') && text[written.len()..].trim().is_empty();
    Some((format!("{words}{}", if is_last { "." } else { "" }), written.len()))
}

/// A sign at the beginning of `text`, and its length. `before` is the text that was said before it.
pub(super) fn sign(text: &str, before: &str, forms: &Forms) -> Option<(String, usize)> {
    let sign = text.chars().next()?;
    let rest = &text[sign.len_utf8()..];
    let is_before_number = digits(rest) > 0;
    let is_spaced = before.ends_with(' ') && rest.starts_with(' ');
    let word = match sign {
        '&' => forms.and,
        '=' if is_spaced => forms.equals,
        '+' if is_spaced => forms.plus,
        '~' | '≈' if is_before_number => forms.about,
        '#' if is_before_number => forms.number,
        _ => return None,
    };
    let pad = |needed: bool| if needed { " " } else { "" };
    let lead = pad(!before.is_empty() && !before.ends_with(' '));
    Some((format!("{lead}{word}{}", pad(!rest.is_empty() && !rest.starts_with(' '))), sign.len_utf8()))
}
