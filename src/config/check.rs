//! Checks of values: those that can be parsed, but cannot work.

mod end_of_turn;
mod engines;
mod keys;
mod media;
mod plaintext;
mod prices;
mod telephony;
mod transfer;

use figment::Figment;
use reqwest::Url;
use secrecy::ExposeSecret;
use tracing_subscriber::EnvFilter;

use super::{Config, Environment, Log, Need};
use crate::billing::{Plans, Prices};
use crate::violation::Violation;
use crate::{admin, analysis, ari, conversation, state, store, switchboard, webhooks};

pub(super) fn config(config: &Config, need: Need) -> Vec<Violation> {
    if need == Need::Daemon {
        return Vec::new();
    }
    let mut found = database(&config.database);
    found.extend(log(&config.log));
    found.extend(billing(config));
    found.extend(plaintext::faults(config, need));
    found.extend(keys::files("database", &config.database.tls));
    found.extend(keys::seal(&config.seal));
    if need == Need::All {
        found.extend(ari(&config.ari));
        found.extend(media::faults(&config.media, &config.calls));
        found.extend(media::loopback(&config.media, &config.ari.url));
        found.extend(state(&config.state));
        found.extend(zeros(&[
            ("routing.timeout_ms", config.routing.timeout_ms == 0),
            ("routing.capacity", config.routing.capacity == 0),
            ("calls.max_calls", config.calls.max_calls == 0),
            ("calls.max_calls_per_tenant", config.calls.max_calls_per_tenant == 0),
            ("calls.max_calls_per_caller", config.calls.max_calls_per_caller == Some(0)),
            ("calls.max_calls_per_caller_per_hour", config.calls.max_calls_per_caller_per_hour == Some(0)),
        ]));
        found.extend(calls_per_hour(config.calls.max_calls_per_caller_per_hour));
        found.extend(turn(&config.turn_settings()));
        found.extend(end_of_turn::check(config));
        found.extend(engines::faults(config));
        found.extend(zeros(&[
            ("profiles.max_turns", config.profiles.max_turns == 0),
            ("profiles.max_duration_ms", config.profiles.max_duration_ms == 0),
            ("profiles.max_reply_tokens", config.profiles.max_reply_tokens == 0),
        ]));
        found.extend(sip_headers(&config.profiles.sip_headers));
        found.extend(webhooks(&config.webhooks));
        found.extend(analysis(&config.analysis));
        found.extend(zeros(&[(
            "tools.max_concurrent_per_tenant",
            config.tools.max_concurrent_per_tenant == 0,
        )]));
        found.extend(zeros(&[("tenant_engines.max_kept", config.tenant_engines.max_kept == 0)]));
        found.extend(telephony::check(&config.telephony, config.environment));
        found.extend(transfer::check(&config.transfer));
        found.extend(admin(&config.admin));
    }
    found
}

/// The admissions of a caller are kept up to a number.
fn calls_per_hour(limit: Option<u32>) -> Option<Violation> {
    let most = switchboard::MOST_CALLS_PER_CALLER_PER_HOUR;
    let limit = limit.filter(|limit| *limit > most)?;
    let problem = format!("{limit} calls are more than can be counted");
    Some(Violation::with_remedy(
        "calls.max_calls_per_caller_per_hour",
        problem,
        format!("set it to {most} or less"),
    ))
}

/// Headers that Asterisk could not be asked for, or too many of them.
fn sip_headers(names: &[String]) -> Vec<Violation> {
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let faulty = names.iter().filter(|name| !is_name(name)).map(|name| {
        let problem = format!("{name:?} is no name of a header that a profile can use");
        Violation::with_remedy(
            "profiles.sip_headers",
            problem,
            "write letters, digits and hyphens, as in X-Customer-Id",
        )
    });
    let too_many = (names.len() > MOST_SIP_HEADERS).then(|| {
        let problem = format!("more than {MOST_SIP_HEADERS} headers");
        Violation::with_remedy("profiles.sip_headers", problem, "name those that profiles use")
    });
    faulty.chain(too_many).collect()
}

/// Each is a request to Asterisk before the answer, where a profile names it.
const MOST_SIP_HEADERS: usize = 10;

/// Values that work, but weaken something.
pub(super) fn warnings(config: &Config) -> Vec<Violation> {
    let mut found = plaintext::warnings(config);
    found.extend(prices::warnings(config));
    if config.seal.key.is_none() && config.environment != Environment::Development {
        found.push(Violation::with_remedy(
            "seal.key",
            "without it the secrets of webhooks and tools and the keys of tenants' own engines are stored unencrypted",
            "set seal.key (VCA_SEAL_KEY) to the output of `openssl rand -base64 32`, then run `vca secrets reseal`",
        ));
    }
    found
}

/// In production a database in the working folder is a mistake: each folder would have one of its own.
pub(super) fn database_is_named(config: &Config, given: &Figment, need: Need) -> Option<Violation> {
    let is_named = given.find_value("database.url").is_ok();
    let is_wanted = need != Need::Daemon && config.environment == Environment::Production;
    (is_wanted && !is_named).then(|| {
        Violation::with_remedy(
            "database.url",
            "it is not set, and production has no default",
            "set database.url (DATABASE_URL), as in sqlite:/var/lib/vca/vca.db; for development set APP_ENV=development",
        )
    })
}

