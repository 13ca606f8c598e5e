//! Registers numbers with their providers and unregisters them.
//!
//! `pending` is recorded before a provider is asked, and the outcome after it: a daemon that dies in between leaves
//! `pending`, and registering again picks that up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::{Instrument, info, warn};

use super::{Adapters, Effect, Provisioned, TelephonyError, TenantNumber};
use crate::store::{Credit, RegistrationStep, Scope, Store, StoreError};
use crate::tenancy::{Actor, Did, NumberId, PhoneNumber, ProviderState, ProviderType, Registration};

/// Locks by which DIDs take turns; two DIDs that share one wait for each other.
const LOCKS: usize = 64;
/// How long a request waits for a provider by default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks providers and records their answers.
pub struct Registrar {
    store: Store,
    adapters: Arc<Adapters>,
    locks: [Mutex<()>; LOCKS],
    timeout: Duration,
}

/// The wanted state of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Register,
    Unregister,
    /// As its record says once the DID's lock is held: of two concurrent changes the last one recorded counts, in
    /// whichever order they reach the provider.
    AsRecorded,
}

/// A request to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Register,
    Unregister,
}

impl Task {
    /// The audit log's word.
    fn word(self) -> &'static str {
        match self {
            Task::Register => "register",
            Task::Unregister => "unregister",
        }
    }

    /// Who is credited while the provider is asked: a daemon that dies may have changed the number.
    fn credit_while_pending(self) -> Credit {
        match self {
            Task::Register => Credit::Take,
            Task::Unregister => Credit::Keep,
        }
    }

    /// Who is credited after the provider's answer. `was_ours`: VCA had pointed the number here before.
    fn credit(self, answer: &Result<Provisioned, TelephonyError>, was_ours: bool) -> Credit {
        match (self, answer) {
            (Task::Register, Ok(Provisioned { effect: Effect::Changed, .. })) => Credit::Take,
            // The request may have reached the provider.
            (Task::Register, Err(error)) if error.is_passing() => Credit::Take,
            (Task::Register, _) if was_ours => Credit::Take,
            (Task::Register, _) | (Task::Unregister, Ok(_)) => Credit::Drop,
            (Task::Unregister, Err(_)) => Credit::Keep,
        }
    }
}

impl Registrar {
    pub fn new(store: Store, adapters: Arc<Adapters>) -> Registrar {
        let locks = std::array::from_fn(|_| Mutex::new(()));
        Registrar { store, adapters, locks, timeout: TIMEOUT }
    }

