//! Erasing a caller from dead letters: records that the database refused and that may still have to be billed.

use uuid::Uuid;

use crate::store::Entry;
use crate::store::StoreError;
use crate::store::statement::{Statement, sql};
use crate::store::tx::Tx;
use crate::tenancy::{Call, CallId, CallTransfer, TenantId};

#[derive(Debug, sqlx::FromRow)]
struct Letter {
    id: Uuid,
    entry: String,
}

impl Tx {
    /// Erases the caller from a call's letters: turns are deleted, other entries lose the caller's number, the trunk's id,
    /// the remembered fields and the summaries of transfers, and can still be written and billed. Returns how many letters changed.
    pub(super) async fn erase_letters(&mut self, tenant: TenantId, call: CallId) -> Result<u64, StoreError> {
        const OF_CALL: &str =
            "SELECT id, entry FROM ledger_dead_letters WHERE tenant_id = $1 AND call_id = $2";
        let letters = self.all::<Letter>(sql(OF_CALL).bind(tenant.0).bind(call.0)).await?;
        let mut erased = 0;
        for letter in letters {
            erased += self.execute(letter.without_caller(tenant)).await?;
        }
        Ok(erased)
    }

    /// The calls that only letters know, and that this caller made. `digits` are the number's, without a plus sign.
    pub(super) async fn calls_in_letters(
        &mut self,
        tenant: TenantId,
        digits: &str,
    ) -> Result<Vec<CallId>, StoreError> {
        const WITH_DIGITS: &str =
            "SELECT id, entry FROM ledger_dead_letters WHERE tenant_id = $1 AND entry LIKE $2";
        let select = sql(WITH_DIGITS).bind(tenant.0).bind(format!("%{digits}%"));
        let letters = self.all::<Letter>(select).await?;
        let calls = letters.iter().filter_map(|letter| serde_json::from_str::<Entry>(&letter.entry).ok());
        let mut calls: Vec<CallId> =
            calls.filter(|entry| is_from(entry, digits)).map(|entry| entry.call()).collect();
        calls.sort();
        calls.dedup();
        Ok(calls)
    }
}

impl Letter {
    fn without_caller(self, tenant: TenantId) -> Statement {
        const DELETE: &str = "DELETE FROM ledger_dead_letters WHERE tenant_id = $1 AND id = $2";
        const WRITE: &str = "UPDATE ledger_dead_letters SET entry = $3 WHERE tenant_id = $1 AND id = $2";
        match redacted(&self.entry) {
            Some(entry) => sql(WRITE).bind(tenant.0).bind(self.id).bind(entry),
            None => sql(DELETE).bind(tenant.0).bind(self.id),
        }
    }
}

fn is_from(entry: &Entry, digits: &str) -> bool {
    let (Entry::Begin(call) | Entry::Update(call) | Entry::End(call, _)) = entry else { return false };
    call.caller_number.as_deref().is_some_and(|number| number.trim_start_matches('+') == digits)
}

/// The entry without the caller; `None` for a turn, and for an entry that cannot be read and so never written.
fn redacted(entry: &str) -> Option<String> {
    let anonymous = |call: Call| Call {
        caller_number: None,
        provider_call_id: None,
        asterisk_channel_id: "erased".to_owned(),
        fields: Default::default(),
        transfers: call.transfers.into_iter().map(CallTransfer::without_summary).collect(),
        ..call
    };
    let entry = match serde_json::from_str(entry).ok()? {
        Entry::Begin(call) => Entry::Begin(anonymous(call)),
        Entry::Update(call) => Entry::Update(anonymous(call)),
        Entry::End(call, engines) => Entry::End(anonymous(call), engines),
        kept @ (Entry::Taken(..) | Entry::Rated(_)) => kept,
        Entry::Turn(_) => return None,
    };
    serde_json::to_string(&entry).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::values;

    #[test]
    fn an_end_keeps_what_is_billed_and_loses_the_caller() {
        let call = Call {
            caller_number: Some("+15550123".into()),
            fields: [("customer_name".to_owned(), "Ada".to_owned())].into(),
            ..values::call()
        };
        let json = |entry: &Entry| serde_json::to_string(entry).expect("JSON");
        let end = Entry::End(call.clone(), Vec::new());
        assert!(is_from(&end, "15550123") && !is_from(&end, "5550123"));
        let kept = redacted(&json(&end)).expect("it is kept");
        let Entry::End(kept, _) = serde_json::from_str(&kept).expect("an entry") else { panic!("{kept}") };
        assert_eq!((kept.caller_number, kept.ended_at, kept.id), (None, call.ended_at, call.id));
        assert!(kept.fields.is_empty(), "{:?}", kept.fields);
        assert_eq!(redacted(&json(&Entry::Turn(values::turn(&call, 1)))), None);
    }
}
