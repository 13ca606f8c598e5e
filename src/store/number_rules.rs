//! Which tenant may have which number: assigned to it, held by no other, and not to be confused with another number.

use std::collections::HashSet;
use std::fmt;

use uuid::Uuid;

use super::statement::sql;
use super::tx::{AllTenants, RowScope, Tx};
use super::{Backend, Store, StoreError};
use crate::tenancy::{Did, Numbering, TenantId};

/// Who assigns a number to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// Gives a tenant any number, and so assigns it.
    Operator,
    /// Takes numbers that are assigned to the tenant.
    Tenant,
}

/// Why a tenant cannot have a number, or the inventory cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberRefusal {
    /// Whether another tenant has it, none has it, or it is unknown.
    #[error("this number is not assigned to this tenant: ask the operator to assign it")]
    NotAssigned,
    /// One dialled text could mean either number ([`Numbering::collide`]).
    #[error(
        "callers could not tell {did} from {}: with numbers.default_region set, one is dialled like the other",
        other.as_ref().map_or_else(|| "another number".to_owned(), ToString::to_string)
    )]
    Collides { did: Did, other: Option<Did> },
    #[error("another tenant has this number: release it there first (`vca number delete {0}`)")]
    HeldByAnother(Did),
    #[error("a tenant has this number: release it first (`vca number delete {0}`)")]
    Held(Did),
}

/// Two numbers that callers cannot tell apart with the default region that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    pub number: Did,
    /// The number that the digits of `number` are dialled for.
    pub other: Did,
    /// Whether a tenant has the other one.
    pub other_is_taken: bool,
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ambiguity { number, other, other_is_taken } = self;
        write!(f, "without its plus sign {number} is dialled for {other}")?;
        if *other_is_taken {
            f.write_str(", which a tenant has")
        } else {
            f.write_str(", which no tenant has")
        }
    }
}

impl Store {
    /// Numbers in use that callers cannot tell from others, because `numbers.default_region` was set or changed after
    /// they were created.
    pub async fn ambiguous_numbers(&self) -> Result<Vec<Ambiguity>, StoreError> {
        const SQL: &str = "SELECT did FROM phone_numbers WHERE deleted_at IS NULL ORDER BY did";
        let dids = AllTenants(self).all::<(String,)>(sql(SQL)).await?;
        let dids: Vec<Did> = dids.iter().filter_map(|(did,)| did.parse().ok()).collect();
        let taken: HashSet<&Did> = dids.iter().collect();
        let ambiguity = |number: &Did| {
            let shadow = self.numbering.shadow(number).map(|(other, _)| other);
            let meant = self.numbering.called(number.digits());
            let rival = meant.into_iter().find(|it| it != number && taken.contains(it));
            let other = rival.filter(|other| self.numbering.collide(number, other)).or(shadow)?;
            let other_is_taken = taken.contains(&other);
            Some(Ambiguity { number: number.clone(), other, other_is_taken })
        };
        Ok(dids.iter().filter_map(ambiguity).collect())
    }
}

impl Tx {
    /// Makes changes to who has or may take which number wait for each other, across daemons. SQLite has one writer.
    pub async fn lock_numbers(&mut self) -> Result<(), StoreError> {
        const SQL: &str = "SELECT pg_advisory_xact_lock(7733061)";
        match self.backend() {
            Backend::Sqlite => Ok(()),
            Backend::Postgres => self.execute(sql(SQL)).await.map(drop),
        }
    }

    /// The tenant that has a number.
    pub async fn holder(&mut self, did: &Did) -> Result<Option<TenantId>, StoreError> {
        const SQL: &str = "SELECT tenant_id FROM phone_numbers WHERE did = $1 AND deleted_at IS NULL";
        Ok(self.optional::<(Uuid,)>(sql(SQL).bind(did.digits())).await?.map(|(tenant,)| TenantId(tenant)))
    }

    /// Is the number assigned to the tenant, and not in another's use?
    pub async fn check_assigned(&mut self, did: &Did, tenant: TenantId) -> Result<(), StoreError> {
        let assigned = self.inventory_number(did).await?.is_some_and(|number| number.is_of(tenant));
        let holder = self.holder(did).await?;
        if assigned && holder.is_none_or(|holder| holder == tenant) {
            return Ok(());
        }
        Err(NumberRefusal::NotAssigned.into())
    }

    /// Is there a number that a caller could not tell from this one? Readings of one text share their last digits.
    pub async fn check_collisions(
        &mut self,
        numbering: &Numbering,
        did: &Did,
        authority: Authority,
    ) -> Result<(), StoreError> {
        const SQL: &str = "SELECT did FROM phone_numbers \
            WHERE substr(did, length(did) - 1) = $1 AND did <> $2 AND deleted_at IS NULL";
        if numbering.default_region.is_none() {
            return Ok(());
        }
        let last_digits = &did.digits()[did.digits().len() - 2..];
        let alike = self.all::<(String,)>(sql(SQL).bind(last_digits).bind(did.digits())).await?;
        let mut alike = alike.iter().filter_map(|(other,)| other.parse::<Did>().ok());
        match alike.find(|other| numbering.collide(did, other)) {
            None => Ok(()),
            Some(other) => {
                // A tenant may not learn the numbers of others.
                let other = (authority == Authority::Operator).then_some(other);
                Err(NumberRefusal::Collides { did: did.clone(), other }.into())
            }
        }
    }
}
