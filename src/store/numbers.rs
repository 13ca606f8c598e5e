//! Phone numbers: each leads to one tenant. One that is given up stays on record for its calls.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::audit::{Change, audit};
use super::pool::{Listing, run, transact};
use super::{Duplicate, Page, Scope, StoreError, Window, now};
use crate::tenancy::{Actor, Did, NumberId, PhoneNumber, ProviderType, TenantId};

/// A number to be. It starts out active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNumber {
    pub did: Did,
    pub provider_type: ProviderType,
}

/// Which numbers are wanted; what is absent does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumberFilter {
    pub is_active: Option<bool>,
    pub provider_type: Option<ProviderType>,
}

macro_rules! columns {
    () => {
        "id, tenant_id, did, provider_type, is_active, provider_state, provider_detail, provider_reference, \
         created_at"
    };
}

impl Scope {
    /// # Errors
    /// `Conflict` when the number is in use, by whichever tenant; `NotFound` when the scope's tenant is not
    /// there.
    pub async fn create_number(&self, actor: &Actor, new: NewNumber) -> Result<PhoneNumber, StoreError> {
        let number = PhoneNumber {
            id: NumberId::new(),
            tenant_id: self.tenant,
            did: new.did,
            provider_type: new.provider_type,
            is_active: true,
            provider_state: new.provider_type.first_state(),
            provider_detail: None,
            provider_reference: None,
            created_at: now(),
        };
        self.store.tenant(self.tenant).await?;
        const SQL: &str = concat!(
            "INSERT INTO phone_numbers (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        );
        let written: Result<(), StoreError> = transact!(*self, tx => {
            sqlx::query(SQL)
                .bind(number.id.0)
                .bind(number.tenant_id.0)
                .bind(number.did.digits())
                .bind(number.provider_type.word())
                .bind(number.is_active)
                .bind(number.provider_state.word())
                .bind(number.provider_detail.as_deref())
                .bind(number.provider_reference.as_deref())
                .bind(number.created_at)
                .execute(&mut *tx)
                .await?;
            let change = Change::new(actor, self.tenant, "create", "phone_number", number.id);
            audit!(tx, change.after(&number));
        });
        written.map_err(|error| error.duplicate(Duplicate::Number))?;
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
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM phone_numbers WHERE tenant_id = $1 AND id > $2 AND deleted_at IS NULL ",
            "AND (is_active = $3 OR $3 IS NULL) AND (provider_type = $4 OR $4 IS NULL) ORDER BY id LIMIT $5"
        );
        let rows = run!(Listing(self), connection => sqlx::query_as::<_, Row>(SQL)
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(filter.is_active)
            .bind(filter.provider_type.map(ProviderType::word))
            .bind(window.rows())
            .fetch_all(connection))?;
        let numbers: Result<Vec<PhoneNumber>, StoreError> =
            rows.into_iter().map(PhoneNumber::try_from).collect();
        Ok(window.page(numbers?, |number| number.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such number, or has it no more.
    pub async fn number(&self, id: NumberId) -> Result<PhoneNumber, StoreError> {
        let row = run!(*self, connection => sqlx::query_as::<_, Row>(ONE)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_one(connection))?;
        row.try_into()
    }

    /// An inactive number stays the tenant's, but calls to it are refused.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number.
    pub async fn set_number_active(
        &self,
        actor: &Actor,
        id: NumberId,
        active: bool,
    ) -> Result<PhoneNumber, StoreError> {
        const SQL: &str = concat!(
            "UPDATE phone_numbers SET is_active = $3 WHERE tenant_id = $1 AND id = $2 ",
            "AND deleted_at IS NULL RETURNING ",
            columns!()
        );
        let row = transact!(*self, tx => {
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            let after = sqlx::query_as::<_, Row>(SQL)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(active)
                .fetch_one(&mut *tx)
                .await?;
            let change = Change::new(actor, self.tenant, "update", "phone_number", id);
            audit!(tx, change.before(&before).after(&after));
            after
        });
        row?.try_into()
    }

    /// Gives a number up: it leads nowhere, and anybody may have it. Its calls keep their reference. The answer
    /// is what it was.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such number.
    pub async fn delete_number(&self, actor: &Actor, id: NumberId) -> Result<PhoneNumber, StoreError> {
        const SQL: &str = concat!(
            "UPDATE phone_numbers SET deleted_at = $3, is_active = FALSE ",
            "WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
        );
        let row = transact!(*self, tx => {
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            let deleted = sqlx::query(SQL).bind(self.tenant.0).bind(id.0).bind(now()).execute(&mut *tx).await?;
            // Somebody else was faster.
            if deleted.rows_affected() == 0 {
                Err(sqlx::Error::RowNotFound)?;
            }
            audit!(tx, Change::new(actor, self.tenant, "delete", "phone_number", id).before(&before));
            before
        });
        row?.try_into()
    }
}

const ONE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM phone_numbers WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
);

/// Serialised for the audit log, where it reads like the number it is.
#[derive(sqlx::FromRow, Serialize)]
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
    pub created_at: DateTime<Utc>,
}

impl TryFrom<Row> for PhoneNumber {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<PhoneNumber, StoreError> {
        Ok(PhoneNumber {
            id: NumberId(row.id),
            tenant_id: TenantId(row.tenant_id),
            did: row.did.parse().map_err(|_| StoreError::corrupt("phone_numbers.did is no number"))?,
            provider_type: row.provider_type.parse().map_err(StoreError::corrupt)?,
            is_active: row.is_active,
            provider_state: row.provider_state.parse().map_err(StoreError::corrupt)?,
            provider_detail: row.provider_detail,
            provider_reference: row.provider_reference,
            created_at: row.created_at,
        })
    }
}
