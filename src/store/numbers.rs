//! Phone numbers: each leads to one tenant. A released number stays on record for its calls.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::audit::Change;
use super::calls::narrow;
use super::number_rules::Authority;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, AllTenants, RowScope};
use super::{Duplicate, Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{
    Actor, CallDelivery, Did, FailoverRoutes, NumberId, Numbering, PhoneNumber, ProviderType, TenantId,
};

/// A number to create. It starts out active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNumber {
    pub did: Did,
    pub provider_type: ProviderType,
}

/// A change of a number. A field that is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberChanges {
    /// An inactive number stays the tenant's, but calls to it are refused.
    pub is_active: Option<bool>,
    /// Replaces the failover routes as a whole.
    pub failover: Option<FailoverRoutes>,
    pub uses_tenant_webhook: Option<bool>,
}

/// Which numbers to list. A field that is absent does not filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumberFilter {
    pub is_active: Option<bool>,
    pub provider_type: Option<ProviderType>,
}

const COLUMNS: &str = "id, tenant_id, did, provider_type, is_active, provider_state, provider_detail, \
    provider_reference, failover, uses_tenant_webhook, created_at, routing_version";

const ONE: &str = "SELECT id, tenant_id, did, provider_type, is_active, provider_state, provider_detail, \
    provider_reference, failover, uses_tenant_webhook, created_at, routing_version FROM phone_numbers \
    WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

/// The row of a number that is not released, locked until the transaction ends: otherwise PostgreSQL would allow another
/// change in between.
pub(super) fn locked(tenant: TenantId, id: NumberId) -> Statement {
    sql(LOCKED).bind(tenant.0).bind(id.0)
}

const LOCKED: &str = "UPDATE phone_numbers SET is_active = is_active \
    WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL \
    RETURNING id, tenant_id, did, provider_type, is_active, provider_state, provider_detail, \
    provider_reference, failover, uses_tenant_webhook, created_at, routing_version";

/// Replaces the failover routes of a number.
pub(super) fn set_failover(
    tenant: TenantId,
    id: NumberId,
    failover: &FailoverRoutes,
) -> Result<Statement, StoreError> {
    const SQL: &str = "UPDATE phone_numbers SET failover = $3 WHERE tenant_id = $1 AND id = $2";
    let failover = serde_json::to_string(failover).map_err(StoreError::invalid)?;
    Ok(sql(SQL).bind(tenant.0).bind(id.0).bind(failover))
}

impl Scope {
    /// Gives the tenant a number, by the operator's authority: it is assigned to the tenant in the inventory.
    ///
    /// # Errors
    /// `Conflict` when a tenant has the number already, `Number` when it collides with another number
    /// ([`Numbering::collide`]), `LimitReached` for one number too many, `NotFound` when there is no such tenant.
    pub async fn create_number(&self, actor: &Actor, new: NewNumber) -> Result<PhoneNumber, StoreError> {
        self.add_number(actor, new, Authority::Operator).await
    }

    /// Takes a number by the tenant's own authority: it has to be assigned to the tenant in the inventory.
    ///
    /// # Errors
    /// `Number` when it is not assigned to the tenant, whether it is in use elsewhere, free or unknown; otherwise as of
    /// [`Scope::create_number`].
    pub async fn claim_number(&self, actor: &Actor, new: NewNumber) -> Result<PhoneNumber, StoreError> {
        self.add_number(actor, new, Authority::Tenant).await
    }

