//! `POST /internal/telephony/inbound`: the dialplan announces a call before it hands the call over.
//!
//! Authenticated by a secret of its own, not by an API key; disabled without a secret. A call that will not be
//! answered is not a fault of the request: the status is 200, with `error` in the body.

use std::fmt;
use std::net::IpAddr;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tracing::{info, warn};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{bearer, client, count_failure};
use super::extract::Body;
use super::limits::{Limits, Rates};
use super::problem::{Problem, ProblemBody};
use crate::admin::client::Client;
use crate::telephony::{Announced, AnnouncedNumbers, AnnouncementService, InboundSettings};
use crate::tenancy::{CallId, Numbering, TenantId};
use crate::violation::Violation;

pub const PATH: &str = "/internal/telephony/inbound";

/// The header that carries the secret; `Authorization: Bearer` does as well.
pub const SECRET: &str = "x-vca-secret";
/// Names of the two ways to present the secret, in the OpenAPI document.
pub const SCHEME: &str = "inbound_secret";
pub const BEARER_SCHEME: &str = "inbound_bearer";
/// Asterisk's UNIQUEID has at most 149 characters, a SIP user that calls has seldom more than a number's.
const LONGEST_CALL_ID: usize = 149;
const LONGEST_CALLER: usize = 80;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(announce))
}

/// The dialplans that may announce calls, and the service that records them.
pub struct Inbound {
    service: AnnouncementService,
    secret: SecretString,
    allowed: Vec<IpNet>,
    limits: Rates<IpAddr>,
}

impl Inbound {
    /// `None` without a secret: then there is no such endpoint.
    pub fn new(service: AnnouncementService, settings: &InboundSettings) -> Option<Inbound> {
        Some(Inbound {
            service,
            secret: settings.secret.clone()?,
            allowed: settings.allowed_addresses.clone(),
            limits: Rates::new(settings.per_minute),
        })
    }

    fn admit(&self, parts: &Parts, limits: &Limits) -> Result<IpAddr, Problem> {
        let client = client(parts).ok_or_else(|| Problem::internal("a request without an address"))?;
        let address = self.allowed(client).ok_or_else(|| {
            metrics::counter!("vca_inbound_addresses_refused_total").increment(1);
            if limits.warns_of(client) {
                let doubt = client.doubt().unwrap_or("it is not in telephony.inbound.allowed_addresses");
                warn!(client = %client.address(), "announcement of a call refused for its address: {doubt}");
            }
            Problem::forbidden("address_not_allowed", "not from this address")
        })?;
        self.limits.admit(&address)?;
        if !self.knows(parts) {
            count_failure("inbound_secret");
            if limits.warns_of(client) {
                warn!(client = %address, "announcement of a call refused: wrong secret, or none");
            }
            return Err(Problem::unauthorized("the secret of telephony.inbound is needed, in X-VCA-Secret"));
        }
        Ok(address)
    }

    /// The client's address, if it is known for sure and may announce calls.
    fn allowed(&self, client: Client) -> Option<IpAddr> {
        client.proven().filter(|address| self.allowed.iter().any(|network| network.contains(address)))
    }

    /// In a time that does not depend on how much of the secret is right.
    fn knows(&self, parts: &Parts) -> bool {
        let header = parts.headers.get(SECRET).map(axum::http::HeaderValue::as_bytes);
        let presented = header.or_else(|| bearer(parts).map(str::as_bytes)).unwrap_or_default();
        presented.ct_eq(self.secret.expose_secret().as_bytes()).into()
    }
}

/// A dialplan that may tell of calls. It is looked at before the body is.
struct AnnouncingDialplan(IpAddr);

impl FromRequestParts<ApiState> for AnnouncingDialplan {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<AnnouncingDialplan, Problem> {
        let inbound = api.inbound.as_ref().ok_or_else(Problem::not_found)?;
        inbound.admit(parts, &api.limits).map(AnnouncingDialplan)
    }
}

