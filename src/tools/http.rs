//! A tool's HTTP request and its response. Neither URLs nor secrets appear in results.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::builtin::refusal;
use super::services::ToolServices;
use crate::conversation::ToolOutcome;
use crate::dtmf::Digit;
use crate::egress::EgressResponse;
use crate::tenancy::{HttpMethod, HttpTool, TenantId, UrlTemplate, validator};

/// The longest body of a response, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// The part of a response that the model reads, in characters.
const MAX_RESULT: usize = 4_000;

/// The longest value of a variable, in characters.
const MAX_VARIABLE: usize = 500;

/// The shortest secret that is looked for in a response.
const SHORTEST_SECRET: usize = 4;

/// Values by name.
pub(super) type KeptValues = BTreeMap<String, Value>;

/// A request with arguments that match the tool's schema.
pub(super) struct HttpCall {
    pub tool: Arc<HttpTool>,
    pub tenant: TenantId,
    arguments: Map<String, Value>,
    variables: KeptValues,
    /// Of the call of the tool: a server recognises a repetition.
    idempotency_key: String,
}

/// The outcome of a tool, and its result.
#[derive(Debug, PartialEq)]
pub(super) struct ToolReply {
    pub outcome: ToolOutcome,
    /// The text that the model reads.
    pub result: Arc<str>,
    /// The fields of the response that are kept.
    pub kept: KeptValues,
}

impl ToolReply {
    pub fn done(result: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Succeeded, result: result.into(), kept: KeptValues::new() }
    }

    pub fn refused(reason: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Refused, ..ToolReply::failed(reason) }
    }

    fn failed(reason: &str) -> ToolReply {
        ToolReply { outcome: ToolOutcome::Failed, result: refusal(reason), kept: KeptValues::new() }
    }
}

impl HttpCall {
    /// Checks the model's arguments. `entries` are masked entries of keys, which arguments refer to.
    ///
    /// # Errors
    /// For the model: the problem. It quotes no value, because that may be a masked entry.
    pub fn new(
        tool: Arc<HttpTool>,
        tenant: TenantId,
        arguments: &str,
        entries: &BTreeMap<String, String>,
        variables: KeptValues,
        idempotency_key: String,
    ) -> Result<HttpCall, String> {
        let mut arguments: Value =
            serde_json::from_str(arguments).map_err(|_| "the arguments are not JSON".to_owned())?;
        resolve(&mut arguments, entries);
        let schema =
            validator(&tool.parameters).map_err(|_| "the tool's schema cannot be used".to_owned())?;
        if let Some(error) = schema.iter_errors(&arguments).next() {
            return Err(format!("{}: {}", error.instance_path(), error.masked()).chars().take(300).collect());
        }
        let Value::Object(arguments) = arguments else {
            return Err("the arguments are not an object".to_owned());
        };
        Ok(HttpCall { tool, tenant, arguments, variables, idempotency_key })
    }

    /// Sends it, within the tool's time limit.
    pub async fn send(&self, services: &ToolServices) -> ToolReply {
        let limit = self.tool.timeout();
        match tokio::time::timeout(limit, self.attempt(services)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => ToolReply::failed(&reason),
            Err(_) => ToolReply {
                outcome: ToolOutcome::TimedOut,
                ..ToolReply::failed(&format!("no complete response within {} ms", limit.as_millis()))
            },
        }
    }

