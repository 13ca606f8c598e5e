//! Sums over calls that have ended, kept by day, so that analytics of a year read some thousand rows instead of every call
//! and turn.
//!
//! A call is added once, in the transaction that counts it, or later by [`Store::roll_up_calls`] when it was imported or
//! is older than the sums. Counts by value are kept as they are, so percentiles stay exact. Before a late turn of a call is
//! recorded, the call is taken out of the sums, and added again with it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::statement::{Value, any_of, composed, rows};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Backend, Store, StoreError};

/// Quarters of an hour in a day.
pub(super) const QUARTERS: i64 = 96;

/// A value of a call or of one of its turns, as `rollup_values` keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    /// Milliseconds until the words were known, the reply began, its audio began. Greetings are left out.
    Transcript = 0,
    Reply = 1,
    Audio = 2,
    /// Whole seconds from answer to end.
    Duration = 3,
    /// Turns without the greeting; the value is 0.
    Turns = 4,
    /// Turns that the caller cut short; the value is 0.
    Interruptions = 5,
}

impl From<Measure> for Value {
    fn from(measure: Measure) -> Value {
        Value::from(measure as i64)
    }
}

#[derive(sqlx::FromRow)]
struct CallRow {
    id: Uuid,
    tenant_id: Uuid,
    phone_number_id: Uuid,
    ai_profile_id: Option<Uuid>,
    status: String,
    disposition: Option<String>,
    ended_by: Option<String>,
    answered: bool,
    duration_ms: Option<i64>,
    started_quarter: i64,
}

#[derive(sqlx::FromRow)]
struct RollupTurn {
    call_id: Uuid,
    turn: i64,
    interrupted: bool,
    transcript_ms: Option<i64>,
    reply_ms: Option<i64>,
    audio_ms: Option<i64>,
}

/// The tenant, number and profile of a sum. Calls without a profile have the nil UUID.
type RollupKey = (Uuid, Uuid, Uuid);

/// How many calls, answered, refused and failed ones, and their milliseconds.
type Counts = [i64; 5];

/// The sums that calls add to the tables, by key and in the order of keys, so that two transactions that add to
/// the same rows do not deadlock.
#[derive(Default)]
struct Sums {
    calls: BTreeMap<(RollupKey, i64), Counts>,
    outcomes: BTreeMap<(RollupKey, i64, String, String), i64>,
    values: BTreeMap<(RollupKey, Measure, i64, i64), i64>,
}

impl Sums {
    /// Adds a call `times` times: 1 puts it in, -1 takes it out.
    fn add(&mut self, call: &CallRow, turns: &[RollupTurn], times: i64) {
        let line = (call.tenant_id, call.phone_number_id, call.ai_profile_id.unwrap_or_default());
        let day = call.started_quarter.div_euclid(QUARTERS);
        let one = |is: bool| i64::from(is);
        let counts = self.calls.entry((line, call.started_quarter)).or_default();
        let added = [
            1,
            one(call.answered),
            one(call.status == "refused"),
            one(call.status == "failed"),
            call.duration_ms.unwrap_or_default(),
        ];
        counts.iter_mut().zip(added).for_each(|(sum, added)| *sum += added * times);
        let outcome =
            (call.disposition.clone().unwrap_or_default(), call.ended_by.clone().unwrap_or_default());
        *self.outcomes.entry((line, day, outcome.0, outcome.1)).or_default() += times;
        let mut value = |measure, value: Option<i64>| {
            if let Some(value) = value {
                *self.values.entry((line, measure, day, value)).or_default() += times;
            }
        };
        value(Measure::Duration, call.duration_ms.map(|ms| ms / 1_000));
        for turn in turns {
            value(Measure::Interruptions, turn.interrupted.then_some(0));
            if turn.turn > 0 {
                value(Measure::Turns, Some(0));
                value(Measure::Transcript, turn.transcript_ms);
                value(Measure::Reply, turn.reply_ms);
                value(Measure::Audio, turn.audio_ms);
            }
        }
    }

