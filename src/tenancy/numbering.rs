//! The E.164 number (ITU-T E.164) of a text, as administrators write numbers and trunks dial them.
//!
//! The numbering plans of countries are Google's libphonenumber, in the crate `phonenumber`.
//!
//! A text with a plus sign means the number that it spells. Without one, where a default region is set, it is read
//! as dialled in that region first, and as the digits of an E.164 number second. The second reading is dropped
//! where the text is plainly a national number, so that it never reaches another country's number
//! ([`Numbering::called`]). Two numbers that one text could mean are not both accepted ([`Numbering::collide`]).

use std::fmt;

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, PhoneNumber, Type};
use serde::Deserialize;

use super::Did;

/// `[numbers]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbering {
    /// The country of national numbers, such as `DE` (ISO 3166-1). Default: none, national numbers are not read.
    pub default_region: Option<Region>,
    /// Whether a number may be a short one of a PBX, of 3 to 6 digits. Default: false.
    pub allow_short: bool,
}

/// A country or territory, by the two letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(Id);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a country: write the two letters of ISO 3166-1, such as DE")]
pub struct RegionError(String);

impl TryFrom<String> for Region {
    type Error = RegionError;

    fn try_from(text: String) -> Result<Region, RegionError> {
        text.to_ascii_uppercase().parse().map(Region).map_err(|_| RegionError(text))
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

/// Why a text is refused as a tenant's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("{0:?} is not a phone number: write digits, as in +493055500100")]
    NoDigits(String),
    #[error(
        "{text:?} is not a possible number of any country: write it with its country code, as in +493055500100{hint}"
    )]
    Impossible { text: String, hint: &'static str },
    /// Dialled without a plus sign, its digits mean another number.
    #[error(
        "{did} cannot be told from {other}: with numbers.default_region = {region}, its digits are how {other} is dialled. \
         To use it, unset numbers.default_region and have the trunk send numbers with their country code"
    )]
    Shadowed { did: Did, other: Did, region: Region },
}

/// The most digits of a PBX's own numbers.
const SHORT: usize = 6;
/// The kinds of numbers that can be called from abroad; the plans list possible lengths by kind.
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
/// More digits than E.164 has: an international prefix such as `011` may precede them.
const LONGEST: usize = 15 + 5;

impl Numbering {
    /// The number of an administrator's text. Its length has to be possible in its country; whether its block is
    /// assigned is not checked.
    ///
    /// # Errors
    /// `Shadowed` for another country's number with digits that are dialled for a number of the default region.
    pub fn read(&self, text: &str) -> Result<Did, NumberError> {
        let written = WrittenNumber::of(text).ok_or_else(|| NumberError::NoDigits(shortened(text)))?;
        if self.is_short(&written) {
            return written.digits.parse().map_err(|_| NumberError::NoDigits(shortened(text)));
        }
        let national = (!written.is_international).then_some(()).and(self.default_region);
        let number = match national {
            Some(region) => PossibleNumber::within(region, &written.digits),
            None => PossibleNumber::worldwide(&written.digits),
        };
        let impossible = || NumberError::Impossible { text: shortened(text), hint: self.hint() };
        let did = number.map(|number| number.did).ok_or_else(impossible)?;
        match self.shadow(&did) {
            Some((other, region)) => Err(NumberError::Shadowed { did, other, region }),
            None => Ok(did),
        }
    }

    /// The possible readings of a called number, at most two, in order of precedence: the first one that a tenant
    /// has counts. Empty for a text that is not a number.
    pub fn called(&self, text: &str) -> Vec<Did> {
        let literal: Option<Did> = text.parse().ok();
        let Some(written) = WrittenNumber::of(text).filter(|written| !written.is_international) else {
            return literal.into_iter().collect();
        };
        let national = self.default_region.filter(|_| !self.is_short(&written));
        let Some(national) = national.and_then(|region| PossibleNumber::within(region, &written.digits))
        else {
            return literal.into_iter().collect();
        };
        let other = literal.filter(|did| *did != national.did && !national.excludes(&written.digits));
        std::iter::once(national.did).chain(other).collect()
    }

    /// Whether one text could mean either of two numbers.
    pub fn collide(&self, one: &Did, other: &Did) -> bool {
        let either = |spelled: &Did| {
            let meant = self.called(spelled.digits());
            meant.contains(one) && meant.contains(other)
        };
        one != other && (either(one) || either(other))
    }