/// A call, as the dialplan knows it. Further fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = AnnounceCallRequest)]
struct Announcement {
    /// `CALLERID(num)`; empty or absent when withheld.
    #[serde(default)]
    #[schema(max_length = 80, examples("+15551234567"))]
    caller_number: Option<String>,
    /// `EXTEN`: the called number in E.164, with or without its plus sign, or as it is dialled within the default region.
    #[schema(examples("+15559876543"))]
    called_number: String,
    /// `UNIQUEID`. Telling of a call again changes nothing.
    #[schema(min_length = 1, max_length = 149, pattern = "^[ -~]*$", examples("1706556789.123"))]
    call_id: String,
    /// `EPOCH`: seconds since 1970, as a text or a number.
    #[schema(value_type = String, pattern = "^[0-9]{1,12}$", examples("1706556789"))]
    timestamp: Epoch,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Epoch {
    Number(i64),
    Text(String),
}

impl Announcement {
    fn read(self, numbering: Numbering) -> Result<AnnouncedNumbers, Problem> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, problem: &dyn fmt::Display| {
            faults.push(Violation::new(field, problem.to_string()));
        };
        let caller = self.caller_number.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if caller.as_ref().is_some_and(|text| !is_plain(text, LONGEST_CALLER)) {
            fault(
                "caller_number",
                &format_args!("up to {LONGEST_CALLER} characters, without control characters"),
            );
        }
        let called = numbering.called(&self.called_number);
        let written = self.called_number.parse().ok();
        if called.is_empty() {
            fault("called_number", &"this can be no telephone number");
        }
        if self.call_id.is_empty() || !self.call_id.is_ascii() || !is_plain(&self.call_id, LONGEST_CALL_ID) {
            fault("call_id", &format_args!("1 to {LONGEST_CALL_ID} printable ASCII characters"));
        }
        let at = self.timestamp.moment();
        if at.is_none() {
            fault("timestamp", &"seconds since 1970");
        }
        match at {
            Some(at) if faults.is_empty() => {
                Ok(AnnouncedNumbers { caller, called, written, channel: self.call_id, at })
            }
            _ => Err(Problem::fields(faults)),
        }
    }
}

impl Epoch {
    fn moment(&self) -> Option<DateTime<Utc>> {
        let seconds = match self {
            Epoch::Number(seconds) => Some(*seconds),
            Epoch::Text(text) => text.trim().parse().ok(),
        };
        DateTime::from_timestamp(seconds.filter(|seconds| *seconds >= 0)?, 0)
    }
}

fn is_plain(text: &str, longest: usize) -> bool {
    text.chars().count() <= longest && !text.chars().any(char::is_control)
}

/// `success`: the call is on record. `error`: it will not be answered, `message` says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AnnounceCallStatus)]
enum ReceiptStatus {
    Success,
    /// The call will not be answered; the message says why.
    Error,
}

/// The result of an announcement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnnounceCallResponse)]
struct Receipt {
    status: ReceiptStatus,
    /// Absent for a call that will not be answered.
    call_record_id: Option<CallId>,
    tenant_id: Option<TenantId>,
    message: String,
}

/// Announce a call that is about to arrive.
///
/// For the dialplan, before `Stasis()`. The call is put on record, and the channel with this UNIQUEID joins that
/// record. If no channel arrives within a minute, the call is closed as `failed`, `never_arrived`.
///
/// It takes the secret of `telephony.inbound` in `X-VCA-Secret`, or as a bearer token, and no API key. Without a
/// secret in the configuration this endpoint does not exist (404).
#[utoipa::path(post, path = "/internal/telephony/inbound", operation_id = "announceCall", tag = "telephony",
    request_body = Announcement, security(("inbound_secret" = []), ("inbound_bearer" = [])),
    responses(
        (status = 200, body = Receipt, description = "The call is on record, or `error`: it will not be answered."),
        (status = 401, body = ProblemBody, description = "The secret is missing or wrong: `unauthorized`."),
        (status = 403, body = ProblemBody, description = "Announcements are not accepted from this address: `address_not_allowed`."),
        (status = 404, body = ProblemBody, description = "No secret is configured, so announcements are switched off: `not_found`.")))]
async fn announce(
    State(api): State<ApiState>,
    AnnouncingDialplan(address): AnnouncingDialplan,
    Body(announcement): Body<Announcement>,
) -> Result<Json<Receipt>, Problem> {
    let inbound = api.inbound.as_ref().ok_or_else(Problem::not_found)?;
    let incoming = announcement.read(api.numbering)?;
    let (channel, called) = (incoming.channel.clone(), incoming.called.clone());
    let receipt = match inbound.service.announce(incoming, Utc::now()).await? {
        Announced::Expected { call, tenant } => {
            info!(%address, %channel, call_id = %call, tenant_id = %tenant, "call announced");
            Receipt {
                status: ReceiptStatus::Success,
                call_record_id: Some(call),
                tenant_id: Some(tenant),
                message: "Call initiated successfully".into(),
            }
        }
        Announced::Refused(refusal) => {
            warn!(%address, %channel, ?called, %refusal, "call announced that will not be answered");
            Receipt {
                status: ReceiptStatus::Error,
                call_record_id: None,
                tenant_id: None,
                message: refusal.to_string(),
            }
        }
    };
    Ok(Json(receipt))
}
