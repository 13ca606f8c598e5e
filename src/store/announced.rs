//! Calls that were announced before their channel arrived: one record per UNIQUEID, however often it is announced.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::sql;
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Scope, Store, StoreError};
use crate::tenancy::{Call, CallId, CallStatus, Did, Direction, NumberId, TenantId};

/// A call that is going to ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnnouncement {
    /// The id of the call's record, unless the call has one already.
    pub call: CallId,
    pub number: NumberId,
    /// The UNIQUEID that the channel will have.
    pub channel: String,
    pub caller: Option<String>,
    pub called: Did,
    pub at: DateTime<Utc>,
}

/// A call that was announced and has no channel yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outstanding {
    pub tenant: TenantId,
    pub channel: String,
    pub call: CallId,
    pub called: Did,
    pub at: DateTime<Utc>,
}

/// The record of a channel: announced before, or made when the channel arrived unannounced. A record that was closed
/// because no channel arrived stays closed: the same UNIQUEID announced again gets a new one.
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
    /// Records a call that is about to ring, unless it is recorded, and returns the id of its record.
    ///
    /// # Errors
    /// `Invalid` when the number is another tenant's.
    pub async fn announce(&self, new: &NewAnnouncement) -> Result<CallId, StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        let (id, deliveries) = match self.record_of(&mut tx, &new.channel).await? {
            Some(known) => (known, 0),
            None => self.begin_announced(&mut tx, new).await?,
        };
        tx.commit().await?;
        self.store.ring(deliveries);
        Ok(CallId(id))
    }

    async fn record_of(&self, tx: &mut Tx, channel: &str) -> Result<Option<Uuid>, StoreError> {
        let (known,) = tx.one::<(Option<Uuid>,)>(sql(KNOWN).bind(self.tenant.0).bind(channel)).await?;
        Ok(known)
    }

    async fn begin_announced(&self, tx: &mut Tx, new: &NewAnnouncement) -> Result<(Uuid, u64), StoreError> {
        let call = new.record(self.tenant);
        let begin = sql(BEGIN)
            .bind(call.id.0)
            .bind(self.tenant.0)
            .bind(call.phone_number_id.0)
            .bind(call.asterisk_channel_id.as_str())
            .bind(call.direction.as_str())
            .bind(call.caller_number.as_deref())
            .bind(call.called_number.digits())
            .bind(call.status.as_str())
            .bind(call.started_at)
            .bind(&*self.store.daemon);
        let begun = tx.execute(begin).await? > 0;
        let announce =
            sql(ANNOUNCE).bind(self.tenant.0).bind(new.channel.as_str()).bind(new.call.0).bind(new.at);
        if tx.execute(announce).await? > 0 {
            let deliveries = if begun { tx.emit_call(None, &call).await? } else { 0 };
            return Ok((new.call.0, deliveries));
        }
        // It was announced by another request in the meantime: that one's record stays.
        if begun {
            let delete = sql("DELETE FROM calls WHERE tenant_id = $1 AND id = $2");
            tx.execute(delete.bind(self.tenant.0).bind(new.call.0)).await?;
        }
        let known = self.record_of(tx, &new.channel).await?;
        Ok((known.ok_or(StoreError::NotFound)?, 0))
    }
}

impl NewAnnouncement {
    /// The call as it is recorded.
    fn record(&self, tenant: TenantId) -> Call {
        Call {
            id: self.call,
            tenant_id: tenant,
            phone_number_id: self.number,
            ai_profile_id: None,
            ai_profile_version: None,
            routing_version: None,
            asterisk_channel_id: self.channel.clone(),
            direction: Direction::Inbound,
            caller_number: self.caller.clone(),
            called_number: self.called.clone(),
            status: CallStatus::Ringing,
            ended_by: None,
            disposition: None,
            hangup_cause: None,
            sip_status: None,
            provider_call_id: None,
            started_at: self.at,
            answered_at: None,
            ended_at: None,
            codec: None,
            media: None,
            failure_reason: None,
            notice_heard_at: None,
            emergency_at: None,
            engine_failures: Vec::new(),
            fields: Default::default(),
            transfers: Vec::new(),
            analysis: None,
            pre_call: None,
            agent_changes: Vec::new(),
        }
    }
}

impl Store {
    /// The calls that were announced to this daemon and have no channel yet, newest first.
    pub(super) async fn outstanding(&self, limit: usize) -> Result<Vec<Outstanding>, StoreError> {
        const SQL: &str = "SELECT a.tenant_id, a.asterisk_channel_id, a.call_id, a.at, c.called_number \
            FROM announced_calls a JOIN calls c ON c.tenant_id = a.tenant_id AND c.id = a.call_id \
            WHERE c.status = 'ringing' AND (c.daemon = $2 OR c.daemon IS NULL OR a.at < $3) ORDER BY a.at DESC LIMIT $1";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = sql(SQL).bind(limit).bind(&*self.daemon).bind(self.not_mine_until(Utc::now()));
        let rows = AllTenants(self).all::<Row>(select).await?;
        rows.into_iter().map(Outstanding::try_from).collect()
    }

    /// Deletes the announcements before `before`: they are too old to be repeated.
    pub(super) async fn forget_announcements(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM announced_calls WHERE at < $1 AND NOT EXISTS \
            (SELECT 1 FROM calls c WHERE c.id = announced_calls.call_id AND c.status = 'ringing')";
        AllTenants(self).execute(sql(SQL).bind(before)).await
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
