//! Whatever comes in, the answer is the client's fault or a success, never one of ours.
//!
//! Every operation of the OpenAPI document is fuzzed by its own description, so a new one is, too.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use vca::store::{KeyFilter, Window};
use vca::tenancy::TenantId;

use super::api_server::ApiServer;
use super::on_both;

on_both!(
    no_body_makes_a_fault,
    no_query_makes_a_fault,
    no_path_makes_a_fault,
    wrong_methods_are_told,
    unknown_parameters_are_refused,
    a_body_that_is_not_json_is_refused,
);

/// Bodies for each operation, and queries.
const CASES: usize = 40;

/// A value of any kind, awkward ones among them.
fn anything() -> impl Strategy<Value = Value> {
    let awkward = prop::sample::select(vec![
        json!(""),
        json!("\0"),
        json!("'; DROP TABLE tenants; --"),
        json!("\u{1f4a3}\u{202e}"),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-0.0),
        json!("99999-01-01T00:00:00Z"),
        json!("+9999-12-31T23:59:59Z"),
        json!("0001-01-01T00:00:00Z"),
        json!(Uuid::nil()),
        json!("x".repeat(5_000)),
    ]);
    let leaf = prop_oneof![
        2 => awkward,
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The schema that a `$ref` leads to, or the schema itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

/// A value that fits a schema, more or less.
fn fitting(document: &Value, schema: &Value, runner: &mut TestRunner, depth: usize) -> Value {
    let schema = resolved(document, schema);
    let any = |runner: &mut TestRunner| anything().new_tree(runner).expect("a value").current();
    let dice = (0_u8..8).new_tree(runner).expect("a number").current();
    if dice == 0 || depth > 4 {
        return any(runner);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[usize::from(dice) % words.len()].clone();
    }
    if let Some(options) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        return fitting(document, &options[usize::from(dice) % options.len()], runner, depth + 1);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    match kind {
        "object" if schema["properties"].is_object() => {
            let mut object = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let dice = (0_u8..4).new_tree(runner).expect("a number").current();
                if dice > 0 {
                    object.insert(name.clone(), fitting(document, property, runner, depth + 1));
                }
            }
            Value::Object(object)
        }
        "array" => json!([fitting(document, &schema["items"], runner, depth + 1)]),
        "string" if schema["format"] == "uuid" => json!(Uuid::now_v7()),
        "string" if schema["format"] == "date-time" => json!("2031-03-01T00:00:00Z"),
        "string" => ".{1,20}".new_tree(runner).expect("a text").current().into(),
        "integer" => (0_i64..100).new_tree(runner).expect("a number").current().into(),
        "boolean" => (dice > 3).into(),
        _ => any(runner),
    }
}

struct Field {
    api: ApiServer,
    document: Value,
    tenant: Uuid,
    /// For the operations that delete a tenant.
    doomed: Uuid,
    key: Uuid,
}

impl Field {
    async fn new(api: ApiServer) -> Field {
        let (tenant, _) = api.tenant("Bakery").await;
        let (doomed, _) = api.tenant("Doomed").await;
        let scope = api.store.scope(TenantId(tenant));
        let keys = scope.keys(&KeyFilter::default(), Window::first(1)).await.expect("keys");
        let document = api.nobody().get("/openapi.json").await.expect(200);
        Field { api, document, tenant, doomed, key: keys.items[0].id.0 }
    }

    /// Method, path and description of each operation, filled with ids that are there where they are known.
    fn operations(&self) -> Vec<(Method, String, Value)> {
        let mut all = Vec::new();
        for (path, item) in self.document["paths"].as_object().expect("paths") {
            let may_delete =
                ["/api/tenants/{tenant_id}", "/api/tenants/{tenant_id}/purge"].contains(&path.as_str());
            for (method, operation) in item.as_object().expect("methods") {
                let segments = path.split('/').map(|segment| match segment {
                    "{tenant_id}" if may_delete => self.doomed.to_string(),
                    "{tenant_id}" => self.tenant.to_string(),
                    "{key_id}" => self.key.to_string(),
                    other if other.starts_with('{') => Uuid::now_v7().to_string(),
                    other => other.to_owned(),
                });
                let filled = segments.collect::<Vec<_>>().join("/");
                all.push((method.to_uppercase().parse().expect("a method"), filled, operation.clone()));
            }
        }
        all
    }