fn turn(settings: &conversation::Settings) -> Vec<Violation> {
    let faults = settings.violations().into_iter();
    faults.map(|violation| violation.below("turn")).collect()
}

fn ari(settings: &ari::Settings) -> Vec<Violation> {
    let mut found = zeros(&[
        ("ari.request_timeout_ms", settings.request_timeout_ms == 0),
        ("ari.max_requests", settings.max_requests == 0),
        ("ari.set_up_timeout_ms", settings.set_up_timeout_ms == 0),
        ("ari.ping_interval_ms", settings.ping_interval_ms == 0),
        ("ari.idle_limit_ms", settings.idle_limit_ms == 0),
        ("ari.probe_interval_ms", settings.probe_interval_ms == 0),
        ("ari.reconnect_min_ms", settings.reconnect_min_ms == 0),
        ("ari.reconnect_max_ms", settings.reconnect_max_ms == 0),
        ("ari.max_event_bytes", settings.max_event_bytes == 0),
    ]);
    found.extend(orders(&[
        (
            "ari.ping_interval_ms",
            settings.ping_interval_ms.into(),
            "ari.idle_limit_ms",
            settings.idle_limit_ms.into(),
        ),
        (
            "ari.reconnect_min_ms",
            settings.reconnect_min_ms.into(),
            "ari.reconnect_max_ms",
            settings.reconnect_max_ms.into(),
        ),
    ]));
    found.extend(ari_url(&settings.url));
    let (low, high) = settings.rtp_ports;
    if (low == 0) != (high == 0) || low > high {
        found.push(Violation::with_remedy(
            "ari.rtp_ports",
            format!("{low} to {high} is no range of ports"),
            "write rtpstart and rtpend of Asterisk's rtp.conf, as in [10000, 20000], or [0, 0] to have them read",
        ));
    }
    found.extend(keys::files("ari", &settings.tls));
    found.extend(keys::unused("ari", &settings.tls, settings.url.starts_with("https:"), "https://"));
    if settings.password.expose_secret().is_empty() {
        found.push(Violation::with_remedy(
            "ari.password",
            "there is no password for Asterisk",
            "set ARI_PASSWORD, or ari.password, to the password of that user in Asterisk's ari.conf",
        ));
    }
    found
}

/// The problem never repeats the URL, which might hold a password.
fn ari_url(url: &str) -> Option<Violation> {
    let invalid_value =
        |problem: &str, remedy: &str| Some(Violation::with_remedy("ari.url", problem, remedy));
    let example = "write scheme, host and port of Asterisk's HTTP server, as in http://127.0.0.1:8088";
    let Ok(url) = Url::parse(url) else { return invalid_value("this is not a URL", example) };
    if !matches!(url.scheme(), "http" | "https") {
        return invalid_value("the URL has to begin with http:// or https://", example);
    }
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "use ari.username and ari.password (ARI_USERNAME, ARI_PASSWORD) for them";
        return invalid_value("the URL must not hold a user or a password", remedy);
    }
    None
}

fn database(settings: &store::Settings) -> Vec<Violation> {
    let mut found = zeros(&[
        ("database.max_connections", settings.max_connections == 0),
        ("database.call_connections", settings.call_connections == 0),
        ("database.acquire_timeout_ms", settings.acquire_timeout_ms == 0),
        ("database.query_timeout_ms", settings.query_timeout_ms == 0),
    ]);
    found.extend(orders(&[(
        "database.busy_timeout_ms",
        settings.busy_timeout_ms.into(),
        "database.query_timeout_ms",
        settings.query_timeout_ms.into(),
    )]));
    let scheme = settings.url.expose_secret().split_once(':').map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("sqlite" | "postgres" | "postgresql")) {
        found.push(Violation::with_remedy(
            "database.url",
            "the URL has to begin with sqlite: or postgres:",
            "write sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/NAME",
        ));
    }
    found
}

fn state(settings: &state::Settings) -> Vec<Violation> {
    let mut found = zeros(&[
        ("state.ttl_s", settings.ttl_s == 0),
        ("state.timeout_ms", settings.timeout_ms == 0),
        ("state.capacity", settings.capacity == 0),
    ]);
    found.extend(keys::files("state", &settings.tls));
    let url = settings.redis_url.as_ref().map(|url| url.expose_secret());
    let uses_tls = url.is_some_and(|url| url.starts_with("rediss") || url.starts_with("valkeys"));
    found.extend(keys::unused("state", &settings.tls, uses_tls, "rediss://"));
    let scheme = url.map(|url| url.split_once("://"));
    let fits = |scheme: &str| scheme.starts_with("redis") || scheme.starts_with("valkey");
    if scheme.is_some_and(|split| !split.is_some_and(|(scheme, _)| fits(scheme))) {
        found.push(Violation::with_remedy(
            "state.redis_url",
            "the URL has to begin with redis:// or rediss://",
            "write redis://HOST:PORT/DATABASE, or leave it out to keep conversations in memory alone",
        ));
    }
    found
}

