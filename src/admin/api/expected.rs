//! Refusals of requests in words of our own: which field, and what the OpenAPI document expects there.
//!
//! The texts of parsers do not reach a client: they name types of this program and positions in a byte stream.

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{Extensions, Method, StatusCode};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::problem::Problem;

/// The document as JSON, made at the first use.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(super::document()).unwrap_or_default());

/// Characters of a client's own text that a message repeats.
const LONGEST_ECHO: usize = 40;

/// An operation of the document; `Null` for a request that leads to none.
#[derive(Debug, Clone, Copy)]
pub struct Operation(&'static Value);

impl Operation {
    /// The operation that a request was routed to.
    pub fn of(method: &Method, extensions: &Extensions) -> Operation {
        let path = extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        // A HEAD request is served by the GET operation.
        let method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
        Operation(&DOCUMENT["paths"][path][method.as_str()])
    }

    /// The query parameters that it knows, each with its schema.
    fn query(self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        let parameters = self.0["parameters"].as_array().into_iter().flatten();
        let of_query = parameters.filter(|parameter| parameter["in"] == "query");
        of_query.filter_map(|parameter| Some((parameter["name"].as_str()?, &parameter["schema"])))
    }

    /// # Errors
    /// 400 for a query string with a parameter that the operation does not know.
    pub fn check_query(self, query: &str) -> Result<(), Problem> {
        let known: Vec<&str> = self.query().map(|(name, _)| name).collect();
        let unknown =
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !known.contains(&name.as_ref()));
        let Some((name, _)) = unknown else { return Ok(()) };
        let problem = match known.as_slice() {
            [] => "there is no such parameter: this operation takes none".to_owned(),
            names => format!("there is no such parameter: use {}", names.join(", ")),
        };
        Err(Problem::field(echo(&name), problem))
    }

    /// Why a query string cannot be read.
    pub fn refuse_query(self, path: &Path, message: &str) -> Problem {
        let Some(name) = field_of(path, message) else {
            return Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "the query string cannot be read");
        };
        let schema =
            self.query().find(|(known, _)| *known == name).map_or(&Value::Null, |(_, schema)| schema);
        Problem::field(name, ParseFault::of(message).problem(schema))
    }

    /// Refuses lists in place of objects: a parser would read a list as an object's fields in their order, which
    /// the document does not allow.
    ///
    /// # Errors
    /// 400 for a list where the document has an object.
    pub fn check_objects(self, body: &Value) -> Result<(), Problem> {
        match list_for_object(self.body(), body) {
            None => Ok(()),
            Some(keys) => Err(Problem::field(keys.join("."), "expected: a JSON object")),
        }
    }

    fn body(self) -> &'static Value {
        &self.0["requestBody"]["content"]["application/json"]["schema"]
    }

    /// Why a body cannot be read.
    pub fn refuse_body(self, path: &Path, error: &serde_json::Error) -> Problem {
        self.refuse(Vec::new(), path, error)
    }

    /// Why a field of a body cannot be read, by the path from that field.
    pub fn refuse_field(self, field: &str, path: &Path, error: &serde_json::Error) -> Problem {
        self.refuse(vec![field.to_owned()], path, error)
    }

    fn refuse(self, mut keys: Vec<String>, path: &Path, error: &serde_json::Error) -> Problem {
        if !error.is_data() {
            let place = format!("line {}, column {}", error.line(), error.column());
            let problem = format!("the body is not valid JSON: {place}");
            return Problem::new(StatusCode::BAD_REQUEST, "invalid_body", problem);
        }
        let message = error.to_string();
        let fault = ParseFault::of(&message);
        keys.extend(path.iter().filter_map(key));
        if let ParseFault::Missing(name) | ParseFault::Duplicate(name) = fault {
            keys.push(name.to_owned());
        }
        let within = if fault == ParseFault::Unknown { keys.len().saturating_sub(1) } else { keys.len() };
        let schema = keys[..within].iter().fold(self.body(), |schema, key| child(schema, key));
        let problem = fault.problem(schema);
        if keys.is_empty() {
            return Problem::new(StatusCode::BAD_REQUEST, "invalid_body", problem);
        }
        Problem::field(keys.join("."), problem)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Operation, Infallible> {
        Ok(Operation::of(&parts.method, &parts.extensions))
    }
}

