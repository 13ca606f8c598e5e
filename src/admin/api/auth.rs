//! Who asks, and what they may reach. A handler takes one of these as an argument, and without one it has no
//! scope to ask the store through.
//!
//! What belongs to another tenant is not there: 404, never 403.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::Utc;

use super::problem::Problem;
use super::{Desk, RequestId};
use crate::store::{Presented, Scope};
use crate::tenancy::{Actor, Role, TenantId, TenantStatus};

/// Anybody with a valid key.
#[derive(Debug, Clone)]
pub struct Caller {
    pub presented: Presented,
    pub actor: Actor,
}

/// An operator.
#[derive(Debug, Clone)]
pub struct Operator(pub Actor);

/// Whoever may read what is the tenant's in the path `{tenant_id}`.
#[derive(Debug, Clone)]
pub struct Reader {
    pub scope: Scope,
}

/// Whoever may change what is the tenant's in the path `{tenant_id}`.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub scope: Scope,
    pub actor: Actor,
}

impl FromRequestParts<Desk> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Caller, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let secret = bearer(parts).ok_or_else(|| {
            Problem::unauthorized(
                "an API key is needed: Authorization: Bearer vca_…; `vca key create` makes one",
            )
        })?;
        let presented = desk.store.present(secret).await?;
        let presented = presented.ok_or_else(|| Problem::unauthorized("this API key is not known"))?;
        if !presented.key.is_valid(Utc::now()) {
            return Err(Problem::unauthorized("this API key has expired or was revoked"));
        }
        if presented.tenant.as_ref().is_some_and(|tenant| tenant.status == TenantStatus::Deleted) {
            return Err(Problem::unauthorized("the tenant of this API key was deleted"));
        }
        desk.limits.admit_key(presented.key.id)?;
        desk.store.touch_key(&presented.key).await?;
        let actor = Actor {
            address: address(parts),
            request: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            ..Actor::key(&presented.key)
        };
        let caller = Caller { presented, actor };
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

impl FromRequestParts<Desk> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Operator, Problem> {
        let caller = Caller::from_request_parts(parts, desk).await?;
        match caller.presented.key.role {
            Role::Operator => Ok(Operator(caller.actor)),
            Role::TenantAdmin | Role::TenantViewer => {
                Err(Problem::forbidden("operator_only", "this is for the operator of this machine"))
            }
        }
    }
}

impl FromRequestParts<Desk> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Reader, Problem> {
        let (_, tenant) = within(parts, desk).await?;
        Ok(Reader { scope: desk.store.scope(tenant) })
    }
}

impl FromRequestParts<Desk> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Administrator, Problem> {
        let (caller, tenant) = within(parts, desk).await?;
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
        Ok(Administrator { scope: desk.store.scope(tenant), actor: caller.actor })
    }
}

/// The tenant in the path, if it is there for who asks.
async fn within(parts: &mut Parts, desk: &Desk) -> Result<(Caller, TenantId), Problem> {
    let caller = Caller::from_request_parts(parts, desk).await?;
    // A path that is no text names nothing.
    let params = RawPathParams::from_request_parts(parts, desk).await.map_err(|_| Problem::not_found())?;
    let named = params.iter().find(|(name, _)| *name == "tenant_id").map(|(_, value)| value.parse());
    let named: TenantId = match named {
        Some(Ok(id)) => id,
        Some(Err(_)) => return Err(Problem::not_found()),
        None => return Err(Problem::internal("a path without {tenant_id} asks for a tenant's scope")),
    };
    match caller.presented.key.tenant_id {
        Some(own) if own == named => Ok((caller, named)),
        Some(_) => Err(Problem::not_found()),
        None => {
            desk.store.tenant(named).await?;
            Ok((caller, named))
        }
    }
}

/// The token of `Authorization: Bearer`.
pub fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// Where the request came from, as the socket says; no header is believed.
pub fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}
