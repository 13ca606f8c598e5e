//! Calls that were told of before their channel came: one record for one UNIQUEID, however often it is told of.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::call_events::emit_call;
use super::pool::{Everywhere, execute, run, transact};
use super::{Scope, Store, StoreError, kept};
use crate::tenancy::{Call, CallId, CallStatus, Did, Direction, NumberId, TenantId};

/// A call that is going to ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnnouncement {
    /// The id that the call's record has if this is the first that is heard of it.
    pub call: CallId,
    pub number: NumberId,
    /// Asterisk's UNIQUEID of the channel to be.
    pub channel: String,
    pub caller: Option<String>,
    pub called: Did,
    pub at: DateTime<Utc>,
}

/// A call that was told of and does not ring yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outstanding {
    pub tenant: TenantId,
    pub channel: String,
    pub call: CallId,
    pub called: Did,
    pub at: DateTime<Utc>,
}

/// Told of already; or never told of, but its channel came. A record that was closed because nothing came is closed
/// for good: a channel that is told of once more gets another.
const KNOWN: &str = "SELECT COALESCE(\
    (SELECT a.call_id FROM announced_calls a JOIN calls c ON c.tenant_id = a.tenant_id AND c.id = a.call_id \
     WHERE a.tenant_id = $1 AND a.asterisk_channel_id = $2 AND COALESCE(c.disposition, '') <> 'never_arrived'), \
    (SELECT id FROM calls WHERE tenant_id = $1 AND asterisk_channel_id = $2 \
     AND COALESCE(disposition, '') <> 'never_arrived' ORDER BY id LIMIT 1))";

const BEGIN: &str = "INSERT INTO calls (id, tenant_id, phone_number_id, asterisk_channel_id, direction, \
    caller_number, called_number, status, started_at, daemon) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    ON CONFLICT (id) DO NOTHING";

const ANNOUNCE: &str = "INSERT INTO announced_calls (tenant_id, asterisk_channel_id, call_id, at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, asterisk_channel_id) \
    DO UPDATE SET call_id = excluded.call_id, at = excluded.at WHERE EXISTS (SELECT 1 FROM calls c \
    WHERE c.tenant_id = announced_calls.tenant_id AND c.id = announced_calls.call_id \
    AND c.disposition = 'never_arrived')";

impl Scope {
    /// Puts a call on record that is going to ring, unless it is there. The answer is the id of its record.
    ///
    /// # Errors
    /// `Invalid` when the number is another tenant's.
    pub async fn announce(&self, new: &NewAnnouncement) -> Result<CallId, StoreError> {
        let call = new.record(self.tenant);
        let (id, deliveries) = transact!(*self, tx => {
            let mut deliveries = 0;
            let known: Option<Uuid> = sqlx::query_scalar(KNOWN)
                .bind(self.tenant.0)
                .bind(new.channel.as_str())
                .fetch_one(&mut *tx)
                .await?;
            let known = match known {
                Some(known) => known,
                None => {
                    let begun = sqlx::query(BEGIN)
                        .bind(call.id.0)
                        .bind(self.tenant.0)
                        .bind(call.phone_number_id.0)
                        .bind(call.asterisk_channel_id.as_str())
                        .bind(call.direction.word())
                        .bind(call.caller_number.as_deref())
                        .bind(call.called_number.digits())
                        .bind(call.status.word())
                        .bind(kept(call.started_at))
                        .bind(&*self.store.daemon)
                        .execute(&mut *tx)
                        .await?
                        .rows_affected();
                    let first = sqlx::query(ANNOUNCE)
                        .bind(self.tenant.0)
                        .bind(new.channel.as_str())
                        .bind(new.call.0)
                        .bind(kept(new.at))
                        .execute(&mut *tx)
                        .await?
                        .rows_affected();
                    if first == 0 {
                        // Somebody told of it in the meantime: theirs is the record.
                        if begun > 0 {
                            sqlx::query("DELETE FROM calls WHERE tenant_id = $1 AND id = $2")
                                .bind(self.tenant.0)
                                .bind(new.call.0)
                                .execute(&mut *tx)
                                .await?;
                        }
                        sqlx::query_scalar(KNOWN)
                            .bind(self.tenant.0)
                            .bind(new.channel.as_str())
                            .fetch_one(&mut *tx)
                            .await?
                    } else {
                        if begun > 0 {
                            deliveries += emit_call!(tx, None, &call);
                        }
                        new.call.0
                    }
                }
            };
            (known, deliveries)
        })?;
        self.store.ring(deliveries);
        Ok(CallId(id))
    }
}

impl NewAnnouncement {
    /// The call as it is put on record.
    fn record(&self, tenant: TenantId) -> Call {
        Call {
            id: self.call,
            tenant_id: tenant,
            phone_number_id: self.number,
            ai_profile_id: None,
            ai_profile_version: None,
            asterisk_channel_id: self.channel.clone(),
            direction: Direction::Inbound,
            caller_number: self.caller.clone(),
            called_number: self.called.clone(),
            status: CallStatus::Ringing,
            ended_by: None,
            disposition: None,
            hangup_cause: None,
            started_at: self.at,
            answered_at: None,
            ended_at: None,
            codec: None,
            media: None,
        }
    }
}

impl Store {
    /// The calls that this daemon was told of and that do not ring yet, newest first.
    pub(super) async fn outstanding(&self, limit: usize) -> Result<Vec<Outstanding>, StoreError> {
        const SQL: &str = "SELECT a.tenant_id, a.asterisk_channel_id, a.call_id, a.at, c.called_number \
            FROM announced_calls a JOIN calls c ON c.tenant_id = a.tenant_id AND c.id = a.call_id \
            WHERE c.status = 'ringing' AND (c.daemon = $2 OR c.daemon IS NULL OR a.at < $3) ORDER BY a.at DESC LIMIT $1";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = run!(Everywhere(self), connection => sqlx::query_as::<_, Row>(SQL)
            .bind(limit)
            .bind(&*self.daemon)
            .bind(kept(self.not_mine_until(Utc::now())))
            .fetch_all(connection))?;
        rows.into_iter().map(Outstanding::try_from).collect()
    }

    /// Forgets what was told before a moment: nobody tells of those calls again.
    pub(super) async fn forget_announcements(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM announced_calls WHERE at < $1 AND NOT EXISTS \
            (SELECT 1 FROM calls c WHERE c.id = announced_calls.call_id AND c.status = 'ringing')";
        execute!(Everywhere(self), sqlx::query(SQL).bind(kept(before)))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Uuid,
    asterisk_channel_id: String,
    call_id: Uuid,
    at: DateTime<Utc>,
    called_number: String,
}

impl TryFrom<Row> for Outstanding {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Outstanding, StoreError> {
        let called = row.called_number.parse();
        Ok(Outstanding {
            tenant: TenantId(row.tenant_id),
            channel: row.asterisk_channel_id,
            call: CallId(row.call_id),
            called: called.map_err(|_| StoreError::corrupt("calls.called_number is no number"))?,
            at: row.at,
        })
    }
}
