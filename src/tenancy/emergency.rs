//! The emergency numbers of countries, by the country code of a DID.
//!
//! Source: ITU-T E.129, "List of national emergency numbers". Where a country has several, the one that reaches all services, or
//! else that of the police.
//! Digits are apart, so that a voice reads them out one by one.

use super::Did;

/// Of the other countries: the number of GSM and of the European Union, which mobile networks connect anywhere (3GPP TS 22.101,
/// section 10).
const ELSEWHERE: &str = "1 1 2";

/// By the beginning of a number; the longest beginning applies.
const NUMBERS: [(&str, &str); 22] = [
    ("1", "9 1 1"),
    ("27", "1 1 2"),
    ("44", "9 9 9"),
    ("52", "9 1 1"),
    ("54", "9 1 1"),
    ("55", "1 9 0"),
    ("56", "1 3 3"),
    ("57", "1 2 3"),
    ("60", "9 9 9"),
    ("61", "0 0 0"),
    ("64", "1 1 1"),
    ("65", "9 9 9"),
    ("81", "1 1 0"),
    ("86", "1 1 0"),
    ("91", "1 1 2"),
    ("92", "1 5"),
    ("234", "1 1 2"),
    ("254", "9 9 9"),
    ("852", "9 9 9"),
    ("880", "9 9 9"),
    ("966", "9 1 1"),
    ("971", "9 9 9"),
];

/// The number that callers of `called` dial in an emergency.
pub fn emergency_number(called: &Did) -> &'static str {
    let fits = NUMBERS.iter().filter(|(beginning, _)| called.digits().starts_with(beginning));
    fits.max_by_key(|(beginning, _)| beginning.len()).map_or(ELSEWHERE, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_country_has_its_number() {
        let number = |did: &str| emergency_number(&did.parse().expect("a number"));
        assert_eq!(number("+12025550123"), "9 1 1");
        assert_eq!(number("+442079460000"), "9 9 9");
        assert_eq!(number("+493055500100"), "1 1 2");
        assert_eq!(number("+919876543210"), "1 1 2");
        assert_eq!(number("+61491570006"), "0 0 0");
        assert_eq!(number("+85221234567"), "9 9 9");
    }
}
