//! The database: tenants, their numbers and profiles, and the record of every call.
//!
//! SQLite by default, PostgreSQL by URL; one text of SQL serves both. All SQL of the product is in this room and
//! in `migrations/`. Rows of a tenant are reached through a [`Scope`] alone; each of its queries names the tenant,
//! and the schema refuses references across tenants.
//!
//! The life of a call is elsewhere: this room stores.

mod analyses;
mod analysis_requests;
mod analysis_trials;
mod analytics;
mod announced;
mod announcements;
mod audit;
mod backup;
mod batch;
mod call_events;
mod call_lists;
mod call_results;
mod call_turns;
mod calls;
mod conditions;
mod connect;
mod counting;
mod dead_letters;
mod deletion;
mod deliveries;
mod dispatch;
mod engine_credentials;
mod error;
mod event_schemas;
mod feedback;
mod holds;
mod idempotency;
mod inventory;
mod keys;
mod ledger;
mod leg_spend;
mod login;
mod migrations;
mod number_routing;
mod number_rules;
mod number_search;
mod numbers;
mod outbox;
mod page;
mod pool;
mod pre_call;
mod probes;
mod profile_targets;
mod profiles;
mod registrations;
mod retention;
mod rollups;
mod route;
mod routing;
mod routing_versions;
mod secrets;
mod security;
mod settings;
mod statement;
mod statements;
mod targets;
mod tenants;
mod tool_secrets;
mod transfer;
mod tx;
mod unmatched;
mod usage;
mod versions;
mod webhooks;

#[cfg(test)]
pub(crate) mod tests;

pub use analyses::{AnalysedCall, AnalysisAttempt, AnalysisOutcome, ClaimedAnalysis};
pub use analytics::{CallCounts, Counted, Ending, OfPeriod, Quarter, Stage, TalkCounts, TenantCounts};
pub use announced::NewAnnouncement;
pub use announcements::{Announcements, NEVER_ARRIVED};
pub use audit::{AuditEntry, AuditFilter};
pub use backup::{TableSum, examine_copy, is_in_use};
pub use call_lists::{AnalysisFilter, CallFilter};
pub use call_results::ResultCount;
pub use calls::ABANDONED;
pub use connect::Protection;
pub use dead_letters::DeadLetter;
pub use deletion::{Deleted, Erased, Expired, PurgeSettings, Purged, Subject};
pub use deliveries::DeliveryFilter;
pub use dispatch::{ClaimedDelivery, DeliveryAttempt, DeliveryOutcome, WaitingWebhook};
pub use engine_credentials::{EngineAccount, NewEngineCredential};
pub use error::{Duplicate, StoreError};
pub use event_schemas::{EventData, event_data};
pub use feedback::{FeedbackFilter, NewFeedback};
pub use holds::{HeldMonth, HeldTenant};
pub use idempotency::{ChangedResource, ClaimOutcome, IdempotentRequest, IdempotentRequests, StoredResponse};
pub use inventory::{InventoryChanges, InventoryFilter, NewInventoryNumber, PutOutcome};
pub use keys::{KeyFilter, KeyWithSecret, KeyWithTenant, NewKey, Rotation};
pub use ledger::{Entry, Ledger};
pub use leg_spend::LegReservation;
pub use number_rules::{Ambiguity, NumberRefusal};
pub use number_search::{NumberQuery, OwnedNumber};
pub use numbers::{NewNumber, NumberChanges, NumberFilter};
pub use page::{Page, Window};
pub use pool::{Backend, Connections, LIST_PLAN};
pub use pre_call::IssuedPreCall;
pub use profiles::{NewProfile, ProfileChanges, ProfileFilter};
pub use registrations::{RegisteredByChange, RegistrationAttempt, RegistrationStep};
pub use routing::{Routing, RoutingSettings};
pub use secrets::{Resealing, UnreadableSecret};
pub use security::{Bypass, Isolation};
pub use settings::Settings;
pub use statements::{
    HeldStatement, HoldReason, IssueOutcome, IssueRequest, IssuedStatement, MonthReports, UnreadableTenant,
};
pub use targets::{NewTarget, TargetChanges};
pub use tenants::{NewTenant, TenantChanges, TenantFilter};
pub use transfer::{ImportSettings, Imported, TenantFile, WebhookSecret};
pub use unmatched::{UnmatchedCounter, UnmatchedNumber};
pub use webhooks::{NewWebhook, WebhookChanges, WebhookWithSecret};

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::Notify;

