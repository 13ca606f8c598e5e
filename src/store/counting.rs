//! Counting calls that have ended: once each, in the transaction that records their end, into the call's own rows, into the
//! sums of its month, which admission and statements read, and into those of its day, which analytics read.
//!
//! All calls of a transaction are counted together, with the same few statements however many they are. Rows that other
//! daemons add to as well are written in the order of their keys, so that two transactions do not wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::StoreError;
use super::statement::{Value, any_of, rows};
use super::tx::Tx;
use super::usage::{MonthLock, kept_count};
use crate::billing::{AtLimit, Plans};
use crate::tenancy::{Call, CallId, EngineUse, EventId, EventType, Month, Plan, TenantId};

/// A call that has ended, as it is counted.
#[derive(Debug, Clone)]
pub(super) struct EndedCall {
    pub tenant: TenantId,
    pub call: CallId,
    /// The month in which it ended; the present one once that month's statement is issued.
    pub month: Month,
    pub is_answered: bool,
    /// From answer to end, a begun second in full.
    pub seconds: u64,
    pub engines: Vec<EngineUse>,
}

impl EndedCall {
    /// `None` for a call that has not ended. `until` is the end of its conversation, where that is not the call's end.
    pub fn of(call: &Call, until: Option<DateTime<Utc>>, engines: &[EngineUse]) -> Option<EndedCall> {
        let ended_at = call.ended_at?;
        let talked = call.answered_at.map(|from| until.unwrap_or(ended_at) - from);
        let milliseconds = talked.map_or(0, |talked| talked.num_milliseconds().max(0)).unsigned_abs();
        Some(EndedCall {
            tenant: call.tenant_id,
            call: call.id,
            month: Month::of(ended_at),
            is_answered: call.answered_at.is_some(),
            seconds: milliseconds.div_ceil(1_000),
            engines: engines.to_vec(),
        })
    }
}

/// Sums that calls add to a tenant's month.
#[derive(Debug, Clone, Copy, Default)]
struct MonthAddition {
    calls: i64,
    seconds: u64,
    turns: i64,
}

impl Tx {
    /// Counts calls that have ended, except those that were counted before: their seconds and engines are added to their
    /// months. Returns how many webhook deliveries it wrote (a month may have reached a threshold of its tenant's quota).
    pub async fn count_calls(&mut self, plans: &Plans, mut ended: Vec<EndedCall>) -> Result<u64, StoreError> {
        let turns = self.mark_counted(&ended).await?;
        ended.retain(|it| turns.contains_key(&it.call.0));
        if ended.is_empty() {
            return Ok(0);
        }
        self.move_to_open_months(&mut ended).await?;
        let engines: Vec<_> = ended.iter().map(|it| (it.tenant, it.call, it.engines.as_slice())).collect();
        self.replace_engines(&engines).await?;
        self.add_engines_to_months(&ended).await?;
        self.roll_up(ended.iter().map(|it| it.call.0).collect()).await?;
        let spoken =
            ended.iter().map(|it| it.call.0).filter(|call| turns.get(call).is_some_and(|it| *it > 0));
        self.queue_analyses(spoken.collect()).await?;
        self.add_to_months(plans, &ended, &turns).await
    }

    /// Marks calls as counted and returns the number of billed turns of those that were not marked yet.
    async fn mark_counted(&mut self, ended: &[EndedCall]) -> Result<HashMap<Uuid, i64>, StoreError> {
        const AFTER: &str = ") UPDATE calls SET billed_seconds = v.seconds, billed_turns = (SELECT COUNT(*) \
            FROM call_turns t WHERE t.tenant_id = calls.tenant_id AND t.call_id = calls.id AND t.caller_text <> '' \
            AND t.target_text IS NULL) \
            FROM v WHERE calls.tenant_id = v.tenant_id AND calls.id = v.id AND calls.billed_seconds IS NULL \
            RETURNING calls.id, calls.billed_turns";
        let row = |it: &EndedCall| vec![it.tenant.0.into(), it.call.0.into(), kept_count(it.seconds).into()];
        let mark = rows("WITH v (tenant_id, id, seconds) AS (VALUES", ended.iter().map(row).collect(), AFTER);
        Ok(self.all_of::<(Uuid, i64)>(mark).await?.into_iter().collect())
    }

