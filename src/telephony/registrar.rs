//! Registers numbers with their providers and unregisters them.
//!
//! `pending` is recorded before a request to a provider, and the outcome after it. A daemon that dies in between
//! leaves `pending`, and a new registration continues from there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::{Instrument, info, warn};

use super::{Adapters, Effect, Provisioned, TelephonyError, TenantNumber};
use crate::store::{RegisteredByChange, RegistrationAttempt, RegistrationStep, Scope, Store, StoreError};
use crate::tenancy::{Actor, Did, NumberId, PhoneNumber, ProviderState, ProviderType, Registration};

/// Locks that serialise the requests for a DID; DIDs that share a lock wait for each other.
const LOCKS: usize = 64;
/// How long a request waits for a provider by default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests to providers and records their outcomes.
pub struct Registrar {
    store: Store,
    adapters: Arc<Adapters>,
    locks: [Mutex<()>; LOCKS],
    timeout: Duration,
}

/// The wanted state of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WantedState {
    Register,
    Unregister,
    /// The state that the record has once the DID's lock is held: of two concurrent changes the last recorded one
    /// counts, regardless of the order in which they reach the provider.
    AsRecorded,
}

/// A request to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProviderTask {
    Register,
    Unregister,
}

impl ProviderTask {
    /// The name in the audit log.
    fn as_str(self) -> &'static str {
        match self {
            ProviderTask::Register => "register",
            ProviderTask::Unregister => "unregister",
        }
    }

    /// Whether the change counts as VCA's while the request is in progress: a daemon that dies may have changed
    /// the number.
    fn registered_by_while_pending(self) -> RegisteredByChange {
        match self {
            ProviderTask::Register => RegisteredByChange::Take,
            ProviderTask::Unregister => RegisteredByChange::Keep,
        }
    }

    /// Whether the change counts as VCA's after the response. `was_ours`: VCA had routed the number here before.
    fn registered_by(
        self,
        answer: &Result<Provisioned, TelephonyError>,
        was_ours: bool,
    ) -> RegisteredByChange {
        match (self, answer) {
            (ProviderTask::Register, Ok(Provisioned { effect: Effect::Changed, .. })) => {
                RegisteredByChange::Take
            }
            // The request may have reached the provider.
            (ProviderTask::Register, Err(error)) if error.is_passing() => RegisteredByChange::Take,
            (ProviderTask::Register, _) if was_ours => RegisteredByChange::Take,
            (ProviderTask::Register, _) | (ProviderTask::Unregister, Ok(_)) => RegisteredByChange::Drop,
            (ProviderTask::Unregister, Err(_)) => RegisteredByChange::Keep,
        }
    }
}

impl Registrar {
    pub fn new(store: Store, adapters: Arc<Adapters>) -> Registrar {
        let locks = std::array::from_fn(|_| Mutex::new(()));
        Registrar { store, adapters, locks, timeout: TIMEOUT }
    }

