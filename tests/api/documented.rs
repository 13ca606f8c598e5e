//! Every answer that the tests of the API receive, and every request that a webhook's receiver gets, is held against the
//! OpenAPI document: status, media type, body.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Draft, Registry, Validator};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// The document's address in its own references.
const ADDRESS: &str = "urn:vca:api";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(vca::admin::api::document()).expect("JSON");
    make_absolute(&mut document);
    document
});

static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
    let registry = Registry::new().add(ADDRESS, &*DOCUMENT).expect("an address");
    registry.prepare().expect("a document")
});

/// Words of parsers and databases that no client is to see.
const FOREIGN: [&str; 10] = [
    "unknown variant",
    "unknown field",
    "missing field",
    "duplicate field",
    "invalid type",
    "invalid value:",
    "invalid digit",
    "UUID parsing",
    "constraint",
    "deserialize",
];

/// # Panics
/// When the document does not allow this answer to this request.
pub fn check_answer(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &Value) {
    let Some((template, operation)) = operation(method, path) else { return };
    let place = format!("{method} {template}: {status}");
    let response = resolved(&operation["responses"][status.as_str()]);
    assert!(response.is_object(), "{place} is not in the document: {body:#}");
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().expect("text"));
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let Some(contents) = response["content"].as_object() else {
        assert_eq!(body, "", "{place}: a body that is not in the document");
        return;
    };
    let content = contents.get(essence);
    let content = content.unwrap_or_else(|| panic!("{place}: {essence:?} is not in the document"));
    check(&content["schema"], body, &place);
    if status.is_client_error() {
        let text = body["detail"].as_str().expect("a detail").to_owned() + &body["errors"].to_string();
        let foreign = FOREIGN.iter().find(|words| text.contains(**words));
        assert_eq!(foreign, None, "{place}: {text}");
    }
}

/// # Panics
/// When the document does not describe this payload of a webhook.
pub fn check_event(payload: &Value) {
    let kind = payload["type"].as_str().expect("a type");
    let body = &DOCUMENT["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert!(body.is_object(), "{kind} is not in the document");
    check(body, payload, kind);
}

/// The operation of a request, with its path as the document has it. `None` for what the document does not describe: a
/// path that is not there, or a method that a path does not have.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let template = paths.keys().filter(fits).min_by_key(|template| template.matches('{').count())?;
    let operation = paths[template].get(method.as_str().to_lowercase())?;
    Some((template, operation))
}

fn resolved(value: &'static Value) -> &'static Value {
    let target = |reference: &str| DOCUMENT.pointer(reference.strip_prefix(ADDRESS)?.strip_prefix('#')?);
    value["$ref"].as_str().map_or(value, |reference| target(reference).expect("it is there"))
}

/// Has references lead to the document from any schema that is taken out of it.
fn make_absolute(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(reference) if key == "$ref" => reference.insert_str(0, ADDRESS),
                    _ => make_absolute(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(make_absolute),
        _ => {}
    }
}

fn check(schema: &Value, body: &Value, place: &str) {
    let validator = validator(schema);
    let errors: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place}: {errors:#?}\n{body:#}");
}

/// Validators take a while to make, and many answers have the same schema.
fn validator(schema: &Value) -> Arc<Validator> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let make = || {
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.with_registry(&REGISTRY).build(schema).expect("a schema"))
    };
    known.entry(schema.to_string()).or_insert_with(make).clone()
}
