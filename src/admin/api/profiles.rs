//! AI profiles: who answers, and how; and what they were before.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Reader};
use super::extract::{Asked, Body, Ids, Listed, Paging};
use super::problem::{Problem, ProblemBody};
use crate::store::{NewProfile, ProfileChanges, ProfileFilter};
use crate::tenancy::{AgentRole, AiProfile, Draft, ProfileId, ProfileVersion, TenantId, check_profile};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, update))
        .routes(routes!(versions))
        .routes(routes!(version))
        .routes(routes!(roll_back))
}

/// The profile of a path.
#[derive(Debug, Deserialize)]
struct Profile {
    ai_profile_id: ProfileId,
}

/// The version of a path.
#[derive(Debug, Deserialize)]
struct Version {
    ai_profile_id: ProfileId,
    version: u32,
}

/// Create a profile. The first calls with it are those that come in after it became the default.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/ai-profiles", tag = "AI profiles", request_body = NewProfile,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, body = AiProfile), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn create(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewProfile>,
) -> Result<(StatusCode, Json<AiProfile>), Problem> {
    let NewProfile { name, system_prompt, settings, .. } = &new;
    desk.check(Draft { name: Some(name), system_prompt: Some(system_prompt), settings: Some(settings) })?;
    Ok((StatusCode::CREATED, Json(scope.create_profile(&actor, new).await?)))
}

/// Which profiles.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    role: Option<AgentRole>,
    is_default: Option<bool>,
}

/// List the tenant's profiles, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles", tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), Filter, Paging),
    responses((status = 200, body = Listed<AiProfile>), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn list(
    Reader { scope }: Reader,
    Asked(Filter { role, is_default }): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<AiProfile>>, Problem> {
    Ok(scope.profiles_page(ProfileFilter { role, is_default }, paging.window()?).await?.into())
}

/// Show a profile.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}", tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path)),
    responses((status = 200, body = AiProfile), (status = 404, body = ProblemBody)))]
async fn show(
    Reader { scope }: Reader,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
) -> Result<Json<AiProfile>, Problem> {
    Ok(Json(scope.profile(id).await?))
}

/// Change a profile. What changes of what it says and does makes a new version, which the next call has; calls
/// under way keep theirs.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}", tag = "AI profiles",
    request_body = ProfileChanges, params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path)),
    responses((status = 200, body = AiProfile), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn update(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    Body(changes): Body<ProfileChanges>,
) -> Result<Json<AiProfile>, Problem> {
    let ProfileChanges { name, system_prompt, settings, .. } = &changes;
    let (name, system_prompt) = (name.as_deref(), system_prompt.as_deref());
    desk.check(Draft { name, system_prompt, settings: settings.as_ref() })?;
    Ok(Json(scope.update_profile(&actor, id, changes).await?))
}

/// List what a profile was and is, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/versions", tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path), Paging),
    responses((status = 200, body = Listed<ProfileVersion>), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn versions(
    Reader { scope }: Reader,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<ProfileVersion>>, Problem> {
    Ok(scope.profile_versions(id, paging.window()?).await?.into())
}

/// Show what a profile was at a version.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/versions/{version}",
    tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path), ("version" = u32, Path)),
    responses((status = 200, body = ProfileVersion), (status = 404, body = ProblemBody)))]
async fn version(
    Reader { scope }: Reader,
    Ids(Version { ai_profile_id: id, version }): Ids<Version>,
) -> Result<Json<ProfileVersion>, Problem> {
    Ok(Json(scope.profile_version(id, version).await?))
}

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rollback {
    version: u32,
}

/// Make a profile what it was at a version. That is a new version with the old content.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/rollback", tag = "AI profiles",
    request_body = Rollback, params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path)),
    responses((status = 200, body = AiProfile),
        (status = 400, description = "What worked then does not work now", body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn roll_back(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    Body(Rollback { version }): Body<Rollback>,
) -> Result<Json<AiProfile>, Problem> {
    let former = scope.profile_version(id, version).await?;
    desk.check(Draft { settings: Some(&former.settings), ..Draft::default() })?;
    Ok(Json(scope.roll_back_profile(&actor, id, version).await?))
}

impl Desk {
    fn check(&self, draft: Draft<'_>) -> Result<(), Problem> {
        let flaws = check_profile(draft, &self.permitted);
        if flaws.is_empty() { Ok(()) } else { Err(Problem::fields(flaws)) }
    }
}
