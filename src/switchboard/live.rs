//! The calls that are under way: who they belong to and where their mail goes.
//!
//! A plain map behind a lock that is held for a look-up, never across a wait.

use std::collections::HashMap;

use tokio::sync::mpsc::{self, error::TrySendError};

use super::admission::Standing;
use super::port_budget::PortBudget;
use crate::ari::bridging::{bridge_id, media_id};
use crate::call::{Mail, View};
use crate::tenancy::{Call, CallId, Month, TenantId};

/// Mail that waits for a call. A call reads at once; one that does not is stuck.
const MAILBOX: usize = 128;

#[derive(Default)]
pub struct Live {
    calls: HashMap<CallId, LiveEntry>,
    /// Every id in Asterisk that belongs to a call: its two channels and its bridge.
    ids: HashMap<String, CallId>,
    tenants: HashMap<TenantId, u32>,
    draining: bool,
}

struct LiveEntry {
    mailbox: mpsc::Sender<Mail>,
    /// The caller's.
    channel: String,
    tenant: Option<TenantId>,
    view: Option<View>,
}

impl Live {
    /// Adds a call that has arrived on `channel`; `None` if there is one already.
    pub fn begin(&mut self, id: CallId, channel: &str) -> Option<mpsc::Receiver<Mail>> {
        if self.ids.contains_key(channel) {
            return None;
        }
        let (mailbox, letters) = mpsc::channel(MAILBOX);
        for asterisk_id in asterisk_ids(id, channel) {
            self.ids.insert(asterisk_id, id);
        }
        self.calls.insert(id, LiveEntry { mailbox, channel: channel.to_owned(), tenant: None, view: None });
        Some(letters)
    }

    /// Lets the call be watched.
    pub fn show(&mut self, id: CallId, view: View) {
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.view = Some(view);
        }
    }

    /// The calls in progress that have a tenant, including those that are being refused.
    pub fn shown(&self) -> impl Iterator<Item = Call> {
        self.calls.values().filter_map(|entry| entry.view.as_ref()?.call())
    }

    /// One of a tenant's calls under way.
    pub fn view(&self, tenant: TenantId, id: CallId) -> Option<View> {
        let view = self.calls.get(&id)?.view.clone()?;
        view.call().is_some_and(|call| call.tenant_id == tenant).then_some(view)
    }

    /// The caller of a call goes on by the channel `new`. False when `old` is no call's caller.
    pub fn replace(&mut self, old: &str, new: &str) -> bool {
        let Some(id) = self.ids.get(old).copied() else { return false };
        let Some(entry) = self.calls.get_mut(&id).filter(|entry| entry.channel == old) else { return false };
        entry.channel = new.to_owned();
        self.ids.remove(old);
        self.ids.insert(new.to_owned(), id);
        true
    }

    /// The call is over. The channel that its caller had, if it was not over before.
    pub fn end(&mut self, id: CallId) -> Option<String> {
        let entry = self.calls.remove(&id)?;
        for asterisk_id in asterisk_ids(id, &entry.channel) {
            self.ids.remove(&asterisk_id);
        }
        if let Some(tenant) = entry.tenant
            && let Some(count) = self.tenants.get_mut(&tenant)
        {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
        Some(entry.channel)
    }

    /// The state of daemon and tenant for a new call of `tenant`. Only admitted calls count, so a flood of refused
    /// ones takes no places.
    pub fn standing(&self, tenant: Option<TenantId>, month: Month, ports: &PortBudget) -> Standing {
        let calls = self.calls.values().filter(|entry| entry.tenant.is_some()).count();
        // The call itself is one of those that are not admitted yet.
        let waiting = self.calls.len().saturating_sub(calls + 1);
        Standing {
            draining: self.draining,
            calls,
            has_ports: ports.has_room(calls, waiting),
            tenant_calls: tenant.and_then(|tenant| self.tenants.get(&tenant).copied()).unwrap_or(0),
            month,
        }
    }

    /// Counts the call among its tenant's.
    pub fn assign(&mut self, id: CallId, tenant: TenantId) {
        if let Some(entry) = self.calls.get_mut(&id)
            && entry.tenant.replace(tenant).is_none()
        {
            *self.tenants.entry(tenant).or_default() += 1;
        }
    }

    pub fn knows(&self, asterisk_id: &str) -> bool {
        self.ids.contains_key(asterisk_id)
    }

    /// Gives mail to the call to which an id in Asterisk belongs. False when there is none.
    pub fn deliver(&self, asterisk_id: &str, mail: Mail) -> bool {
        let Some(id) = self.ids.get(asterisk_id) else { return false };
        self.post(*id, mail);
        true
    }

    /// Gives the same mail to every call.
    pub fn deliver_to_all(&self, mail: impl Fn() -> Mail) {
        self.calls.keys().for_each(|id| self.post(*id, mail()));
    }

    pub fn drain(&mut self) {
        self.draining = true;
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Gives mail to one call, if it is there.
    pub fn post(&self, id: CallId, mail: Mail) {
        let Some(entry) = self.calls.get(&id) else { return };
        match entry.mailbox.try_send(mail) {
            // A call that has closed its mailbox is about to leave the map.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("vca_mail_dropped_total").increment(1);
                tracing::error!(call_id = %id, "the call does not read its mail");
            }
        }
    }
}

