//! The schema of the actions of a choice.

use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{KeypadAction, MOST_DIGITS};
use crate::tenancy::Label;
use crate::tenancy::check::LONGEST_NAME;

/// utoipa's derived schema would allow each action the fields of others.
impl PartialSchema for KeypadAction {
    fn schema() -> RefOr<Schema> {
        let line = |longest| ObjectBuilder::new().schema_type(Type::String).max_length(Some(longest));
        let digits = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1_u64))
            .maximum(Some(u64::from(MOST_DIGITS)))
            .description(Some("The number of digits that completes the entry. The key # does, too."));
        let masked = ObjectBuilder::new().schema_type(Type::Boolean).description(Some(
            "For secrets: the agent has a reference in place of the digits. Default: `false`.",
        ));
        let label = || Ref::from_schema_name(Label::name());
        let agent = action("agent", "The agent goes on: it answers, or listens after words of the choice.");
        let menu = action("menu", "The menu of this name.").property("menu", label()).required("menu");
        let transfer = action("transfer", "The caller is transferred to this target of the tenant.");
        let switch = action("switch_agent", "This profile of `switch_to` goes on with the call.");
        let language = action("set_language", "The agent goes on in this one of `languages`.");
        let collect = action("collect", "Digits are collected, and the agent goes on with them.");
        OneOfBuilder::new()
            .item(agent)
            .item(menu)
            .item(transfer.property("target", label()).required("target"))
            .item(switch.property("agent", line(LONGEST_NAME)).required("agent"))
            .item(language.property("language", line(35)).required("language"))
            .item(collect.property("max_digits", digits).property("masked", masked).required("max_digits"))
            .item(action("end_call", "The call ends."))
            .description(Some("The action of a choice."))
            .into()
    }
}

impl ToSchema for KeypadAction {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Label::name().into_owned(), Label::schema()));
    }
}

/// An object with this action and no fields but those that are added.
fn action(name: &str, about: &str) -> ObjectBuilder {
    let action = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
    ObjectBuilder::new()
        .description(Some(about))
        .property("action", action)
        .required("action")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}
