//! Conversations in Redis, three keys per call:
//!
//! - `call:{call_id}:state`: JSON
//! - `call:{call_id}:turns`: an integer
//! - `call:{call_id}:started_at`: Unix time in seconds
//!
//! Each write sets all of them with their time to live, so it can be repeated and never leaves a part behind. All
//! commands use one connection, so they take effect in the order in which they are sent, including those with a
//! reply that is not awaited.

use std::time::Duration;

use chrono::DateTime;
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::{Config, ReconnectPolicy, TlsConnector, UnresponsiveConfig};
use fred::types::{Builder, Expiration};
use secrecy::{ExposeSecret, SecretString};

use super::{SavedConversation, Settings, StateError};
use crate::tenancy::CallId;
use crate::transport::{HostPlace, LoginAttempt, client_config, place};

const NEVER_GIVE_UP: u32 = 0;
/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(3);

pub(super) struct Redis {
    client: Client,
    ttl: i64,
    timeout: Duration,
}

impl Redis {
    /// A client that is not connected yet.
    pub(super) fn new(url: &SecretString, settings: &Settings) -> Result<Redis, StateError> {
        let mut config = configured(url, settings)?;
        // Without fail_fast=false and the unresponsive check, a broken connection is not re-established.
        config.fail_fast = false;
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                connection.reconnect_on_auth_error = true;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(Duration::from_secs(2)),
                    interval: Duration::from_millis(500),
                };
            })
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .set_policy(ReconnectPolicy::new_exponential(NEVER_GIVE_UP, 100, 2_000, 2))
            .build()
            .map_err(|error| invalid(error.details()))?;
        Ok(Redis { client, ttl: settings.ttl_s.into(), timeout })
    }

    /// Logs in with the user and password of `url`, on a connection of its own.
    pub(super) async fn try_login(url: &SecretString, settings: &Settings) -> LoginAttempt {
        let unanswered = |problem: String| LoginAttempt::Unanswered { problem };
        let client = configured(url, settings).and_then(|config| {
            Builder::from_config(config).build().map_err(|error| invalid(error.details()))
        });
        let client = match client {
            Ok(client) => client,
            Err(error) => return unanswered(error.to_string()),
        };
        let login = async {
            client.init().await?;
            client.ping::<()>(None).await
        };
        let answer = tokio::time::timeout(LOGIN, login).await;
        let _ = tokio::time::timeout(LOGIN, client.quit()).await;
        match answer {
            Ok(Ok(())) => LoginAttempt::Accepted,
            Ok(Err(error)) if *error.kind() == ErrorKind::Auth => {
                LoginAttempt::Refused { problem: error.details().to_owned() }
            }
            Ok(Err(error)) => unanswered(error.to_string()),
            Err(_) => unanswered(format!("no response within {} s", LOGIN.as_secs())),
        }
    }

    /// Closes the connection once the commands before are written.
    pub(super) async fn close(&self) {
        // Without an answer it is closed all the same, when it is dropped.
        let _ = self.within(self.client.quit()).await;
    }

    /// Connects in the background, with retries; waits a short time for the first attempt.
    pub(super) async fn connect(&self) -> Result<(), StateError> {
        self.client.connect();
        self.within(self.client.wait_for_connect()).await
    }

    pub(super) async fn ping(&self) -> Result<(), StateError> {
        self.within(self.client.ping::<()>(None)).await
    }

    pub(super) async fn put(&self, call: CallId, conversation: &SavedConversation) -> Result<(), StateError> {
        let pipeline = self.client.pipeline();
        let values = [
            conversation.state.to_string(),
            conversation.turns.to_string(),
            conversation.started_at.timestamp().to_string(),
        ];
        self.within(async {
            for (key, value) in keys(call).into_iter().zip(values) {
                pipeline.set::<(), _, _>(key, value, Some(Expiration::EX(self.ttl)), None, false).await?;
            }
            pipeline.all::<()>().await
        })
        .await
    }

    pub(super) async fn fetch(&self, call: CallId) -> Result<Option<SavedConversation>, StateError> {
        let pipeline = self.client.pipeline();
        let values: Vec<Option<String>> = self
            .within(async {
                for key in keys(call) {
                    pipeline.get::<(), _>(key).await?;
                }
                pipeline.all().await
            })
            .await?;
        Ok(read(&values))
    }

    pub(super) async fn remove(&self, call: CallId) -> Result<(), StateError> {
        let pipeline = self.client.pipeline();
        self.within(async {
            for key in keys(call) {
                pipeline.del::<(), _>(key).await?;
            }
            pipeline.all::<()>().await
        })
        .await
    }

    async fn within<T>(
        &self,
        command: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, StateError> {
        match tokio::time::timeout(self.timeout, command).await {
            Ok(answer) => answer.map_err(|error| StateError::Unavailable(error.to_string())),
            Err(_) => {
                let limit = self.timeout.as_millis();
                Err(StateError::Unavailable(format!("no response within {limit} ms")))
            }
        }
    }
}