    /// The number of the default region that the digits of another country's number mean when they are dialled
    /// without a plus sign.
    pub fn shadow(&self, did: &Did) -> Option<(Did, Region)> {
        let region = self.default_region?;
        let home = DATABASE.by_id(region.0.as_ref())?.country_code();
        let meant = self.called(did.digits());
        let is_foreign =
            PossibleNumber::worldwide(did.digits()).is_some_and(|number| number.country_code != home);
        (is_foreign && !meant.contains(did))
            .then(|| meant.into_iter().next())
            .flatten()
            .map(|it| (it, region))
    }

    fn is_short(&self, written: &WrittenNumber) -> bool {
        self.allow_short && !written.is_international && written.digits.len() <= SHORT
    }

    fn hint(&self) -> &'static str {
        match (self.default_region, self.allow_short) {
            (None, false) => {
                ". (National numbers are understood where numbers.default_region is set, and a PBX's short numbers \
                 where numbers.allow_short is.)"
            }
            (None, true) => ". (National numbers are understood where numbers.default_region is set.)",
            (Some(_), false) => ". (A PBX's short numbers are accepted where numbers.allow_short is set.)",
            (Some(_), true) => "",
        }
    }
}

/// A text without the characters of formatting.
struct WrittenNumber {
    is_international: bool,
    digits: String,
}

impl WrittenNumber {
    fn of(text: &str) -> Option<WrittenNumber> {
        let trimmed = text.trim();
        let rest = trimmed.strip_prefix('+');
        let digits = Did::bare(rest.unwrap_or(trimmed))?;
        let fits = (3..=LONGEST).contains(&digits.len());
        fits.then_some(WrittenNumber { is_international: rest.is_some(), digits })
    }
}

/// A number with a length that is possible in its country's numbering plan.
struct PossibleNumber {
    did: Did,
    country_code: u16,
    number: PhoneNumber,
}

impl PossibleNumber {
    /// Digits as dialled in a country, with or without its trunk prefix, or after its international prefix.
    fn within(region: Region, digits: &str) -> Option<PossibleNumber> {
        PossibleNumber::of(phonenumber::parse(Some(region.0), digits).ok()?)
    }

    /// The digits of an E.164 number.
    fn worldwide(digits: &str) -> Option<PossibleNumber> {
        PossibleNumber::of(phonenumber::parse(None, format!("+{digits}")).ok()?)
    }

    fn of(number: PhoneNumber) -> Option<PossibleNumber> {
        let (country_code, national) = (number.code().value(), number.national().to_string());
        let length = u16::try_from(national.len()).ok()?;
        let plans = DATABASE.by_code(&country_code)?;
        let mut kinds =
            plans.iter().flat_map(|plan| KINDS.iter().filter_map(|kind| plan.descriptors().get(*kind)));
        let fits = kinds.any(|kind| kind.possible_length().contains(&length));
        let did = format!("{country_code}{national}").parse().ok().filter(|_| fits)?;
        Some(PossibleNumber { did, country_code, number })
    }

    /// Whether digits that were read as this national number cannot mean the E.164 number that they spell.
    ///
    /// They can where that is not a number of any country: such a row was stored before numbers were checked. They
    /// cannot where this number is of an assigned kind and the digits are dialled that way, or where the other is
    /// not of an assigned kind. The remaining case is a subscriber number without its trunk prefix, which trunks
    /// send too: there the national reading only takes precedence.
    fn excludes(&self, digits: &str) -> bool {
        let Some(other) = PossibleNumber::worldwide(digits) else { return false };
        self.number.is_valid() && (self.is_dialled_as(digits) || !other.number.is_valid())
    }

    /// Whether the number is dialled with these digits within its country, rather than with a trunk prefix that
    /// they lack.
    fn is_dialled_as(&self, digits: &str) -> bool {
        let formatted = self.number.format().mode(Mode::National).to_string();
        let national: String = formatted.chars().filter(char::is_ascii_digit).collect();
        digits != self.number.national().to_string() || digits == national
    }
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
    const AMERICAN: Numbering = Numbering { default_region: Some(Region(Id::US)), allow_short: false };
    const PBX: Numbering = Numbering { default_region: None, allow_short: true };

