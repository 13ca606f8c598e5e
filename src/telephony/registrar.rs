//! Points numbers at us and takes them away again. The record says `pending` before a provider is asked and how it
//! went after: a daemon that dies in between leaves `pending`, and whoever asks again picks that up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::{Instrument, info, warn};

use super::{Adapters, Line, Provisioned, TelephonyError};
use crate::store::{Scope, Store, StoreError};
use crate::tenancy::{Actor, Did, NumberId, PhoneNumber, ProviderState, ProviderType, Registration};

/// Numbers whose turns are kept apart; two that share one wait for each other.
const TURNS: usize = 64;
/// How long somebody waits for a provider, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks providers, and keeps what came of it.
pub struct Registrar {
    store: Store,
    adapters: Arc<Adapters>,
    turns: [Mutex<()>; TURNS],
    patience: Duration,
}

/// What somebody wants of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Register,
    Unregister,
    /// What its record says by the time that it is its turn: of two changes at once the last counts, whoever comes
    /// to the provider last.
    AsRecorded,
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
        let turns = std::array::from_fn(|_| Mutex::new(()));
        Registrar { store, adapters, turns, patience: PATIENCE }
    }

    /// Who asks waits no longer than that for a provider: after it the answer is `pending`, and the record says later
    /// what came of it.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Registrar {
        Registrar { patience, ..self }
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
        self.fulfil(scope, actor, number, Wish::Register).await
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
        self.fulfil(scope, actor, number, Wish::Unregister).await
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
    ) -> Result<PhoneNumber, StoreError> {
        if number.provider_type == ProviderType::Generic {
            return Ok(number);
        }
        let answer = self.fulfil(scope, actor, number.id, Wish::AsRecorded).await?;
        Ok(PhoneNumber {
            provider_state: answer.provider_state,
            provider_detail: answer.provider_detail,
            provider_reference: answer.provider_reference,
            ..number
        })
    }

    /// Goes on when whoever asked has gone, or has waited long enough: a provider that was asked is heard, and the
    /// record says what it said.
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
        match timeout(self.patience, &mut asked).await {
            Ok(done) => settled(done),
            Err(_) => {
                tokio::spawn(tell_of_failure(asked).in_current_span());
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
        let _turn = self.turn(&scope.registration(number).await?.did).await;
        let before = scope.registration(number).await?;
        let is_wanted = match wish {
            Wish::Register if before.is_deleted => return Err(StoreError::NotFound),
            Wish::Register => true,
            Wish::Unregister => false,
            Wish::AsRecorded => before.is_active && !before.is_deleted,
        };
        if is_wanted {
            return self.go(scope, actor, before, Task::Register).await;
        }
        // Whoever has the DID by now would lose their calls.
        if before.is_deleted && self.store.holder(&before.did).await?.is_some() {
            let detail = "nothing was taken away: the number has a new owner";
            let (word, state) = (Task::Unregister.word(), ProviderState::Unregistered);
            return scope.record_registration(actor, word, number, state, detail, None).await;
        }
        self.go(scope, actor, before, Task::Unregister).await
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

    /// One after the other for each DID, whosever it is, so that the record says what the provider was told last. That
    /// holds within this process: a command beside a daemon may come between.
    async fn turn(&self, did: &Did) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        did.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns[at].lock().await
    }
}

fn settled(done: Result<Result<Registration, StoreError>, JoinError>) -> Result<Registration, StoreError> {
    done.unwrap_or_else(|fault| Err(StoreError::Other(format!("asking a provider has ended early: {fault}"))))
}

/// Nobody waits any more for what was asked: what keeps it off the record is at least in the log. The number stays
/// `pending`, to be asked for again.
async fn tell_of_failure(asked: JoinHandle<Result<Registration, StoreError>>) {
    if let Err(error) = settled(asked.await) {
        warn!(%error, "what became of asking a provider is not on record");
    }
}
