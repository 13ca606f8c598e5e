//! API keys: of one tenant, and the operator's over all of them. A secret is shown once, when its key is made.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Caller, Operator, Reader};
use super::extract::{Asked, Body, Ids, Listed, Paging};
use super::problem::{Problem, ProblemBody};
use crate::store::{KeyFilter, Minted, NewKey, Rotation};
use crate::tenancy::{ApiKey, KeyId, Role, Tenant, TenantId};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(create, list))
        .routes(routes!(show, revoke))
        .routes(routes!(rotate))
        .routes(routes!(create_operators, list_all))
        .routes(routes!(show_any, revoke_any))
        .routes(routes!(rotate_any))
}

/// Whose key it is that asks.
#[derive(Debug, Serialize, ToSchema)]
struct Identity {
    key: ApiKey,
    /// Absent for an operator.
    tenant: Option<Tenant>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
struct Made {
    #[serde(flatten)]
    key: ApiKey,
    /// The key itself. It is kept nowhere and cannot be shown again.
    secret: String,
}

impl From<Minted> for Made {
    fn from(minted: Minted) -> Made {
        Made { key: minted.key, secret: minted.secret.expose_secret().to_owned() }
    }
}

/// A tenant's key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenantKey {
    name: String,
    /// `tenant_admin` or `tenant_viewer`.
    role: Role,
    /// Absent: it never expires.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// An operator's key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOperatorKey {
    name: String,
    /// Absent: it never expires.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// How a key is replaced. All of it may be absent: `{}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Replacement {
    /// For how many minutes the old secret still works: 0 to 10,080, which is a week. Default 0.
    #[schema(minimum = 0, maximum = 10080)]
    grace_minutes: u32,
    /// When the new key expires. Default: it lives as long as the old one did.
    expires_at: Option<DateTime<Utc>>,
}

const LONGEST_GRACE: u32 = 7 * 24 * 60;

impl Replacement {
    fn rotation(self) -> Result<Rotation, Problem> {
        if self.grace_minutes > LONGEST_GRACE {
            return Err(Problem::field("grace_minutes", format_args!("0 to {LONGEST_GRACE}")));
        }
        check_expiry(self.expires_at)?;
        Ok(Rotation { grace: TimeDelta::minutes(self.grace_minutes.into()), expires_at: self.expires_at })
    }
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    role: Option<Role>,
    /// How the secret begins, such as `vca_1a2b3c4d`.
    prefix: Option<String>,
}

impl From<Filter> for KeyFilter {
    fn from(Filter { role, prefix }: Filter) -> KeyFilter {
        KeyFilter { role, prefix }
    }
}

/// The ids of a path that names a tenant's key.
#[derive(Debug, Deserialize)]
struct Place {
    key_id: KeyId,
}

/// Say whose key this is.
#[utoipa::path(get, path = "/api/whoami", tag = "keys", responses((status = 200, body = Identity)))]
async fn whoami(Caller { presented, .. }: Caller) -> Json<Identity> {
    Json(Identity { key: presented.key, tenant: presented.tenant })
}

/// Make a key of the tenant's. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/keys", tag = "keys", request_body = NewTenantKey,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, body = Made), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn create(
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewTenantKey>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    if new.role == Role::Operator {
        return Err(Problem::field("role", "a tenant's key is tenant_admin or tenant_viewer"));
    }
    let new = checked(new.name, new.role, new.expires_at)?;
    Ok((StatusCode::CREATED, Json(scope.create_key(&actor, new).await?.into())))
}

/// List the tenant's keys, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/keys", tag = "keys",
    params(("tenant_id" = TenantId, Path), Filter, Paging),
    responses((status = 200, body = Listed<ApiKey>), (status = 404, body = ProblemBody)))]
async fn list(
    Reader { scope }: Reader,
    Asked(filter): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<ApiKey>>, Problem> {
    Ok(scope.keys(&filter.into(), paging.window()?).await?.into())
}

/// Show one of the tenant's keys.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/keys/{key_id}", tag = "keys",
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path)),
    responses((status = 200, body = ApiKey), (status = 404, body = ProblemBody)))]
