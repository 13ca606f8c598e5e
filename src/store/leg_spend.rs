//! The cost of a tenant's dialled legs by day (UTC), for the operator's ceiling.
//!
//! A leg reserves the most that it may cost before it is dialled; when it has ended, its cost takes the reservation's place. So
//! legs in progress count in full, as does a leg whose end was not recorded because the daemon was killed. All amounts are
//! millionths of the currency's unit.

use chrono::{Days, NaiveDate};

use super::statement::sql;
use super::tx::{Access, RowScope};
use super::usage::kept_count;
use super::{Scope, StoreError};

/// Days are kept for this long.
const KEPT: Days = Days::new(31);

/// A part of a day's spend that is kept for one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegReservation {
    day: NaiveDate,
    cost: i64,
}

impl Scope {
    /// Reserves the most that a leg may cost. `None` when the tenant's spend of the day would exceed `limit`.
    ///
    /// # Errors
    /// The database's. The reservation may have been made nevertheless, and then counts in full.
    pub async fn reserve_leg(
        &self,
        day: NaiveDate,
        cost: u64,
        limit: u64,
    ) -> Result<Option<LegReservation>, StoreError> {
        const FORGET: &str = "DELETE FROM leg_spend WHERE tenant_id = $1 AND day < $2";
        // Without the condition SQLite would take ON for a part of a join.
        const RESERVE: &str = "INSERT INTO leg_spend (tenant_id, day, spent) SELECT $1, $2, $3 WHERE $3 <= $4 \
            ON CONFLICT (tenant_id, day) DO UPDATE SET spent = leg_spend.spent + excluded.spent \
            WHERE leg_spend.spent <= $4 - excluded.spent";
        let (cost, limit) = (kept_count(cost), kept_count(limit));
        let first_kept = day.checked_sub_days(KEPT).unwrap_or(day);
        let of_day = |text, day: NaiveDate| sql(text).bind(self.tenant.0).bind(day.to_string());
        let mut tx = self.begin(Access::Write).await?;
        tx.execute(of_day(FORGET, first_kept)).await?;
        let reserved = tx.execute(of_day(RESERVE, day).bind(cost).bind(limit)).await?;
        tx.commit().await?;
        Ok((reserved > 0).then_some(LegReservation { day, cost }))
    }

    /// Puts a leg's cost in the place of its reservation.
    ///
    /// # Errors
    /// The database's. The reservation stays, so that the leg counts in full.
    pub async fn settle_leg(&self, reservation: LegReservation, cost: u64) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE leg_spend SET spent = CASE WHEN spent < $3 THEN $4 ELSE spent - $3 + $4 END \
            WHERE tenant_id = $1 AND day = $2";
        let LegReservation { day, cost: reserved } = reservation;
        let settle = sql(SQL).bind(self.tenant.0).bind(day.to_string());
        self.execute(settle.bind(reserved).bind(kept_count(cost))).await.map(drop)
    }

    /// The cost of the tenant's legs of a day, with the reservations of those that have not ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn leg_spend(&self, day: NaiveDate) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT spent FROM leg_spend WHERE tenant_id = $1 AND day = $2";
        let of_day = sql(SQL).bind(self.tenant.0).bind(day.to_string());
        let row = self.optional::<(i64,)>(of_day).await?;
        u64::try_from(row.map_or(0, |(spent,)| spent)).map_err(StoreError::corrupt)
    }
}
