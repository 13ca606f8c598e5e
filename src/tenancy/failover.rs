//! Failover routes of a number: where a call continues that the agent cannot serve, or no longer.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::kinds::words;
use super::{FailoverMessage, Label};

words!(
    /// Why a call needs a failover route. The words are also values of the channel variable `VCA_STATUS`.
    FailoverCase {
        /// The tenant has its maximum of calls.
        Busy = "busy",
        /// The daemon has its maximum of calls, or Asterisk too few RTP ports.
        Full = "full",
        /// The daemon is about to stop.
        Draining = "draining",
        /// The tenant's minutes of the month are used up.
        Quota = "quota",
        /// Outside of business hours.
        Closed = "closed",
        /// No profile answers the number, or its engines do not exist.
        NoAgent = "no_agent",
        /// Engines failed, before the answer or after it.
        Engines = "engines",
        /// The conversation has reached its limit of turns, time or hold; or the caller has the most calls of one number.
        Limit = "limit",
        /// The caller spoke of an emergency, and the profile hands such calls over.
        Emergency = "emergency",
    }
);

/// The route of a call in one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum FailoverRoute {
    /// The call continues in the dialplan after `Stasis`, with the case in `VCA_STATUS` and the label in `VCA_ROUTE`.
    Dialplan {
        /// A word for the dialplan, such as `night`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<Label>,
    },
    /// The call continues in the dialplan at one of the tenant's transfer targets. Where the target does not exist, is not
    /// allowed or has closed, it continues as with `dialplan`.
    Target {
        /// The target's name.
        target: Label,
    },
    /// The call is refused; an answered caller hears a goodbye and is hung up.
    // With braces: serde ignores the fields of a variant without them.
    HangUp {},
    /// The agent's voice says a message; an unanswered call is answered for it. Where it cannot be spoken, and in an emergency,
    /// the call continues at once.
    Message {
        /// The words.
        say: FailoverMessage,
        /// What follows. Default: the call ends.
        #[serde(default)]
        then: Continuation,
    },
}

/// Where a call continues, if it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Continuation {
    /// As [`FailoverRoute::Dialplan`].
    Dialplan {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<Label>,
    },
    /// As [`FailoverRoute::Target`].
    Target { target: Label },
    /// The call ends.
    HangUp {},
}

impl Default for Continuation {
    fn default() -> Continuation {
        Continuation::HangUp {}
    }
}

impl FailoverRoute {
    /// Where the call continues, after the message if there is one.
    pub fn continuation(&self) -> Continuation {
        match self {
            FailoverRoute::Dialplan { label } => Continuation::Dialplan { label: label.clone() },
            FailoverRoute::Target { target } => Continuation::Target { target: target.clone() },
            FailoverRoute::HangUp {} => Continuation::HangUp {},
            FailoverRoute::Message { then, .. } => then.clone(),
        }
    }

    /// The words that the caller hears first.
    pub fn message(&self) -> Option<&FailoverMessage> {
        match self {
            FailoverRoute::Message { say, .. } => Some(say),
            FailoverRoute::Dialplan { .. } | FailoverRoute::Target { .. } | FailoverRoute::HangUp {} => None,
        }
    }
}

/// utoipa's derived schema would allow each action the fields of others.
impl PartialSchema for FailoverRoute {
    fn schema() -> RefOr<Schema> {
        let hang_up =
            action("hang_up", "The call is refused; an answered caller hears a goodbye and is hung up.");
        let message = action(
            "message",
            "The agent's voice says `say`, for which an unanswered call is answered; then the call continues or ends (`then`, by \
             default `hang_up`). Where the words cannot be spoken, it continues at once.",
        );
        let [dialplan, target] = continuing();
        let message = message
            .property("say", Ref::from_schema_name(FailoverMessage::name()))
            .required("say")
            .property("then", Ref::from_schema_name(Continuation::name()));
        [dialplan, target, hang_up, message]
            .into_iter()
            .fold(OneOfBuilder::new(), OneOfBuilder::item)
            .description(Some("What happens to a call in one case."))
            .into()
    }
}

