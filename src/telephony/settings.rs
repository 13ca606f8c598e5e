//! `[telephony]`.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

/// Settings of the providers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether there is a provider `fake`, for development, which accepts every request. Never in production.
    /// Default false.
    pub fake: bool,
    /// Whether a provider's API may be reached over plain HTTP on another machine, because another layer encrypts.
    /// Each request contains the account's credentials. Default false.
    pub allow_plaintext: bool,
    pub requests: Requests,
    pub tata: Tata,
    pub twilio: Twilio,
    pub telnyx: Telnyx,
    pub inbound: InboundSettings,
}

/// `[telephony.requests]`: timeouts and retries of requests to providers' APIs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// The timeout of one attempt, in milliseconds. Default 5,000.
    pub timeout_ms: u64,
    /// The timeout of all attempts at one request, in milliseconds. Default 15,000.
    pub budget_ms: u64,
    /// Retries after 429, 5xx or no response. Default 2.
    pub retries: u32,
    /// The pause before the first retry, in milliseconds; it doubles. Default 250.
    pub backoff_ms: u64,
    /// The longest `Retry-After` that is respected, in milliseconds. Default 5,000.
    pub max_wait_ms: u64,
}

impl Default for Requests {
    fn default() -> Requests {
        Requests { timeout_ms: 5_000, budget_ms: 15_000, retries: 2, backoff_ms: 250, max_wait_ms: 5_000 }
    }
}

/// `[telephony.tata]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tata {
    /// The trunk's endpoint in `pjsip.conf`. Default `vca-trunk`.
    pub endpoint: String,
}

impl Default for Tata {
    fn default() -> Tata {
        Tata { endpoint: "vca-trunk".into() }
    }
}

/// `[telephony.twilio]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Twilio {
    /// `AC…`
    pub account_sid: String,
    #[serde(deserialize_with = "secret")]
    pub auth_token: Option<SecretString>,
    /// `TK…`: the Elastic SIP trunk with an origination to this Asterisk.
    pub trunk_sid: String,
    /// Default `https://api.twilio.com`.
    pub base_url: String,
    /// Default `https://trunking.twilio.com`.
    pub trunking_url: String,
}

impl Default for Twilio {
    fn default() -> Twilio {
        Twilio {
            account_sid: String::new(),
            auth_token: None,
            trunk_sid: String::new(),
            base_url: "https://api.twilio.com".into(),
            trunking_url: "https://trunking.twilio.com".into(),
        }
    }
}

/// `[telephony.telnyx]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telnyx {
    #[serde(deserialize_with = "secret")]
    pub api_key: Option<SecretString>,
    /// The SIP connection to this Asterisk.
    pub connection_id: String,
    /// Default `https://api.telnyx.com/v2`.
    pub base_url: String,
}

impl Default for Telnyx {
    fn default() -> Telnyx {
        Telnyx { api_key: None, connection_id: String::new(), base_url: "https://api.telnyx.com/v2".into() }
    }
}

/// `[telephony.inbound]`: `POST /internal/telephony/inbound`, by which a dialplan announces a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboundSettings {
    /// The dialplan's secret; without one the endpoint is disabled.
    #[serde(deserialize_with = "secret")]
    pub secret: Option<SecretString>,
    /// Addresses and networks that may announce calls. Default: loopback.
    #[serde(deserialize_with = "networks")]
    pub allowed_addresses: Vec<IpNet>,
    /// Requests per minute from one address. Default 3,000.
    pub per_minute: NonZeroU32,
}

impl Default for InboundSettings {
    fn default() -> InboundSettings {
        let loopback = |address: [u8; 4]| IpNet::new_assert(IpAddr::from(address), 8);
        InboundSettings {
            secret: None,
            allowed_addresses: vec![
                loopback([127, 0, 0, 0]),
                IpNet::from(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
            ],
            per_minute: NonZeroU32::new(3_000).unwrap_or(NonZeroU32::MIN),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()).map(SecretString::from))
}

/// Reads networks in CIDR notation and single addresses, for `deserialize_with`.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let network = |text: &String| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            serde::de::Error::custom(format_args!(
                "{text:?} is neither an address nor a network like 10.0.0.0/8"
            ))
        })
    };
    texts.iter().map(network).collect()
}
