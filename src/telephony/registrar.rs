//! Points numbers at us and takes them away again. The record says `pending` before a provider is asked and how it
//! went after: a daemon that dies in between leaves `pending`, and whoever asks again picks that up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use tracing::{Instrument, info, warn};

use super::{Adapters, Line, Provisioned, TelephonyError};
use crate::store::{Scope, Store, StoreError};
use crate::tenancy::{Actor, NumberId, PhoneNumber, ProviderState, ProviderType, Registration};

/// Numbers whose turns are kept apart; two that share one wait for each other.
const TURNS: usize = 64;

/// Asks providers, and keeps what came of it.
pub struct Registrar {
    store: Store,
    adapters: Arc<Adapters>,
    turns: [Mutex<()>; TURNS],
}

/// What is asked of a provider.
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
}

impl Registrar {
    pub fn new(store: Store, adapters: Arc<Adapters>) -> Registrar {
        Registrar { store, adapters, turns: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// Has a number's calls brought to us. What a provider says to that is in the answer, not an error.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number, or has given it up; those of the database.
    pub async fn register(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        let (this, scope, actor) = (self.clone(), scope.clone(), actor.clone());
        finish(async move { this.take_up(&scope, &actor, number).await }).await
    }

    async fn take_up(
        &self,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        let _turn = self.turn(number).await;
        let before = scope.registration(number).await?;
        if before.is_deleted {
            return Err(StoreError::NotFound);
        }
        self.go(scope, actor, before, Task::Register).await
    }

    /// Has them brought no longer. A number that was given up can be asked for, too.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number; those of the database.
    pub async fn unregister(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        let (this, scope, actor) = (self.clone(), scope.clone(), actor.clone());
        finish(async move { this.give_up(&scope, &actor, number).await }).await
    }

    async fn give_up(
        &self,
        scope: &Scope,
        actor: &Actor,
        number: NumberId,
    ) -> Result<Registration, StoreError> {
        let _turn = self.turn(number).await;
        let before = scope.registration(number).await?;
        // Whoever has the DID by now would lose their calls.
        if before.is_deleted && self.store.holder(&before.did).await?.is_some() {
            let detail = "nothing was taken away: the number has a new owner";
            let (word, state) = (Task::Unregister.word(), ProviderState::Unregistered);
            return scope.record_registration(actor, word, number, state, detail, None).await;
        }
        self.go(scope, actor, before, Task::Unregister).await
    }

    /// After a number was made, switched or given up: its calls are to come to us, or no longer. A `generic` one's
    /// come without anybody's doing, so nobody is asked. Answers with the number as it is then.
    ///
    /// # Errors
    /// Those of the database. What the provider says is in the number.
    pub async fn follow(
        self: &Arc<Self>,
        scope: &Scope,
        actor: &Actor,
        number: PhoneNumber,
        wanted: bool,
    ) -> Result<PhoneNumber, StoreError> {
        if number.provider_type == ProviderType::Generic {
            return Ok(number);
        }
        let answer = match wanted {
            true => self.register(scope, actor, number.id).await?,
            false => self.unregister(scope, actor, number.id).await?,
        };
        Ok(PhoneNumber {
            provider_state: answer.provider_state,
            provider_detail: answer.provider_detail,
            provider_reference: answer.provider_reference,
            ..number
        })
    }

    async fn go(
        &self,
        scope: &Scope,
        actor: &Actor,
        before: Registration,
        task: Task,
    ) -> Result<Registration, StoreError> {
        let (number, word) = (before.phone_number_id, task.word());
        let reference = before.provider_reference.as_deref();
        let detail = format!("{word} was asked for; if this stays, ask again");
        scope.record_registration(actor, word, number, ProviderState::Pending, &detail, reference).await?;
        let line = Line { tenant_id: scope.tenant_id(), phone_number_id: number, did: before.did.clone() };
        let (provider, tenant) = (before.provider_type.as_str(), scope.tenant_id());
        match self.ask(provider, &line, task).await {
            Ok(Provisioned { state, detail, reference }) => {
                info!(provider, tenant_id = %tenant, did = ?line.did, %state, "a number's provider was asked to {word} it");
                scope.record_registration(actor, word, number, state, &detail, reference.as_deref()).await
            }
            Err(error) => {
                warn!(provider, tenant_id = %tenant, did = ?line.did, %error, "a number's provider did not {word} it");
                metrics::counter!("vca_registrations_failed_total", "reason" => error.word()).increment(1);
                let detail = error.to_string();
                scope
                    .record_registration(actor, word, number, ProviderState::Failed, &detail, reference)
                    .await
            }
        }
    }

    async fn ask(&self, provider: &str, line: &Line, task: Task) -> Result<Provisioned, TelephonyError> {
        let adapter = self.adapters.find(provider)?;
        match task {
            Task::Register => adapter.register_number(line).await,
            Task::Unregister => adapter.unregister_number(line).await,
        }
    }

    /// One after the other for each number, so that the record says what the provider was told last.
    async fn turn(&self, number: NumberId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns[at].lock().await
    }
}

/// Goes on when whoever asked has gone: a provider that was asked is heard, and the record says what it said.
async fn finish(
    work: impl Future<Output = Result<Registration, StoreError>> + Send + 'static,
) -> Result<Registration, StoreError> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or_else(|fault| Err(StoreError::Other(format!("asking a provider has ended early: {fault}"))))
}