    async fn attempt(&self, services: &ToolServices) -> Result<ToolReply, String> {
        let url =
            UrlTemplate::parse(&self.tool.url)?.fill(|name| self.value(name).map(|value| text(&value)))?;
        let method = match self.tool.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Delete => Method::DELETE,
        };
        let request = services.client.request(method, url.as_str()).map_err(|error| error.to_string())?;
        let (request, secrets) = self.with_headers(request, services).await?;
        let request = if self.tool.method.has_body() { request.json(&self.body()) } else { request };
        let response = services.client.send(request).await.map_err(|error| error.to_string())?;
        self.read(response, &hidden(&secrets)).await
    }

    async fn with_headers(
        &self,
        request: RequestBuilder,
        services: &ToolServices,
    ) -> Result<(RequestBuilder, Vec<SecretString>), String> {
        let mut request = request;
        for (name, value) in &self.tool.headers {
            request = request.header(header_name(name)?, header_value(value)?);
        }
        let mut secrets = Vec::new();
        for (name, secret) in &self.tool.secret_headers {
            let secret = services.secrets.open(self.tenant, secret).await?;
            let mut value = header_value(secret.expose_secret())?;
            value.set_sensitive(true);
            request = request.header(header_name(name)?, value);
            secrets.push(secret);
        }
        if self.tool.method.acts() {
            request = request.header("idempotency-key", header_value(&self.idempotency_key)?);
        }
        Ok((request, secrets))
    }

    /// A static value, an argument or a kept variable.
    fn value(&self, name: &str) -> Option<Value> {
        let fixed = self.tool.static_values.get(name).map(|value| self.fixed(value));
        fixed.or_else(|| self.arguments.get(name).cloned()).or_else(|| self.variables.get(name).cloned())
    }

    /// A static value; `{{name}}` means the variable of that name.
    fn fixed(&self, value: &Value) -> Value {
        let name = value.as_str().and_then(|text| text.strip_prefix("{{")?.strip_suffix("}}"));
        match name {
            Some(name) => self.variables.get(name.trim()).cloned().unwrap_or(Value::Null),
            None => value.clone(),
        }
    }

    fn body(&self) -> Value {
        let mut body = self.arguments.clone();
        body.extend(self.tool.static_values.iter().map(|(name, value)| (name.clone(), self.fixed(value))));
        Value::Object(body)
    }

    /// Reads the response. Texts that are `hidden` are in neither the result nor the variables.
    async fn read(&self, response: EgressResponse, hidden: &[&str]) -> Result<ToolReply, String> {
        let status = response.status();
        let body = response.read(MAX_RESPONSE).await.map_err(|error| error.to_string())?;
        if status.is_redirection() {
            return Err(format!("HTTP {}: redirects are not followed", status.as_u16()));
        }
        let body = String::from_utf8(body).map_err(|_| "the response is not text".to_owned())?;
        let parsed: Option<Value> = serde_json::from_str(&body).ok().map(|value| cleared(value, hidden));
        let result = match &parsed {
            Some(value) => value.to_string(),
            None if body.trim().is_empty() => json!({ "status": status.as_u16() }).to_string(),
            None => json!({ "text": shortened(&without(hidden, &body)) }).to_string(),
        };
        if !status.is_success() {
            let answer =
                json!({ "error": format!("HTTP {}", status.as_u16()), "response": shortened(&result) });
            return Ok(ToolReply {
                outcome: ToolOutcome::Failed,
                result: answer.to_string().into(),
                kept: KeptValues::new(),
            });
        }
        let result = shortened(&result).into();
        Ok(ToolReply { outcome: ToolOutcome::Succeeded, result, kept: self.kept(parsed.as_ref()) })
    }

    fn kept(&self, response: Option<&Value>) -> KeptValues {
        let Some(response) = response else { return KeptValues::new() };
        let kept = self.tool.variables.iter().filter_map(|(name, pointer)| {
            let value = response.pointer(pointer).filter(|value| !value.is_null())?;
            (text(value).chars().count() <= MAX_VARIABLE).then(|| (name.clone(), value.clone()))
        });
        kept.collect()
    }
}

/// Puts masked entries in place of the references to them.
fn resolve(value: &mut Value, entries: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(entry) = entries.get(text) {
                text.clone_from(entry);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, entries)),
        Value::Object(fields) => fields.values_mut().for_each(|field| resolve(field, entries)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value as it is in a URL.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The part of a text that the model reads. It ends with no part of an entry of keys, which would not be recognised.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_RESULT) {
        Some((end, _)) => {
            let whole = text[..end].trim_end_matches(|c| Digit::try_from(c).is_ok());
            format!("{whole} [cut]")
        }
        None => text.to_owned(),
    }
}

/// The texts that no result may contain: secrets, and credentials without their scheme (`Bearer`). Longer ones first, because
/// they may contain others.
fn hidden(secrets: &[SecretString]) -> Vec<&str> {
    let secrets = secrets.iter().map(|secret| secret.expose_secret());
    let with_credentials = secrets
        .flat_map(|secret| [secret, secret.split_once(' ').map_or("", |(_, credentials)| credentials)]);
    let mut texts: Vec<&str> = with_credentials.filter(|text| text.len() >= SHORTEST_SECRET).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

fn without(hidden: &[&str], text: &str) -> String {
    hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// The value without hidden texts, however the response had escaped them.
fn cleared(value: Value, hidden: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(without(hidden, &text)),
        Value::Number(number) => {
            let text = number.to_string();
            let is_hidden = hidden.iter().any(|secret| text.contains(secret));
            if is_hidden { Value::String(without(hidden, &text)) } else { Value::Number(number) }
        }
        Value::Array(items) => items.into_iter().map(|item| cleared(item, hidden)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(name, field)| (without(hidden, &name), cleared(field, hidden))).collect()
        }
        Value::Null | Value::Bool(_) => value,
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("{name:?} is no name of a header"))
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| "a header has a value that cannot be sent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_in_every_form() {
        let secrets = [r#"Bearer a"b\c"#, "12345", "Bearer a", "abc"].map(SecretString::from);
        let hidden = hidden(&secrets);
        let response = r#"{
            "whole": "Bearer a\"b\\c", "bare": ["x a\"\u0062\\c y"], "number": 9123459, "12345": 1, "abc": 7
        }"#;
        let value = cleared(serde_json::from_str(response).expect("JSON"), &hidden);
        let expected = json!({ "whole": "***", "bare": ["x *** y"], "number": "9***9", "***": 1, "abc": 7 });
        assert_eq!(value, expected);
        assert_eq!(without(&hidden, r#"Bearer a"b\c, 12345"#), "***, ***");
    }

    #[test]
    fn a_long_text_is_not_cut_within_an_entry_of_keys() {
        let text = format!("{}4711", "x".repeat(MAX_RESULT - 2));
        assert_eq!(shortened(&text), format!("{} [cut]", "x".repeat(MAX_RESULT - 2)));
        assert_eq!(shortened("4711"), "4711");
    }
}