    /// A request waits no longer than that for a provider. Its answer is `pending` then, and the record has the outcome
    /// later.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Registrar {
        Registrar { timeout, ..self }
    }

    /// Has a number's calls sent here. A provider's refusal is in the answer, not an error.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or has released it; those of the database.
    pub async fn register(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        self.fulfil(scope, actor, number, Wish::Register).await
    }

    /// Undoes that, also for a number that was released.
    ///
    /// # Errors
    /// `NotFound` when the tenant never had the number; those of the database.
    pub async fn unregister(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        self.fulfil(scope, actor, number, Wish::Unregister).await
    }

    /// Has the provider follow a number that was created, switched or released, and returns the number as it is then.
    /// Calls of a `generic` one arrive without a provider's help.
    ///
    /// # Errors
    /// Those of the database. The provider's answer is in the number.
    pub async fn follow(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: PhoneNumber,
    ) -> Result<PhoneNumber, StoreError> {
        if number.provider_type == ProviderType::Generic {
            return Ok(number);
        }
        let registration = self.fulfil(scope, actor, number.id, Wish::AsRecorded).await?;
        Ok(number.with_registration(registration))
    }

    /// Continues after the requester has gone or has waited long enough, so that the provider's answer is recorded.
    async fn fulfil(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
        wish: Wish,
    ) -> Result<Registration, StoreError> {
        let work = {
            let (this, scope, actor) = (self.clone(), scope.clone(), actor.clone());
            async move { this.in_turn(&scope, &actor, number, wish).await }
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
        wish: Wish,
    ) -> Result<Registration, StoreError> {
        let _turn = self.lock(&scope.registration(number).await?.did).await;
        let before = scope.registration(number).await?;
        let is_wanted = match wish {
            Wish::Register if before.is_deleted => return Err(StoreError::NotFound),
            Wish::Register => true,
            Wish::Unregister => false,
            Wish::AsRecorded => before.is_active && !before.is_deleted,
        };
        if is_wanted {
            return self.ask(scope, actor, before, Task::Register).await;
        }
        // The tenant that has the DID now would lose its calls.
        if before.is_deleted && self.store.holder(&before.did).await?.is_some() {
            let step = RegistrationStep {
                action: Task::Unregister.word(),
                state: ProviderState::Unregistered,
                detail: "left as it is: another number of this DID is in use",
                reference: None,
                credit: Credit::Keep,
            };
            return scope.record_registration(actor, number, &step).await;
        }
        self.ask(scope, actor, before, Task::Unregister).await
    }

    async fn ask(
        &self,
        scope: &Scope,
        actor: &Actor,
        before: Registration,
        task: Task,
    ) -> Result<Registration, StoreError> {
        let number = self.tenant_number(scope, &before).await?;
        let reference = before.provider_reference.as_deref();
        let pending = RegistrationStep {
            action: task.word(),
            state: ProviderState::Pending,
            detail: &format!("{} was requested; if this stays, request it again", task.word()),
            reference,
            credit: task.credit_while_pending(),
        };
        scope.record_registration(actor, number.phone_number_id, &pending).await?;
        let answer = self.request(&before.provider_type, &number, task).await;
        log_answer(&before.provider_type, &number, task, &answer);
        let (action, credit) = (task.word(), task.credit(&answer, number.is_registered_by_vca));
        let (state, detail, reference) = match answer {
            Ok(Provisioned { state, detail, reference, .. }) => (state, detail, reference),
            Err(error) => (ProviderState::Failed, error.to_string(), before.provider_reference),
        };
        if (task, state) == (Task::Unregister, ProviderState::Unregistered) {
            self.store.drop_credit(&number.did, &before.provider_type).await?;
        }
        let step =
            RegistrationStep { action, state, detail: &detail, reference: reference.as_deref(), credit };
        scope.record_registration(actor, number.phone_number_id, &step).await
    }

    /// The number with the facts that adapters check before they ask a provider.
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
        task: Task,
    ) -> Result<Provisioned, TelephonyError> {
        let adapter = self.adapters.find(provider)?;
        match task {
            Task::Register => adapter.register_number(number).await,
            Task::Unregister => adapter.unregister_number(number).await,
        }
    }

    /// Requests for one DID take turns, whichever tenant's they are, so that the record has what the provider was asked
    /// last. That holds within this process: a command beside a daemon may interfere.
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
    task: Task,
    answer: &Result<Provisioned, TelephonyError>,
) {
    let (task, tenant, did) = (task.word(), number.tenant_id, &number.did);
    match answer {
        Ok(Provisioned { state, .. }) => {
            info!(provider, tenant_id = %tenant, %did, %state, "number provider asked to {task}");
        }
        Err(error) => {
            metrics::counter!("vca_registrations_failed_total", "reason" => error.word()).increment(1);
            warn!(provider, tenant_id = %tenant, %did, %error, "number provider did not {task}");
        }
    }
}

fn settled(done: Result<Result<Registration, StoreError>, JoinError>) -> Result<Registration, StoreError> {
    done.unwrap_or_else(|error| {
        Err(StoreError::Other(format!("asking a number's provider ended early: {error}")))
    })
}

/// The requester does not wait any more: an outcome that cannot be recorded is logged. The number stays `pending`.
async fn log_failure(asked: JoinHandle<Result<Registration, StoreError>>) {
    if let Err(error) = settled(asked.await) {
        warn!(%error, "a number provider's answer is not recorded");
    }
}
