//! Connections that carry passwords or callers' words across a network without TLS.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::config::{Config, Need};
use crate::engines::core::server;
use crate::store::Protection;
use crate::transport::{HostPlace, place};
use crate::violation::Violation;

/// The connections that are refused.
pub(super) fn faults(config: &Config, need: Need) -> Vec<Violation> {
    let mut found = Vec::new();
    if config.database.is_exposed() {
        found.push(refusal("database.url", "database", "sslmode=verify-full in the URL"));
    }
    if need == Need::All {
        if !config.ari.allow_plaintext && is_plaintext(&config.ari.url, HostPlace::PrivateNetwork) {
            found.push(refusal("ari.url", "ari", "an https:// URL and tlsenable=yes in http.conf"));
        }
        if config.state.is_exposed() {
            found.push(refusal("state.redis_url", "state", "a rediss:// URL"));
        }
        let exposed = servers(config).into_iter().filter(|(_, server)| {
            !server.allow_plaintext && is_plaintext(&server.base_url, HostPlace::Internet)
        });
        found.extend(
            exposed.map(|(section, _)| refusal(&format!("{section}.base_url"), &section, "an https:// URL")),
        );
        found.extend(telephony(config));
    }
    found
}

/// The connections that are allowed, but weak.
pub(super) fn warnings(config: &Config) -> Vec<Violation> {
    let weak =
        servers(config).into_iter().filter(|(_, it)| is_plaintext(&it.base_url, HostPlace::PrivateNetwork));
    let mut found: Vec<Violation> = weak
        .map(|(section, _)| {
            Violation::with_remedy(
                format!("{section}.base_url"),
                "the key and callers' words cross a network unencrypted",
                "use an https:// URL, or keep other machines off this network",
            )
        })
        .collect();
    if config.database.protection() == Protection::Unverified {
        found.push(Violation::with_remedy(
            "database.url",
            "its sslmode lets another server pretend to be the database",
            "use sslmode=verify-full, with database.tls.ca where the server's authority is not a public one",
        ));
    }
    found
}

/// The servers of engines, each with its section.
fn servers(config: &Config) -> Vec<(String, server::Settings)> {
    let settings = config.engines();
    let (stt, llm, tts) = (settings.stt_entries(), settings.llm_entries(), settings.tts_entries());
    let stt = stt.iter().filter_map(|it| Some((it.server_section(), it.server()?)));
    let llm = llm.iter().filter_map(|it| Some((it.server_section(), it.server()?)));
    let tts = tts.iter().filter_map(|it| Some((it.server_section(), it.server()?)));
    let all: BTreeMap<_, _> = stt.chain(llm).chain(tts).collect();
    all.into_iter().map(|(section, server)| (section.to_owned(), server.clone())).collect()
}

/// Providers that are not set up are not asked.
fn telephony(config: &Config) -> Vec<Violation> {
    let settings = &config.telephony;
    let (twilio, telnyx) = (&settings.twilio, &settings.telnyx);
    let urls = [
        ("telephony.twilio.base_url", &twilio.base_url, twilio.auth_token.is_some()),
        ("telephony.twilio.trunking_url", &twilio.trunking_url, twilio.auth_token.is_some()),
        ("telephony.telnyx.base_url", &telnyx.base_url, telnyx.api_key.is_some()),
    ];
    let exposed = urls.into_iter().filter(|(_, url, is_used)| {
        *is_used && !settings.allow_plaintext && is_plaintext(url, HostPlace::PrivateNetwork)
    });
    exposed.map(|(key, ..)| refusal(key, "telephony", "an https:// URL")).collect()
}

/// Does an HTTP URL without TLS lead so far, or farther?
fn is_plaintext(url: &str, nearest: HostPlace) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.scheme() == "http" && url.host_str().is_some_and(|host| place(host) >= nearest)
}

fn refusal(key: &str, section: &str, encrypted: &str) -> Violation {
    Violation::with_remedy(
        key,
        "it leads to another machine, and the password would cross the network unencrypted",
        format!(
            "use {encrypted}, or a tunnel that ends at 127.0.0.1, or set {section}.allow_plaintext = true where something \
             else encrypts"
        ),
    )
}
