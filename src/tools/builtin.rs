//! The built-in tools: their specifications for the model, and the meaning of its arguments.

use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::arguments::parsed;
use super::switching;
use super::transfer::TargetTools;
use crate::conversation::{DigitRules, ToolAction, ToolWords};
use crate::dtmf::{Digit, Tone};
use crate::engines::llm::ToolSpec;
use crate::tenancy::{Tool, is_field_name};

/// The most keys and pauses in one `send_dtmf`.
const MAX_TONES: usize = 32;

/// The most keys in one `collect_digits`.
const MAX_DIGITS: usize = 32;

/// The longest value of a field, in characters.
const MAX_VALUE: usize = 500;

/// A field for the call's record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    pub field: String,
    pub value: String,
}

/// The meaning of a call of a built-in tool.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BuiltIn {
    EndCall,
    Act(ToolAction),
}

/// The specification that the model reads; `None` for a tool that has choices of its own.
pub(super) fn spec(tool: Tool) -> Option<ToolSpec> {
    let (description, parameters) = match tool {
        Tool::EndCall => return Some(ToolSpec::end_call()),
        Tool::Transfer | Tool::Queue | Tool::Voicemail | Tool::SwitchAgent | Tool::SetLanguage => {
            return None;
        }
        Tool::SendDtmf => (
            "Press keys of the telephone keypad, for example in another company's telephone menu. They are sent after the \
             words of the same reply.",
            json!({
                "type": "object",
                "properties": { "keys": {
                    "type": "string", "pattern": "^[0-9A-D*#w]{1,32}$",
                    "description": "Keys 0 to 9, A to D, * and #, in order; w waits for half a second.",
                } },
                "required": ["keys"], "additionalProperties": false,
            }),
        ),
        Tool::CollectDigits => (
            "Let the caller enter digits on the telephone keypad, such as a customer number or a PIN. Ask for them in the \
             same reply, before this call.",
            json!({
                "type": "object",
                "properties": {
                    "max_digits": { "type": "integer", "minimum": 1, "maximum": MAX_DIGITS,
                        "description": "The number of digits that completes the entry." },
                    "terminator": { "type": "string", "enum": ["#", "*", "none"],
                        "description": "The key that completes the entry. Default: #." },
                    "first_digit_timeout_s": { "type": "integer", "minimum": 1, "maximum": 60,
                        "description": "The longest wait for the first digit, in seconds. Default: 10." },
                    "inter_digit_timeout_s": { "type": "integer", "minimum": 1, "maximum": 10,
                        "description": "The longest pause between two digits, in seconds. Default: 3." },
                    "masked": { "type": "boolean",
                        "description": "For secrets such as a PIN: the result has a reference instead of the digits, \
                                        which other tools accept in their place. Default: false." },
                },
                "required": ["max_digits"], "additionalProperties": false,
            }),
        ),
        Tool::Remember => (
            "Keep a fact of this call on its record, for the people who read it later: a name, an order, a wish. A field that \
             is kept again is replaced.",
            json!({
                "type": "object",
                "properties": {
                    "field": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$",
                        "description": "A short name such as customer_name." },
                    "value": { "type": "string", "maxLength": MAX_VALUE },
                },
                "required": ["field", "value"], "additionalProperties": false,
            }),
        ),
    };
    let (name, description) = (tool.as_str().into(), description.into());
    Some(ToolSpec { name, description, parameters: Arc::new(parameters) })
}

/// # Errors
/// For the model: the problem of the arguments.
pub(super) fn read(tool: Tool, arguments: &str) -> Result<BuiltIn, String> {
    match tool {
        // Some models explain themselves in arguments that the tool does not have.
        Tool::EndCall => Ok(BuiltIn::EndCall),
        // The choices are the toolbox's.
        Tool::Transfer | Tool::Queue | Tool::Voicemail => {
            TargetTools::default().read(tool, arguments).map(BuiltIn::Act)
        }
        Tool::SwitchAgent => switching::agent(arguments, &[]).map(BuiltIn::Act),
        Tool::SetLanguage => switching::language(arguments, &[]).map(BuiltIn::Act),
        Tool::SendDtmf => tones(&parsed::<SendDtmf>(arguments)?.keys)
            .map(|keys| BuiltIn::Act(ToolAction::SendDtmf { keys })),
        Tool::CollectDigits => {
            let rules = parsed::<CollectDigits>(arguments)?.rules()?;
            Ok(BuiltIn::Act(ToolAction::CollectDigits(rules)))
        }
        Tool::Remember => remembered(arguments).map(|_| BuiltIn::Act(ToolAction::Run(ToolWords::default()))),
    }
}

