//! A tool's HTTP request and its response. Neither URLs nor secrets appear in results.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::arguments::ArgumentSchema;
use super::reply::{KeptValues, ToolReply, as_text, cleared, hidden, kept, shortened, without};
use super::services::{ToolServices, header_value};
use super::static_values::filled;
use crate::conversation::ToolOutcome;
use crate::egress::EgressResponse;
use crate::tenancy::{HttpMethod, HttpTool, TenantId, UrlTemplate};

/// The longest body of a response, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// A tool of an agent, with the compiled schema of its arguments.
pub(super) struct HttpOffer {
    pub tool: Arc<HttpTool>,
    schema: ArgumentSchema,
}

impl HttpOffer {
    /// # Errors
    /// For the model: the tool cannot be used.
    pub fn new(tool: HttpTool) -> Result<HttpOffer, String> {
        let schema = ArgumentSchema::new(&tool.parameters);
        let schema = schema.map_err(|_| "the tool's schema cannot be used".to_owned())?;
        Ok(HttpOffer { tool: Arc::new(tool), schema })
    }
}

/// A request with arguments that match the tool's schema.
pub(super) struct HttpCall {
    pub tool: Arc<HttpTool>,
    pub tenant: TenantId,
    arguments: Map<String, Value>,
    variables: KeptValues,
    /// Of the call of the tool: a server recognises a repetition.
    idempotency_key: String,
}

impl HttpCall {
    /// Checks the model's arguments. `entries` are masked entries of keys, which arguments refer to.
    ///
    /// # Errors
    /// For the model: the problem. It quotes no value, because that may be a masked entry.
    pub fn new(
        offer: &HttpOffer,
        tenant: TenantId,
        arguments: &str,
        entries: &BTreeMap<String, String>,
        variables: KeptValues,
        idempotency_key: String,
    ) -> Result<HttpCall, String> {
        let arguments = offer.schema.check(arguments, entries)?;
        Ok(HttpCall { tool: offer.tool.clone(), tenant, arguments, variables, idempotency_key })
    }

    /// Sends it, within the tool's time limit.
    pub async fn send(&self, services: &ToolServices) -> ToolReply {
        let limit = self.tool.timeout();
        match tokio::time::timeout(limit, self.attempt(services)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => ToolReply::failed(&reason),
            Err(_) => ToolReply::timed_out(limit),
        }
    }

    async fn attempt(&self, services: &ToolServices) -> Result<ToolReply, String> {
        let url =
            UrlTemplate::parse(&self.tool.url)?.fill(|name| self.value(name).map(|value| as_text(&value)))?;
        let method = match self.tool.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Delete => Method::DELETE,
        };
        let client = services.client.for_tenant(self.tenant.0);
        let request = client.request(method, url.as_str()).map_err(|error| error.to_string())?;
        let (request, secrets) = self.with_headers(request, services).await?;
        let request = if self.tool.method.has_body() { request.json(&self.body()) } else { request };
        let response = client.send(request).await.map_err(|error| error.to_string())?;
        self.read(response, &hidden(&secrets)).await
    }

    async fn with_headers(
        &self,
        request: RequestBuilder,
        services: &ToolServices,
    ) -> Result<(RequestBuilder, Vec<SecretString>), String> {
        let HttpTool { headers, secret_headers, method, .. } = &*self.tool;
        let (mut headers, secrets) = services.headers(self.tenant, headers, secret_headers).await?;
        if method.acts() {
            headers.insert("idempotency-key", header_value(&self.idempotency_key)?);
        }
        Ok((request.headers(headers), secrets))
    }

    /// A static value, an argument or a kept variable.
    fn value(&self, name: &str) -> Option<Value> {
        let fixed = self.tool.static_values.get(name).map(|value| self.fixed(value));
        fixed.or_else(|| self.arguments.get(name).cloned()).or_else(|| self.variables.get(name).cloned())
    }

    /// A static value; `{{name}}` means the variable of that name.
    fn fixed(&self, value: &Value) -> Value {
        filled(value, &self.variables).unwrap_or(Value::Null)
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
        Ok(ToolReply {
            outcome: ToolOutcome::Succeeded,
            result,
            kept: kept(&self.tool.variables, parsed.as_ref()),
        })
    }
}
