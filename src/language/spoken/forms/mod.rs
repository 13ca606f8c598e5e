//! The words for notations, by language.

mod de;
mod en;
mod es;
mod fr;
mod hi;
mod pt;

pub(in crate::language) use de::FORMS as GERMAN;
pub(in crate::language) use en::FORMS as ENGLISH;
pub(in crate::language) use es::FORMS as SPANISH;
pub(in crate::language) use fr::FORMS as FRENCH;
pub(in crate::language) use hi::FORMS as HINDI;
pub(in crate::language) use pt::FORMS as PORTUGUESE;

/// The words and notations of one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Forms {
    pub(super) and: &'static str,
    /// From one number to another: "9 to 5".
    pub(in crate::language) to: &'static str,
    pub(super) plus: &'static str,
    pub(super) equals: &'static str,
    pub(super) percent: &'static str,
    /// Before a number: "~5".
    pub(super) about: &'static str,
    /// Before a number: "#5", "No. 5".
    pub(super) number: &'static str,
    /// Abbreviations of "number" before a number.
    pub(super) numbered: &'static [&'static str],
    pub(super) address: AddressWords,
    /// From Monday.
    pub(in crate::language) weekdays: [&'static str; 7],
    /// When a business is open that has no hours.
    pub(in crate::language) always: &'static str,
    pub(in crate::language) months: [&'static str; 12],
    /// A date's pattern with `{d}`, `{m}` and `{y}`.
    pub(super) date: &'static str,
    /// The first day of a month, where it has a form of its own.
    pub(super) first: Option<&'static str>,
    /// Numeric dates that have no year but a full stop ("24.12."), and times with one ("9.30 Uhr").
    pub(super) dotted: bool,
    pub(super) clock: ClockStyle,
    /// The decimal mark; the mark between groups of three digits is the other one of `.` and `,`.
    pub(super) decimal: char,
    pub(super) currencies: &'static [Currency],
    /// Words after a number that belong to it ("5 million"), and the link to the currency after them ("5 millones de euros").
    pub(super) magnitudes: &'static [(&'static str, &'static str)],
    /// Thousand, lakh and crore, for numbers that are grouped in the Indian way.
    pub(super) indian: Option<[&'static str; 3]>,
    pub(super) units: &'static [UnitWords],
    /// Abbreviations with their full stops.
    pub(super) abbreviations: &'static [(&'static str, &'static str)],
}

/// The marks of e-mail addresses and hosts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressWords {
    pub(super) at: &'static str,
    pub(super) dot: &'static str,
    pub(super) dash: &'static str,
    pub(super) underscore: &'static str,
}

/// How times of day are said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClockStyle {
    /// "5:30 p.m."
    English,
    /// "शाम 5 बजकर 30 मिनट"
    Hindi,
    /// Patterns with `{h}` and `{min}`, and the words and letters after a time that they replace.
    Plain { whole: &'static str, minutes: &'static str, marks: &'static [&'static str] },
}

/// A currency: its signs before or after an amount, and its words for one and for several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Currency {
    pub(super) signs: &'static [&'static str],
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    /// Hundredths.
    pub(super) cents: &'static str,
}

/// A unit after a number, and its words for one and for several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnitWords {
    pub(super) sign: &'static str,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

pub(super) const fn unit(sign: &'static str, one: &'static str, many: &'static str) -> UnitWords {
    UnitWords { sign, one, many }
}

/// Signs that several languages share.
pub(super) const RUPEE: &[&str] = &["₹", "Rs.", "Rs", "INR"];
pub(super) const DOLLAR: &[&str] = &["US$", "$", "USD"];
pub(super) const EURO: &[&str] = &["€", "EUR"];
pub(super) const POUND: &[&str] = &["£", "GBP"];
pub(super) const REAL: &[&str] = &["R$", "BRL"];
