//! Engine credentials of tenants: their rules, and trials.

use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;

use super::ControlError;
use crate::egress::DestinationPolicy;
use crate::store::{EngineAccount, NewEngineCredential, Scope, StoreError, Window};
use crate::tenancy::{
    Actor, EngineAccess, EngineCredential, EngineCredentialId, EngineHealth, EngineTrial, Permitted, Tenant,
    TenantEngineRules, TenantEngineShares, TenantKeys, check_model,
};
use crate::violation::Violation;

/// The longest key: a header's value.
const MAX_KEY: usize = 4_000;

/// The engines of tenants in this process: those of their own accounts, and their shares of the operator's.
pub trait TenantEngines: Send + Sync {
    /// Sends one small request with these credentials, within a time limit.
    fn try_out(&self, access: EngineAccess) -> BoxFuture<'_, EngineTrial>;

    /// The health of the engine with these credentials.
    fn health(&self, credential: &EngineCredential) -> EngineHealth;

    /// The tenant's shares of the operator's engines.
    fn shares(&self, tenant: &Tenant) -> TenantEngineShares;
}

/// Stores credentials.
///
/// # Errors
/// `Conflict` where the operator forbids them, and for a name that is in use; `Invalid` with all violations; `LimitReached`.
pub async fn create_engine_credential(
    scope: &Scope,
    actor: &Actor,
    rules: &TenantEngineRules,
    new: NewEngineCredential,
) -> Result<EngineCredential, ControlError> {
    allowed(rules)?;
    let model = new.account.model.as_deref();
    let violations = rules.violations(&new.name, (new.kind, new.api), model);
    ControlError::unless_none(violations.into_iter().chain(account_violations(rules, &new.account)))?;
    Ok(scope.create_engine_credential(actor, new).await?)
}

/// Replaces key, address, model and fallback of credentials. `precondition` gets them as they are.
///
/// # Errors
/// As of [`create_engine_credential`]; `NotFound` when the tenant has no such credentials; those of `precondition`.
pub async fn replace_engine_credential<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    rules: &TenantEngineRules,
    id: EngineCredentialId,
    account: EngineAccount,
    precondition: impl FnOnce(&EngineCredential) -> Result<(), E>,
) -> Result<EngineCredential, E> {
    allowed(rules)?;
    ControlError::unless_none(account_violations(rules, &account))?;
    let model = account.model.clone();
    let check = |current: &EngineCredential| -> Result<(), E> {
        precondition(current)?;
        let violation = model.as_deref().and_then(|model| check_model((current.kind, current.api), model));
        Ok(ControlError::unless_none(violation)?)
    };
    scope.replace_engine_account(actor, id, account, check).await
}

/// Sends one small request with credentials. The audit log has the trial, because the vendor may charge for it.
///
/// # Errors
/// `Conflict` where the operator forbids them; `NotFound` when the tenant has no such credentials; those of the database.
pub async fn test_engine_credential(
    scope: &Scope,
    actor: &Actor,
    rules: &TenantEngineRules,
    engines: &dyn TenantEngines,
    id: EngineCredentialId,
) -> Result<EngineTrial, ControlError> {
    allowed(rules)?;
    let access = scope.engine_access(id).await?;
    scope.note_access(actor, "test_engine", "engine_credential", id.0).await?;
    Ok(engines.try_out(access).await)
}

/// The engines, names and limits that a tenant may use, its own engines included.
///
/// # Errors
/// Those of the database.
pub async fn permitted_of(scope: &Scope, permitted: &Permitted) -> Result<Permitted, StoreError> {
    let own = scope.engine_credentials(Window::first(u32::MAX)).await?;
    Ok(permitted.with_own(&own.items))
}

fn allowed(rules: &TenantEngineRules) -> Result<(), ControlError> {
    let problem = "the operator does not allow engines of tenants' own accounts";
    match rules.keys {
        TenantKeys::Forbidden => Err(StoreError::refused("tenant_keys_forbidden", problem).into()),
        TenantKeys::Allowed | TenantKeys::Required => Ok(()),
    }
}

fn account_violations(rules: &TenantEngineRules, account: &EngineAccount) -> Vec<Violation> {
    let policy =
        DestinationPolicy { allow_private: rules.allow_private_addresses, allow_http: rules.allow_http };
    let address = account.base_url.as_deref().and_then(|url| policy.check(url).err());
    let address = address.map(|refusal| Violation::new("base_url", refusal.to_string()));
    let key = account.key.expose_secret();
    let is_header = (1..=MAX_KEY).contains(&key.len()) && key.chars().all(|c| matches!(c, '!'..='~'));
    let key = (!is_header)
        .then(|| Violation::new("key", format!("1 to {MAX_KEY} visible ASCII characters without spaces")));
    address.into_iter().chain(key).collect()
}