    /// The longest time that a caller waits for a provider. After that the result is `pending`, and the record has
    /// the outcome later.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Registrar {
        Registrar { timeout, ..self }
    }

    /// Routes a number's calls to this Asterisk. A provider's refusal is a result, not an error.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or has released it; those of the database.
    pub async fn register(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        self.fulfil(scope, actor, number, WantedState::Register).await
    }

    /// Undoes a registration, also for a released number.
    ///
    /// # Errors
    /// `NotFound` when the tenant never had the number; those of the database.
    pub async fn unregister(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        self.fulfil(scope, actor, number, WantedState::Unregister).await
    }

    /// Updates the provider after a number was created, changed or released, and returns the number's new state.
    /// Calls to a `generic` number arrive without a provider's help.
    ///
    /// # Errors
    /// Those of the database. The provider's response is in the number.
    pub async fn follow(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: PhoneNumber,
    ) -> Result<PhoneNumber, StoreError> {
        if number.provider_type == ProviderType::Generic {
            return Ok(number);
        }
        let registration = self.fulfil(scope, actor, number.id, WantedState::AsRecorded).await?;
        Ok(number.with_registration(registration))
    }

    /// Continues after the requester has gone or has waited long enough, so that the outcome is recorded.
    async fn fulfil(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
        wanted: WantedState,
    ) -> Result<Registration, StoreError> {
        let work = {
            // It may outlast the request and its lease.
            let actor = Actor { attempt: None, ..actor.clone() };
            let (this, scope) = (self.clone(), scope.clone());
            async move { this.in_turn(&scope, &actor, number, wanted).await }
        };
        let mut asked = tokio::spawn(work.in_current_span());
        match timeout(self.timeout, &mut asked).await {
            Ok(done) => settled(done),
            Err(_) => {
                tokio::spawn(log_failure(asked).in_current_span());
                let so_far = scope.registration(number).await?;
                Ok(Registration { provider_state: ProviderState::Pending, ..so_far })
            }
        }
    }

    async fn in_turn(
        &self,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
        wanted: WantedState,
    ) -> Result<Registration, StoreError> {
        let _turn = self.lock(&scope.registration(number).await?.did).await;
        let before = scope.registration(number).await?;
        let is_wanted = match wanted {
            WantedState::Register if before.is_deleted => return Err(StoreError::NotFound),
            WantedState::Register => true,
            WantedState::Unregister => false,
            WantedState::AsRecorded => before.is_active && !before.is_deleted,
        };
        if is_wanted {
            return self.ask(scope, actor, before, ProviderTask::Register).await;
        }
        // The tenant that has the DID now would lose its calls.
        if before.is_deleted && self.store.holder(&before.did).await?.is_some() {
            let step = RegistrationStep {
                action: ProviderTask::Unregister.as_str(),
                state: ProviderState::Unregistered,
                detail: "left unchanged: another number with this DID is in use",
                reference: None,
                registered_by: RegisteredByChange::Keep,
                attempt: RegistrationAttempt::by(actor, before.provider_state),
            };
            return scope.record_registration(actor, number, &step).await;
        }
        self.ask(scope, actor, before, ProviderTask::Unregister).await
    }

    async fn ask(
        &self,
        scope: &Scope,
        actor: &Actor,
        before: Registration,
        task: ProviderTask,
    ) -> Result<Registration, StoreError> {
        let number = self.tenant_number(scope, &before).await?;
        let reference = before.provider_reference.as_deref();
        let attempt = RegistrationAttempt::by(actor, before.provider_state);
        let pending = RegistrationStep {
            action: task.as_str(),
            state: ProviderState::Pending,
            detail: &format!("{} was requested; if this stays, request it again", task.as_str()),
            reference,
            registered_by: task.registered_by_while_pending(),
            attempt,
        };
        scope.record_registration(actor, number.phone_number_id, &pending).await?;
        let answer = self.request(&before.provider_type, &number, task).await;
        log_answer(&before.provider_type, &number, task, &answer);
        let (action, registered_by) =
            (task.as_str(), task.registered_by(&answer, number.is_registered_by_vca));
        let (state, detail, reference) = match answer {
            Ok(Provisioned { state, detail, reference, .. }) => (state, detail, reference),
            Err(error) => (ProviderState::Failed, error.to_string(), before.provider_reference),
        };
        if (task, state) == (ProviderTask::Unregister, ProviderState::Unregistered) {
            self.store.clear_registered_by(&number.did, &before.provider_type).await?;
        }
        let reference = reference.as_deref();
        let step = RegistrationStep { action, state, detail: &detail, reference, registered_by, attempt };
        scope.record_registration(actor, number.phone_number_id, &step).await
    }

    /// The number with the facts that adapters check before a request.
    async fn tenant_number(&self, scope: &Scope, number: &Registration) -> Result<TenantNumber, StoreError> {
        let (did, provider) = (&number.did, number.provider_type.as_str());
        Ok(TenantNumber {
            tenant_id: scope.tenant_id(),
            phone_number_id: number.phone_number_id,
            is_assigned: scope.is_assigned(did).await?,
            is_registered_by_vca: self.store.is_registered_by_vca(did, provider).await?,
            did: did.clone(),
        })
    }

    async fn request(
        &self,
        provider: &str,
        number: &TenantNumber,
        task: ProviderTask,
    ) -> Result<Provisioned, TelephonyError> {
        let adapter = self.adapters.find(provider)?;
        match task {
            ProviderTask::Register => adapter.register_number(number).await,
            ProviderTask::Unregister => adapter.unregister_number(number).await,
        }
    }

    /// Serialises requests for one DID across tenants, so that the record matches the last request. This holds
    /// within one process: a command of `vca` beside a daemon may interfere.
    async fn lock(&self, did: &Did) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        did.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
        self.locks[at].lock().await
    }
}

fn log_answer(
    provider: &str,
    number: &TenantNumber,
    task: ProviderTask,
    answer: &Result<Provisioned, TelephonyError>,
) {
    let (task, tenant, did) = (task.as_str(), number.tenant_id, &number.did);
    match answer {
        Ok(Provisioned { state, .. }) => {
            info!(provider, tenant_id = %tenant, %did, %state, "number provider: {task} done");
        }
        Err(error) => {
            metrics::counter!("vca_registrations_failed_total", "reason" => error.as_str()).increment(1);
            warn!(provider, tenant_id = %tenant, %did, %error, "number provider: {task} failed");
        }
    }
}

fn settled(done: Result<Result<Registration, StoreError>, JoinError>) -> Result<Registration, StoreError> {
    done.unwrap_or_else(|error| {
        Err(StoreError::Other(format!("the request to a number's provider ended early: {error}")))
    })
}

/// The requester no longer waits: an outcome that cannot be recorded is logged, and the number stays `pending`.
async fn log_failure(asked: JoinHandle<Result<Registration, StoreError>>) {
    if let Err(error) = settled(asked.await) {
        warn!(%error, "outcome of a number provider's request not recorded");
    }
}