    fn read(numbering: Numbering, text: &str) -> Option<String> {
        numbering.read(text).ok().map(|did| did.to_string())
    }

    fn called(numbering: Numbering, text: &str) -> Vec<String> {
        numbering.called(text).iter().map(|did| did.digits().to_owned()).collect()
    }

    fn did(text: &str) -> Did {
        text.parse().expect("a DID")
    }

    /// Every region of the numbering plans.
    fn regions() -> Vec<Region> {
        let letters = || 'A'..='Z';
        let pairs = letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
        let known = pairs.filter(|pair| DATABASE.by_id(pair).is_some());
        known.filter_map(|pair| Region::try_from(pair).ok()).collect()
    }

    fn in_region(region: Region) -> Numbering {
        Numbering { default_region: Some(region), allow_short: false }
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
    fn impossible_numbers_are_refused() {
        for text in ["", "+", "abc", "+999123456789", "+4", "+1234", "+1 202 555 01000", "12", "+49 30 x"] {
            assert!(BARE.read(text).is_err(), "{text}");
        }
        assert!(BARE.read("100").is_err());
        assert_eq!(read(PBX, "100").as_deref(), Some("+100"));
        assert!(PBX.read("+100").is_err(), "a short number has no country");
    }

    #[test]
    fn a_called_number_is_national_first() {
        assert_eq!(called(BARE, "+493055500100"), ["493055500100"]);
        assert_eq!(called(BARE, "03055500100"), ["03055500100"]);
        assert_eq!(called(GERMAN, "+493055500100"), ["493055500100"]);
        assert_eq!(called(GERMAN, "493055500100"), ["493055500100"]);
        assert_eq!(called(GERMAN, "03055500100"), ["493055500100", "03055500100"]);
        assert_eq!(called(GERMAN, "00493055500100"), ["493055500100", "00493055500100"]);
        assert_eq!(called(GERMAN, "s"), [] as [&str; 0]);
        // A German trunk may send an Austrian number without a plus sign.
        assert!(called(GERMAN, "436601234567").contains(&"436601234567".to_owned()));
        let short = Numbering { allow_short: true, ..GERMAN };
        assert_eq!(called(short, "12345"), ["12345"], "a PBX's own number");
    }

    /// Control-plane finding 5: a tenant with +43 4555 0100 took the calls to +1 434 555 0100.
    #[test]
    fn a_national_number_never_reaches_another_country() {
        for (national, foreign) in
            [("4345550100", "+4345550100"), ("3235550100", "+3235550100"), ("434-555-0100", "+43 4555 0100")]
        {
            let digits: String = national.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(called(AMERICAN, national), [format!("1{digits}")], "{national}");
            assert_eq!(called(AMERICAN, foreign), [digits], "with its plus sign it means itself");
            let refused =
                AMERICAN.read(foreign).expect_err("its digits are an American number's").to_string();
            assert!(refused.contains("numbers.default_region = US"), "{refused}");
        }
        let indian = in_region(Region(Id::IN));
        assert_eq!(called(indian, "8112345678"), ["918112345678"], "+81 12345678 is of no kind of Japan's");
        assert_eq!(called(indian, "912261234567"), ["912261234567"]);
    }

    #[test]
    fn numbers_that_a_text_could_mean_alike_collide() {
        let (german, austrian) = (did("4943660123456"), did("43660123456"));
        assert_eq!(called(GERMAN, "43660123456"), ["4943660123456", "43660123456"]);
        assert!(GERMAN.collide(&german, &austrian) && GERMAN.collide(&austrian, &german));
        assert!(!BARE.collide(&german, &austrian), "without a region a text means itself");
        assert!(!GERMAN.collide(&german, &german));
    }

    #[test]
    fn a_region_is_two_letters() {
        assert_eq!(Region::try_from("de".to_owned()), Ok(Region(Id::DE)));
        assert!(Region::try_from("Germany".to_owned()).is_err());
        assert!(regions().len() > 200);
    }

    /// Digits that are likely to have several readings: a country code of another country, then some.
    fn digits() -> impl Strategy<Value = String> {
        prop_oneof!["[1-9][0-9]{6,14}", "(1|7|20|3[0-9]|4[0-9]|5[0-9]|6[0-6]|8[1246]|9[0-58])[0-9]{6,10}"]
    }

    /// Ways to spell a number: its digits, its national forms, and those with prefixes.
    fn spellings(region: Region, did: &Did) -> Vec<String> {
        let mut all = vec![did.digits().to_owned(), did.to_string()];
        if let Some(plan) = PossibleNumber::worldwide(did.digits()) {
            let bare = plan.number.national().to_string();
            let prefix =
                DATABASE.by_id(region.0.as_ref()).and_then(|it| it.national_prefix().map(str::to_owned));
            all.push(plan.number.format().mode(Mode::National).to_string());
            all.push(format!("{}{bare}", prefix.unwrap_or_default()));
            all.push(format!("00{}", did.digits()));
            all.push(format!("011{}", did.digits()));
            all.push(bare);
        }
        all
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}", region in prop::sample::select(regions())) {
            for numbering in [BARE, PBX, in_region(region)] {
                let _ = numbering.read(&text);
                prop_assert!(numbering.called(&text).len() <= 2);
            }
        }

