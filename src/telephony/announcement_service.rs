//! Records a call that a dialplan announces before its channel arrives.
//!
//! It checks the conditions that the called number alone decides; limits are checked when the channel arrives.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Adapters, CallMetadata, EventKind, TelephonyError};
use crate::store::{Announcements, NewAnnouncement, Store, StoreError};
use crate::tenancy::{CallId, Did, Direction, Route, TenantId, TenantStatus};

/// An announced call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedNumbers {
    /// Absent when withheld.
    pub caller: Option<String>,
    /// The possible readings of the called number, in order of precedence.
    pub called: Vec<Did>,
    /// The called number as it was written; the channel finds the record by it.
    pub written: Option<Did>,
    /// Asterisk's UNIQUEID.
    pub channel: String,
    pub at: DateTime<Utc>,
}

/// The outcome of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// The call has a record, which its channel joins.
    Expected {
        call: CallId,
        tenant: TenantId,
    },
    Refused(AnnouncementRefusal),
}

/// Why a call will not be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncementRefusal {
    UnknownNumber,
    NumberInactive,
    TenantSuspended,
    TenantDeleted,
    /// The tenant has no default profile.
    NoAgent,
    /// The number's provider cannot be used, or refuses the call.
    Provider(String),
}

impl fmt::Display for AnnouncementRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AnnouncementRefusal::UnknownNumber => "no tenant has the called number",
            AnnouncementRefusal::NumberInactive => "the called number is not active",
            AnnouncementRefusal::TenantSuspended => "the called number's tenant is suspended",
            AnnouncementRefusal::TenantDeleted => "the called number's tenant was deleted",
            AnnouncementRefusal::NoAgent => "the called number's tenant has no default profile",
            AnnouncementRefusal::Provider(reason) => reason,
        })
    }
}

pub struct AnnouncementService {
    store: Store,
    adapters: Arc<Adapters>,
    announcements: Announcements,
}

impl AnnouncementService {
    pub fn new(store: Store, adapters: Arc<Adapters>, announcements: Announcements) -> AnnouncementService {
        AnnouncementService { store, adapters, announcements }
    }

    /// Creates the call's record; an existing one is left unchanged.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn announce(
        &self,
        incoming: AnnouncedNumbers,
        now: DateTime<Utc>,
    ) -> Result<Announced, StoreError> {
        let route = match admitted(self.store.first_route(&incoming.called).await?) {
            Ok(route) => route,
            Err(refusal) => return Ok(Announced::Refused(refusal)),
        };
        if let Err(refusal) = self.ask_provider(&route, &incoming).await {
            return Ok(Announced::Refused(refusal));
        }
        let AnnouncedNumbers { caller, written, channel, .. } = incoming;
        let called = route.number.did.clone();
        let tenant = route.tenant.id;
        let call = self.announcements.expect(&channel, written.as_ref().unwrap_or(&called), tenant, now);
        let number = route.number.id;
        let new = NewAnnouncement { call, number, channel: channel.clone(), caller, called, at: now };
        match self.store.scope(tenant).announce(&new).await {
            Ok(call) => {
                self.announcements.settle(&channel, call);
                Ok(Announced::Expected { call, tenant })
            }
            Err(error) => {
                self.announcements.withdraw(&channel);
                Err(error)
            }
        }
    }

    async fn ask_provider(
        &self,
        route: &Route,
        incoming: &AnnouncedNumbers,
    ) -> Result<(), AnnouncementRefusal> {
        let adapter = match self.adapters.find(route.number.provider_type.as_str()) {
            Ok(adapter) => adapter,
            Err(TelephonyError::Forbidden(reason)) => {
                return Err(AnnouncementRefusal::Provider(reason.to_owned()));
            }
            // Its API cannot be used, and is not needed: its calls arrive by other means.
            Err(_) => return Ok(()),
        };
        let call = CallMetadata {
            tenant_id: route.tenant.id,
            phone_number_id: route.number.id,
            caller_number: incoming.caller.clone(),
            called_number: route.number.did.clone(),
            direction: Direction::Inbound,
            timestamp: incoming.at,
            call_id: Some(incoming.channel.clone()),
        };
        let event = adapter.on_inbound_call(call).await;
        match event.event_type {
            EventKind::Initiated | EventKind::Ringing | EventKind::Answered => Ok(()),
            EventKind::Ended | EventKind::Failed => {
                let reason = event.message().unwrap_or("the called number's provider refuses the call");
                Err(AnnouncementRefusal::Provider(reason.to_owned()))
            }
        }
    }
}

/// Strict: the called number decides the tenant, and there is no fallback.
fn admitted(route: Option<Route>) -> Result<Route, AnnouncementRefusal> {
    let route = route.ok_or(AnnouncementRefusal::UnknownNumber)?;
    match route.tenant.status {
        TenantStatus::Active => {}
        TenantStatus::Suspended => return Err(AnnouncementRefusal::TenantSuspended),
        TenantStatus::Deleted => return Err(AnnouncementRefusal::TenantDeleted),
    }
    match (route.number.is_active, route.is_answered()) {
        (false, _) => Err(AnnouncementRefusal::NumberInactive),
        (true, false) => Err(AnnouncementRefusal::NoAgent),
        (true, true) => Ok(route),
    }
}