fn analysis(settings: &analysis::Settings) -> Vec<Violation> {
    zeros(&[
        ("analysis.timeout_ms", settings.timeout_ms == 0),
        ("analysis.max_tokens", settings.max_tokens == 0),
        ("analysis.poll_interval_ms", settings.poll_interval_ms == 0),
    ])
}

fn webhooks(settings: &webhooks::Settings) -> Vec<Violation> {
    zeros(&[
        ("webhooks.timeout_ms", settings.timeout_ms == 0),
        ("webhooks.max_concurrent", settings.max_concurrent == 0),
        ("webhooks.max_concurrent_per_webhook", settings.max_concurrent_per_webhook == 0),
        ("webhooks.max_pre_call_per_tenant", settings.max_pre_call_per_tenant == 0),
        ("webhooks.poll_interval_ms", settings.poll_interval_ms == 0),
        ("webhooks.keep_days", settings.keep_days == 0),
        ("webhooks.disable_after_days", settings.disable_after_days == 0),
    ])
}

fn billing(config: &Config) -> Vec<Violation> {
    let Plans { starter, growth, custom } = &config.plans;
    let mut found = zeros(&[
        ("plans.starter.concurrent_calls", starter.concurrent_calls == Some(0)),
        ("plans.growth.concurrent_calls", growth.concurrent_calls == Some(0)),
        ("plans.custom.concurrent_calls", custom.concurrent_calls == Some(0)),
        ("plans.starter.engine_share", starter.engine_share.0 == 0),
        ("plans.growth.engine_share", growth.engine_share.0 == 0),
        ("plans.custom.engine_share", custom.engine_share.0 == 0),
    ]);
    let Prices { currency, engines, .. } = &config.prices;
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
        let problem = format!("{currency:?} is no currency");
        found.push(Violation::with_remedy(
            "prices.currency",
            problem,
            "write its three letters (ISO 4217), as in EUR",
        ));
    }
    if let Some(price) = engines.iter().find(|price| price.per == 0) {
        let problem = format!("the price of {} {} is for 0 of them", price.engine, price.unit);
        found.push(Violation::with_remedy("prices.engines", problem, "set per to 1 or more"));
    }
    if let Some(price) = config.prices.doubled() {
        let problem = format!("{} {} {} has two prices", price.engine, price.model, price.unit);
        found.push(Violation::with_remedy("prices.engines", problem, "leave one"));
    }
    found
}

fn admin(settings: &admin::Settings) -> Vec<Violation> {
    let mut found = zeros(&[
        ("admin.max_connections", settings.max_connections == 0),
        ("admin.max_connections_per_address", settings.max_connections_per_address == 0),
        ("admin.header_timeout_ms", settings.header_timeout_ms == 0),
        ("admin.body_timeout_ms", settings.body_timeout_ms == 0),
        ("admin.request_timeout_ms", settings.request_timeout_ms == 0),
        ("admin.write_timeout_ms", settings.write_timeout_ms == 0),
    ]);
    found.extend(orders(&[(
        "admin.body_timeout_ms",
        settings.body_timeout_ms.into(),
        "admin.request_timeout_ms",
        settings.request_timeout_ms.into(),
    )]));
    if settings.is_exposed() {
        found.push(Violation::with_remedy(
            "admin.bind",
            format!(
                "{} can be reached from other machines, and API keys would come in the clear",
                settings.bind
            ),
            "set admin.tls.certificate and admin.tls.key, or bind to 127.0.0.1, or set \
             admin.allow_plaintext_remote = true where something else encrypts",
        ));
    }
    if settings.tls.client_ca.is_some() && settings.tls.certificate.is_none() {
        found.push(Violation::with_remedy(
            "admin.tls.client_ca",
            "clients can show certificates only where the port speaks TLS",
            "set admin.tls.certificate and admin.tls.key, too",
        ));
    }
    found
}

fn log(settings: &Log) -> Option<Violation> {
    let error = EnvFilter::try_new(&settings.filter).err()?;
    Some(Violation::with_remedy(
        "log.filter",
        format!("this is no filter: {error}"),
        "write a level (error, warn, info, debug, trace), or pairs as in info,vca::ari=debug",
    ))
}

/// Complains of each key that is zero.
fn zeros(keys: &[(&str, bool)]) -> Vec<Violation> {
    let zero = keys.iter().filter(|(_, is_zero)| *is_zero);
    zero.map(|(key, _)| Violation::with_remedy(*key, "0 makes no sense here", "set it to 1 or more"))
        .collect()
}

/// Reports each pair with a first value greater than its second.
fn orders(pairs: &[(&str, u128, &str, u128)]) -> Vec<Violation> {
    let wrong = pairs.iter().filter(|(_, low, _, high)| low > high);
    let complain = |(low_key, low, high_key, high): &(&str, u128, &str, u128)| {
        let problem = format!("{low} is more than {high_key}, which is {high}");
        Violation::with_remedy(*low_key, problem, format!("lower it, or raise {high_key}"))
    };
    wrong.map(complain).collect()
}
