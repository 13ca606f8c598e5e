//! Every route of the OpenAPI document, walked with another tenant's key and another tenant's ids.
//!
//! A route that is new and not provided for here fails the test.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use vca::store::NewNumber;
use vca::tenancy::{Actor, TenantId};

use super::bureau::Bureau;
use super::on_both;

on_both!(another_tenant_reaches_nothing);

/// Routes that are the operator's alone: 403 for every key of a tenant's.
const OPERATORS: &[&str] = &["/api/tenants"];

/// Routes that need no key, or one of another kind.
const OPEN: &[&str] = &["/internal/telephony/inbound"];

async fn another_tenant_reaches_nothing(bureau: Bureau) {
    let (mine, _) = bureau.tenant("Mine").await;
    let (_, stranger) = bureau.tenant("Stranger").await;
    let number = NewNumber { did: "+49305550100".parse().expect("a DID"), provider_type: "generic".into() };
    let number =
        bureau.store.scope(TenantId(mine)).create_number(&Actor::system(), number).await.expect("a number");
    let ids = BTreeMap::from([("tenant_id", mine.to_string()), ("phone_number_id", number.id.to_string())]);
    let document = bureau.nobody().get("/openapi.json").await.expect(200);
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            let filled = fill(path, &ids);
            let method: Method = method.to_uppercase().parse().expect("a method");
            let body = (method != Method::GET).then(|| Value::to_string(&json!({})));
            let answer = stranger.send(method.clone(), &filled, body).await;
            let expected = match path.as_str() {
                path if OPEN.contains(&path) => continue,
                path if OPERATORS.contains(&path) => 403,
                // What only the operator may do with a tenant tells a tenant's key so, whichever tenant it is.
                "/api/tenants/{tenant_id}" if method == Method::PATCH => 403,
                path if path.contains("{tenant_id}") => 404,
                path => panic!("{method} {path} is new: say in this test who may reach it"),
            };
            assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {:#}", answer.body);
            walked += 1;
        }
    }
    assert!(walked >= 4, "only {walked} operations were walked");
}

/// The path with another tenant's ids in the place of its parameters.
fn fill(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let segments = path.split('/').map(|segment| {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let id = ids.get(name);
        id.unwrap_or_else(|| panic!("{path}: make a {name} of the other tenant's in this test")).clone()
    });
    segments.collect::<Vec<_>>().join("/")
}
