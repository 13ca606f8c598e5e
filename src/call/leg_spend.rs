//! The ceiling of a tenant's spend a day for dialled legs: a leg is charged with the most that it may cost before it is dialled,
//! and with its cost when it has ended.

use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::store::{LegReservation, Store, StoreError};
use crate::tenancy::{TenantId, TransferMethod, TransferRules, TransferTarget, leg_cost};

/// How long a caller waits for the database before the target is dialled.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Charges legs. Clones share it.
#[derive(Debug, Clone)]
pub struct LegSpend {
    store: Store,
    /// Reservations and settlements in progress, which do not end with their call.
    tasks: TaskTracker,
}

/// A leg that the ceiling concerns. Amounts are millionths of the currency's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PricedLeg {
    tenant: TenantId,
    minute: u64,
    /// The cost of the longest leg.
    most: u64,
    limit: u64,
}

impl PricedLeg {
    /// The leg to a target; `None` where Asterisk does not dial one, where it is free, or without a ceiling.
    pub fn of(target: &TransferTarget, rules: &TransferRules) -> Option<PricedLeg> {
        let limit = rules.max_daily_spend_per_tenant?;
        if target.method == TransferMethod::Refer || !target.kind.is_dialled() {
            return None;
        }
        let minute = rules.leg_minute_of(target);
        let most = leg_cost(minute, rules.longest_leg(target.style));
        (minute > 0).then_some(PricedLeg { tenant: target.tenant_id, minute, most, limit })
    }
}

/// Why a leg is not charged, and so not dialled.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    #[error("the tenant's legs have cost the most that the operator allows a day")]
    LimitReached,
    #[error("the spend of the day cannot be written: {0}")]
    Database(StoreError),
    #[error("the database does not respond in time")]
    Timeout,
}

/// The charge of a leg. When it is dropped, the leg has ended: its cost takes the place of the reservation.
#[derive(Debug)]
pub struct LegCharge {
    spend: LegSpend,
    leg: PricedLeg,
    reservation: LegReservation,
    answered: Option<Instant>,
}

impl LegSpend {
    pub fn new(store: Store) -> LegSpend {
        LegSpend { store, tasks: TaskTracker::new() }
    }

    /// Reserves the most that the leg may cost.
    ///
    /// # Errors
    /// Why it must not be dialled. A reservation that is made too late is returned.
    pub async fn charge(&self, leg: PricedLeg) -> Result<LegCharge, ChargeError> {
        // A task that the caller no longer waits for goes on, and drops its charge.
        let reserving = self.tasks.spawn(self.clone().reserve(leg));
        match tokio::time::timeout(TIMEOUT, reserving).await {
            Ok(Ok(charged)) => charged,
            Ok(Err(_)) | Err(_) => Err(ChargeError::Timeout),
        }
    }

    async fn reserve(self, leg: PricedLeg) -> Result<LegCharge, ChargeError> {
        let scope = self.store.scope(leg.tenant);
        let reserved = scope.reserve_leg(Utc::now().date_naive(), leg.most, leg.limit).await;
        let reservation = reserved.map_err(ChargeError::Database)?.ok_or(ChargeError::LimitReached)?;
        Ok(LegCharge { spend: self, leg, reservation, answered: None })
    }

    /// Waits until the legs that have ended are settled, for `limit` at most. Legs that end later count in full.
    pub async fn finish(&self, limit: Duration) {
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            warn!(
                legs = self.tasks.len(),
                "the database does not respond: ended legs count in full for the day"
            );
        }
    }
}

impl LegCharge {
    /// The target has answered: its carrier begins to charge.
    pub fn answered(&mut self) {
        self.answered.get_or_insert_with(Instant::now);
    }
}