/// The field that `remember` keeps.
///
/// # Errors
/// For the model: the problem of the arguments.
pub(super) fn remembered(arguments: &str) -> Result<Remembered, String> {
    let remembered: Remembered = parsed(arguments)?;
    if !is_field_name(&remembered.field) {
        return Err(
            "field: a lower-case letter, then lower-case letters, digits and _, 40 at most".to_owned()
        );
    }
    if remembered.value.chars().count() > MAX_VALUE {
        return Err(format!("value: at most {MAX_VALUE} characters"));
    }
    Ok(remembered)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendDtmf {
    keys: String,
}

fn tones(keys: &str) -> Result<Vec<Tone>, String> {
    let count = keys.chars().count();
    if !(1..=MAX_TONES).contains(&count) {
        return Err(format!("keys: 1 to {MAX_TONES} keys, not {count}"));
    }
    let read: Result<Vec<Tone>, _> = keys.chars().map(Tone::try_from).collect();
    read.map_err(|_| "keys: only 0 to 9, A to D, * and #, and w for a pause".to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CollectDigits {
    #[serde(deserialize_with = "lenient")]
    max_digits: usize,
    #[serde(default)]
    terminator: Option<String>,
    #[serde(default, deserialize_with = "lenient_option")]
    first_digit_timeout_s: Option<u64>,
    #[serde(default, deserialize_with = "lenient_option")]
    inter_digit_timeout_s: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    masked: bool,
}

/// Reads a value, also where the model wrote it as a text: `"4"` for 4.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let given = Value::deserialize(from)?;
    let written = given.as_str().and_then(|text| serde_json::from_str(text).ok());
    serde_json::from_value(written.unwrap_or(given)).map_err(D::Error::custom)
}

fn lenient_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    lenient(from)
}

impl CollectDigits {
    fn rules(&self) -> Result<DigitRules, String> {
        if !(1..=MAX_DIGITS).contains(&self.max_digits) {
            return Err(format!("max_digits: 1 to {MAX_DIGITS}"));
        }
        let terminator = match self.terminator.as_deref() {
            None => Digit::parse("#"),
            Some("none") => None,
            Some(key @ ("#" | "*")) => Digit::parse(key),
            Some(_) => return Err("terminator: #, * or none".to_owned()),
        };
        let seconds = |name: &str, given: Option<u64>, usual: Duration, most: u64| match given {
            Some(seconds) if !(1..=most).contains(&seconds) => Err(format!("{name}: 1 to {most}")),
            given => Ok(given.map_or(usual, Duration::from_secs)),
        };
        let usual = DigitRules::of(self.max_digits, self.masked);
        Ok(DigitRules {
            terminator,
            first: seconds("first_digit_timeout_s", self.first_digit_timeout_s, usual.first, 60)?,
            between: seconds("inter_digit_timeout_s", self.inter_digit_timeout_s, usual.between, 10)?,
            ..usual
        })
    }
}

/// A refusal as the model reads it.
pub(super) fn refusal(reason: &str) -> Arc<str> {
    Value::from_iter([("error", reason)]).to_string().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn act(tool: Tool, arguments: &str) -> ToolAction {
        match read(tool, arguments) {
            Ok(BuiltIn::Act(action)) => action,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_and_pauses_are_read() {
        let ToolAction::SendDtmf { keys } = act(Tool::SendDtmf, r#"{"keys":"1w2#"}"#) else {
            panic!("no keys")
        };
        assert_eq!(keys.iter().map(|key| key.as_char()).collect::<String>(), "1w2#");
        let long = format!(r#"{{"keys":"{}"}}"#, "1".repeat(33));
        for arguments in
            ["", "{}", "null", "[]", r#"{"keys":""}"#, r#"{"keys":"1;2"}"#, r#"{"keys":1}"#, &long]
        {
            assert!(read(Tool::SendDtmf, arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn rules_of_an_entry_have_defaults_and_limits() {
        let ToolAction::CollectDigits(rules) = act(Tool::CollectDigits, r#"{"max_digits":4,"masked":true}"#)
        else {
            panic!("no rules")
        };
        assert_eq!((rules.most, rules.terminator, rules.masked), (4, Digit::parse("#"), true));
        assert_eq!((rules.first, rules.between), (Duration::from_secs(10), Duration::from_secs(3)));
        let written =
            act(Tool::CollectDigits, r#"{"max_digits":"4","masked":"true","first_digit_timeout_s":null}"#);
        assert_eq!(written, ToolAction::CollectDigits(rules), "numbers as texts");
        for arguments in [
            r#"{"max_digits":0}"#,
            r#"{"max_digits":33}"#,
            r#"{"max_digits":-1}"#,
            r#"{"max_digits":4,"terminator":"7"}"#,
            r#"{"max_digits":4,"first_digit_timeout_s":61}"#,
            r#"{"max_digits":4,"inter_digit_timeout_s":0}"#,
            r#"{"max_digits":4,"other":1}"#,
        ] {
            assert!(read(Tool::CollectDigits, arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn specifications_are_objects_that_vendors_accept() {
        for tool in Tool::ALL {
            let Some(spec) = spec(*tool) else { continue };
            assert_eq!(&*spec.name, tool.as_str());
            assert_eq!(spec.parameters["type"], "object");
            assert!(!spec.description.is_empty());
        }
    }

    #[test]
    fn fields_have_plain_names_and_bounded_values() {
        let kept = remembered(r#"{"field":"customer_name","value":"Ada"}"#).expect("a field");
        assert_eq!((kept.field.as_str(), kept.value.as_str()), ("customer_name", "Ada"));
        let long = format!(r#"{{"field":"note","value":"{}"}}"#, "x".repeat(501));
        for arguments in [
            "{}",
            r#"{"field":"","value":"x"}"#,
            r#"{"field":"Name","value":"x"}"#,
            r#"{"field":"a b","value":"x"}"#,
            r#"{"field":"id","value":1}"#,
            r#"{"field":"id","value":"x","tenant_id":"y"}"#,
            &long,
        ] {
            assert!(remembered(arguments).is_err(), "{arguments}");
        }
    }

    proptest! {
        #[test]
        fn no_arguments_panic(arguments: String, keys: String) {
            for tool in Tool::ALL {
                let _ = read(*tool, &arguments);
                let _ = read(*tool, &json!({ "keys": keys, "max_digits": keys.len() }).to_string());
            }
        }
    }
}
