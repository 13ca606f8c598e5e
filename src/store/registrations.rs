//! Numbers' registrations with their providers.

use uuid::Uuid;

use super::audit::Change;
use super::statement::sql;
use super::tx::{Access, AllTenants, RowScope};
use super::{Scope, Store, StoreError, now};
use crate::tenancy::{
    Actor, CallDelivery, Did, EventId, EventType, NumberId, ProviderState, Registration, TenantId,
};

/// The most characters of a provider's explanation that are kept.
const LONGEST_DETAIL: usize = 1_000;

const ONE: &str = "SELECT id, did, provider_type, provider_state, provider_detail, provider_reference, \
    registered_by, is_active, deleted_at IS NOT NULL AS is_deleted FROM phone_numbers \
    WHERE tenant_id = $1 AND id = $2";

/// A step of a registration, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationStep<'a> {
    /// `register` or `unregister`, for the audit log.
    pub action: &'static str,
    pub state: ProviderState,
    pub detail: &'a str,
    pub reference: Option<&'a str>,
    pub registered_by: RegisteredByChange,
    pub attempt: RegistrationAttempt,
}

/// Whether a step is worth an entry of the audit log and an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationAttempt {
    /// Someone asked for it: always.
    Requested,
    /// The daemon repeats it by itself, from this state: once the state has become another one than that. Otherwise a
    /// provider that always refuses would fill the audit log.
    Repeated { from: ProviderState },
}

impl RegistrationAttempt {
    /// By the daemon itself, an attempt is a repetition.
    pub fn by(actor: &Actor, from: ProviderState) -> RegistrationAttempt {
        if *actor == Actor::system() {
            RegistrationAttempt::Repeated { from }
        } else {
            RegistrationAttempt::Requested
        }
    }

    fn is_recorded(self, state: ProviderState) -> bool {
        match self {
            RegistrationAttempt::Requested => true,
            RegistrationAttempt::Repeated { from } => state != from && state != ProviderState::Pending,
        }
    }
}

/// Whether VCA pointed the number at this Asterisk, and so may undo it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisteredByChange {
    /// As recorded before.
    Keep,
    /// By the actor of this step, unless recorded before.
    Take,
    /// VCA did not, or has undone it.
    Drop,
}

impl Scope {
    /// A number's registration, even after the number was released.
    ///
    /// # Errors
    /// `NotFound` when the tenant never had the number.
    pub async fn registration(&self, id: NumberId) -> Result<Registration, StoreError> {
        self.one::<Row>(sql(ONE).bind(self.tenant.0).bind(id.0)).await?.try_into()
    }

    /// Records a step, and sends the tenant's webhooks an event when it failed. A repeated attempt without a new outcome
    /// writes neither an event nor an entry of the audit log.
    ///
    /// # Errors
    /// `NotFound` when the tenant never had the number.
    pub async fn record_registration(
        &self,
        actor: &Actor,
        id: NumberId,
        step: &RegistrationStep<'_>,
    ) -> Result<Registration, StoreError> {
        const SQL: &str = "UPDATE phone_numbers SET provider_state = $3, provider_detail = $4, \
            provider_reference = $5, registered_by = $6, provider_asked_at = $7 WHERE tenant_id = $1 AND id = $2";
        let detail: String = step.detail.chars().filter(|c| *c != '\0').take(LONGEST_DETAIL).collect();
        let one = || sql(ONE).bind(self.tenant.0).bind(id.0);
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.one::<Row>(one()).await?;
        let update = sql(SQL)
            .bind(self.tenant.0)
            .bind(id.0)
            .bind(step.state.as_str())
            .bind(detail)
            .bind(step.reference)
            .bind(step.registered_by.registered_by(before.registered_by.as_deref(), actor))
            .bind(now());
        tx.execute(update).await?;
        let after = tx.one::<Row>(one()).await?;
        let is_recorded = step.attempt.is_recorded(step.state);
        if is_recorded {
            let change = Change::new(actor, self.tenant, step.action, "phone_number", id);
            tx.audit(change.before(&before).after(&after)).await?;
        }
        let mut deliveries = 0;
        if is_recorded && step.state == ProviderState::Failed {
            let failure = RegistrationFailure::of(self.tenant, step.action, &after);
            let kind = EventType::NumberRegistrationFailed;
            deliveries = tx.emit(self.tenant, kind, EventId::new(), &failure).await?;
        }
        tx.commit().await?;
        self.store.ring(deliveries);
        after.try_into()
    }
}