async fn show(Reader { scope }: Reader, Ids(place): Ids<Place>) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(scope.key(place.key_id).await?))
}

/// Revoke one of the tenant's keys. The next request with it is refused.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/keys/{key_id}", tag = "keys",
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path)),
    responses((status = 200, body = ApiKey), (status = 404, body = ProblemBody)))]
async fn revoke(
    Administrator { scope, actor }: Administrator,
    Ids(place): Ids<Place>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(scope.revoke_key(&actor, place.key_id).await?))
}

/// Put a new key in the place of one of the tenant's: same name, same role, a new id and a new secret.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/keys/{key_id}/rotate", tag = "keys", request_body = Replacement,
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path)),
    responses((status = 201, body = Made), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
async fn rotate(
    Administrator { scope, actor }: Administrator,
    Ids(place): Ids<Place>,
    Body(how): Body<Replacement>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let minted = scope.rotate_key(&actor, place.key_id, how.rotation()?).await?;
    Ok((StatusCode::CREATED, Json(minted.into())))
}

/// Make an operator's key. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/keys", tag = "keys", request_body = NewOperatorKey,
    responses((status = 201, body = Made), (status = 400, body = ProblemBody)))]
async fn create_operators(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Body(new): Body<NewOperatorKey>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let new = checked(new.name, Role::Operator, new.expires_at)?;
    Ok((StatusCode::CREATED, Json(desk.store.create_operator_key(&actor, new).await?.into())))
}

/// List everybody's keys, oldest first.
#[utoipa::path(get, path = "/api/keys", tag = "keys", params(Filter, Paging),
    responses((status = 200, body = Listed<ApiKey>)))]
async fn list_all(
    State(desk): State<Desk>,
    _: Operator,
    Asked(filter): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<ApiKey>>, Problem> {
    Ok(desk.store.keys(&filter.into(), paging.window()?).await?.into())
}

/// Show a key, whoever's it is.
#[utoipa::path(get, path = "/api/keys/{key_id}", tag = "keys", params(("key_id" = KeyId, Path)),
    responses((status = 200, body = ApiKey), (status = 404, body = ProblemBody)))]
async fn show_any(
    State(desk): State<Desk>,
    _: Operator,
    Ids(place): Ids<Place>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(desk.store.key(place.key_id).await?))
}

/// Revoke a key, whoever's it is. The next request with it is refused.
#[utoipa::path(delete, path = "/api/keys/{key_id}", tag = "keys", params(("key_id" = KeyId, Path)),
    responses((status = 200, body = ApiKey), (status = 404, body = ProblemBody)))]
async fn revoke_any(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Ids(place): Ids<Place>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(desk.store.revoke_key(&actor, place.key_id).await?))
}

/// Put a new key in the place of one, whoever's it is.
#[utoipa::path(post, path = "/api/keys/{key_id}/rotate", tag = "keys", request_body = Replacement,
    params(("key_id" = KeyId, Path)),
    responses((status = 201, body = Made), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
async fn rotate_any(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Ids(place): Ids<Place>,
    Body(how): Body<Replacement>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let minted = desk.store.rotate_key(&actor, place.key_id, how.rotation()?).await?;
    Ok((StatusCode::CREATED, Json(minted.into())))
}

fn checked(name: String, role: Role, expires_at: Option<DateTime<Utc>>) -> Result<NewKey, Problem> {
    match name.trim().chars().count() {
        0 => return Err(Problem::field("name", "a name is needed: say what the key is for")),
        1..=100 => {}
        _ => return Err(Problem::field("name", "100 characters at most")),
    }
    check_expiry(expires_at)?;
    Ok(NewKey { name, role, expires_at })
}

fn check_expiry(at: Option<DateTime<Utc>>) -> Result<(), Problem> {
    let now = Utc::now();
    match at {
        Some(at) if at <= now => Err(Problem::field("expires_at", "this is over already")),
        // PostgreSQL's calendar ends, and nobody means a key for a century.
        Some(at) if at > now + TimeDelta::days(36_525) => Err(Problem::field(
            "expires_at",
            "a hundred years at most: leave it out for a key that never expires",
        )),
        _ => Ok(()),
    }
}
