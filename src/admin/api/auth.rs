//! Authentication and authorisation. A handler takes one of these types as an argument; without one it has no
//! scope of the store.
//!
//! Resources of another tenant are answered with 404, never with 403.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::Utc;

use super::problem::Problem;
use super::shares::Permits;
use super::{ApiState, RequestId};
use crate::admin::access_log::Requester;
use crate::admin::client::{Client, TrustedProxies};
use crate::store::{KeyWithTenant, Scope};
use crate::tenancy::{Actor, ApiKey, RequestAttempt, Role, TenantId, TenantStatus};

/// The delay of a response to a key beyond its rate limit.
const REFUSAL_DELAY: Duration = Duration::from_millis(250);

/// The holder of a valid key.
#[derive(Debug, Clone)]
pub struct Caller {
    pub presented: KeyWithTenant,
    pub actor: Actor,
}

/// An operator.
#[derive(Debug, Clone)]
pub struct Operator(pub Actor);

/// May read what belongs to the tenant in the path `{tenant_id}`.
#[derive(Debug, Clone)]
pub struct Reader {
    pub scope: Scope,
}

/// May change what belongs to the tenant in the path `{tenant_id}`.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub scope: Scope,
    pub actor: Actor,
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Caller, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let address = client(parts).map(Client::address);
        let presented = match authenticate(parts, api, address).await? {
            Ok(presented) => presented,
            Err(refusal) => return Err(refuse(&refusal, address, api)),
        };
        let key = &presented.key;
        take_place(parts, api, key.tenant_id).await?;
        api.last_use.note(key, Utc::now());
        let actor = Actor {
            address,
            request: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            ..Actor::key(key)
        };
        let caller = Caller { presented, actor };
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// Why a request is not authenticated.
#[derive(Debug, Clone)]
enum AuthFailure {
    /// The address has made too many requests without a key that is known to be valid.
    TooMany(Problem),
    Missing,
    Unknown,
    Revoked,
    Expired,
    TenantDeleted,
}

impl AuthFailure {
    /// The label of the metric, and the word in the log.
    fn as_str(&self) -> &'static str {
        match self {
            AuthFailure::TooMany(_) => "address_limit",
            AuthFailure::Missing => "missing_key",
            AuthFailure::Unknown => "unknown_key",
            AuthFailure::Revoked => "revoked_key",
            AuthFailure::Expired => "expired_key",
            AuthFailure::TenantDeleted => "tenant_deleted",
        }
    }

    fn problem(&self) -> Problem {
        Problem::unauthorized(match self {
            AuthFailure::TooMany(problem) => return problem.clone(),
            AuthFailure::Missing => {
                "an API key is needed: Authorization: Bearer vca_…; `vca key create` makes one"
            }
            AuthFailure::Unknown => "this API key is not known",
            AuthFailure::Revoked | AuthFailure::Expired => "this API key has expired or was revoked",
            AuthFailure::TenantDeleted => "the tenant of this API key was deleted",
        })
    }
}

/// Finds the valid key of the request, and counts the request with it.
///
/// Neither flood reaches the database: a request with a key that was not valid lately counts with its address before the key is
/// looked up, and one with a known key counts with the key before.
///
/// # Errors
/// The outer error: the database does not respond, too many look-ups wait, or the key exceeds its rate limit.
async fn authenticate(
    parts: &Parts,
    api: &ApiState,
    address: Option<IpAddr>,
) -> Result<Result<KeyWithTenant, AuthFailure>, Problem> {
    let lookups = &api.limits.lookups;
    let secret = bearer(parts);
    let known = secret.and_then(|secret| lookups.known(secret));
    if known.is_none()
        && let Some(address) = address
        && let Err(problem) = api.limits.admit_address(address)
    {
        return Ok(Err(AuthFailure::TooMany(problem)));
    }
    let Some(secret) = secret else { return Ok(Err(AuthFailure::Missing)) };
    if !may_be_key(secret) {
        return Ok(Err(AuthFailure::Unknown));
    }
    let turn = match &known {
        Some(key) => admit_key(parts, api, key).await.map(|()| None)?,
        None => Some(lookups.admit(address).await?),
    };
    // Another request may have proven the key meanwhile: those that wait behind this one then wait no longer.
    let turn = turn.filter(|_| lookups.known(secret).is_none());
    let presented = api.store.present(secret).await?;
    drop(turn);
    let checked = presented.ok_or(AuthFailure::Unknown).and_then(check);
    lookups.note(secret, checked.as_ref().ok().map(|presented| &presented.key));
    if let (None, Ok(presented)) = (&known, &checked) {
        admit_key(parts, api, &presented.key).await?;
    }
    Ok(checked)
}

/// Counts a request with its key.
///
/// # Errors
/// 429 when the key exceeds its rate limit, after a delay: a client that ignores `Retry-After` and repeats at once does not keep
/// the machine busy.
async fn admit_key(parts: &Parts, api: &ApiState, key: &ApiKey) -> Result<(), Problem> {
    if let Some(requester) = parts.extensions.get::<Arc<Requester>>() {
        requester.identify(key);
    }
    let admitted = api.limits.admit_key(key.id);
    if admitted.is_err() {
        tokio::time::sleep(REFUSAL_DELAY).await;
    }
    admitted
}

/// Does it begin like the secrets that `vca key create` makes, and is it no longer? Others are not looked up.
fn may_be_key(secret: &str) -> bool {
    const LONGEST: usize = 100;
    secret.starts_with("vca_") && secret.len() <= LONGEST
}