impl Store {
    /// The present number with this DID, of any tenant.
    pub async fn holder(&self, did: &Did) -> Result<Option<NumberId>, StoreError> {
        const SQL: &str = "SELECT id FROM phone_numbers WHERE did = $1 AND deleted_at IS NULL";
        let found = AllTenants(self).optional::<(Uuid,)>(sql(SQL).bind(did.digits())).await?;
        Ok(found.map(|(id,)| NumberId(id)))
    }

    /// Whether VCA routed this DID to this Asterisk, for any tenant: a provider has one setting per DID.
    pub async fn is_registered_by_vca(&self, did: &Did, provider: &str) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT id FROM phone_numbers \
            WHERE did = $1 AND provider_type = $2 AND registered_by IS NOT NULL LIMIT 1";
        let asked = sql(SQL).bind(did.digits()).bind(provider);
        Ok(AllTenants(self).optional::<(Uuid,)>(asked).await?.is_some())
    }

    /// Clears `registered_by` of a DID, of any tenant, once a provider has undone the registration.
    pub async fn clear_registered_by(&self, did: &Did, provider: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE phone_numbers SET registered_by = NULL \
            WHERE did = $1 AND provider_type = $2 AND registered_by IS NOT NULL";
        AllTenants(self).execute(sql(SQL).bind(did.digits()).bind(provider)).await.map(drop)
    }
}

impl RegisteredByChange {
    fn registered_by(self, before: Option<&str>, actor: &Actor) -> Option<String> {
        match self {
            RegisteredByChange::Keep => before.map(str::to_owned),
            RegisteredByChange::Take => Some(before.unwrap_or(&actor.name).to_owned()),
            RegisteredByChange::Drop => None,
        }
    }
}

#[derive(sqlx::FromRow, serde::Serialize)]
struct Row {
    #[serde(skip)]
    id: Uuid,
    did: String,
    provider_type: String,
    provider_state: String,
    provider_detail: Option<String>,
    provider_reference: Option<String>,
    registered_by: Option<String>,
    is_active: bool,
    is_deleted: bool,
}

/// `data` of `number.registration_failed`. Every failed attempt is an event of its own.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = RegistrationFailedEventData)]
pub struct RegistrationFailure<'a> {
    tenant_id: TenantId,
    phone_number_id: NumberId,
    /// In E.164.
    did: String,
    provider_type: &'a str,
    /// The provider's message.
    provider_detail: Option<&'a str>,
    /// `register` or `unregister`.
    action: &'static str,
}

impl<'a> RegistrationFailure<'a> {
    fn of(tenant_id: TenantId, action: &'static str, number: &'a Row) -> RegistrationFailure<'a> {
        RegistrationFailure {
            tenant_id,
            phone_number_id: NumberId(number.id),
            did: format!("+{}", number.did),
            provider_type: &number.provider_type,
            provider_detail: number.provider_detail.as_deref(),
            action,
        }
    }
}

impl TryFrom<Row> for Registration {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Registration, StoreError> {
        let state = row.provider_state.parse().map_err(StoreError::corrupt)?;
        let is_wanted = row.is_active && !row.is_deleted;
        Ok(Registration {
            phone_number_id: NumberId(row.id),
            did: row.did.parse().map_err(|_| StoreError::corrupt("phone_numbers.did is not a number"))?,
            provider_type: row.provider_type,
            provider_state: state,
            provider_detail: row.provider_detail,
            provider_reference: row.provider_reference,
            registered_by: row.registered_by,
            is_active: row.is_active,
            is_deleted: row.is_deleted,
            call_delivery: CallDelivery::of(is_wanted, state),
        })
    }
}
