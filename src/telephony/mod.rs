//! Providers of phone numbers, each behind the same three methods.
//!
//! [`Registrar`] points numbers at this Asterisk and away from it, and records the outcome; [`AnnouncementService`] takes
//! announcements of calls from a dialplan. Providers' accounts are the operator's: an adapter that uses one first checks
//! that the number belongs to the tenant ([`TenantNumber::check_owner`]), leaves alone what serves something else, and
//! undoes only what VCA did.

mod announcement_service;
mod asterisk;
mod error;
mod fake;
mod provider;
mod registrar;
mod settings;
mod tata;
mod telnyx;
mod twilio;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use serde_json::{Value, json};

pub use announcement_service::{Announced, AnnouncedNumbers, AnnouncementRefusal, AnnouncementService};
pub use error::TelephonyError;
pub use registrar::Registrar;
pub use settings::{InboundSettings, Settings, networks};

use crate::ari;
use crate::tenancy::{Did, Direction, NumberId, NumberSource, ProviderState, TenantId};
use asterisk::Asterisk;
use fake::Fake;
use tata::TataAdapter;
use telnyx::TelnyxAdapter;
use twilio::TwilioAdapter;

/// A provider of phone numbers.
pub trait TelephonyAdapter: Send + Sync {
    /// Has the provider send the number's calls to this Asterisk. Idempotent.
    ///
    /// # Errors
    /// `NotOwned` for a number that is not the tenant's, without a request to the provider.
    fn register_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>>;

    /// Undoes [`TelephonyAdapter::register_number`], but no other change. A number that the provider does not have
    /// counts as unregistered.
    fn unregister_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>>;

    /// A dialplan announces a call. The event decides whether the call is admitted.
    fn on_inbound_call(&self, call: CallMetadata) -> BoxFuture<'_, ProviderCallEvent> {
        async { ProviderCallEvent::new(EventKind::Ringing, call, None) }.boxed()
    }
}

/// A number, and the tenant that the request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantNumber {
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    pub did: Did,
    /// Whether the operator's inventory assigns it to this tenant.
    pub is_assigned: bool,
    /// Whether VCA pointed it at this Asterisk.
    pub is_registered_by_vca: bool,
}

impl TenantNumber {
    /// # Errors
    /// `NotOwned` when the number is not assigned to the tenant.
    pub fn check_owner(&self, provider: &'static str) -> Result<(), TelephonyError> {
        if self.is_assigned { Ok(()) } else { Err(TelephonyError::NotOwned { provider }) }
    }
}

/// A provider's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    pub state: ProviderState,
    /// Explains the state to an administrator.
    pub detail: String,
    /// The provider's own id of the number.
    pub reference: Option<String>,
    pub effect: Effect,
}

/// Whether a request changed a number at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The number was in this state already, or the provider has no such setting.
    AsFound,
    Changed,
}

impl Provisioned {
    fn new(state: ProviderState, detail: impl Into<String>) -> Provisioned {
        Provisioned { state, detail: detail.into(), reference: None, effect: Effect::AsFound }
    }

    fn with_effect(self, effect: Effect) -> Provisioned {
        Provisioned { effect, ..self }
    }

    fn with_reference(self, reference: impl Into<String>) -> Provisioned {
        Provisioned { reference: Some(reference.into()), ..self }
    }
}

/// A call, independent of its provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallMetadata {
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    /// Absent when withheld. It may be forged.
    pub caller_number: Option<String>,
    pub called_number: Did,
    pub direction: Direction,
    pub timestamp: DateTime<Utc>,
    /// Asterisk's UNIQUEID.
    pub call_id: Option<String>,
}

/// A change of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderCallEvent {
    pub event_type: EventKind,
    pub call_metadata: CallMetadata,
    pub timestamp: DateTime<Utc>,
    pub details: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventKind {
    Initiated,
    Ringing,
    Answered,
    Ended,
    Failed,
}

impl ProviderCallEvent {
    /// An event at the present time.
    pub fn new(
        event_type: EventKind,
        call_metadata: CallMetadata,
        detail: Option<&str>,
    ) -> ProviderCallEvent {
        let details = detail.map(|text| json!({ "message": text }));
        ProviderCallEvent { event_type, call_metadata, timestamp: Utc::now(), details }
    }

    /// The details' text, if there is one.
    pub fn message(&self) -> Option<&str> {
        self.details.as_ref()?.get("message")?.as_str()
    }
}

/// The providers that a number can name as its `provider_type`.
pub const PROVIDERS: &[&str] = &["asterisk", "generic", "tata", "twilio", "telnyx", "fake"];

/// The adapters by their providers' names.
pub struct Adapters {
    asterisk: Asterisk,
    tata: TataAdapter,
    twilio: Result<TwilioAdapter, TelephonyError>,
    telnyx: Result<TelnyxAdapter, TelephonyError>,
    fake: Result<Fake, TelephonyError>,
}

impl Adapters {
    /// `app` is VCA's Stasis application. A provider that is not configured is an error only when it is used.
    pub fn new(settings: &Settings, asterisk: Arc<ari::Client>, app: &str, production: bool) -> Adapters {
        Adapters {
            asterisk: Asterisk::new(asterisk.clone(), app),
            tata: TataAdapter::new(asterisk, &settings.tata.endpoint),
            twilio: TwilioAdapter::new(&settings.twilio, &settings.requests),
            telnyx: TelnyxAdapter::new(&settings.telnyx, &settings.requests),
            fake: Fake::new(settings.fake, production),
        }
    }

    /// # Errors
    /// `Unknown`, `NotConfigured` or `Forbidden`, each with its remedy.
    pub fn find(&self, provider: &str) -> Result<&dyn TelephonyAdapter, TelephonyError> {
        match provider {
            "asterisk" | "generic" => Ok(&self.asterisk),
            "tata" => Ok(&self.tata),
            "twilio" => self.twilio.as_ref().map(|it| it as _).map_err(Clone::clone),
            "telnyx" => self.telnyx.as_ref().map(|it| it as _).map_err(Clone::clone),
            "fake" => self.fake.as_ref().map(|it| it as _).map_err(Clone::clone),
            other => Err(TelephonyError::Unknown { provider: other.chars().take(40).collect() }),
        }
    }

    /// The numbers of the operator's account with a provider.
    ///
    /// # Errors
    /// `Forbidden` for a source that is not a provider; otherwise as of [`Adapters::find`], and those of the provider.
    pub async fn account_numbers(&self, source: NumberSource) -> Result<Vec<Did>, TelephonyError> {
        match source {
            NumberSource::Operator => {
                Err(TelephonyError::Forbidden("only the accounts of twilio and telnyx can be listed"))
            }
            NumberSource::Twilio => self.twilio.as_ref().map_err(Clone::clone)?.account_numbers().await,
            NumberSource::Telnyx => self.telnyx.as_ref().map_err(Clone::clone)?.account_numbers().await,
        }
    }
}
