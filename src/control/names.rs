//! Names that people give: one rule for the API, the command line and imports.

use crate::tenancy::{LONGEST_TENANT_NAME, check_name};
use crate::violation::Violation;

/// The most characters of an API key's name.
const LONGEST_KEY_NAME: usize = 100;

/// The violation of a tenant's name, if it has one.
pub fn check_tenant_name(name: &str) -> Option<Violation> {
    check_name("name", name, LONGEST_TENANT_NAME)
}

/// The violation of an API key's name, if it has one.
pub fn check_key_name(name: &str) -> Option<Violation> {
    check_name("name", name, LONGEST_KEY_NAME)
}
