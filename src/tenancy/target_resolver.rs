//! Transfer targets that a tenant's endpoint resolves when the transfer begins.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::header_violations;
use super::target::Destination;
use super::{CallId, Did, Label, TargetKind, TenantId, TransferTarget, mask};
use crate::violation::Violation;

/// The most places of `allow`.
const MOST_ALLOWED: usize = 50;
/// Of a place of `allow`.
const LONGEST_ALLOWED: usize = 260;
/// The longest place that an endpoint may name, in bytes.
const LONGEST_PLACE: usize = 64;
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=10_000;

/// How the endpoint of a transfer target is asked, and the places that it may name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetResolver {
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers with secret values: the name of the header and of the tenant's tool secret.
    #[serde(default)]
    pub secret_headers: BTreeMap<String, String>,
    /// Time limit of the request with its response, in milliseconds. Default 3,000.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 100, maximum = 10_000)]
    pub timeout_ms: Option<u32>,
    /// The places that the response may name, beside the tenant's transfer targets: numbers by their beginning (`+4930`),
    /// extensions and SIP users by their context or host (`@sales`, `@pbx.example.com`). Default: none.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub allow: Vec<String>,
}

/// The request to the endpoint of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolveRequest {
    pub call_id: Option<CallId>,
    pub tenant_id: TenantId,
    /// The name of the target.
    pub target: Label,
    pub called_number: Option<Did>,
    pub caller_number: Option<String>,
    /// The agent's words about the call.
    pub summary: Option<String>,
    pub at: DateTime<Utc>,
}

/// The response of a target's endpoint: one of the tenant's targets, or a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedTarget {
    Named(Label),
    Place { kind: TargetKind, address: String },
}

impl TargetResolver {
    pub fn timeout(&self) -> Duration {
        let ms = self.timeout_ms.unwrap_or(3_000).clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end());
        Duration::from_millis(ms.into())
    }

    /// Whether the tenant allows the endpoint to name this place.
    pub fn allows(&self, place: &Destination) -> bool {
        let follows_at = |text: &str| {
            self.allow
                .iter()
                .any(|allowed| allowed.strip_prefix('@').is_some_and(|it| it.eq_ignore_ascii_case(text)))
        };
        match place {
            Destination::Extension { context, .. } => follows_at(context),
            Destination::Sip { host, .. } => follows_at(host),
            Destination::Number(did) => {
                let number = did.to_string();
                let is_prefix = |prefix: &&String| prefix.starts_with('+') && number.starts_with(&***prefix);
                self.allow.iter().any(|prefix| is_prefix(&prefix))
            }
            Destination::Queue(_) | Destination::Voicemail(_) | Destination::Endpoint => false,
        }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = header_violations(&self.headers, &self.secret_headers);
        if let Some(ms) = self.timeout_ms.filter(|ms| !TIMEOUT_MS.contains(ms)) {
            found.push(Violation::new("timeout_ms", format!("{ms} is not within 100 to 10000")));
        }
        if self.allow.len() > MOST_ALLOWED {
            found.push(Violation::new("allow", format!("{MOST_ALLOWED} at most")));
        }
        if let Some(wrong) = self.allow.iter().find(|place| !is_place(place)) {
            let problem = format!(
                "{wrong:?}: write the beginning of numbers as in +4930, a context as in @sales, or a host as in @pbx.example.com"
            );
            found.push(Violation::new("allow", problem));
        }
        found
    }
}

fn is_place(place: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
    };
    let is_prefix = |digits: &str| {
        (1..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    };
    place.len() <= LONGEST_ALLOWED
        && (place.strip_prefix('@').is_some_and(is_name) || place.strip_prefix('+').is_some_and(is_prefix))
}

/// The problems of a target's resolver, which targets of the kind `http` alone may have.
pub fn check_resolver(target: &TransferTarget) -> Vec<Violation> {
    match (&target.resolver, target.kind) {
        (Some(resolver), TargetKind::Http) => {
            resolver.violations().into_iter().map(|violation| violation.below("resolver")).collect()
        }
        (Some(_), _) => vec![Violation::new("resolver", "only a target of the kind http has a resolver")],
        (None, _) => Vec::new(),
    }
}

impl ResolvedTarget {
    /// Reads a response: `{"target": "shop"}`, or `{"kind": "number", "address": "+493055500100"}`.
    ///
    /// # Errors
    /// The problem of the response.
    pub fn read(body: &[u8]) -> Result<ResolvedTarget, &'static str> {
        #[derive(Deserialize)]
        struct EndpointResponse {
            target: Option<String>,
            kind: Option<TargetKind>,
            address: Option<String>,
        }
        let response: EndpointResponse =
            serde_json::from_slice(body).map_err(|_| "the response is not the JSON that is expected")?;
        match response {
            EndpointResponse { target: Some(name), kind: None, address: None } => {
                name.parse().map(ResolvedTarget::Named).map_err(|_| "the response names no target")
            }
            EndpointResponse { address: Some(address), .. } if address.len() > LONGEST_PLACE => {
                Err("the response has an address of more than 64 bytes")
            }
            EndpointResponse { target: None, kind: Some(kind), address: Some(address) } => {
                Ok(ResolvedTarget::Place { kind, address })
            }
            _ => Err("the response has neither a target, nor a kind and an address"),
        }
    }

    /// As the call's record has it: the name of the target, or the address.
    pub fn place(&self) -> &str {
        match self {
            ResolvedTarget::Named(name) => name.as_str(),
            ResolvedTarget::Place { address, .. } => address,
        }
    }

    /// For a log: an address, which may be a person's, is masked as a caller's number is.
    pub fn masked_place(&self) -> String {
        match self {
            ResolvedTarget::Named(name) => name.to_string(),
            ResolvedTarget::Place { address, .. } => mask(address),
        }
    }

    /// The target that the caller goes to, in place of `asked`.
    ///
    /// # Errors
    /// Why the response is refused.
    pub fn find(&self, asked: &TransferTarget, targets: &[TransferTarget]) -> Result<TransferTarget, String> {
        match self {
            ResolvedTarget::Named(name) => {
                let target = targets.iter().find(|target| target.name == *name);
                let target = target.ok_or("the response names none of the tenant's targets")?;
                if target.kind == TargetKind::Http {
                    return Err("the response names a target that an endpoint resolves".to_owned());
                }
                Ok(target.clone())
            }
            ResolvedTarget::Place { kind, address } => {
                let place = Destination::parse(*kind, address)
                    .map_err(|_| "the response has no address of its kind")?;
                if !asked.resolver.as_ref().is_some_and(|resolver| resolver.allows(&place)) {
                    return Err("the target's resolver does not allow the place of the response".to_owned());
                }
                Ok(TransferTarget { kind: *kind, address: address.clone(), resolver: None, ..asked.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