    /// Moves calls of months with an issued statement to the present month. Until the transaction ends, no
    /// statement of their months is issued.
    pub async fn move_to_open_months(&mut self, ended: &mut [EndedCall]) -> Result<(), StoreError> {
        let months: BTreeSet<Month> = ended.iter().map(|it| it.month).collect();
        for month in months {
            self.lock_month(month, MonthLock::Count).await?;
        }
        let wanted: BTreeSet<(Uuid, String)> =
            ended.iter().map(|it| (it.tenant.0, it.month.to_string())).collect();
        let wanted = wanted.into_iter().map(|(tenant, month)| vec![tenant.into(), month.into()]).collect();
        let issued =
            rows("SELECT tenant_id, month FROM statements WHERE (tenant_id, month) IN (VALUES", wanted, ")");
        let issued: HashSet<(Uuid, String)> = self.all_of(issued).await?.into_iter().collect();
        let present = Month::of(Utc::now());
        for it in ended.iter_mut().filter(|it| issued.contains(&(it.tenant.0, it.month.to_string()))) {
            it.month = present;
        }
        Ok(())
    }

    /// Replaces what calls have taken of their engines.
    pub async fn replace_engines(
        &mut self,
        taken: &[(TenantId, CallId, &[EngineUse])],
    ) -> Result<(), StoreError> {
        let calls = taken.iter().map(|(_, call, _)| call.0.into()).collect();
        self.execute_all(any_of("DELETE FROM call_usage WHERE call_id IN", calls, "")).await?;
        let row = |tenant: TenantId, call: CallId, taken: &EngineUse| {
            let mut row = vec![tenant.0.into(), call.0.into()];
            row.extend(engine_columns(taken));
            row.push(kept_count(taken.quantity).into());
            row
        };
        let row = |(tenant, call, engines): &(TenantId, CallId, &[EngineUse])| {
            engines.iter().map(|taken| row(*tenant, *call, taken)).collect::<Vec<_>>()
        };
        let insert = rows(
            "INSERT INTO call_usage (tenant_id, call_id, kind, engine, model, unit, quantity) VALUES",
            taken.iter().flat_map(row).collect(),
            "",
        );
        self.execute_all(insert).await.map(drop)
    }

    pub async fn add_engines_to_months(&mut self, ended: &[EndedCall]) -> Result<(), StoreError> {
        let mut sums: BTreeMap<(Uuid, String, [&str; 4]), u64> = BTreeMap::new();
        for it in ended {
            for taken in &it.engines {
                let engine = [taken.kind.as_str(), &taken.engine, &taken.model, taken.unit.as_str()];
                let sum = sums.entry((it.tenant.0, it.month.to_string(), engine)).or_default();
                *sum = sum.saturating_add(taken.quantity);
            }
        }
        let row = |((tenant, month, engine), quantity): ((Uuid, String, [&str; 4]), u64)| {
            let mut row = vec![tenant.into(), month.into()];
            row.extend(engine.map(Value::from));
            row.push(kept_count(quantity).into());
            row
        };
        let add = rows(
            "INSERT INTO usage_month_engines (tenant_id, month, kind, engine, model, unit, quantity) VALUES",
            sums.into_iter().map(row).collect(),
            "ON CONFLICT (tenant_id, month, kind, engine, model, unit) \
             DO UPDATE SET quantity = usage_month_engines.quantity + excluded.quantity",
        );
        self.execute_all(add).await.map(drop)
    }

