//! Rules that hold whoever asks.

use proptest::prelude::*;

use super::*;

#[test]
fn names_have_a_length() {
    assert_eq!(check_tenant_name("Bakery"), None);
    assert_eq!(check_tenant_name(&"ü".repeat(200)), None);
    for name in ["", " \t", &"x".repeat(201), "a\nb", "a\u{0}b"] {
        assert_eq!(
            check_tenant_name(name).map(|violation| violation.field),
            Some("name".to_owned()),
            "{name:?}"
        );
    }
    let violation = check_tenant_name("a\nb").map(|violation| violation.problem);
    assert_eq!(violation.as_deref(), Some("it contains the control character U+000A: remove it"));
    assert_eq!(check_key_name(&"x".repeat(100)), None);
    assert!(check_key_name("a\u{1b}[31m").is_some());
    assert!(check_key_name(&"x".repeat(101)).is_some());
}

proptest! {
    #[test]
    fn a_name_that_is_accepted_can_be_shown(name in ".{0,300}") {
        if check_tenant_name(&name).is_none() {
            prop_assert!(!name.trim().is_empty() && name.chars().count() <= 200);
            prop_assert!(!name.chars().any(char::is_control));
        }
    }
}
