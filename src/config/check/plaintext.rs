//! Connections that carry passwords or callers' words across a network without TLS.

use reqwest::Url;

use super::Complaint;
use crate::config::{Config, Need};
use crate::store::Protection;
use crate::transport::{Place, place};

/// The connections that are refused.
pub(super) fn faults(config: &Config, need: Need) -> Vec<Complaint> {
    let mut found = Vec::new();
    if config.database.is_exposed() {
        found.push(refusal("database.url", "database", "sslmode=verify-full in the URL"));
    }
    if need == Need::All {
        if !config.ari.allow_plaintext && is_plaintext(&config.ari.url, Place::PrivateNetwork) {
            found.push(refusal("ari.url", "ari", "an https:// URL and tlsenable=yes in http.conf"));
        }
        if config.state.is_exposed() {
            found.push(refusal("state.redis_url", "state", "a rediss:// URL"));
        }
        if !config.openai.allow_plaintext && is_plaintext(&config.openai.base_url, Place::Internet) {
            found.push(refusal("openai.base_url", "openai", "an https:// URL"));
        }
        found.extend(telephony(config));
    }
    found
}

/// The connections that are allowed, but weak.
pub(super) fn warnings(config: &Config) -> Vec<Complaint> {
    let mut found = Vec::new();
    if is_plaintext(&config.openai.base_url, Place::PrivateNetwork) {
        found.push(Complaint::new(
            "openai.base_url",
            "the key and callers' words cross a network unencrypted",
            "use an https:// URL, or keep other machines off this network",
        ));
    }
    if config.database.protection() == Protection::Unverified {
        found.push(Complaint::new(
            "database.url",
            "its sslmode lets another server pretend to be the database",
            "use sslmode=verify-full, with database.tls.ca where the server's authority is not a public one",
        ));
    }
    found
}

/// Providers that are not set up are not asked.
fn telephony(config: &Config) -> Vec<Complaint> {
    let settings = &config.telephony;
    let (twilio, telnyx) = (&settings.twilio, &settings.telnyx);
    let urls = [
        ("telephony.twilio.base_url", &twilio.base_url, twilio.auth_token.is_some()),
        ("telephony.twilio.trunking_url", &twilio.trunking_url, twilio.auth_token.is_some()),
        ("telephony.telnyx.base_url", &telnyx.base_url, telnyx.api_key.is_some()),
    ];
    let exposed = urls.into_iter().filter(|(_, url, is_used)| {
        *is_used && !settings.allow_plaintext && is_plaintext(url, Place::PrivateNetwork)
    });
    exposed.map(|(key, ..)| refusal(key, "telephony", "an https:// URL")).collect()
}

/// Does an HTTP URL without TLS lead so far, or farther?
fn is_plaintext(url: &str, nearest: Place) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.scheme() == "http" && url.host_str().is_some_and(|host| place(host) >= nearest)
}

fn refusal(key: &str, section: &str, encrypted: &str) -> Complaint {
    Complaint::new(
        key,
        "it leads to another machine, and the password would cross the network unencrypted",
        format!(
            "use {encrypted}, or a tunnel that ends at 127.0.0.1, or set {section}.allow_plaintext = true where something \
             else encrypts"
        ),
    )
}
