//! The forms of texts and documents in the columns of an exported tenant.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::tenancy::{Destination, Did, EventType, TargetKind, check_profile_name};

/// Reads a text of a closed set or of a form.
pub fn word<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

pub fn did(text: &str) -> Result<(), String> {
    text.parse::<Did>().map(drop).map_err(|_| "this is not a phone number".to_owned())
}

pub fn profile_name(text: &str) -> Result<(), String> {
    check_profile_name(text).map_or(Ok(()), |violation| Err(violation.problem))
}

pub fn document<T: DeserializeOwned>(json: &Json) -> Result<(), String> {
    T::deserialize(json).map(drop).map_err(|error| error.to_string())
}

/// `webhooks.events`: words with commas around each.
pub fn events(text: &str) -> Result<(), String> {
    let listed = text.strip_prefix(',').and_then(|text| text.strip_suffix(','));
    let listed = listed.ok_or_else(|| format!("{text:?} has to be like \",call.started,call.ended,\""))?;
    listed.split(',').try_for_each(word::<EventType>)
}

pub fn url(text: &str) -> Result<(), String> {
    let is_url = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_url { Ok(()) } else { Err("this is not a URL with https:// or http://".to_owned()) }
}

pub fn hold_reason(text: &str) -> Result<(), String> {
    if matches!(text, "unpriced" | "unreadable") { Ok(()) } else { Err(format!("{text:?} is no reason")) }
}

/// The address of a transfer target has to be one of its kind. Other values are checked by their columns.
pub fn target_address(row: &Map<String, Json>) -> Result<(), String> {
    let text = |column: &str| row.get(column).and_then(Json::as_str);
    let kind = text("kind").and_then(|kind| kind.parse::<TargetKind>().ok());
    let Some((kind, address)) = kind.zip(text("address")) else { return Ok(()) };
    Destination::parse(kind, address).map(drop).map_err(|error| format!("address: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_targets_address_is_one_of_its_kind() {
        let check = |row: Json| target_address(row.as_object().expect("a row"));
        assert_eq!(check(json!({ "kind": "queue", "address": "reception" })), Ok(()));
        assert_eq!(
            check(json!({ "kind": "pigeon", "address": "x" })),
            Ok(()),
            "the column of the kind refuses it"
        );
        let refused = check(json!({ "kind": "extension", "address": "1001&SIP/other@sales" }));
        assert!(refused.is_err_and(|problem| problem.starts_with("address: ")));
    }
}
