//! Providers of numbers: whoever brings a number's calls to our Asterisk, each behind the same three methods.
//!
//! [`Registrar`] points numbers at us and takes them away again, and leaves on record how that went; [`Reception`]
//! hears of calls before their channel comes. It knows neither HTTP's side of ours nor a call's life.

mod asterisk;
mod error;
mod fake;
mod provider;
mod reception;
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

pub use error::TelephonyError;
pub use reception::{Answer, Incoming, Reception, Refusal};
pub use registrar::Registrar;
pub use settings::{InboundSettings, Settings};

use crate::ari;
use crate::tenancy::{Did, Direction, NumberId, ProviderState, TenantId};
use asterisk::Asterisk;
use fake::Fake;
use tata::Tata;
use telnyx::Telnyx;
use twilio::Twilio;

/// What can be done about a number with whoever provides it.
pub trait TelephonyAdapter: Send + Sync {
    /// Has the number's calls brought to our Asterisk. Asking twice changes nothing more.
    fn register_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>>;

    /// Has them brought no longer. A number that the provider does not have is none of ours already.
    fn unregister_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>>;

    /// A call is about to come in; the event says what becomes of it.
    fn on_inbound_call(&self, call: CallMetadata) -> BoxFuture<'_, CallEvent> {
        async { CallEvent::new(EventKind::Ringing, call, None) }.boxed()
    }
}

/// A tenant's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    pub did: Did,
}

/// How a number stands once its provider was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    pub state: ProviderState,
    /// For people.
    pub detail: String,
    /// The provider's own id of the number.
    pub reference: Option<String>,
}

impl Provisioned {
    fn new(state: ProviderState, detail: impl Into<String>) -> Provisioned {
        Provisioned { state, detail: detail.into(), reference: None }
    }

    fn with_reference(self, reference: impl Into<String>) -> Provisioned {
        Provisioned { reference: Some(reference.into()), ..self }
    }
}

/// A call, in nobody's terms in particular.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallMetadata {
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    /// Absent when withheld. It may be forged.
    pub caller_number: Option<String>,
    pub called_number: Did,
    pub direction: Direction,
    pub timestamp: DateTime<Utc>,
    /// The telephone system's own id of the call: Asterisk's UNIQUEID.
    pub call_id: Option<String>,
}

/// What has become of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallEvent {
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

impl CallEvent {
    /// Something that happens now.
    pub fn new(event_type: EventKind, call_metadata: CallMetadata, detail: Option<&str>) -> CallEvent {
        let details = detail.map(|text| json!({ "message": text }));
        CallEvent { event_type, call_metadata, timestamp: Utc::now(), details }
    }

    /// What the details say to people.
    pub fn message(&self) -> Option<&str> {
        self.details.as_ref()?.get("message")?.as_str()
    }
}

/// The providers that a number can name as its `provider_type`.
pub const PROVIDERS: &[&str] = &["asterisk", "generic", "tata", "twilio", "telnyx", "fake"];

/// The adapters by their providers' names.
pub struct Adapters {
    asterisk: Asterisk,
    tata: Tata,
    twilio: Result<Twilio, TelephonyError>,
    telnyx: Result<Telnyx, TelephonyError>,
    fake: Result<Fake, TelephonyError>,
}

impl Adapters {
    /// `app` is our Stasis application. What is not configured is an error only for whoever asks for it.
    pub fn new(settings: &Settings, asterisk: Arc<ari::Client>, app: &str, production: bool) -> Adapters {
        Adapters {
            asterisk: Asterisk::new(asterisk.clone(), app),
            tata: Tata::new(asterisk, &settings.tata.endpoint),
            twilio: Twilio::new(&settings.twilio, &settings.requests),
            telnyx: Telnyx::new(&settings.telnyx, &settings.requests),
            fake: Fake::new(settings.fake, production),
        }
    }

    /// # Errors
    /// `Unknown`, `NotConfigured` or `Forbidden`, each with what to do about it.
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
}
