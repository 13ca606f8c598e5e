//! How numbers are written: which E.164 number (ITU-T E.164) a text means, here and in a country.
//!
//! Countries' numbering plans come from Google's libphonenumber, by way of the crate `phonenumber`.

use std::fmt;

use phonenumber::Type;
use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use serde::Deserialize;

use super::Did;

/// `[numbers]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbering {
    /// The country whose national numbers are understood, such as `DE` (ISO 3166-1). None by default.
    pub default_region: Option<Region>,
    /// May a number be a short one of a PBX? False by default.
    pub allow_short: bool,
}

/// A country or territory, by the two letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(Id);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no country: write the two letters of ISO 3166-1, such as DE")]
pub struct UnknownRegion(String);

impl TryFrom<String> for Region {
    type Error = UnknownRegion;

    fn try_from(text: String) -> Result<Region, UnknownRegion> {
        text.to_ascii_uppercase().parse().map(Region).map_err(|_| UnknownRegion(text))
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

/// Why a text is no number to have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    #[error("{0:?} is not a phone number: write digits, as in +493055500100")]
    NoDigits(String),
    #[error(
        "{text:?} is no possible number of any country: write it with its country code, as in +493055500100{hint}"
    )]
    Impossible { text: String, hint: &'static str },
}

/// A PBX's own numbers have at most so many digits.
const SHORT: usize = 6;
/// The kinds of numbers that can be called from abroad: the plans list lengths by kind.
const KINDS: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::PersonalNumber,
    Type::Voip,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];
/// More digits than E.164 has: `011`, or another country's way out, may go before them.
const LONGEST: usize = 15 + 5;

impl Numbering {
    /// The number that a text means, if it can be one: its length is one that its country has. Whether it was
    /// ever assigned is not asked.
    pub fn read(&self, text: &str) -> Result<Did, BadNumber> {
        let written = Written::of(text).ok_or_else(|| BadNumber::NoDigits(shortened(text)))?;
        if self.allow_short && !written.is_international && written.digits.len() <= SHORT {
            return written.digits.parse().map_err(|_| BadNumber::NoDigits(shortened(text)));
        }
        let national = (!written.is_international).then_some(()).and(self.default_region);
        let number = match national {
            Some(region) => within(region, &written.digits),
            None => possible(phonenumber::parse(None, format!("+{}", written.digits)).ok()),
        };
        number.ok_or_else(|| BadNumber::Impossible { text: shortened(text), hint: self.hint() })
    }

    /// The numbers that a called number may be, the likeliest first: as it stands, and as it is dialled within
    /// the country.
    pub fn called(&self, text: &str) -> Vec<Did> {
        let mut found: Vec<Did> = text.parse().into_iter().collect();
        if let (Some(region), Some(written)) = (self.default_region, Written::of(text))
            && !written.is_international
        {
            found.extend(within(region, &written.digits).filter(|did| !found.contains(did)));
        }
        found
    }

    fn hint(&self) -> &'static str {
        match (self.default_region, self.allow_short) {
            (None, false) => {
                ". (A country's own way of writing is understood where numbers.default_region is set, and a \
                 PBX's short numbers where numbers.allow_short is.)"
            }
            (None, true) => {
                ". (A country's own way of writing is understood where numbers.default_region is set.)"
            }
            (Some(_), false) => ". (A PBX's short numbers are taken where numbers.allow_short is set.)",
            (Some(_), true) => "",
        }
    }
}

/// What is left of a text without what only makes it readable.
struct Written {
    is_international: bool,
    digits: String,
}

impl Written {
    fn of(text: &str) -> Option<Written> {
        let trimmed = text.trim();
        let rest = trimmed.strip_prefix('+');
        let digits = Did::bare(rest.unwrap_or(trimmed))?;
        let fits = (3..=LONGEST).contains(&digits.len());
        fits.then_some(Written { is_international: rest.is_some(), digits })
    }
}

/// Digits as they are dialled in a country, its way out included.
fn within(region: Region, digits: &str) -> Option<Did> {
    possible(phonenumber::parse(Some(region.0), digits).ok())
}

