//! The versions of a number's routing, and how two of them differ.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{FailoverRoutes, NumberId, NumberRouting};

/// A number's routing at one version. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutingVersion {
    pub phone_number_id: NumberId,
    pub version: u32,
    /// Which profiles answer.
    pub routing: NumberRouting,
    /// Where calls continue that the agent cannot serve, or no longer.
    pub failover: FailoverRoutes,
    /// Who created the version; `null` for the one with which the number began.
    pub created_by: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// How two versions of a number's routing differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutingComparison {
    pub earlier: u32,
    pub later: u32,
    /// By field.
    pub differences: Vec<RoutingDifference>,
}

/// A field with another value in the later one of two versions of a number's routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutingDifference {
    /// `profiles.` with a profile's id, for its weight; `closed_profile_id`; or `failover.` with a case, for its route.
    pub field: String,
    /// Its value in the earlier version; `null` where that has none.
    pub before: Option<Value>,
    /// Its value in the later version; `null` where that has none.
    pub after: Option<Value>,
}

impl RoutingVersion {
    /// How it differs from an earlier version.
    pub fn compared_with(&self, earlier: &RoutingVersion) -> RoutingComparison {
        let differences = self.differences(earlier);
        RoutingComparison { earlier: earlier.version, later: self.version, differences }
    }

    fn differences(&self, earlier: &RoutingVersion) -> Vec<RoutingDifference> {
        let (mut before, after) = (earlier.fields(), self.fields());
        let mut differences: Vec<RoutingDifference> = after
            .into_iter()
            .map(|(field, after)| {
                let before = before.remove(&field);
                RoutingDifference { field, before, after: Some(after) }
            })
            .collect();
        differences.retain(|difference| difference.before != difference.after);
        let removed = |(field, value)| RoutingDifference { field, before: Some(value), after: None };
        differences.extend(before.into_iter().map(removed));
        differences.sort_by(|a, b| a.field.cmp(&b.field));
        differences
    }

    fn fields(&self) -> BTreeMap<String, Value> {
        let shares = self.routing.profiles.iter();
        let shares = shares.map(|share| (format!("profiles.{}", share.ai_profile_id), json!(share.weight)));
        let closed = self.routing.closed_profile_id.map(|id| ("closed_profile_id".to_owned(), json!(id)));
        let routes = match json!(self.failover) {
            Value::Object(routes) => routes,
            _ => serde_json::Map::new(),
        };
        let routes = routes.into_iter().map(|(case, route)| (format!("failover.{case}"), route));
        shares.chain(closed).chain(routes).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn version(routing: Value, failover: Value) -> RoutingVersion {
        RoutingVersion {
            phone_number_id: NumberId(Uuid::nil()),
            version: 1,
            routing: serde_json::from_value(routing).unwrap(),
            failover: serde_json::from_value(failover).unwrap(),
            created_by: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn versions_differ_by_weights_profiles_and_routes() {
        let [one, two, night] = [1, 2, 3].map(Uuid::from_u128);
        let share = |id, weight| json!({ "ai_profile_id": id, "weight": weight });
        let dialplan = json!({ "action": "dialplan" });
        let before = version(
            json!({ "profiles": [share(one, 70), share(two, 30)] }),
            json!({ "default": dialplan, "busy": { "action": "hang_up" } }),
        );
        let after = version(
            json!({ "profiles": [share(one, 50)], "closed_profile_id": night }),
            json!({ "default": dialplan, "busy": dialplan }),
        );
        let difference = |field: String, before: Value, after: Value| {
            let given = |value: Value| (!value.is_null()).then_some(value);
            RoutingDifference { field, before: given(before), after: given(after) }
        };
        let expected = [
            difference("closed_profile_id".into(), Value::Null, json!(night)),
            difference("failover.busy".into(), json!({ "action": "hang_up" }), dialplan),
            difference(format!("profiles.{one}"), json!(70), json!(50)),
            difference(format!("profiles.{two}"), json!(30), Value::Null),
        ];
        assert_eq!(after.differences(&before), expected);
        assert_eq!(before.differences(&before), []);
    }
}
