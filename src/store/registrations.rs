//! How numbers stand with their providers.

use uuid::Uuid;

use super::audit::{Change, audit};
use super::outbox::emit;
use super::pool::{Everywhere, run, transact};
use super::{Scope, Store, StoreError};
use crate::tenancy::{Actor, Did, EventId, EventType, NumberId, ProviderState, Registration, TenantId};

/// The most characters of a provider's explanation that are kept.
const LONGEST_DETAIL: usize = 1_000;

const ONE: &str = "SELECT id, did, provider_type, provider_state, provider_detail, provider_reference, \
    is_active, deleted_at IS NOT NULL AS is_deleted FROM phone_numbers WHERE tenant_id = $1 AND id = $2";

impl Scope {
    /// How a number stands with its provider, even after it was given up.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number.
    pub async fn registration(&self, id: NumberId) -> Result<Registration, StoreError> {
        let row = run!(*self, connection => sqlx::query_as::<_, Row>(ONE)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_one(connection))?;
        row.try_into()
    }

    /// Records how a number stands with its provider, and tells the tenant's webhooks of a failure. `action` is the
    /// word for the audit log.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number.
    pub async fn record_registration(
        &self,
        actor: &Actor,
        action: &'static str,
        id: NumberId,
        state: ProviderState,
        detail: &str,
        reference: Option<&str>,
    ) -> Result<Registration, StoreError> {
        const SQL: &str = "UPDATE phone_numbers SET provider_state = $3, provider_detail = $4, \
            provider_reference = $5 WHERE tenant_id = $1 AND id = $2";
        let detail: String = detail.chars().filter(|c| *c != '\0').take(LONGEST_DETAIL).collect();
        let (row, deliveries) = transact!(*self, tx => {
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            sqlx::query(SQL)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(state.word())
                .bind(detail.as_str())
                .bind(reference)
                .execute(&mut *tx)
                .await?;
            let after =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            let change = Change::new(actor, self.tenant, action, "phone_number", id);
            audit!(tx, change.before(&before).after(&after));
            let deliveries = if state == ProviderState::Failed {
                let told = Failure::of(self.tenant, action, &after);
                emit!(tx, self.tenant, EventType::NumberRegistrationFailed, EventId::new(), told)
            } else {
                0
            };
            (after, deliveries)
        })?;
        self.store.ring(deliveries);
        row.try_into()
    }
}

impl Store {
    /// The number that has this DID now, whosever it is.
    pub async fn holder(&self, did: &Did) -> Result<Option<NumberId>, StoreError> {
        const SQL: &str = "SELECT id FROM phone_numbers WHERE did = $1 AND deleted_at IS NULL";
        let id = run!(Everywhere(self), connection => sqlx::query_scalar::<_, Uuid>(SQL)
            .bind(did.digits())
            .fetch_optional(connection))?;
        Ok(id.map(NumberId))
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
    is_active: bool,
    is_deleted: bool,
}

/// `data` of `number.registration_failed`. Every failed attempt is an event of its own.
#[derive(serde::Serialize)]
struct Failure<'a> {
    tenant_id: TenantId,
    phone_number_id: NumberId,
    did: String,
    provider_type: &'a str,
    provider_detail: Option<&'a str>,
    /// `register` or `unregister`.
    action: &'static str,
}

impl<'a> Failure<'a> {
    fn of(tenant_id: TenantId, action: &'static str, number: &'a Row) -> Failure<'a> {
        Failure {
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
        Ok(Registration {
            phone_number_id: NumberId(row.id),
            did: row.did.parse().map_err(|_| StoreError::corrupt("phone_numbers.did is no number"))?,
            provider_type: row.provider_type,
            provider_state: row.provider_state.parse().map_err(StoreError::corrupt)?,
            provider_detail: row.provider_detail,
            provider_reference: row.provider_reference,
            is_active: row.is_active,
            is_deleted: row.is_deleted,
        })
    }
}
