//! Phone numbers: each leads to one tenant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::audit::{Change, audit};
use super::pool::{run, transact};
use super::{Duplicate, Scope, StoreError, now};
use crate::tenancy::{Actor, Did, NumberId, PhoneNumber, TenantId};

/// A number to be. It starts out active.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNumber {
    pub did: Did,
    #[serde(default = "generic")]
    pub provider_type: String,
}

macro_rules! columns {
    () => {
        "id, tenant_id, did, provider_type, is_active, created_at"
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
            created_at: now(),
        };
        self.store.tenant(self.tenant).await?;
        const SQL: &str =
            concat!("INSERT INTO phone_numbers (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
        let written: Result<(), StoreError> = transact!(*self, tx => {
            sqlx::query(SQL)
                .bind(number.id.0)
                .bind(number.tenant_id.0)
                .bind(number.did.digits())
                .bind(number.provider_type.as_str())
                .bind(number.is_active)
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
        const SQL: &str =
            concat!("SELECT ", columns!(), " FROM phone_numbers WHERE tenant_id = $1 ORDER BY id");
        let rows = run!(*self, connection => sqlx::query_as::<_, Row>(SQL).bind(self.tenant.0).fetch_all(connection))?;
        rows.into_iter().map(PhoneNumber::try_from).collect()
    }

    /// # Errors
    /// `NotFound` when the tenant has no such number.
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
            "UPDATE phone_numbers SET is_active = $3 WHERE tenant_id = $1 AND id = $2 RETURNING ",
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
}

const ONE: &str = concat!("SELECT ", columns!(), " FROM phone_numbers WHERE tenant_id = $1 AND id = $2");

/// Serialised for the audit log, where it reads like the number it is.
#[derive(sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub did: String,
    pub provider_type: String,
    pub is_active: bool,
    pub created_at: DateTime<Utc>,
}

impl TryFrom<Row> for PhoneNumber {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<PhoneNumber, StoreError> {
        Ok(PhoneNumber {
            id: NumberId(row.id),
            tenant_id: TenantId(row.tenant_id),
            did: row.did.parse().map_err(|_| StoreError::corrupt("phone_numbers.did is no number"))?,
            provider_type: row.provider_type,
            is_active: row.is_active,
            created_at: row.created_at,
        })
    }
}

fn generic() -> String {
    "generic".to_owned()
}
