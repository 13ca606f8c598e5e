//! Names that people give.

use crate::tenancy::Flaw;

/// Characters of a tenant's name.
const LONGEST_TENANT_NAME: usize = 200;
/// Characters of an API key's name.
const LONGEST_KEY_NAME: usize = 100;

/// The flaw of a tenant's name, if it has one.
pub fn check_tenant_name(name: &str) -> Option<Flaw> {
    check("a name is needed", name, LONGEST_TENANT_NAME)
}

/// The flaw of an API key's name, if it has one.
pub fn check_key_name(name: &str) -> Option<Flaw> {
    check("a name is needed: say what the key is for", name, LONGEST_KEY_NAME)
}

fn check(needed: &str, name: &str, longest: usize) -> Option<Flaw> {
    let problem = match name.trim().chars().count() {
        0 => needed.to_owned(),
        length if length > longest => format!("{longest} characters at most"),
        _ if name.chars().any(char::is_control) => "no control characters".to_owned(),
        _ => return None,
    };
    Some(Flaw::new("name", problem))
}