fn invalid(problem: &str) -> StateError {
    let example = "redis://localhost:6379/0";
    StateError::Invalid(format!("the Redis URL cannot be used ({problem}); write it as in {example}"))
}

/// The servers and credentials of a URL, with TLS where it asks for that.
fn configured(url: &SecretString, settings: &Settings) -> Result<Config, StateError> {
    let (mut config, security) = parse(url).map_err(|problem| invalid(&problem))?;
    if security == Security::Tls {
        let tls = client_config(&settings.tls);
        let tls = tls.map_err(|error| StateError::Invalid(format!("state.{error}")))?;
        config.tls = Some(TlsConnector::from(tls).into());
    }
    Ok(config)
}

/// The transport security that a URL asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Plaintext,
    Tls,
}

/// The servers and credentials of a URL. The client would set TLS up itself, with the authorities of the system
/// only, so it is given the URL in its form without TLS.
fn parse(url: &SecretString) -> Result<(Config, Security), String> {
    let (scheme, rest) = url.expose_secret().split_once("://").unwrap_or_default();
    let (security, scheme) = match scheme.strip_prefix("rediss").or_else(|| scheme.strip_prefix("valkeys")) {
        Some(kind) => (Security::Tls, format!("redis{kind}")),
        None => (Security::Plaintext, scheme.to_owned()),
    };
    // The client accepts any scheme, even http.
    if !scheme.starts_with("redis") && !scheme.starts_with("valkey") {
        return Err("it does not begin with redis:// or rediss://".to_owned());
    }
    let config = Config::from_url(&format!("{scheme}://{rest}"));
    config.map(|config| (config, security)).map_err(|error| error.details().to_owned())
}

/// Whether a URL leads to another machine without TLS. False for a URL that cannot be parsed.
pub(super) fn is_plaintext_remote(url: &SecretString) -> bool {
    let Ok((config, Security::Plaintext)) = parse(url) else { return false };
    config.server.hosts().iter().any(|server| place(&server.host) != HostPlace::ThisMachine)
}

/// In the order in which values are written and read.
fn keys(call: CallId) -> [String; 3] {
    ["state", "turns", "started_at"].map(|part| format!("call:{call}:{part}"))
}

/// The conversation of the three values; `None` when one is missing or has another format.
fn read(values: &[Option<String>]) -> Option<SavedConversation> {
    let [Some(state), Some(turns), Some(started_at)] = values else { return None };
    Some(SavedConversation {
        started_at: DateTime::from_timestamp(started_at.parse().ok()?, 0)?,
        turns: turns.parse().ok()?,
        state: serde_json::from_str(state).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_in_redis_is_read_without_a_panic(values: Vec<Option<String>>, number: i64) {
            read(&values);
            read(&[Some("{}".into()), Some(number.to_string()), Some(number.to_string())]);
        }
    }

    #[test]
    fn plaintext_to_another_machine_is_known() {
        let remote = |url: &str| is_plaintext_remote(&SecretString::from(url));
        for url in [
            "redis://:pw@10.0.0.5:6379/0",
            "redis://redis",
            "valkey://cache.example.com:6379",
            "redis-cluster://127.0.0.1:7000?node=10.0.0.6:7001",
            "redis-sentinel://127.0.0.1:26379/0?sentinelServiceName=main&node=10.0.0.6:26379",
        ] {
            assert!(remote(url), "{url}");
        }
        for url in
            ["redis://localhost", "redis://[::1]:6379/1", "rediss://10.0.0.5", "rediss-cluster://h:1", "x"]
        {
            assert!(!remote(url), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_being_shown() {
        for url in [
            "http://user:hunter2@nowhere",
            "hunter2",
            "redis://user:hunter2@host:port",
            "redis://:hunter2@h/x",
        ] {
            let made = Redis::new(&SecretString::from(url), &Settings::default());
            let error = made.err().map(|error| error.to_string()).expect(url);
            assert!(
                error.contains("redis://localhost:6379/0") && !error.contains("hunter2"),
                "{url}: {error}"
            );
        }
    }
}
