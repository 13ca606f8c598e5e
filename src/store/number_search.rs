//! Numbers across tenants, for the operator's command line: found with one query.

use serde::Serialize;

use super::numbers::Row;
use super::statement::{Statement, composed};
use super::tx::{AllTenants, RowScope};
use super::{NumberFilter, Store, StoreError};
use crate::tenancy::{Did, NumberId, PhoneNumber, ProviderType, TenantId};

/// Which number to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberQuery {
    Id(NumberId),
    /// Even if its tenant has released it.
    IdEvenIfReleased(NumberId),
    /// The first of one or two numbers that a tenant has.
    Called(Vec<Did>),
}

/// A number and its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnedNumber {
    #[serde(flatten)]
    pub number: PhoneNumber,
    pub tenant_name: String,
}

impl Store {
    /// The number, of any tenant or of one tenant only.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn find_number(
        &self,
        query: &NumberQuery,
        tenant: Option<TenantId>,
    ) -> Result<OwnedNumber, StoreError> {
        let tenant = tenant.map(|tenant| tenant.0);
        let find = match query {
            NumberQuery::Id(id) => select("n.id = $2 AND n.deleted_at IS NULL").bind(tenant).bind(id.0),
            NumberQuery::IdEvenIfReleased(id) => select("n.id = $2").bind(tenant).bind(id.0),
            NumberQuery::Called(dids) => {
                let (Some(first), Some(last)) = (dids.first(), dids.last()) else {
                    return Err(StoreError::NotFound);
                };
                select(CALLED).bind(tenant).bind(first.digits()).bind(last.digits())
            }
        };
        AllTenants(self).one::<NamedRow>(find).await?.try_into()
    }

    /// The numbers that a dialled text can mean, the likelier one first.
    pub fn called(&self, text: &str) -> Vec<Did> {
        self.numbering.called(text)
    }

    /// The numbers of all tenants, or of one, ordered by tenant.
    pub async fn numbers_of(
        &self,
        tenant: Option<TenantId>,
        filter: NumberFilter,
    ) -> Result<Vec<OwnedNumber>, StoreError> {
        let list = select(
            "n.deleted_at IS NULL AND (n.is_active = $2 OR $2 IS NULL) AND (n.provider_type = $3 OR $3 IS NULL) \
             ORDER BY n.tenant_id, n.id",
        );
        let list = list
            .bind(tenant.map(|tenant| tenant.0))
            .bind(filter.is_active)
            .bind(filter.provider_type.map(ProviderType::as_str));
        AllTenants(self).all::<NamedRow>(list).await?.into_iter().map(OwnedNumber::try_from).collect()
    }
}

const CALLED: &str = "n.did IN ($2, $3) AND n.deleted_at IS NULL \
    ORDER BY CASE WHEN n.did = $2 THEN 0 ELSE 1 END LIMIT 1";

/// Numbers with their tenants' names. `$1` is a tenant, or absent for all of them.
fn select(condition: &str) -> Statement {
    composed(format!(
        "SELECT n.id, n.tenant_id, n.did, n.provider_type, n.is_active, n.provider_state, n.provider_detail, \
         n.provider_reference, n.failover, n.uses_tenant_webhook, n.created_at, n.routing_version, t.name AS tenant_name \
         FROM phone_numbers n \
         JOIN tenants t ON t.id = n.tenant_id \
         WHERE (n.tenant_id = $1 OR $1 IS NULL) AND {condition}"
    ))
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    number: Row,
    tenant_name: String,
}

impl TryFrom<NamedRow> for OwnedNumber {
    type Error = StoreError;

    fn try_from(row: NamedRow) -> Result<OwnedNumber, StoreError> {
        Ok(OwnedNumber { number: row.number.try_into()?, tenant_name: row.tenant_name })
    }
}
