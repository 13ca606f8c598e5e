//! AI profiles: who answers, and how; and what they were before.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Administrator, Reader};
use super::expected::Operation;
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use super::{ApiState, patch};
use crate::control;
use crate::store::{NewProfile, ProfileChanges, ProfileFilter};
use crate::tenancy::{AgentRole, AiProfile, ProfileId, ProfileSettings, ProfileVersion, TenantId, given};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, update))
        .routes(routes!(replace_settings))
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

/// Create a profile. It answers calls that arrive after it became the tenant's default.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/ai-profiles", operation_id = "createAiProfile",
    tag = "AI profiles", request_body = NewProfile,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, description = "The profile was created.", body = AiProfile)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewProfile>,
) -> Result<(StatusCode, Tagged<AiProfile>), Problem> {
    let profile = control::create_profile(&scope, &actor, &api.permitted.get(), new).await?;
    Ok((StatusCode::CREATED, Tagged(profile)))
}

/// Conditions of a list of profiles.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProfilesQuery {
    /// Only profiles with this role.
    role: Option<AgentRole>,
    /// Only the default profile, or only the others.
    is_default: Option<bool>,
}

/// List the tenant's profiles, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles", operation_id = "listAiProfiles",
    tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ProfilesQuery, Paging),
    responses((status = 200, description = "A page of profiles.", body = Listed<AiProfile>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(ProfilesQuery { role, is_default }): ValidQuery<ProfilesQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<AiProfile>>, Problem> {
    Ok(scope.profiles_page(ProfileFilter { role, is_default }, paging.window()?).await?.into())
}

/// Show a profile.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}", operation_id = "getAiProfile",
    tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path)),
    responses((status = 200, description = "The profile.", body = AiProfile)))]
async fn show(
    Reader { scope }: Reader,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
) -> Result<Tagged<AiProfile>, Problem> {
    Ok(Tagged(scope.profile(id).await?))
}

/// Changes of a profile. An absent field stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateAiProfileRequest {
    /// 1 to 200 characters, not only blanks.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$"
    )]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    role: Option<AgentRole>,
    /// Instructions to the language model. 1 to 50,000 characters, not only blanks.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        max_length = 50000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*([^\s\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
    )]
    system_prompt: Option<String>,
    /// `true` replaces the tenant's present default; `false` leaves the tenant without one.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    is_default: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = ProfileSettings::patch_schema, required = false)]
    settings: Option<Value>,
}

/// Change a profile (JSON merge patch, RFC 7396).
///
/// `settings` are merged, too: a field that is absent stays, `null` returns it to its default. A change of name, role,
/// prompt or settings makes a new version, which the next call uses; calls in progress keep theirs.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}",
    operation_id = "updateAiProfile", tag = "AI profiles", request_body = UpdateAiProfileRequest,
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The profile after the change.", body = AiProfile)))]
async fn update(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    precondition: Precondition,
    operation: Operation,
    Body(request): Body<UpdateAiProfileRequest>,
) -> Result<Tagged<AiProfile>, Problem> {
    let decide = |current: &AiProfile| -> Result<ProfileChanges, Problem> {
        precondition.check(current)?;
        request.changes(current, operation)
    };
    Ok(Tagged(control::update_profile(&scope, &actor, &api.permitted.get(), id, decide).await?))
}

/// Replace the settings of a profile as a whole. An absent field takes its default.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/settings",
    operation_id = "replaceAiProfileSettings", tag = "AI profiles", request_body = ProfileSettings,
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The profile after the change.", body = AiProfile)))]
async fn replace_settings(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    precondition: Precondition,
    Body(settings): Body<ProfileSettings>,
) -> Result<Tagged<AiProfile>, Problem> {
    let decide = |current: &AiProfile| -> Result<ProfileChanges, Problem> {
        precondition.check(current)?;
        Ok(ProfileChanges { settings: Some(settings), ..ProfileChanges::default() })
    };
    Ok(Tagged(control::update_profile(&scope, &actor, &api.permitted.get(), id, decide).await?))
}

/// List the versions of a profile, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/versions",
    operation_id = "listAiProfileVersions", tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path), Paging),
    responses((status = 200, description = "A page of versions.", body = Listed<ProfileVersion>)))]
async fn versions(
    Reader { scope }: Reader,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<ProfileVersion>>, Problem> {
    Ok(scope.profile_versions(id, paging.window()?).await?.into())
}

/// Show a version of a profile.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/versions/{version}",
    operation_id = "getAiProfileVersion", tag = "AI profiles",
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path),
        ("version" = i64, Path, minimum = 0, maximum = 4294967295_i64)),
    responses((status = 200, description = "The version.", body = ProfileVersion)))]
async fn version(
    Reader { scope }: Reader,
    Ids(Version { ai_profile_id: id, version }): Ids<Version>,
) -> Result<Json<ProfileVersion>, Problem> {
    Ok(Json(scope.profile_version(id, version).await?))
}

/// The version to return to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RollBackRequest {
    /// A version of this profile.
    #[schema(value_type = i64, minimum = 0, maximum = 4294967295_i64)]
    version: u32,
}

/// Return a profile to an earlier version. That makes a new version with the old content and transfer targets; targets that the tenant
/// has deleted since are not reached.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/ai-profiles/{ai_profile_id}/rollback",
    operation_id = "rollBackAiProfile", tag = "AI profiles", request_body = RollBackRequest,
    params(("tenant_id" = TenantId, Path), ("ai_profile_id" = ProfileId, Path)),
    responses((status = 200, description = "The profile after the rollback.", body = AiProfile),
        (status = 400, description = "The version does not work any more, such as when its engine is gone: `invalid_value`.", body = ProblemBody)))]
async fn roll_back(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(Profile { ai_profile_id: id }): Ids<Profile>,
    Body(RollBackRequest { version }): Body<RollBackRequest>,
) -> Result<Tagged<AiProfile>, Problem> {
    Ok(Tagged(control::roll_back_profile(&scope, &actor, &api.permitted.get(), id, version).await?))
}

impl UpdateAiProfileRequest {
    /// The changes that the request makes of a profile as it is.
    fn changes(self, current: &AiProfile, operation: Operation) -> Result<ProfileChanges, Problem> {
        let UpdateAiProfileRequest { name, role, system_prompt, is_default, settings } = self;
        let settings = settings.map(|patch| merged(&current.settings, patch, operation)).transpose()?;
        Ok(ProfileChanges { name, role, system_prompt, is_default, settings })
    }
}

/// Settings with a patch applied.
fn merged(current: &ProfileSettings, patch: Value, operation: Operation) -> Result<ProfileSettings, Problem> {
    let mut settings = serde_json::to_value(current).map_err(Problem::internal)?;
    patch::merge(&mut settings, patch);
    if settings.is_null() {
        return Ok(ProfileSettings::default());
    }
    let read = serde_path_to_error::deserialize(settings);
    read.map_err(|error| operation.refuse_field("settings", error.path(), error.inner()))
}