fn check(presented: KeyWithTenant) -> Result<KeyWithTenant, AuthFailure> {
    let is_deleted = |tenant: &crate::tenancy::Tenant| tenant.status == TenantStatus::Deleted;
    if presented.key.revoked_at.is_some() {
        Err(AuthFailure::Revoked)
    } else if !presented.key.is_valid(Utc::now()) {
        Err(AuthFailure::Expired)
    } else if presented.tenant.as_ref().is_some_and(is_deleted) {
        Err(AuthFailure::TenantDeleted)
    } else {
        Ok(presented)
    }
}

/// Counts and logs a request without a valid key: 401, or 429 when there were too many from its address.
fn refuse(failure: &AuthFailure, address: Option<IpAddr>, api: &ApiState) -> Problem {
    let reason = failure.as_str();
    count_failure(reason);
    if let Some(address) = address
        && api.limits.warnings.admit(address)
    {
        tracing::warn!(client = %address, reason, "request refused: no valid API key");
    }
    failure.problem()
}

/// Counts a request that did not prove who sent it.
pub fn count_failure(reason: &'static str) {
    metrics::counter!("vca_admin_auth_failures_total", "reason" => reason).increment(1);
}

/// Waits for a place in the tenant's share, which the request keeps until its response begins.
async fn take_place(parts: &Parts, api: &ApiState, tenant: Option<TenantId>) -> Result<(), Problem> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let permits = api.limits.shares.admit(tenant, path).await?;
    if let Some(place) = parts.extensions.get::<RequestPlace>() {
        place.keep(permits);
    }
    Ok(())
}

impl FromRequestParts<ApiState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Operator, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        match caller.presented.key.role {
            Role::Operator => Ok(Operator(caller.actor)),
            Role::TenantAdmin | Role::TenantViewer => {
                Err(Problem::forbidden("operator_only", "this is for the operator of this machine"))
            }
        }
    }
}

impl FromRequestParts<ApiState> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Reader, Problem> {
        let (_, tenant) = within(parts, api).await?;
        Ok(Reader { scope: api.store.scope(tenant) })
    }
}

impl FromRequestParts<ApiState> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Administrator, Problem> {
        let (caller, tenant) = within(parts, api).await?;
        if caller.presented.key.role == Role::TenantViewer {
            return Err(Problem::forbidden("read_only_key", "this API key may read, and change nothing"));
        }
        let suspended = |tenant: &crate::tenancy::Tenant| tenant.status != TenantStatus::Active;
        if caller.presented.tenant.as_ref().is_some_and(suspended) {
            return Err(Problem::forbidden(
                "tenant_suspended",
                "a suspended tenant can look and change nothing",
            ));
        }
        Ok(Administrator { scope: api.store.scope(tenant), actor: caller.actor })
    }
}

/// The tenant in the path, if the key reaches it.
async fn within(parts: &mut Parts, api: &ApiState) -> Result<(Caller, TenantId), Problem> {
    let caller = Caller::from_request_parts(parts, api).await?;
    // A path that is no text names nothing.
    let params = RawPathParams::from_request_parts(parts, api).await.map_err(|_| Problem::not_found())?;
    let named = params.iter().find(|(name, _)| *name == "tenant_id").map(|(_, value)| value.parse());
    let named: TenantId = match named {
        Some(Ok(id)) => id,
        Some(Err(_)) => return Err(Problem::not_found()),
        None => return Err(Problem::internal("a path without {tenant_id} asks for a tenant's scope")),
    };
    match caller.presented.key.tenant_id {
        Some(own) if own == named => {}
        Some(_) => return Err(Problem::not_found()),
        None => drop(api.store.tenant(named).await?),
    }
    if let Some(requester) = parts.extensions.get::<Arc<Requester>>() {
        requester.enter(named);
    }
    Ok((caller, named))
}

/// A purge erases the tenant's records of requests, so the record of the purge itself is the operator's.
const PURGE: &str = "/api/tenants/{tenant_id}/purge";

/// Who sends a request, and the owner of its record: the tenant in the path, otherwise the tenant of the key; none for the
/// operator's own resources.
pub async fn owner(parts: &mut Parts, api: &ApiState) -> Result<(Caller, Option<TenantId>), Problem> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if path.contains("{tenant_id}") && path != PURGE {
        let (caller, tenant) = within(parts, api).await?;
        return Ok((caller, Some(tenant)));
    }
    let caller = Caller::from_request_parts(parts, api).await?;
    let tenant = caller.presented.key.tenant_id;
    Ok((caller, tenant))
}

/// Has the changes of a request recorded with this attempt.
pub fn set_attempt(parts: &mut Parts, attempt: RequestAttempt) {
    if let Some(caller) = parts.extensions.get_mut::<Caller>() {
        caller.actor.attempt = Some(attempt);
    }
}

/// The token of `Authorization: Bearer`.
pub fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// The request's client. Without the layer that knows the trusted proxies, no proxy is trusted.
pub fn client(parts: &Parts) -> Option<Client> {
    if let Some(client) = parts.extensions.get::<Client>() {
        return Some(*client);
    }
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Client::of(peer.ip(), &parts.headers, &TrustedProxies::default()).ok()
}

/// The place of a request in its tenant's share, kept by the layer that sees the response begin.
#[derive(Debug, Clone, Default)]
pub struct RequestPlace(Arc<Mutex<Option<Permits>>>);

impl RequestPlace {
    fn keep(&self, permits: Permits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permits);
    }
}
