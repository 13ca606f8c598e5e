//! Ledger entries as rows, any number of them in one transaction: a batch costs about as many round trips as one entry.
//!
//! Entries of one call take effect in their order. A call that has ended stays ended, so that an old entry that is
//! written late does not undo a newer one. A batch reaches all tenants' rows; each row names its tenant, and an entry
//! about another tenant's call is refused.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::call_events::{CallBefore, CallEvent, news};
use super::call_turns::{TURN_CHANGE, TURN_COLUMNS, turn_row};
use super::calls::{CALL_CHANGE, COLUMNS, call_row, foreign};
use super::counting::EndedCall;
use super::ledger::Entry;
use super::statement::{any_of, rows};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Store, StoreError};
use crate::tenancy::{Call, CallId, CallTransfer, CallTurn, EngineUse, Feedback, TenantId};

/// Entries, sorted by what they write.
#[derive(Default)]
pub(super) struct Batch<'a> {
    calls: BTreeMap<Uuid, CallEntries<'a>>,
    turns: BTreeMap<(Uuid, u32), &'a CallTurn>,
    ratings: Vec<&'a Feedback>,
}

/// The entries of one call.
struct CallEntries<'a> {
    tenant: TenantId,
    states: Vec<RecordedState<'a>>,
    taken: Option<&'a [EngineUse]>,
}

/// A state of a call, in the order of its entries.
enum RecordedState<'a> {
    /// Recorded if the call is not recorded yet.
    Begun(&'a Call),
    /// Recorded in place of an earlier state.
    Now(&'a Call, &'a [EngineUse]),
}

/// A call as the database has it.
#[derive(sqlx::FromRow)]
struct Recorded {
    id: Uuid,
    tenant_id: Uuid,
    answered: bool,
    ended: bool,
    counted: bool,
    erased: bool,
    transfers: Option<String>,
}

impl Recorded {
    fn before(&self) -> CallBefore {
        let transfers = self.transfers.as_deref().map(serde_json::from_str::<Vec<CallTransfer>>);
        let transferred = matches!(transfers, Some(Ok(all)) if all.iter().any(CallTransfer::is_success));
        CallBefore { answered: self.answered, transferred, ended: self.ended }
    }
}

/// The rows and events of a batch of entries.
#[derive(Default)]
struct Changes<'a> {
    begun: Vec<&'a Call>,
    changed: Vec<&'a Call>,
    events: Vec<CallEvent<'a>>,
    ended: Vec<EndedCall>,
    taken: Vec<(TenantId, CallId, &'a [EngineUse])>,
}

impl Store {
    /// Writes entries in one transaction.
    ///
    /// # Errors
    /// `Invalid` or `Conflict` when an entry cannot be written: to find it, write the entries apart.
    pub(super) async fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        match self.write_once(entries).await {
            // Two transactions that insert the same call at once may meet in an index that `ON CONFLICT` does not name.
            // One of them is committed now, and the other finds its row.
            Err(StoreError::Conflict { .. }) => self.write_once(entries).await,
            answer => answer,
        }
    }

    async fn write_once(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let batch = Batch::of(entries)?;
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        let deliveries = batch.write(self, &mut tx).await?;
        tx.commit().await?;
        self.ring(deliveries);
        Ok(())
    }
}

impl<'a> Batch<'a> {
    /// # Errors
    /// `Invalid` when entries say that a call is several tenants'.
    pub fn of(entries: &'a [Entry]) -> Result<Batch<'a>, StoreError> {
        let mut batch = Batch::default();
        for entry in entries {
            match entry {
                Entry::Begin(call) => {
                    batch.entries_of(call.tenant_id, call.id)?.states.push(RecordedState::Begun(call))
                }
                Entry::Update(call) => {
                    batch.entries_of(call.tenant_id, call.id)?.states.push(RecordedState::Now(call, &[]));
                }
                Entry::End(call, engines) => {
                    batch.entries_of(call.tenant_id, call.id)?.states.push(RecordedState::Now(call, engines));
                }
                Entry::Turn(turn) => {
                    batch.entries_of(turn.tenant_id, turn.call_id)?;
                    batch.turns.insert((turn.call_id.0, turn.turn), turn);
                }
                Entry::Taken(tenant, call, engines) => {
                    batch.entries_of(*tenant, *call)?.taken = Some(engines);
                }
                Entry::Rated(feedback) => {
                    batch.entries_of(feedback.tenant_id, feedback.call_id)?;
                    batch.ratings.push(feedback);
                }
            }
        }
        Ok(batch)
    }

    fn entries_of(&mut self, tenant: TenantId, call: CallId) -> Result<&mut CallEntries<'a>, StoreError> {
        let fresh = || CallEntries { tenant, states: Vec::new(), taken: None };
        let entries = self.calls.entry(call.0).or_insert_with(fresh);
        if entries.tenant == tenant { Ok(entries) } else { Err(foreign("call")) }
    }