fn asterisk_ids(id: CallId, channel: &str) -> [String; 3] {
    let id = id.to_string();
    [channel.to_owned(), media_id(&id), bridge_id(&id)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_goes_to_the_call_that_an_id_belongs_to() {
        let (mut live, id) = (Live::default(), CallId::new());
        let mut letters = live.begin(id, "1.1").unwrap();
        assert!(live.begin(CallId::new(), "1.1").is_none());
        for asterisk_id in ["1.1", &media_id(&id.to_string()), &bridge_id(&id.to_string())] {
            assert!(live.deliver(asterisk_id, Mail::End), "{asterisk_id}");
            assert!(letters.try_recv().is_ok());
        }
        assert!(!live.deliver("2.2", Mail::End));
        live.end(id);
        assert!(!live.knows("1.1"));
        assert!(live.ids.is_empty());
    }

    #[test]
    fn a_call_goes_on_by_the_channel_that_replaces_its_callers() {
        let (mut live, tenant, id) = (Live::default(), TenantId::new(), CallId::new());
        let mut letters = live.begin(id, "1.1").unwrap();
        live.assign(id, tenant);
        assert!(live.replace("1.1", "1.7"));
        assert!(live.deliver("1.7", Mail::End));
        assert!(letters.try_recv().is_ok());
        assert!(!live.knows("1.1"), "what happens to the old channel is nobody's");
        assert!(!live.replace("1.1", "1.8"), "it is no caller any more");
        assert!(!live.replace(&media_id(&id.to_string()), "1.8"), "our own end is no caller");
        let month = Month::of(chrono::DateTime::UNIX_EPOCH);
        assert_eq!(
            live.standing(Some(tenant), month, &PortBudget::new(None)).tenant_calls,
            1,
            "it is still its tenant's"
        );
        assert_eq!(live.end(id), Some("1.7".into()));
        assert!(live.ids.is_empty());
        assert_eq!(live.end(id), None);
    }

    #[test]
    fn a_tenants_calls_are_counted_while_they_last() {
        let (mut live, tenant) = (Live::default(), TenantId::new());
        let (first, second) = (CallId::new(), CallId::new());
        let month = Month::of(chrono::DateTime::UNIX_EPOCH);
        let _first = live.begin(first, "1.1");
        let _second = live.begin(second, "1.2");
        live.assign(first, tenant);
        live.assign(first, tenant);
        assert_eq!(
            live.standing(Some(tenant), month, &PortBudget::new(None)),
            Standing { draining: false, calls: 1, tenant_calls: 1, has_ports: true, month }
        );
        live.end(first);
        live.end(first);
        assert_eq!(
            live.standing(Some(tenant), month, &PortBudget::new(None)),
            Standing { draining: false, calls: 0, tenant_calls: 0, has_ports: true, month }
        );
    }

    #[test]
    fn a_full_mailbox_never_blocks() {
        let (mut live, id) = (Live::default(), CallId::new());
        let mut letters = live.begin(id, "1.1").unwrap();
        (0..MAILBOX + 5).for_each(|_| live.deliver_to_all(|| Mail::End));
        assert_eq!(std::iter::from_fn(|| letters.try_recv().ok()).count(), MAILBOX);
    }
}