    async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        let line = |(tenant, number, profile): RollupKey| [tenant, number, profile].map(Value::from).to_vec();
        let with = |mut row: Vec<Value>, more: &[Value]| {
            row.extend_from_slice(more);
            row
        };
        let calls = self.calls.into_iter().map(|((key, quarter), counts)| {
            with(with(line(key), &[quarter.into()]), &counts.map(Value::from))
        });
        let outcomes = self.outcomes.into_iter().map(|((key, day, disposition, ended_by), calls)| {
            with(line(key), &[day.into(), disposition.into(), ended_by.into(), calls.into()])
        });
        let values = self.values.into_iter().map(|((key, measure, day, value), times)| {
            with(line(key), &[measure.into(), day.into(), value.into(), times.into()])
        });
        tx.execute_all(rows(
            "INSERT INTO rollup_calls (tenant_id, phone_number_id, ai_profile_id, quarter, calls, answered, refused, \
             failed, duration_ms) VALUES",
            calls.collect(),
            "ON CONFLICT (tenant_id, quarter, phone_number_id, ai_profile_id) DO UPDATE SET \
             calls = rollup_calls.calls + excluded.calls, answered = rollup_calls.answered + excluded.answered, \
             refused = rollup_calls.refused + excluded.refused, failed = rollup_calls.failed + excluded.failed, \
             duration_ms = rollup_calls.duration_ms + excluded.duration_ms",
        ))
        .await?;
        tx.execute_all(rows(
            "INSERT INTO rollup_outcomes (tenant_id, phone_number_id, ai_profile_id, day, disposition, ended_by, calls) \
             VALUES",
            outcomes.collect(),
            "ON CONFLICT (tenant_id, day, phone_number_id, ai_profile_id, disposition, ended_by) \
             DO UPDATE SET calls = rollup_outcomes.calls + excluded.calls",
        ))
        .await?;
        tx.execute_all(rows(
            "INSERT INTO rollup_values (tenant_id, phone_number_id, ai_profile_id, measure, day, value, times) VALUES",
            values.collect(),
            "ON CONFLICT (tenant_id, measure, day, phone_number_id, ai_profile_id, value) \
             DO UPDATE SET times = rollup_values.times + excluded.times",
        ))
        .await
        .map(drop)
    }
}

impl Tx {
    /// Adds calls that have ended to the sums, except those that were added before, and returns how many were added.
    pub async fn roll_up(&mut self, calls: Vec<Uuid>) -> Result<u64, StoreError> {
        const MARK: &str = "UPDATE calls SET is_rolled_up = TRUE \
            WHERE NOT is_rolled_up AND ended_at IS NOT NULL AND id IN";
        Ok(self.add_marked(MARK, calls, 1).await?.len() as u64)
    }

    /// Takes calls out of the sums, and returns those that were in them.
    pub async fn take_out_of_sums(&mut self, calls: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        const MARK: &str = "UPDATE calls SET is_rolled_up = FALSE WHERE is_rolled_up AND id IN";
        self.add_marked(MARK, calls, -1).await
    }

    /// Adds the calls that `mark` changes, `times` times.
    async fn add_marked(
        &mut self,
        mark: &'static str,
        calls: Vec<Uuid>,
        times: i64,
    ) -> Result<Vec<Uuid>, StoreError> {
        const CALL: &str = "RETURNING id, tenant_id, phone_number_id, ai_profile_id, status, disposition, ended_by, \
            answered_at IS NOT NULL AS answered, duration_ms, started_quarter";
        const TURNS: &str = "SELECT call_id, turn, interrupted, transcript_ms, reply_ms, audio_ms FROM call_turns \
            WHERE call_id IN";
        let ids = calls.into_iter().map(Value::from).collect();
        let calls = self.all_of::<CallRow>(any_of(mark, ids, CALL)).await?;
        let ids = calls.iter().map(|call| call.id.into()).collect();
        let mut turns: HashMap<Uuid, Vec<RollupTurn>> = HashMap::new();
        for turn in self.all_of::<RollupTurn>(any_of(TURNS, ids, "")).await? {
            turns.entry(turn.call_id).or_default().push(turn);
        }
        let mut sums = Sums::default();
        for call in &calls {
            sums.add(call, turns.get(&call.id).map_or(&[], Vec::as_slice), times);
        }
        sums.write(self).await?;
        Ok(calls.iter().map(|call| call.id).collect())
    }
}

impl Store {
    /// Adds calls that have ended and are in no sum yet, at most `limit`, and returns how many there were. Until then
    /// analytics read them one by one. Calls that another daemon is adding at the same time are left to it.
    pub async fn roll_up_calls(&self, limit: u32) -> Result<u64, StoreError> {
        const SELECT: &str =
            "SELECT id FROM calls WHERE NOT is_rolled_up AND ended_at IS NOT NULL ORDER BY id LIMIT $1";
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        let lock = match tx.backend() {
            // Its transaction is the only writer.
            Backend::Sqlite => "",
            Backend::Postgres => " FOR UPDATE SKIP LOCKED",
        };
        let select = composed(format!("{SELECT}{lock}")).bind(i64::from(limit));
        let calls = tx.all::<(Uuid,)>(select).await?;
        let added = tx.roll_up(calls.into_iter().map(|(id,)| id).collect()).await?;
        tx.commit().await?;
        Ok(added)
    }
}