/// A fault that serde reports, by the first words of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParseFault<'a> {
    Missing(&'a str),
    Unknown,
    Duplicate(&'a str),
    Null,
    Value,
}

impl ParseFault<'_> {
    fn of(message: &str) -> ParseFault<'_> {
        match message {
            _ if message.starts_with("missing field") => {
                quoted(message).map_or(ParseFault::Value, ParseFault::Missing)
            }
            _ if message.starts_with("unknown field") => ParseFault::Unknown,
            _ if message.starts_with("duplicate field") => {
                quoted(message).map_or(ParseFault::Value, ParseFault::Duplicate)
            }
            _ if message.starts_with("invalid type: null") => ParseFault::Null,
            _ => ParseFault::Value,
        }
    }

    fn problem(self, schema: &'static Value) -> String {
        match self {
            ParseFault::Missing(_) => format!("this field is required: {}", describe(schema)),
            ParseFault::Unknown => match names(schema).as_slice() {
                [] => "there is no such field".to_owned(),
                names => format!("there is no such field: use {}", names.join(", ")),
            },
            ParseFault::Duplicate(_) => "it is given twice".to_owned(),
            ParseFault::Null => format!("it cannot be null: leave it out, or give {}", describe(schema)),
            ParseFault::Value => format!("expected: {}", describe(schema)),
        }
    }
}

/// The text between the first two backticks.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// The parameter of a query string that a message is about.
fn field_of(path: &Path, message: &str) -> Option<String> {
    let named = path.iter().filter_map(key).next_back();
    named.or_else(|| quoted(message).map(str::to_owned)).map(|name| echo(&name))
}

fn key(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(echo(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn echo(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_ECHO).collect()
}

/// The schema that a `$ref` leads to, or the schema itself; of a nullable one, that of its values.
fn resolved(schema: &'static Value) -> &'static Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return resolved(&DOCUMENT["components"]["schemas"][name]);
    }
    let options = schema["oneOf"].as_array().into_iter().flatten();
    let mut others = options.filter(|option| option["type"] != "null");
    match (others.next(), others.next()) {
        (Some(only), None) => resolved(only),
        _ => schema,
    }
}

fn child(schema: &'static Value, key: &str) -> &'static Value {
    let schema = resolved(schema);
    [&schema["properties"][key], &schema["items"], &schema["additionalProperties"]]
        .into_iter()
        .find(|child| child.is_object())
        .unwrap_or(&Value::Null)
}

/// The path to a list where the schema has an object.
fn list_for_object(schema: &'static Value, value: &Value) -> Option<Vec<String>> {
    let (key, mut path) = match value {
        Value::Array(_) if resolved(schema)["properties"].is_object() => return Some(Vec::new()),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
            let key = at.to_string();
            list_for_object(child(schema, &key), item).map(|path| (key, path))
        }),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            list_for_object(child(schema, key), value).map(|path| (echo(key), path))
        }),
        _ => None,
    }?;
    path.insert(0, key);
    Some(path)
}

