//! Variables of prompts: `{{name}}` stands for a value of the call or of the profile.

use std::collections::BTreeMap;

use super::{ProfileSettings, is_field_name};
use crate::violation::Violation;

/// The variables that every call has.
pub const BUILT_IN: [&str; 7] = ["now", "date", "caller", "called", "call_id", "hours", "emergency"];

/// Precedes the name of a SIP header: `{{sip.X-Customer-Id}}`.
pub const HEADER: &str = "sip.";

pub(super) const MOST_VARIABLES: usize = 50;
pub(super) const LONGEST_VALUE: usize = 1_000;
/// The longest name of a variable, in characters.
const LONGEST_NAME: usize = 80;
/// The rule of a name that a profile declares.
pub(super) const NAME: &str = "^[a-z][a-z0-9_]{0,39}$";

/// A part of a text with variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart<'a> {
    Text(&'a str),
    /// A name between braces, and the whole as it is written.
    Variable {
        name: &'a str,
        written: &'a str,
    },
}

/// The parts of a text. Braces around more than a name are text.
pub fn pieces(text: &str) -> Vec<TemplatePart<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(start) = rest.find("{{") {
        let (before, braces) = rest.split_at(start);
        let Some((name, end)) = variable(braces) else {
            let end = start + 2;
            pieces.push(TemplatePart::Text(&rest[..end]));
            rest = &rest[end..];
            continue;
        };
        pieces.push(TemplatePart::Text(before));
        pieces.push(TemplatePart::Variable { name, written: &braces[..end] });
        rest = &braces[end..];
    }
    pieces.push(TemplatePart::Text(rest));
    pieces.retain(|piece| *piece != TemplatePart::Text(""));
    pieces
}

/// The name of the variable at the beginning of `braces`, and its length with the braces.
fn variable(braces: &str) -> Option<(&str, usize)> {
    let inner = braces.get(2..)?;
    let end = inner.find("}}")?;
    let name = inner[..end].trim_matches(' ');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_name)).then_some((name, end + 4))
}

/// The names of the variables in a text.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        TemplatePart::Variable { name, .. } => Some(name),
        TemplatePart::Text(_) => None,
    })
}

/// Checks that the variables of a profile's texts exist. `headers` are the SIP headers that the operator trusts.
pub fn check_variables(
    system_prompt: &str,
    settings: &ProfileSettings,
    headers: &[String],
) -> Vec<Violation> {
    let texts = [("system_prompt".to_owned(), system_prompt)].into_iter();
    let greeting = settings.greeting.as_deref().map(|text| ("settings.greeting".to_owned(), text));
    let phrases =
        settings.phrases.iter().map(|(name, text)| (format!("settings.phrases.{name}"), text.as_str()));
    let menus = settings.menu_texts().map(|(field, text)| (format!("settings.{field}"), text));
    let known = |name: &str| {
        BUILT_IN.contains(&name)
            || settings.variables.contains_key(name)
            || header(name)
                .is_some_and(|header| headers.iter().any(|known| known.eq_ignore_ascii_case(header)))
    };
    let unknown = texts.chain(greeting).chain(phrases).chain(menus).filter_map(|(field, text)| {
        let name = names(text).find(|name| !known(name))?;
        Some(Violation::with_remedy(
            field,
            format!("there is no variable {name:?}"),
            remedy(settings, headers),
        ))
    });
    unknown.collect()
}

/// The SIP header that a variable names.
pub fn header(name: &str) -> Option<&str> {
    name.strip_prefix(HEADER)
}

fn remedy(settings: &ProfileSettings, headers: &[String]) -> String {
    let built_in = BUILT_IN.iter().map(ToString::to_string);
    let headers = headers.iter().map(|header| format!("{HEADER}{header}"));
    let known: Vec<String> = built_in.chain(settings.variables.keys().cloned()).chain(headers).collect();
    format!("use one of {}, or declare it in settings.variables", known.join(", "))
}

/// Checks the variables that a profile declares.
pub(super) fn check_declared(variables: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if variables.len() > MOST_VARIABLES {
        violations.push(Violation::new("variables", format!("more than {MOST_VARIABLES} variables")));
    }
    for (name, value) in variables.iter().take(MOST_VARIABLES) {
        let field = format!("variables.{name}");
        if BUILT_IN.contains(&name.as_str()) {
            violations
                .push(Violation::new(field, "every call has a variable of this name: choose another name"));
        } else if !is_field_name(name) {
            let problem = "a name is a lower-case letter and then up to 39 lower-case letters, digits and _";
            violations.push(Violation::new(field, problem));
        } else {
            violations.extend(super::check_remark(&field, value, LONGEST_VALUE));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_name_in_braces_is_a_variable() {
        let found = |text| names(text).collect::<Vec<_>>();
        assert_eq!(found("Hello {{name}}, it is {{ now }}."), ["name", "now"]);
        assert_eq!(found("{{sip.X-Customer-Id}}"), ["sip.X-Customer-Id"]);
        assert_eq!(found("{name} {{a b}} {{}} {{ {{x}} {{"), ["x"]);
    }

    #[test]
    fn unknown_variables_are_violations() {
        let settings: ProfileSettings = serde_json::from_value(serde_json::json!({
            "greeting": "Hello {{customer}}.", "phrases": { "closed": "We open {{hours}}, {{nobody}}." },
            "variables": { "customer": "Ms. Roth" },
        }))
        .expect("settings");
        let fields = |prompt, headers: &[String]| {
            let found = check_variables(prompt, &settings, headers);
            found.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        assert_eq!(fields("{{now}} {{customer}}", &[]), ["settings.phrases.closed"]);
        assert_eq!(fields("{{sip.X-Id}}", &["x-id".to_owned()]), ["settings.phrases.closed"]);
        assert_eq!(fields("{{sip.X-Id}} {{x}}", &[]), ["system_prompt", "settings.phrases.closed"]);
    }

    #[test]
    fn declared_variables_are_bounded() {
        let variables = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(check_declared(&variables("shop_2", "Roth & Sons")), []);
        for (name, value) in [("now", "x"), ("Shop", "x"), ("1st", "x"), ("", "x"), ("a", "x\ny")] {
            assert_eq!(check_declared(&variables(name, value)).len(), 1, "{name}");
        }
        assert_eq!(check_declared(&variables("a", &"x".repeat(LONGEST_VALUE + 1))).len(), 1);
        let many = (0..=MOST_VARIABLES).map(|at| (format!("v{at}"), String::new())).collect();
        assert_eq!(check_declared(&many)[0].field, "variables");
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(text in "[a-z{} \u{e9}.-]{0,80}") {
            let whole: String = pieces(&text).into_iter().map(|piece| match piece {
                TemplatePart::Text(text) => text,
                TemplatePart::Variable { written, .. } => written,
            }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
