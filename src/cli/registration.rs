//! `vca number register` and `unregister`: asks a number's provider, as the daemon does.

use std::sync::Arc;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::Sheet;
use crate::ari;
use crate::config::{Config, Environment};
use crate::store::Store;
use crate::telephony::{Adapters, Registrar};
use crate::tenancy::{NumberId, PhoneNumber, ProviderState, Registration, TenantId};

pub async fn register(
    store: &Store,
    config: &Config,
    number: &PhoneNumber,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let scope = store.scope(number.tenant_id);
    let answer = registrar(store, config)?.register(&scope, &actor(), number.id).await?;
    tell(&answer, output)
}

pub async fn unregister(
    store: &Store,
    config: &Config,
    tenant: TenantId,
    number: NumberId,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let answer = registrar(store, config)?.unregister(&store.scope(tenant), &actor(), number).await?;
    tell(&answer, output)
}

pub fn registrar(store: &Store, config: &Config) -> Result<Arc<Registrar>, Failure> {
    Ok(Arc::new(Registrar::new(store.clone(), Arc::new(adapters(config)?))))
}

/// The providers that are configured.
pub fn adapters(config: &Config) -> Result<Adapters, Failure> {
    let asterisk = ari::Client::new(&config.ari).map_err(Failure::unacceptable)?;
    let production = config.environment == Environment::Production;
    Ok(Adapters::new(&config.telephony, Arc::new(asterisk), &config.ari.app, production))
}

/// Prints the provider's answer. A refusal is a failure of the command.
fn tell(answer: &Registration, output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(answer, || {
        Sheet::new()
            .line("id", answer.phone_number_id)
            .line("number", &answer.did)
            .line("provider", &answer.provider_type)
            .line("state", answer.provider_state)
            .line("detail", answer.provider_detail.as_deref().unwrap_or("-"))
            .line("reference", answer.provider_reference.as_deref().unwrap_or("-"))
            .to_string()
    })?;
    if answer.provider_state == ProviderState::Failed { Err(Failure::said()) } else { Ok(()) }
}