    /// Returns how many webhook deliveries were written.
    pub async fn write(&self, store: &Store, tx: &mut Tx) -> Result<u64, StoreError> {
        let recorded = self.recorded(tx).await?;
        let mut changes = self.changes(&recorded)?;
        let begun = tx.write_calls(store, &changes.begun, "ON CONFLICT (id) DO NOTHING RETURNING id").await?;
        // Another transaction was faster: the call is recorded and reported.
        changes.events.retain(|it| {
            changes.begun.iter().all(|call| call.id != it.call.id) || begun.contains(&it.call.id.0)
        });
        let changed = tx.write_calls(store, &changes.changed, CALL_CHANGE).await?;
        if changed.len() < changes.changed.len() {
            return Err(foreign("call"));
        }
        // An erased call stays without words, however late a record of them is.
        let is_erased = |call: Uuid| recorded.get(&call).is_some_and(|it| it.erased);
        let turns = self.turns.values().filter(|turn| !is_erased(turn.call_id.0));
        let turns: Vec<_> = turns.map(|turn| turn_row(turn)).collect();
        let wanted = turns.len() as u64;
        let late = tx.take_out_of_sums(self.counted_with_turns(&recorded)).await?;
        let insert = format!("INSERT INTO call_turns ({TURN_COLUMNS}) VALUES");
        if tx.execute_all(rows(&insert, turns, TURN_CHANGE)).await? < wanted {
            return Err(foreign("turn"));
        }
        tx.roll_up(late).await?;
        tx.replace_engines(&changes.taken).await?;
        let mut deliveries = tx.emit_calls(&changes.events).await?;
        for feedback in &self.ratings {
            deliveries += tx.add_rating(feedback).await?;
        }
        Ok(deliveries + tx.count_calls(&store.plans.get(), changes.ended).await?)
    }

    async fn recorded(&self, tx: &mut Tx) -> Result<HashMap<Uuid, Recorded>, StoreError> {
        const SELECT: &str = "SELECT id, tenant_id, answered_at IS NOT NULL AS answered, ended_at IS NOT NULL AS ended, \
            billed_seconds IS NOT NULL AS counted, erased_at IS NOT NULL AS erased, transfers FROM calls WHERE id IN";
        let ids = self.calls.keys().map(|id| (*id).into()).collect();
        let recorded = tx.all_of::<Recorded>(any_of(SELECT, ids, "")).await?;
        Ok(recorded.into_iter().map(|it| (it.id, it)).collect())
    }

    fn changes(&self, recorded: &HashMap<Uuid, Recorded>) -> Result<Changes<'a>, StoreError> {
        let mut changes = Changes::default();
        for (id, entries) in &self.calls {
            let recorded = recorded.get(id);
            if recorded.is_some_and(|it| it.tenant_id != entries.tenant.0) {
                // Usage of another tenant's call is not stored, and is not worth an error.
                if entries.states.is_empty() && !self.has_turns(*id) {
                    continue;
                }
                return Err(foreign("call"));
            }
            entries.add_to(&mut changes, CallId(*id), recorded);
        }
        Ok(changes)
    }

    /// Calls that were counted before and get turns now.
    fn counted_with_turns(&self, recorded: &HashMap<Uuid, Recorded>) -> Vec<Uuid> {
        let counted = recorded.values().filter(|it| it.counted && self.has_turns(it.id));
        counted.map(|it| it.id).collect()
    }

    fn has_turns(&self, call: Uuid) -> bool {
        self.turns.range((call, 0)..=(call, u32::MAX)).next().is_some()
    }
}

impl<'a> CallEntries<'a> {
    fn add_to(&self, changes: &mut Changes<'a>, id: CallId, recorded: Option<&Recorded>) {
        let mut standing: Option<CallBefore> = recorded.map(Recorded::before);
        let (mut begun, mut changed, mut end) = (None, None, None);
        for state in &self.states {
            let (call, engines): (&'a Call, &'a [EngineUse]) = match *state {
                RecordedState::Begun(_) if standing.is_some() => continue,
                RecordedState::Now(call, _)
                    if standing.is_some_and(|before| before.ended) && call.ended_at.is_none() =>
                {
                    continue;
                }
                RecordedState::Begun(call) => (begun.insert(call), &[]),
                RecordedState::Now(call, engines) => (changed.insert(call), engines),
            };
            changes.events.extend(news(standing, call).map(|kind| CallEvent { kind, call }));
            standing = Some(CallBefore::of(call));
            end = end.or_else(|| EndedCall::of(call, None, engines));
        }
        // Begun and changed at once: the later state is the row.
        match changed {
            Some(call) => changes.changed.push(call),
            None => changes.begun.extend(begun),
        }
        let counts = end.is_some() || recorded.is_some_and(|it| it.counted);
        changes.ended.extend(end);
        if let Some(taken) = self.taken.filter(|_| standing.is_some() && !counts) {
            changes.taken.push((self.tenant, id, taken));
        }
    }
}

impl Tx {
    /// Returns the ids of the calls that were written.
    async fn write_calls(
        &mut self,
        store: &Store,
        calls: &[&Call],
        after: &str,
    ) -> Result<Vec<Uuid>, StoreError> {
        let insert = format!("INSERT INTO calls ({COLUMNS}, daemon) VALUES");
        let calls = calls.iter().map(|call| call_row(call, &store.daemon)).collect();
        let written = self.all_of::<(Uuid,)>(rows(&insert, calls, after)).await?;
        Ok(written.into_iter().map(|(id,)| id).collect())
    }
}