use crate::billing::Plans;
use crate::current::Current;
use crate::sealing::Keyring;
use crate::tenancy::{Numbering, TenantId, TenantLimits};
use pool::Pool;
use statement::sql;
use tx::RowScope;

/// An open database. Cloning it is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    timeout: Duration,
    /// Notified when there is something in the outbox.
    bell: Arc<Notify>,
    /// The rule by which two numbers are distinguished.
    numbering: Numbering,
    /// Their quotas are watched.
    plans: Current<Plans>,
    /// How much one tenant may store.
    limits: Current<TenantLimits>,
    /// Whose calls are put on record.
    daemon: Arc<str>,
    /// The label of this store's connections in metrics.
    pool_label: &'static str,
    /// Seals and opens the secrets that are kept.
    sealing: Keyring,
}

/// One tenant's part of the database: the only access to a tenant's rows.
#[derive(Clone, Debug)]
pub struct Scope {
    store: Store,
    tenant: TenantId,
}

impl Store {
    /// Opens the database and proves that it answers. An SQLite file that is missing is created, with
    /// its folder. Nothing is migrated.
    ///
    /// # Errors
    /// `Invalid` for a URL that cannot be understood, `Unavailable` for a database that does not answer
    /// or refuses the login. Both name the remedy; neither holds the password.
    pub async fn open(settings: &Settings) -> Result<Store, StoreError> {
        let pool = Pool::open(settings).await?;
        let timeout = Duration::from_millis(settings.query_timeout_ms);
        Ok(Store {
            pool,
            timeout,
            bell: Arc::default(),
            numbering: Numbering::default(),
            plans: Current::default(),
            limits: Current::default(),
            daemon: Arc::from(""),
            pool_label: "api",
            sealing: Keyring::default(),
        })
    }

    /// The same store with connections of its own, for calls and their records: requests to the API, however many and
    /// however slow, never make a caller wait.
    #[must_use]
    pub fn for_calls(&self, settings: &Settings) -> Store {
        let pool = self.pool.sized(settings, settings.call_connections);
        Store { pool, pool_label: "calls", ..self.clone() }
    }

    /// The same store with a time limit of `limit` for transactions.
    #[must_use]
    fn limited_to(self, limit: Duration) -> Store {
        Store { timeout: self.timeout.min(limit), ..self }
    }

    /// The store, as one of the daemons that share the database has it.
    #[must_use]
    pub fn of_daemon(self, name: &str) -> Store {
        Store { daemon: name.into(), ..self }
    }

    /// The store with these limits by tenant.
    #[must_use]
    pub fn with_limits(self, limits: TenantLimits) -> Store {
        Store { limits: Current::new(limits), ..self }
    }

    /// Changes the limits of this store and its clones.
    pub fn set_limits(&self, limits: TenantLimits) {
        self.limits.set(limits);
    }

    /// The connections of this store's pool.
    pub fn connections(&self) -> Connections {
        self.pool.connections()
    }

    pub fn backend(&self) -> Backend {
        self.pool.backend()
    }

    /// Pings the database.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.one::<(i32,)>(sql("SELECT 1")).await.map(drop)
    }

    /// A tenant's own rows. Whether the tenant exists is not asked: if not, there are none.
    pub fn scope(&self, tenant: TenantId) -> Scope {
        Scope { store: self.clone(), tenant }
    }

    /// Closes the connections once the queries in progress are done.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// Awaits a query, but not for longer than the settings allow.
    async fn within<T>(&self, query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, query).await {
            Ok(answer) => answer.map_err(StoreError::from),
            Err(_) => Err(StoreError::TooSlow { limit: self.timeout }),
        }
    }
}

impl Scope {
    pub fn tenant_id(&self) -> TenantId {
        self.tenant
    }
}

/// The present, as precisely as both databases keep it.
fn now() -> DateTime<Utc> {
    kept(Utc::now())
}

/// A moment cut to microseconds: PostgreSQL keeps no more, and a row should read back as it was written.
fn kept(moment: DateTime<Utc>) -> DateTime<Utc> {
    moment.trunc_subsecs(6)
}
