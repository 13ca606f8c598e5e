//! Which profiles answer a number's calls.

use uuid::Uuid;

use super::audit::Change;
use super::calls::narrow;
use super::routing_versions::RoutingContent;
use super::statement::{Statement, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Scope, StoreError, numbers};
use crate::tenancy::{
    Actor, NumberId, NumberRouting, PhoneNumber, ProfileId, ProfilePurpose, ProfileShare, TenantId,
};

impl Scope {
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or has released it.
    pub async fn number_routing(&self, id: NumberId) -> Result<NumberRouting, StoreError> {
        self.number(id).await?;
        routing(self.all::<Row>(select(self.tenant, id)).await?)
    }

    /// Replaces the routing that `check` accepts, in the transaction that holds the number's row.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number; `Invalid` when the tenant does not have a profile; the error of
    /// `check`.
    pub async fn set_number_routing_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: NumberId,
        after: &NumberRouting,
        check: impl FnOnce(&NumberRouting) -> Result<(), E>,
    ) -> Result<NumberRouting, E> {
        let mut tx = self.begin(Access::Write).await?;
        let number = tx.one::<numbers::Row>(numbers::locked(self.tenant, id)).await?;
        let number: PhoneNumber = number.try_into()?;
        let before = tx.routing_of(self.tenant, id).await?;
        check(&before)?;
        tx.write_routing(self.tenant, id, after).await?;
        let written = tx.routing_of(self.tenant, id).await?;
        let content = |routing: &NumberRouting| RoutingContent {
            routing: routing.clone(),
            failover: number.failover.clone(),
        };
        tx.record_routing(actor, &number, &content(&before), &content(&written)).await?;
        let change = Change::new(actor, self.tenant, "update", "number_routing", id);
        tx.audit(change.before(&before).after(&written)).await?;
        tx.commit().await?;
        Ok(written)
    }
}

impl Tx {
    /// The routing of a number, which the transaction holds.
    pub(super) async fn routing_of(
        &mut self,
        tenant: TenantId,
        id: NumberId,
    ) -> Result<NumberRouting, StoreError> {
        routing(self.all::<Row>(select(tenant, id)).await?)
    }

    /// Replaces the routing of a number, which the transaction holds.
    pub(super) async fn write_routing(
        &mut self,
        tenant: TenantId,
        id: NumberId,
        routing: &NumberRouting,
    ) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM number_profiles WHERE tenant_id = $1 AND phone_number_id = $2";
        self.execute(sql(DELETE).bind(tenant.0).bind(id.0)).await?;
        for ProfileShare { ai_profile_id, weight } in &routing.profiles {
            self.add_profile(tenant, id, ProfilePurpose::Open, *ai_profile_id, *weight).await?;
        }
        if let Some(profile) = routing.closed_profile_id {
            self.add_profile(tenant, id, ProfilePurpose::Closed, profile, 1).await?;
        }
        Ok(())
    }

    async fn add_profile(
        &mut self,
        tenant: TenantId,
        number: NumberId,
        purpose: ProfilePurpose,
        profile: ProfileId,
        weight: u16,
    ) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO number_profiles \
            (tenant_id, phone_number_id, purpose, ai_profile_id, weight) VALUES ($1, $2, $3, $4, $5)";
        let insert = sql(INSERT).bind(tenant.0).bind(number.0).bind(purpose.as_str());
        self.execute(insert.bind(profile.0).bind(i64::from(weight))).await.map(drop)
    }
}

fn select(tenant: TenantId, number: NumberId) -> Statement {
    const SQL: &str = "SELECT purpose, ai_profile_id, weight FROM number_profiles \
        WHERE tenant_id = $1 AND phone_number_id = $2 ORDER BY ai_profile_id";
    sql(SQL).bind(tenant.0).bind(number.0)
}

#[derive(sqlx::FromRow)]
struct Row {
    purpose: String,
    ai_profile_id: Uuid,
    weight: i64,
}

fn routing(rows: Vec<Row>) -> Result<NumberRouting, StoreError> {
    let mut routing = NumberRouting::default();
    for Row { purpose, ai_profile_id, weight } in rows {
        let ai_profile_id = ProfileId(ai_profile_id);
        match purpose.parse().map_err(StoreError::corrupt)? {
            ProfilePurpose::Closed => routing.closed_profile_id = Some(ai_profile_id),
            ProfilePurpose::Open => {
                let weight = narrow(Some(weight))?.unwrap_or(1);
                routing.profiles.push(ProfileShare { ai_profile_id, weight });
            }
        }
    }
    Ok(routing)
}