    async fn add_number(
        &self,
        actor: &Actor,
        new: NewNumber,
        authority: Authority,
    ) -> Result<PhoneNumber, StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM phone_numbers WHERE tenant_id = $1 AND deleted_at IS NULL";
        let number = new.number(self.tenant);
        let mut tx = AllTenants(&self.store).begin(Access::Write).await?;
        tx.lock_numbers().await?;
        tx.lock_tenant(self.tenant).await?;
        if authority == Authority::Tenant {
            tx.check_assigned(&number.did, self.tenant).await?;
        }
        tx.check_collisions(&self.store.numbering, &number.did, authority).await?;
        tx.admit("numbers", tx.limits.numbers.into(), sql(COUNT).bind(self.tenant.0)).await?;
        let written = tx.execute(insert(&number)).await;
        written.map_err(|error| error.duplicate(Duplicate::Number))?;
        if authority == Authority::Operator {
            tx.assign(actor, &number.did, self.tenant).await?;
        }
        let change = Change::new(actor, self.tenant, "create", "phone_number", number.id);
        tx.audit(change.after(&number)).await?;
        tx.commit().await?;
        Ok(number)
    }

    /// The tenant's numbers, oldest first.
    pub async fn numbers(&self) -> Result<Vec<PhoneNumber>, StoreError> {
        let all = Window::first(u32::MAX);
        Ok(self.numbers_page(NumberFilter::default(), all).await?.items)
    }

    /// A page of them, oldest first.
    pub async fn numbers_page(
        &self,
        filter: NumberFilter,
        window: Window,
    ) -> Result<Page<PhoneNumber>, StoreError> {
        let list = composed(format!(
            "SELECT {COLUMNS} FROM phone_numbers WHERE tenant_id = $1 AND id > $2 AND deleted_at IS NULL \
             AND (is_active = $3 OR $3 IS NULL) AND (provider_type = $4 OR $4 IS NULL) ORDER BY id LIMIT $5"
        ));
        let list = list
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(filter.is_active)
            .bind(filter.provider_type.map(ProviderType::as_str))
            .bind(window.rows());
        let rows = self.all::<Row>(list).await?;
        let numbers: Result<Vec<PhoneNumber>, StoreError> =
            rows.into_iter().map(PhoneNumber::try_from).collect();
        Ok(window.page(numbers?, |number| number.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant does not have the number, or has released it.
    pub async fn number(&self, id: NumberId) -> Result<PhoneNumber, StoreError> {
        self.one::<Row>(sql(ONE).bind(self.tenant.0).bind(id.0)).await?.try_into()
    }

    /// An inactive number stays the tenant's, but calls to it are refused.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number.
    pub async fn set_number_active(
        &self,
        actor: &Actor,
        id: NumberId,
        active: bool,
    ) -> Result<PhoneNumber, StoreError> {
        let changes = NumberChanges { is_active: Some(active), ..NumberChanges::default() };
        self.update_number_if(actor, id, &changes, |_| Ok(())).await
    }

    /// Changes a number that `check` accepts. A field that is absent stays as it is.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number; the error of `check`.
    pub async fn update_number_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: NumberId,
        changes: &NumberChanges,
        check: impl FnOnce(&PhoneNumber) -> Result<(), E>,
    ) -> Result<PhoneNumber, E> {
        const SQL: &str = "UPDATE phone_numbers SET is_active = COALESCE($3, is_active), \
            uses_tenant_webhook = COALESCE($4, uses_tenant_webhook) WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.one::<Row>(locked(self.tenant, id)).await?;
        let number: PhoneNumber = before.clone().try_into()?;
        check(&number)?;
        let update = sql(SQL).bind(self.tenant.0).bind(id.0).bind(changes.is_active);
        tx.execute(update.bind(changes.uses_tenant_webhook)).await?;
        if let Some(failover) = &changes.failover {
            tx.execute(set_failover(self.tenant, id, failover)?).await?;
            tx.record_failover(actor, &number, failover).await?;
        }
        let after = tx.one::<Row>(sql(ONE).bind(self.tenant.0).bind(id.0)).await?;
        let change = Change::new(actor, self.tenant, "update", "phone_number", id);
        tx.audit(change.before(&before).after(&after)).await?;
        tx.commit().await?;
        Ok(after.try_into()?)
    }

    /// Releases a number: it leads nowhere and its calls keep their reference to it. It stays assigned to the tenant in
    /// the inventory. Returns the number as it was.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number.
    pub async fn delete_number(&self, actor: &Actor, id: NumberId) -> Result<PhoneNumber, StoreError> {
        self.delete_number_if(actor, id, |_| Ok(())).await
    }

    /// Releases a number that `check` accepts.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number; the error of `check`.
    pub async fn delete_number_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: NumberId,
        check: impl FnOnce(&PhoneNumber) -> Result<(), E>,
    ) -> Result<PhoneNumber, E> {
        const SQL: &str = "UPDATE phone_numbers SET deleted_at = $3, is_active = FALSE \
            WHERE tenant_id = $1 AND id = $2";
        const PROFILES: &str = "DELETE FROM number_profiles WHERE tenant_id = $1 AND phone_number_id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let row = tx.one::<Row>(locked(self.tenant, id)).await?;
        let before: PhoneNumber = row.clone().try_into()?;
        check(&before)?;
        tx.execute(sql(SQL).bind(self.tenant.0).bind(id.0).bind(now())).await?;
        tx.execute(sql(PROFILES).bind(self.tenant.0).bind(id.0)).await?;
        tx.drop_pre_call(self.tenant, id).await?;
        tx.audit(Change::new(actor, self.tenant, "delete", "phone_number", id).before(&row)).await?;
        tx.commit().await?;
        Ok(before)
    }
}