/// The number, if its country has numbers of that length.
fn possible(number: Option<phonenumber::PhoneNumber>) -> Option<Did> {
    let number = number?;
    let (code, national) = (number.code().value(), number.national().to_string());
    let length = u16::try_from(national.len()).ok()?;
    let plans = DATABASE.by_code(&code)?;
    let lengths = plans.iter().flat_map(|plan| KINDS.iter().filter_map(|kind| plan.descriptors().get(*kind)));
    let fits = lengths.into_iter().any(|kind| kind.possible_length().contains(&length));
    if fits { format!("{code}{national}").parse().ok() } else { None }
}

fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BARE: Numbering = Numbering { default_region: None, allow_short: false };
    const GERMAN: Numbering = Numbering { default_region: Some(Region(Id::DE)), allow_short: false };
    const PBX: Numbering = Numbering { default_region: None, allow_short: true };

    fn read(numbering: Numbering, text: &str) -> Option<String> {
        numbering.read(text).ok().map(|did| did.to_string())
    }

    #[test]
    fn international_numbers_need_no_country() {
        for text in ["+493055500100", "493055500100", " +49 (30) 555-00100 ", "+49.30.55500100"] {
            for numbering in [BARE, GERMAN, PBX] {
                assert_eq!(read(numbering, text).as_deref(), Some("+493055500100"), "{text} {numbering:?}");
            }
        }
        assert_eq!(read(BARE, "+1 202 555 0100").as_deref(), Some("+12025550100"));
        assert_eq!(read(BARE, "+39 06 1234 5678").as_deref(), Some("+390612345678"), "Italy keeps its zero");
    }

    #[test]
    fn national_numbers_need_one() {
        for text in ["030 55500100", "03055500100", "(030) 555-00100", "0049 30 55500100"] {
            assert_eq!(read(GERMAN, text).as_deref(), Some("+493055500100"), "{text}");
            let refused = BARE.read(text).expect_err(text).to_string();
            assert!(refused.contains("numbers.default_region"), "{refused}");
        }
    }

    #[test]
    fn what_no_country_has_is_refused() {
        for text in ["", "+", "abc", "+999123456789", "+4", "+1234", "+1 202 555 01000", "12", "+49 30 x"] {
            assert!(BARE.read(text).is_err(), "{text}");
        }
        assert!(BARE.read("100").is_err());
        assert_eq!(read(PBX, "100").as_deref(), Some("+100"));
        assert!(PBX.read("+100").is_err(), "a short number has no country");
    }

    #[test]
    fn a_called_number_is_what_it_says_or_what_it_means_at_home() {
        let called = |numbering: Numbering, text: &str| -> Vec<String> {
            numbering.called(text).iter().map(|did| did.digits().to_owned()).collect()
        };
        assert_eq!(called(BARE, "+493055500100"), ["493055500100"]);
        assert_eq!(called(BARE, "03055500100"), ["03055500100"]);
        assert_eq!(called(GERMAN, "+493055500100"), ["493055500100"]);
        assert_eq!(called(GERMAN, "493055500100"), ["493055500100"]);
        assert_eq!(called(GERMAN, "03055500100"), ["03055500100", "493055500100"]);
        assert_eq!(called(GERMAN, "00493055500100"), ["00493055500100", "493055500100"]);
        assert_eq!(called(GERMAN, "s"), [] as [&str; 0]);
    }

    #[test]
    fn a_region_is_two_letters() {
        assert_eq!(Region::try_from("de".to_owned()), Ok(Region(Id::DE)));
        assert!(Region::try_from("Germany".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}") {
            for numbering in [BARE, GERMAN, PBX] {
                let _ = numbering.read(&text);
                numbering.called(&text);
            }
        }

        /// What was read is found again with and without its plus sign, and reads back the same.
        #[test]
        fn what_is_read_is_found_again(text in "\\+?[0-9 ().-]{0,22}", german: bool) {
            let numbering = if german { GERMAN } else { BARE };
            if let Ok(did) = numbering.read(&text) {
                let digits = did.digits();
                prop_assert!((3..=15).contains(&digits.len()) && !digits.starts_with('0'), "{did}");
                for text in [did.to_string(), digits.to_owned()] {
                    let found = numbering.called(&text);
                    prop_assert_eq!(found.first(), Some(&did));
                }
            }
        }

        /// Whoever dials what a tenant wrote reaches that tenant.
        #[test]
        fn what_is_written_can_be_dialled(text in "0?[1-9][0-9]{4,11}") {
            if let Ok(did) = GERMAN.read(&text) {
                prop_assert!(GERMAN.called(&text).contains(&did), "{text}: {did}");
            }
        }
    }
}
