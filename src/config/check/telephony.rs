//! `[telephony]`: incomplete provider settings, and weak secrets.

use reqwest::Url;
use secrecy::ExposeSecret;

use super::zeros;
use crate::config::Environment;
use crate::telephony::Settings;
use crate::violation::Violation;

/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 16;

pub(super) fn check(settings: &Settings, environment: Environment) -> Vec<Violation> {
    let mut found = zeros(&[
        ("telephony.requests.timeout_ms", settings.requests.timeout_ms == 0),
        ("telephony.requests.budget_ms", settings.requests.budget_ms == 0),
    ]);
    if settings.fake && environment == Environment::Production {
        found.push(Violation::with_remedy(
            "telephony.fake",
            "the provider fake is for development, and this machine is for production",
            "set telephony.fake = false",
        ));
    }
    if settings.tata.endpoint.is_empty() {
        found.push(Violation::with_remedy(
            "telephony.tata.endpoint",
            "there is no name",
            "name the endpoint of pjsip.conf",
        ));
    }
    found.extend(twilio(settings));
    found.extend(telnyx(settings));
    found.extend(secret(settings));
    found
}

fn twilio(Settings { twilio, .. }: &Settings) -> Vec<Violation> {
    let mut found = together(&[
        ("telephony.twilio.account_sid", !twilio.account_sid.is_empty()),
        ("telephony.twilio.auth_token", twilio.auth_token.is_some()),
        ("telephony.twilio.trunk_sid", !twilio.trunk_sid.is_empty()),
    ]);
    found.extend(address("telephony.twilio.base_url", &twilio.base_url));
    found.extend(address("telephony.twilio.trunking_url", &twilio.trunking_url));
    found
}

fn telnyx(Settings { telnyx, .. }: &Settings) -> Vec<Violation> {
    let mut found = together(&[
        ("telephony.telnyx.api_key", telnyx.api_key.is_some()),
        ("telephony.telnyx.connection_id", !telnyx.connection_id.is_empty()),
    ]);
    found.extend(address("telephony.telnyx.base_url", &telnyx.base_url));
    found
}

fn secret(Settings { inbound, .. }: &Settings) -> Option<Violation> {
    let short = |secret: &secrecy::SecretString| secret.expose_secret().len() < SHORTEST_SECRET;
    inbound.secret.as_ref().is_some_and(short).then(|| {
        Violation::with_remedy(
            "telephony.inbound.secret",
            format!("it has fewer than {SHORTEST_SECRET} characters"),
            "make one with `openssl rand -hex 32`, the same here and in the dialplan",
        )
    })
}

/// Complains of what is missing where some of it is there.
fn together(keys: &[(&str, bool)]) -> Vec<Violation> {
    if keys.iter().all(|(_, given)| !given) {
        return Vec::new();
    }
    let missing = keys.iter().filter(|(_, given)| !given);
    let complain = |(key, _): &(&str, bool)| {
        Violation::with_remedy(
            *key,
            "it is missing, while its neighbours are set",
            "set it, or take its neighbours out",
        )
    };
    missing.map(complain).collect()
}

fn address(key: &str, text: &str) -> Option<Violation> {
    let fits = |url: Url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    };
    let fits = Url::parse(text).is_ok_and(fits);
    let problem = "this is no address of an API";
    (!fits).then(|| Violation::with_remedy(key, problem, "write https://HOST, without a user or password"))
}
