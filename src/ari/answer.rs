//! Asterisk's responses to requests: errors, and the parsed results.
//!
//! Transport and use of the results are elsewhere.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::ids::{BridgeId, ChannelId};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AriError {
    /// No response within the timeout. Asterisk may have carried out the request, or may yet do so.
    #[error("Asterisk did not respond within {0:?}")]
    Timeout(Duration),
    /// No connection: the request was not sent.
    #[error("no connection to Asterisk")]
    Refused,
    /// TLS failed: one side does not accept the other's certificate, or it is not TLS. The request was not sent.
    #[error("no TLS connection to Asterisk: {0}")]
    Tls(String),
    /// The connection broke before the response was complete. The request may have been carried out.
    #[error("the connection to Asterisk broke before its response was complete")]
    Broken,
    /// An HTTP status other than 2xx.
    #[error("Asterisk responded with {code}: {message}")]
    Status { code: u16, message: String },
    /// A 2xx response of another form than the request's.
    #[error("Asterisk's response is not what was expected: {0}")]
    Decode(&'static str),
}

impl AriError {
    /// Does the channel or bridge not exist?
    pub fn is_gone(&self) -> bool {
        matches!(self, AriError::Status { code: 404, .. })
    }

    /// Is it unknown whether Asterisk carried out the request?
    pub fn leaves_doubt(&self) -> bool {
        match self {
            AriError::Timeout(_) | AriError::Broken | AriError::Decode(_) => true,
            AriError::Refused | AriError::Tls(_) => false,
            AriError::Status { code, .. } => *code >= 500,
        }
    }

    /// The label of a metric.
    pub fn outcome(&self) -> &'static str {
        match self {
            AriError::Timeout(_) => "timeout",
            AriError::Refused => "refused",
            AriError::Tls(_) => "tls",
            AriError::Broken => "broken",
            AriError::Status { code: 500.., .. } => "server_error",
            AriError::Status { .. } => "client_error",
            AriError::Decode(_) => "decode",
        }
    }
}

/// The response to `Request::external_media`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawExternalMedia")]
pub struct ExternalMedia {
    pub channel_id: ChannelId,
    /// The source of Asterisk's RTP, which is also where it expects ours.
    pub local: SocketAddr,
}

/// The response to `Request::application` and `Request::event_filter`: what the application holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Application {
    pub name: String,
    #[serde(default)]
    pub channel_ids: HashSet<ChannelId>,
    #[serde(default)]
    pub bridge_ids: HashSet<BridgeId>,
}

/// The application's channels and bridges in Asterisk after a connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The time of the request: objects that were created later may be missing.
    pub asked_at: Instant,
    pub channels: HashSet<ChannelId>,
    pub bridges: HashSet<BridgeId>,
    pub continuity: Continuity,
}

/// Whether Asterisk is the same process as at the previous connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// There was no connect before, or Asterisk does not report its start.
    Unknown,
    Continued,
    /// The calls of the previous process are gone.
    Restarted,
}

impl Continuity {
    /// Compares the times at which Asterisk started, at the previous connect and now.
    pub fn between(previous: Option<&str>, now: Option<&str>) -> Continuity {
        match (previous, now) {
            (Some(previous), Some(now)) if previous == now => Continuity::Continued,
            (Some(_), Some(_)) => Continuity::Restarted,
            _ => Continuity::Unknown,
        }
    }
}

/// The response to `Request::endpoint`, and one of the responses to `Request::endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AsteriskEndpoint {
    /// Its name, such as `vca-trunk`.
    #[serde(default)]
    pub resource: String,
    /// `online`, `offline` or `unknown`; absent where the channel driver does not say.
    #[serde(default)]
    pub state: Option<String>,
}

/// One item of the response to `Request::pjsip_endpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Setting {
    pub attribute: String,
    pub value: String,
}

/// The response to `Request::info`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    pub system: System,
    #[serde(default)]
    pub status: AsteriskStatus,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct AsteriskStatus {
    /// As Asterisk writes it, such as `2026-01-22T13:35:40.937+0000`.
    #[serde(default)]
    pub startup_time: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct System {
    /// Such as `22.10.1`.
    pub version: String,
    #[serde(default)]
    pub entity_id: String,
}

/// One item of the response to `Request::modules`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Module {
    /// Such as `res_ari.so`.
    pub name: String,
    /// `Running` when it works.
    #[serde(default)]
    pub status: String,
}

impl Module {
    pub fn is_running(&self) -> bool {
        self.status == "Running"
    }
}

/// The response to `Request::variable`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChannelVariable {
    pub value: String,
}

#[derive(Deserialize)]
struct RawExternalMedia {
    id: ChannelId,
    #[serde(default)]
    channelvars: RawVars,
}

#[derive(Default, Deserialize)]
struct RawVars {
    #[serde(default, rename = "UNICASTRTP_LOCAL_ADDRESS")]
    address: String,
    #[serde(default, rename = "UNICASTRTP_LOCAL_PORT")]
    port: String,
}

impl TryFrom<RawExternalMedia> for ExternalMedia {
    type Error = &'static str;

    fn try_from(raw: RawExternalMedia) -> Result<Self, Self::Error> {
        let address = raw.channelvars.address.trim_start_matches('[').trim_end_matches(']');
        let ip: IpAddr = address.parse().map_err(|_| "UNICASTRTP_LOCAL_ADDRESS is no IP address")?;
        let port: u16 = raw.channelvars.port.parse().map_err(|_| "UNICASTRTP_LOCAL_PORT is no port")?;
        if ip.is_unspecified() || port == 0 {
            return Err("Asterisk does not say where its RTP comes from");
        }
        Ok(ExternalMedia { channel_id: raw.id, local: SocketAddr::new(ip, port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(address: &str, port: &str) -> Result<ExternalMedia, serde_json::Error> {
        serde_json::from_value(serde_json::json!({
            "id": "vca-media-1",
            "state": "Down",
            "channelvars": { "UNICASTRTP_LOCAL_PORT": port, "UNICASTRTP_LOCAL_ADDRESS": address },
        }))
    }

    #[test]
    fn external_media_says_where_its_rtp_comes_from() {
        assert_eq!(media("127.0.0.1", "31544").unwrap().local, "127.0.0.1:31544".parse().unwrap());
        assert_eq!(media("::1", "31526").unwrap().local, "[::1]:31526".parse().unwrap());
        assert_eq!(media("[::1]", "31526").unwrap().local, "[::1]:31526".parse().unwrap());
    }

    #[test]
    fn external_media_without_an_address_is_refused() {
        for (address, port) in [("", ""), ("0.0.0.0", "31544"), ("127.0.0.1", "0"), ("nowhere", "31544")] {
            assert!(media(address, port).is_err(), "{address}:{port}");
        }
        assert!(serde_json::from_str::<ExternalMedia>(r#"{"id":"vca-media-1"}"#).is_err());
    }

    #[test]
    fn an_application_tells_what_it_holds() {
        let text = r#"{"name":"vca","channel_ids":["1795354538.0","vca-media-1"],"bridge_ids":["vca-bridge-1"],
            "endpoint_ids":[],"device_names":[],"events_allowed":[],"events_disallowed":[]}"#;
        let application: Application = serde_json::from_str(text).unwrap();
        assert_eq!(application.channel_ids, ["1795354538.0", "vca-media-1"].map(ChannelId::new).into());
        assert_eq!(application.bridge_ids, [BridgeId::new("vca-bridge-1")].into());
    }
}