impl Drop for LegCharge {
    fn drop(&mut self) {
        // The daemon stops, and a leg that it has handed over goes on.
        if self.spend.tasks.is_closed() {
            return;
        }
        let lasted = self.answered.map_or(Duration::ZERO, |at| at.elapsed());
        let cost = leg_cost(self.leg.minute, lasted);
        let (scope, reservation) = (self.spend.store.scope(self.leg.tenant), self.reservation);
        // Without a runtime the daemon has stopped, and the leg counts in full.
        let Ok(runtime) = Handle::try_current() else { return };
        let settling = async move {
            if let Err(error) = scope.settle_leg(reservation, cost).await {
                error!(%error, "the cost of a leg is not recorded: it counts in full for the day");
            }
        };
        self.spend.tasks.spawn_on(settling, &runtime);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::store::tests::{Database, on_both};
    use crate::tenancy::{AfterBridge, TargetId, TargetKind, TransferStyle};

    on_both!(a_leg_is_settled_when_it_ends, a_leg_without_room_is_not_charged);

    fn leg(tenant: TenantId, limit: u64) -> PricedLeg {
        PricedLeg { tenant, minute: 10, most: 100, limit }
    }

    async fn spent(db: &Database, tenant: TenantId) -> u64 {
        db.store.scope(tenant).leg_spend(Utc::now().date_naive()).await.expect("a sum")
    }

    async fn a_leg_is_settled_when_it_ends(db: Database) {
        let (tenant, spend) = (db.tenant(1).await.tenant.id, LegSpend::new(db.store.clone()));
        let unanswered = spend.charge(leg(tenant, 1_000)).await.expect("room");
        let mut answered = spend.charge(leg(tenant, 1_000)).await.expect("room");
        answered.answered();
        assert_eq!(spent(&db, tenant).await, 200);
        drop(unanswered);
        drop(answered);
        spend.finish(Duration::from_secs(10)).await;
        assert_eq!(spent(&db, tenant).await, 10, "one minute that has begun");
    }

    async fn a_leg_without_room_is_not_charged(db: Database) {
        let (tenant, spend) = (db.tenant(1).await.tenant.id, LegSpend::new(db.store.clone()));
        let first = spend.charge(leg(tenant, 150)).await.expect("room");
        let second = spend.charge(leg(tenant, 150)).await;
        assert!(matches!(second, Err(ChargeError::LimitReached)), "{second:?}");
        drop(first);
        spend.finish(Duration::from_secs(10)).await;
        db.store.close().await;
        let away = spend.charge(leg(tenant, 150)).await;
        assert!(matches!(away, Err(ChargeError::Database(_) | ChargeError::Timeout)), "{away:?}");
    }

    #[test]
    fn legs_of_no_price_or_without_a_ceiling_are_free() {
        let target = TransferTarget {
            id: TargetId::new(),
            tenant_id: TenantId::new(),
            name: "shop".parse().expect("a label"),
            description: "The shop.".into(),
            kind: TargetKind::Number,
            address: "+493055500100".into(),
            method: TransferMethod::Dial,
            style: TransferStyle::Cold,
            after_bridge: AfterBridge::Leave,
            resolver: None,
            hours: None,
            created_at: DateTime::UNIX_EPOCH,
        };
        let rules = TransferRules { leg_minute: 10, max_leg_s: 120, ..TransferRules::default() };
        assert_eq!(PricedLeg::of(&target, &rules), None);
        let limited = TransferRules { max_daily_spend_per_tenant: Some(500), ..rules };
        let expected = PricedLeg { tenant: target.tenant_id, minute: 10, most: 20, limit: 500 };
        assert_eq!(PricedLeg::of(&target, &limited), Some(expected));
        let referred = TransferTarget { method: TransferMethod::Refer, ..target.clone() };
        assert_eq!(PricedLeg::of(&referred, &limited), None, "the caller's trunk dials");
        let queue = TransferTarget { kind: TargetKind::Queue, ..target.clone() };
        assert_eq!(PricedLeg::of(&queue, &limited), None);
        assert_eq!(PricedLeg::of(&target, &TransferRules { leg_minute: 0, ..limited }), None);
    }
}