/// A schema of its own: generators of clients fail at one of several forms within another.
impl PartialSchema for Continuation {
    fn schema() -> RefOr<Schema> {
        let hang_up = action("hang_up", "The call ends.");
        continuing()
            .into_iter()
            .chain([hang_up])
            .fold(OneOfBuilder::new(), OneOfBuilder::item)
            .description(Some("What follows the message of a failover route. Default: `hang_up`."))
            .into()
    }
}

impl ToSchema for Continuation {}

/// The actions by which a call continues elsewhere.
fn continuing() -> [ObjectBuilder; 2] {
    let label = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(Ref::from_schema_name(Label::name()))
        .description(Some("A word for the dialplan, such as `night`: the value of `VCA_ROUTE`."));
    let dialplan = action(
        "dialplan",
        "The call continues in the dialplan after `Stasis`, with the case in `VCA_STATUS`.",
    );
    let target = action(
        "target",
        "The call continues in the dialplan at one of the tenant's transfer targets, by its name. Where the target does not \
         exist, is not allowed or has closed, it continues as with `dialplan`.",
    );
    let target = target.property("target", Ref::from_schema_name(Label::name())).required("target");
    [dialplan.property("label", label), target]
}

impl ToSchema for FailoverRoute {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Label::name().into_owned(), Label::schema()));
        schemas.push((FailoverMessage::name().into_owned(), FailoverMessage::schema()));
        schemas.push((Continuation::name().into_owned(), Continuation::schema()));
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

/// The failover routes of a number. A case without a route takes `default`. Without either, an unanswered call is refused
/// and an answered one ends with a goodbye; `draining`, `engines` before the answer and a lack of RTP ports continue in the
/// dialplan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverRoutes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<FailoverRoute>,
    /// The tenant has its maximum of calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<FailoverRoute>,
    /// The daemon has its maximum of calls, or Asterisk too few RTP ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<FailoverRoute>,
    /// The daemon is about to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<FailoverRoute>,
    /// The tenant's minutes of the month are used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<FailoverRoute>,
    /// Outside of business hours. With `hang_up` the caller hears the profile's phrase `closed` first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<FailoverRoute>,
    /// No profile answers the number, or its engines do not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_agent: Option<FailoverRoute>,
    /// Engines failed, before the answer or after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engines: Option<FailoverRoute>,
    /// The conversation has reached its limit of turns, time or hold; or the caller has the most calls of one number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<FailoverRoute>,
    /// The caller spoke of an emergency, and the profile's `turn.emergency` is `route`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<FailoverRoute>,
}

impl FailoverRoutes {
    /// The route of a case.
    pub fn of(&self, case: FailoverCase) -> Option<&FailoverRoute> {
        let own = match case {
            FailoverCase::Busy => &self.busy,
            FailoverCase::Full => &self.full,
            FailoverCase::Draining => &self.draining,
            FailoverCase::Quota => &self.quota,
            FailoverCase::Closed => &self.closed,
            FailoverCase::NoAgent => &self.no_agent,
            FailoverCase::Engines => &self.engines,
            FailoverCase::Limit => &self.limit,
            FailoverCase::Emergency => &self.emergency,
        };
        own.as_ref().or(self.default.as_ref())
    }

    /// Does a call continue elsewhere in this case, at once or after a message?
    pub fn continues(&self, case: FailoverCase) -> bool {
        self.of(case).is_some_and(|route| route.continuation() != Continuation::HangUp {})
    }

    /// The words that the caller hears first in this case.
    pub fn message(&self, case: FailoverCase) -> Option<&FailoverMessage> {
        self.of(case)?.message()
    }