        /// Whatever the region: of two numbers that may both be stored, a text finds one at most.
        #[test]
        fn a_text_finds_one_number(
            region in prop::sample::select(regions()),
            stored in digits(),
            dialled in digits(),
            in_region_too: bool,
        ) {
            let numbering = in_region(region);
            let mut dids: Vec<Did> = [stored.as_str(), dialled.as_str()].iter().filter_map(|it| it.parse().ok()).collect();
            // The number that the digits are dialled for, and other pairs that could be mistaken for each other.
            if in_region_too {
                dids.extend(numbering.called(&dialled));
            }
            let texts: Vec<String> = dids.iter().flat_map(|did| spellings(region, did)).collect();
            for (one, other) in dids.iter().flat_map(|one| dids.iter().map(move |other| (one, other))) {
                let may_stand_together = one != other && !numbering.collide(one, other);
                for text in texts.iter().filter(|_| may_stand_together) {
                    let found = numbering.called(text);
                    prop_assert!(
                        !(found.contains(one) && found.contains(other)),
                        "{region}: {text} finds {one} and {other}"
                    );
                }
            }
        }

        /// An accepted number is found by its E.164 form with a plus sign in every region, and without one it is never
        /// another number's alone, unless it is dialled nationally.
        #[test]
        fn an_accepted_number_is_found(region in prop::sample::select(regions()), text in digits()) {
            let numbering = in_region(region);
            if let Ok(did) = numbering.read(&format!("+{text}")) {
                prop_assert_eq!(numbering.called(&did.to_string()), vec![did.clone()]);
                let home = DATABASE.by_id(region.0.as_ref()).map(|it| it.country_code());
                let is_foreign = PossibleNumber::worldwide(did.digits()).map(|it| it.country_code) != home;
                prop_assert!(!is_foreign || numbering.called(did.digits()).contains(&did), "{region}: {did}");
            }
        }

        /// Candidates for a collision share their last two digits: the store looks for them by those.
        #[test]
        fn readings_share_their_last_digits(region in prop::sample::select(regions()), text in "[0-9]{3,18}") {
            for found in in_region(region).called(&text) {
                prop_assert_eq!(&found.digits()[found.digits().len() - 2..], &text[text.len() - 2..], "{}", region);
            }
        }

        /// A number that was read is found again with and without its plus sign, and reads back the same.
        #[test]
        fn a_number_that_was_read_is_found_again(text in "\\+?[0-9 ().-]{0,22}", german: bool) {
            let numbering = if german { GERMAN } else { BARE };
            if let Ok(did) = numbering.read(&text) {
                let digits = did.digits();
                prop_assert!((3..=15).contains(&digits.len()) && !digits.starts_with('0'), "{did}");
                for text in [did.to_string(), digits.to_owned()] {
                    prop_assert!(numbering.called(&text).contains(&did), "{}", text);
                }
            }
        }

        /// Dialling what an administrator wrote reaches the number that was read.
        #[test]
        fn a_written_number_can_be_dialled(text in "0?[1-9][0-9]{4,11}") {
            if let Ok(did) = GERMAN.read(&text) {
                let found = GERMAN.called(&text);
                prop_assert_eq!(found.first(), Some(&did), "{}", text);
            }
        }
    }
}