fn names(schema: &'static Value) -> Vec<&'static str> {
    let properties = resolved(schema)["properties"].as_object();
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// A schema's accepted values, in words.
fn describe(schema: &'static Value) -> String {
    let schema = resolved(schema);
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", words.join(", "));
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    match kind {
        "string" => describe_text(schema),
        "integer" => format!("a whole number{}", range(schema)),
        "number" => format!("a number{}", range(schema)),
        "boolean" => "true or false".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "a JSON object".to_owned(),
        _ => "another value".to_owned(),
    }
}

fn describe_text(schema: &'static Value) -> String {
    match schema["format"].as_str() {
        Some("uuid") => "a UUID, such as 0198c0de-0000-7000-8000-000000000000".to_owned(),
        Some("date-time") => "a time of RFC 3339, such as 2026-11-27T10:00:00Z".to_owned(),
        Some("date") => "a date, such as 2026-11-27".to_owned(),
        _ => match schema["examples"][0].as_str() {
            Some(example) => format!("a text, such as {example}"),
            None => "a text".to_owned(),
        },
    }
}

fn range(schema: &'static Value) -> String {
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::store::{NewProfile, NewTenant};

    fn refused<'a, T: Deserialize<'a>>(path: &'static str, body: &'a str) -> (String, String) {
        let operation = Operation(&DOCUMENT["paths"][path]["post"]);
        let mut source = serde_json::Deserializer::from_str(body);
        let error = serde_path_to_error::deserialize::<_, T>(&mut source).err().expect("a refusal");
        let problem = operation.refuse_body(error.path(), error.inner());
        let field = problem.errors.first().map_or("", |violation| violation.field.as_str());
        (
            field.to_owned(),
            problem.errors.first().map_or(problem.detail.clone(), |violation| violation.problem.clone()),
        )
    }

    #[test]
    fn a_refusal_names_the_field_and_what_is_expected() {
        let tenant = |body| refused::<NewTenant>("/api/tenants", body);
        let is = |field: &str, problem: &str| (field.to_owned(), problem.to_owned());
        assert_eq!(
            tenant(r#"{"name":"x","plan":"gold"}"#),
            is("plan", "expected: one of starter, growth, custom")
        );
        assert_eq!(
            tenant(r#"{"name":"x"}"#),
            is("plan", "this field is required: one of starter, growth, custom")
        );
        assert_eq!(
            tenant(r#"{"name":1,"plan":"growth"}"#),
            is("name", "expected: a text, such as Bakery Huber")
        );
        assert_eq!(
            tenant(r#"{"name":"x","plan":"growth","max_concurrent_calls":-1}"#),
            is("max_concurrent_calls", "expected: a whole number from 0 to 4294967295")
        );
        assert_eq!(
            tenant(r#"{"nick":"x"}"#),
            is("nick", "there is no such field: use max_concurrent_calls, name, plan")
        );
        assert_eq!(tenant(r#"{"name":"x","name":"y"}"#), is("name", "it is given twice"));
        assert_eq!(tenant("{"), is("", "the body is not valid JSON: line 1, column 1"));
        let profile = |body| refused::<NewProfile>("/api/tenants/{tenant_id}/ai-profiles", body);
        assert_eq!(
            profile(r#"{"settings":{"turn":{"max_turns":"many"}}}"#),
            is("settings.turn.max_turns", "expected: a whole number from 1 to 4294967295")
        );
        assert_eq!(
            profile(r#"{"settings":{"hours":{"timezone":"UTC","weekly":{"monday":[{"from":"09:00"}]}}}}"#),
            is("settings.hours.weekly.monday.0.to", "this field is required: a text, such as 17:30")
        );
    }

    proptest! {
        #[test]
        fn any_body_is_refused_in_our_words(body in r#"\{("(name|plan|x)":("[a-z]{0,3}"|-?[0-9]{1,3}|null|\[\]|\{\}),?){0,3}\}?"#) {
            let mut source = serde_json::Deserializer::from_str(&body);
            if let Err(error) = serde_path_to_error::deserialize::<_, NewTenant>(&mut source) {
                let operation = Operation(&DOCUMENT["paths"]["/api/tenants"]["post"]);
                let detail = operation.refuse_body(error.path(), error.inner()).detail;
                prop_assert!(!detail.contains("variant") && !detail.contains("invalid type") && !detail.contains('`'), "{}", detail);
            }
        }
    }
}
