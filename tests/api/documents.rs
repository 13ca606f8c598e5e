//! The description of the API and the pages on which people read it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vca::tenancy::{
    AgentRole, CallStatus, DeliveryStatus, EventType, Plan, ProviderState, ProviderType, Role, TenantStatus,
};

use super::api_server::ApiServer;
use super::on_both;

on_both!(the_document_is_served, the_pages_load_nothing_from_elsewhere);

async fn the_document_is_served(api: ApiServer) {
    let served = api.nobody().get("/openapi.json").await.expect(200);
    assert_eq!(served, document());
}

fn document() -> Value {
    serde_json::to_value(vca::admin::api::document()).expect("JSON")
}

/// Path, method and description of each operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods");
            methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{place}: {id} is there twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}: no summary");
        for tag in operation["tags"].as_array().expect("a tag") {
            assert!(tags.contains(&tag), "{place}: the tag {tag} is not described");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{place}: {parameter}");
            assert!(!parameter["schema"].to_string().contains("null"), "{place}: {parameter}");
        }
        check_responses(&document, &place, operation);
    }
}

fn check_responses(document: &Value, place: &str, operation: &Value) {
    let responses = operation["responses"].as_object().expect("responses");
    assert!(responses.keys().any(|status| status.starts_with('2')), "{place}: no success");
    for (status, response) in responses {
        let response = match response["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).expect("a shared response"),
            None => response,
        };
        assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place}: {status}");
        if status.as_str() >= "400" {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{place}: {status}");
        }
    }
    let has_body = operation["requestBody"].is_object();
    for (status, expected) in
        [("400", true), ("429", true), ("503", true), ("408", has_body), ("413", has_body)]
    {
        assert_eq!(responses.contains_key(status), expected, "{place}: {status}");
    }
}

#[test]
fn each_operation_names_its_security() {
    let document = document();
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    assert_eq!(document["security"], json!([{ "api_key": [] }]));
    for (path, method, operation) in operations(&document) {
        let expected = match path {
            "/internal/telephony/inbound" => json!([{ "inbound_secret": [] }, { "inbound_bearer": [] }]),
            _ => Value::Null,
        };
        assert_eq!(operation["security"], expected, "{method} {path}");
    }
}

#[test]
fn schemas_are_described_and_named_once() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        let about = schema["description"].as_str().unwrap_or_default();
        assert!(name.ends_with("Page") || !about.is_empty(), "{name} has no description");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        if name.ends_with("Request") && name != "AnnounceCallRequest" {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
    let text = document.to_string();
    assert!(!text.contains("::"), "a path of Rust's is in a description");
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at + 21..].split('"').next().expect("a name");
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
}

#[test]
fn sets_of_words_are_as_they_are_sent() {
    let document = document();
    let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    let all = |words: Vec<&str>| json!(words);
    assert_eq!(words("TenantStatus"), all(TenantStatus::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("Plan"), all(Plan::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("Role"), all(Role::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("AgentRole"), all(AgentRole::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("CallStatus"), all(CallStatus::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("ProviderType"), all(ProviderType::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("ProviderState"), all(ProviderState::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("EventType"), all(EventType::ALL.iter().map(|it| it.as_str()).collect()));
    assert_eq!(words("DeliveryStatus"), all(DeliveryStatus::ALL.iter().map(|it| it.as_str()).collect()));
}

#[test]
fn every_type_of_event_has_its_payload() {
    let document = document();
    let described: Vec<&String> = document["webhooks"].as_object().expect("webhooks").keys().collect();
    let mut expected: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(described, expected);
}

#[test]
fn the_document_has_limits_of_lists() {
    let document = document();
    for (path, _, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters {
            match parameter["name"].as_str() {
                Some("limit") => assert_eq!(
                    (&parameter["schema"]["minimum"], &parameter["schema"]["maximum"]),
                    (&json!(1), &json!(500)),
                    "{path}"
                ),
                Some("cursor") => assert_eq!(parameter["schema"]["format"], "uuid", "{path}"),
                _ => {}
            }
        }
    }
}

async fn the_pages_load_nothing_from_elsewhere(api: ApiServer) {
    let nobody = api.nobody();
    let page = nobody.get("/docs/").await;
    let policy = page.headers["content-security-policy"].to_str().expect("text").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("http"),
        "{policy}"
    );
    let html = page.expect(200).as_str().expect("a page").to_owned();
    assert!(!html.contains("://") && !html.contains("src=\"//"), "{html}");
    let named = html.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let mut count = 0;
    for file in named {
        let file = nobody.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert_eq!(file.status, 200);
        count += 1;
    }
    assert!(count >= 4, "{html}");
    let started = nobody.get("/docs/swagger-initializer.js").await.expect(200);
    let started = started.as_str().expect("a script");
    assert!(started.contains("/openapi.json") && !started.contains("http"), "{started}");
}