    async fn send(&self, method: &Method, path: &str, body: Option<String>) {
        let answer = self.api.operator.send(method.clone(), path, body.clone()).await;
        let status = answer.status.as_u16();
        assert!(status < 500, "{method} {path} with {body:?}: {status} {:#}", answer.body);
        if status >= 400 {
            answer.problem(status);
        }
    }
}

async fn no_body_makes_a_fault(api: ApiServer) {
    let field = Field::new(api).await;
    let mut runner = TestRunner::deterministic();
    for (method, path, operation) in field.operations() {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        for body in ["", "{", "null", "[]", "\"\u{0}\"", "{\"a\":1}x", "{\"name\":\"\u{e9}\"", "[[[[[[[["] {
            field.send(&method, &path, Some(body.to_owned())).await;
        }
        field.send(&method, &path, Some("[".repeat(100_000))).await;
        for _ in 0..CASES {
            let body = fitting(&field.document, schema, &mut runner, 0);
            field.send(&method, &path, Some(body.to_string())).await;
        }
    }
}

async fn no_query_makes_a_fault(api: ApiServer) {
    let field = Field::new(api).await;
    let mut runner = TestRunner::deterministic();
    for (method, path, operation) in field.operations() {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        if names.is_empty() || method != Method::GET {
            continue;
        }
        for n in 0..CASES {
            let name = names[n % names.len()];
            let value = anything().new_tree(&mut runner).expect("a value").current();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let encoded: String = text.bytes().take(1_000).map(|byte| format!("%{byte:02X}")).collect();
            field.send(&method, &format!("{path}?{name}={encoded}"), None).await;
        }
        for broken in ["%", "%ff", "&&&=", "limit=1&limit=2", "cursor=%00"] {
            field.send(&method, &format!("{path}?{broken}"), None).await;
        }
    }
}

async fn no_path_makes_a_fault(api: ApiServer) {
    let field = Field::new(api).await;
    for id in ["x", "%00", "%ff", "..", "%2e%2e%2fetc", "'", &"9".repeat(4_000), &Uuid::nil().to_string()] {
        for path in field.document["paths"].as_object().expect("paths").keys() {
            let segments = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
            field.send(&Method::GET, &segments.collect::<Vec<_>>().join("/"), None).await;
        }
    }
}

async fn wrong_methods_are_told(api: ApiServer) {
    let field = Field::new(api).await;
    let document = &field.document;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let filled = path.replace("{tenant_id}", &field.tenant.to_string());
        for method in [Method::PUT, Method::OPTIONS, Method::TRACE] {
            if item.get(method.as_str().to_lowercase()).is_none() {
                let answer = field.api.operator.send(method, &filled, None).await;
                assert_eq!(answer.problem(405), "method_not_allowed", "{path}");
            }
        }
    }
}

/// A parameter that is written wrongly would be a filter that filters nothing.
async fn unknown_parameters_are_refused(api: ApiServer) {
    let field = Field::new(api).await;
    for (method, path, operation) in field.operations() {
        let answer = field.api.operator.send(method, &format!("{path}?statsu=active"), None).await;
        let body = answer.expect(400);
        assert_eq!(body["errors"][0]["field"], "statsu", "{body:#}");
        let known = operation["parameters"].as_array().into_iter().flatten();
        for name in known.filter(|parameter| parameter["in"] == "query").filter_map(|it| it["name"].as_str())
        {
            assert!(body["detail"].as_str().expect("a detail").contains(name), "{body:#}");
        }
    }
}

async fn a_body_that_is_not_json_is_refused(api: ApiServer) {
    let operator = &api.operator;
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
    ] {
        let sent = operator.post_as(kind, "/api/tenants", r#"{"name":"Bakery","plan":"starter"}"#).await;
        assert_eq!(sent.status, status, "{kind}: {:#}", sent.body);
    }
}