impl Store {
    /// The store with the rule by which two numbers are distinguished.
    #[must_use]
    pub fn with_numbering(self, numbering: Numbering) -> Store {
        Store { numbering, ..self }
    }
}

impl NewNumber {
    fn number(self, tenant: TenantId) -> PhoneNumber {
        let state = self.provider_type.first_state();
        PhoneNumber {
            id: NumberId::new(),
            tenant_id: tenant,
            did: self.did,
            provider_type: self.provider_type,
            is_active: true,
            provider_state: state,
            provider_detail: None,
            provider_reference: None,
            call_delivery: CallDelivery::of(true, state),
            failover: FailoverRoutes::default(),
            uses_tenant_webhook: true,
            routing_version: 1,
            created_at: now(),
        }
    }
}

fn insert(number: &PhoneNumber) -> Statement {
    let values = composed(format!(
        "INSERT INTO phone_numbers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    ));
    values
        .bind(number.id.0)
        .bind(number.tenant_id.0)
        .bind(number.did.digits())
        .bind(number.provider_type.as_str())
        .bind(number.is_active)
        .bind(number.provider_state.as_str())
        .bind(number.provider_detail.as_deref())
        .bind(number.provider_reference.as_deref())
        .bind("{}")
        .bind(number.uses_tenant_webhook)
        .bind(number.created_at)
        .bind(i64::from(number.routing_version))
}

/// Serialised for the audit log with the API's field names.
#[derive(Clone, sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    #[serde(rename = "did_number")]
    pub did: String,
    pub provider_type: String,
    pub is_active: bool,
    pub provider_state: String,
    pub provider_detail: Option<String>,
    pub provider_reference: Option<String>,
    pub failover: String,
    pub uses_tenant_webhook: bool,
    pub created_at: DateTime<Utc>,
    pub routing_version: i64,
}

impl TryFrom<Row> for PhoneNumber {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<PhoneNumber, StoreError> {
        let state = row.provider_state.parse().map_err(StoreError::corrupt)?;
        Ok(PhoneNumber {
            id: NumberId(row.id),
            tenant_id: TenantId(row.tenant_id),
            did: row.did.parse().map_err(|_| StoreError::corrupt("phone_numbers.did is not a number"))?,
            provider_type: row.provider_type.parse().map_err(StoreError::corrupt)?,
            is_active: row.is_active,
            provider_state: state,
            provider_detail: row.provider_detail,
            provider_reference: row.provider_reference,
            call_delivery: CallDelivery::of(row.is_active, state),
            failover: serde_json::from_str(&row.failover).map_err(StoreError::corrupt)?,
            uses_tenant_webhook: row.uses_tenant_webhook,
            routing_version: narrow(Some(row.routing_version))?.unwrap_or_default(),
            created_at: row.created_at,
        })
    }
}
