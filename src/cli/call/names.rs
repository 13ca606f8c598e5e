//! How commands name a call.

use std::str::FromStr;

use uuid::Uuid;

use crate::cli::failure::Failure;
use crate::store::Store;
use crate::tenancy::{CallId, TenantId};

/// The fewest digits of an id that name a call: those of about four hours have them in common.
const SHORTEST: usize = 6;
/// The digits of an id.
const DIGITS: usize = 32;
/// How many calls an error lists.
const LISTED: u32 = 4;

/// A call by its id, by the first digits of its id, or the latest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallName {
    Last,
    /// From the lowest to the highest id with these first digits.
    Range {
        text: String,
        low: Uuid,
        high: Uuid,
    },
}

impl FromStr for CallName {
    type Err = String;

    fn from_str(text: &str) -> Result<CallName, String> {
        if text == "last" {
            return Ok(CallName::Last);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let filled = |with: &str| Uuid::from_str(&(digits.clone() + &with.repeat(DIGITS - digits.len())));
        let is_prefix = (SHORTEST..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let wrong = || {
            format!(
                "{text:?} names no call: write its id, at least {SHORTEST} of its first digits, or `last`"
            )
        };
        if !is_prefix {
            return Err(wrong());
        }
        let (low, high) = (filled("0").map_err(|_| wrong())?, filled("f").map_err(|_| wrong())?);
        Ok(CallName::Range { text: text.to_owned(), low, high })
    }
}

impl CallName {
    /// The call and its tenant. Only calls of `tenant` count, if there is one.
    pub async fn find(&self, store: &Store, tenant: Option<TenantId>) -> Result<(CallId, TenantId), Failure> {
        let (named, low, high) = match self {
            CallName::Last => ("last", Uuid::nil(), Uuid::max()),
            CallName::Range { text, low, high } => (text.as_str(), *low, *high),
        };
        let found = store.calls_between(low, high, tenant, LISTED).await?;
        match (self, found.as_slice()) {
            (_, []) => {
                Err(Failure::not_found(format!("there is no call {named}: `vca call list` shows the latest")))
            }
            (CallName::Last, [call, ..]) | (_, [call]) => Ok(*call),
            (_, several) => {
                let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
                let ids = ids.join(", ");
                Err(Failure::unacceptable(format!(
                    "several ids begin with {named}: write more digits, as in {ids}"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_is_named_by_the_first_digits_of_its_id() {
        let id = "0199a1b2-c3d4-7e5f-8a6b-0123456789ab";
        for text in [id, "0199a1b2c3d47e5f8a6b0123456789ab", "0199a1", "0199A1B2-C3", "last"] {
            text.parse::<CallName>().unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let Ok(CallName::Range { low, high, .. }) = id.parse() else { panic!("no range") };
        assert_eq!((low, high), (low, low), "a whole id is one call");
        assert_eq!(low.to_string(), id);
        for text in ["", "0199a", "first", "0199a1b2-c3d4-7e5f-8a6b-0123456789abc", "0199ax"] {
            assert!(text.parse::<CallName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<CallName>();
        }
    }
}