    async fn add_to_months(
        &mut self,
        plans: &Plans,
        ended: &[EndedCall],
        turns: &HashMap<Uuid, i64>,
    ) -> Result<u64, StoreError> {
        let mut sums: BTreeMap<(Uuid, String), MonthAddition> = BTreeMap::new();
        for it in ended.iter().filter(|it| it.is_answered) {
            let sum = sums.entry((it.tenant.0, it.month.to_string())).or_default();
            sum.calls += 1;
            sum.seconds += it.seconds;
            sum.turns += turns.get(&it.call.0).copied().unwrap_or_default();
        }
        let row = |((tenant, month), sum): (&(Uuid, String), &MonthAddition)| {
            vec![
                (*tenant).into(),
                month.as_str().into(),
                sum.calls.into(),
                kept_count(sum.seconds).into(),
                sum.turns.into(),
            ]
        };
        let add = rows(
            "INSERT INTO usage_months (tenant_id, month, calls, seconds, turns) VALUES",
            sums.iter().map(row).collect(),
            "ON CONFLICT (tenant_id, month) DO UPDATE SET calls = usage_months.calls + excluded.calls, \
             seconds = usage_months.seconds + excluded.seconds, turns = usage_months.turns + excluded.turns \
             RETURNING tenant_id, month, seconds",
        );
        let months = self.all_of::<(Uuid, String, i64)>(add).await?;
        if !plans.have_quotas() {
            return Ok(0);
        }
        let months = months.into_iter().map(|(tenant, month, seconds)| {
            let added = sums.get(&(tenant, month.clone())).copied().unwrap_or_default().seconds;
            (tenant, month, added, seconds)
        });
        self.report_quotas(plans, months.collect()).await
    }

    /// Writes an event for each threshold of a quota that a month has reached with the seconds added to it.
    async fn report_quotas(
        &mut self,
        plans: &Plans,
        months: Vec<(Uuid, String, u64, i64)>,
    ) -> Result<u64, StoreError> {
        let tenants = months.iter().map(|(tenant, ..)| (*tenant).into()).collect();
        let names = any_of("SELECT id, plan FROM tenants WHERE id IN", tenants, "");
        let names: HashMap<Uuid, String> = self.all_of::<(Uuid, String)>(names).await?.into_iter().collect();
        let mut deliveries = 0;
        for (tenant, month, added, seconds) in months {
            let (Some(plan), Ok(month)) =
                (names.get(&tenant).and_then(|plan| plan.parse().ok()), month.parse())
            else {
                continue;
            };
            let after = seconds.max(0).unsigned_abs();
            for reached in reached(plans, plan, (TenantId(tenant), month), added, after) {
                let id = reached.event();
                deliveries += self.emit(reached.tenant_id, EventType::QuotaReached, id, &reached).await?;
            }
        }
        Ok(deliveries)
    }
}

pub(super) fn engine_columns(taken: &EngineUse) -> [Value; 4] {
    [taken.kind.as_str(), &taken.engine, &taken.model, taken.unit.as_str()].map(Value::from)
}

/// `data` of `quota.reached`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaEventData)]
pub struct QuotaReached {
    tenant_id: TenantId,
    month: Month,
    /// 80 or 100.
    percent: u8,
    minutes_per_month: u32,
    used_seconds: u64,
    at_limit: AtLimit,
}

impl QuotaReached {
    /// One for each month, threshold and size of the quota.
    fn event(&self) -> EventId {
        let name = format!("{} {} {}", self.month, self.percent, self.minutes_per_month);
        EventId::of(Uuid::new_v5(&self.tenant_id.0, name.as_bytes()), EventType::QuotaReached)
    }
}

/// The thresholds that a month has reached when `added` seconds have brought it to `after`.
fn reached(
    plans: &Plans,
    plan: Plan,
    (tenant_id, month): (TenantId, Month),
    added: u64,
    after: u64,
) -> Vec<QuotaReached> {
    let terms = plans.of(plan);
    let Some(quota) = terms.quota(after) else { return Vec::new() };
    let crossed = terms.crossed(after.saturating_sub(added), after);
    let reached = crossed.map(|percent| QuotaReached {
        tenant_id,
        month,
        percent,
        minutes_per_month: quota.minutes_per_month,
        used_seconds: after,
        at_limit: quota.at_limit,
    });
    reached.collect()
}