    /// Does a case lead to a transfer target?
    pub fn uses_targets(&self) -> bool {
        let leads_to_target = |case: &FailoverCase| {
            self.of(*case).is_some_and(|route| matches!(route.continuation(), Continuation::Target { .. }))
        };
        FailoverCase::ALL.iter().any(leads_to_target)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_case_without_a_route_takes_the_default() {
        let routes: FailoverRoutes = serde_json::from_value(json!({
            "default": { "action": "dialplan" },
            "closed": { "action": "dialplan", "label": "night" },
            "limit": { "action": "hang_up" },
        }))
        .unwrap();
        let label = Some("night".parse().unwrap());
        assert_eq!(routes.of(FailoverCase::Closed), Some(&FailoverRoute::Dialplan { label }));
        assert_eq!(routes.of(FailoverCase::Limit), Some(&FailoverRoute::HangUp {}));
        assert_eq!(routes.of(FailoverCase::Busy), Some(&FailoverRoute::Dialplan { label: None }));
        assert!(routes.continues(FailoverCase::Busy) && !routes.continues(FailoverCase::Limit));
        assert!(!FailoverRoutes::default().continues(FailoverCase::Busy));
        assert!(!routes.uses_targets());
    }

    #[test]
    fn a_message_is_followed_by_another_action() {
        let routes: FailoverRoutes = serde_json::from_value(json!({
            "default": { "action": "message", "say": "All lines are busy." },
            "closed": {
                "action": "message", "say": "We are closed.", "then": { "action": "target", "target": "mailbox" },
            },
        }))
        .unwrap();
        let words = |case| routes.message(case).map(ToString::to_string);
        assert_eq!(words(FailoverCase::Busy).as_deref(), Some("All lines are busy."));
        assert_eq!(words(FailoverCase::Closed).as_deref(), Some("We are closed."));
        assert!(routes.continues(FailoverCase::Closed) && !routes.continues(FailoverCase::Busy));
        assert!(routes.uses_targets());
        let stored = serde_json::to_value(&routes).unwrap();
        assert_eq!(serde_json::from_value::<FailoverRoutes>(stored).unwrap(), routes);
    }

    #[test]
    fn the_schema_has_the_fields_of_each_action_alone() {
        let schema = serde_json::to_value(FailoverRoute::schema()).unwrap();
        let actions: [(&str, &[&str]); 4] = [
            ("dialplan", &["action", "label"]),
            ("target", &["action", "target"]),
            ("hang_up", &["action"]),
            ("message", &["action", "say", "then"]),
        ];
        for (action, expected) in actions {
            let all = schema["oneOf"].as_array().unwrap();
            let is_it = |it: &&serde_json::Value| it["properties"]["action"]["enum"] == json!([action]);
            let own = all.iter().find(is_it).unwrap();
            let fields: BTreeSet<&str> =
                own["properties"].as_object().unwrap().keys().map(|it| &**it).collect();
            assert_eq!(fields, expected.iter().copied().collect(), "{action}");
            assert_eq!(own["additionalProperties"], json!(false), "{action}");
        }
        assert_eq!(serde_json::to_value(FailoverRoute::HangUp {}).unwrap(), json!({ "action": "hang_up" }));
    }

    #[test]
    fn a_route_is_refused_with_a_typing_mistake() {
        for wrong in [
            json!({ "busy": { "action": "dialplan", "lable": "x" } }),
            json!({ "bussy": { "action": "dialplan" } }),
            json!({ "busy": { "action": "fly" } }),
            json!({ "busy": { "action": "hang_up", "label": "x" } }),
            json!({ "busy": { "action": "target", "target": "x", "label": "x" } }),
            json!({ "busy": { "action": "dialplan", "label": "${SHELL(rm)}" } }),
            json!({ "busy": { "action": "dialplan", "label": "" } }),
            json!({ "busy": { "action": "message" } }),
            json!({ "busy": { "action": "message", "say": "" } }),
            json!({ "busy": { "action": "message", "say": "Hello {{caller}}" } }),
            json!({ "busy": { "action": "message", "say": "Busy.", "then": { "action": "message", "say": "x" } } }),
            json!({ "busy": { "action": "message", "say": "Busy.", "then": { "action": "hang_up", "label": "x" } } }),
        ] {
            assert!(serde_json::from_value::<FailoverRoutes>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
