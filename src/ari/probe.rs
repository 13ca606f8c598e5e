//! Whether Asterisk carries out requests: harmless probes, and the doubts that failed requests raise.
//!
//! The event WebSocket can stay open while every request fails: a changed password, `enabled=no`, an unloaded module, a
//! thread that hangs. Calls would then enter the application and be neither answered nor refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use super::answer::AriError;
use super::client::Client;
use super::ids::{BridgeId, ChannelId};
use super::request::Request;

/// The id of a channel and of a bridge that never exist.
const NO_SUCH: &str = "vca-probe";
/// Asterisk's text for a request that no loaded module serves, unlike `Channel not found`.
const NO_MODULE: &str = "Resource not found";
/// Asterisk's message, with status 500, where a function has no value for a channel, as for a SIP header that is absent.
const UNREADABLE: &str = "Unable to read provided function";
/// After so long without a failed request, calls have deleted all that they could: a retry waits 4 s at most.
const SETTLED: Duration = Duration::from_secs(5);

/// Why requests are not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Asterisk refuses them, and will until its configuration or modules change.
    #[error("Asterisk refuses requests ({operation}): {error}")]
    Refused { operation: &'static str, error: AriError },
    /// It does not answer them, or reports an internal error.
    #[error("Asterisk does not carry out requests ({operation}): {error}")]
    Unanswered { operation: &'static str, error: AriError },
}

/// Does Asterisk have to know the application?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppRegistration {
    /// Yes: its event WebSocket is open.
    Required,
    Optional,
}

/// Asks for the application, for a channel, and for the deletion of a bridge, at the same time: the last needs a user who
/// may write. They do not wait for a place among the requests of calls. Takes `request_timeout_ms` at most.
pub(super) async fn probe(client: &Client, app: &str, registration: AppRegistration) -> Result<(), Trouble> {
    let application = Request { operation: "probe.application", ..Request::application(app) };
    let channel = Request { operation: "probe.channels", ..Request::channel(&ChannelId::new(NO_SUCH)) };
    let bridge = Request { operation: "probe.bridges", ..Request::destroy_bridge(&BridgeId::new(NO_SUCH)) };
    let results = tokio::join!(
        client.send_at_once(application),
        client.send_at_once(channel),
        client.send_at_once(bridge),
    );
    let found = [
        ("applications", judge(results.0, registration == AppRegistration::Required)),
        ("channels", judge(results.1, false)),
        ("bridges", judge(results.2, false)),
    ];
    let mut unanswered = None;
    for (operation, verdict) in found {
        match verdict {
            ProbeVerdict::CarriedOut => {}
            ProbeVerdict::Refused(error) => return Err(Trouble::Refused { operation, error }),
            ProbeVerdict::Unanswered(error) => {
                unanswered.get_or_insert(Trouble::Unanswered { operation, error });
            }
        }
    }
    unanswered.map_or(Ok(()), Err)
}

enum ProbeVerdict {
    CarriedOut,
    Refused(AriError),
    Unanswered(AriError),
}

/// A 404 is a refusal where the resource has to exist, and where it is not ARI's answer about a single resource.
fn judge(result: Result<Value, AriError>, has_to_exist: bool) -> ProbeVerdict {
    match result {
        Ok(_) => ProbeVerdict::CarriedOut,
        Err(error @ AriError::Status { code: 401 | 403, .. }) => ProbeVerdict::Refused(error),
        Err(AriError::Status { code: 404, message })
            if !has_to_exist && !message.is_empty() && message != NO_MODULE =>
        {
            ProbeVerdict::CarriedOut
        }
        Err(error @ AriError::Status { code: 404, .. }) => ProbeVerdict::Refused(error),
        Err(AriError::Status { code: 400..500, .. }) => ProbeVerdict::CarriedOut,
        Err(error) => ProbeVerdict::Unanswered(error),
    }
}

/// The result of the latest probe, and the time of the latest failure that concerns more than one call.
#[derive(Debug, Default)]
pub(super) struct ProbeHealth {
    trouble: Mutex<Option<Trouble>>,
    doubted_at: Mutex<Option<Instant>>,
    doubted: Notify,
}

impl ProbeHealth {
    pub fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        *lock(&self.trouble) = trouble;
    }

    /// Notes a failed request, unless only its own resource is missing or unfit.
    pub fn note(&self, error: &AriError) {
        let is_about_one_resource = match error {
            AriError::Status { code: 401 | 403, .. } => false,
            AriError::Status { code: 404, message } => message != NO_MODULE && !message.is_empty(),
            AriError::Status { code, message } => *code < 500 || message == UNREADABLE,
            AriError::Decode(_) => true,
            AriError::Timeout(_) | AriError::Refused | AriError::Tls(_) | AriError::Broken => false,
        };
        if !is_about_one_resource {
            *lock(&self.doubted_at) = Some(Instant::now());
            self.doubted.notify_one();
        }
    }

    /// Waits for a failed request; one since the last wait counts.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    pub fn forget_doubts(&self) {
        *lock(&self.doubted_at) = None;
    }

    /// Requests failed, but not recently: calls may have given up deleting channels and bridges in Asterisk.
    pub fn is_settled(&self) -> bool {
        lock(&self.doubted_at).is_some_and(|at| at.elapsed() >= SETTLED)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ari::fake::{FakeAri, Reply, healthy};

    /// What a probe finds where requests that contain `part` get `reply`, and all others are carried out.
    async fn found(part: &'static str, reply: Reply, registration: AppRegistration) -> Result<(), Trouble> {
        let script = move |line: &str| if line.contains(part) { reply.clone() } else { missing(line) };
        let fake = FakeAri::start(script).await;
        let settings = crate::ari::Settings { request_timeout_ms: 300, ..fake.settings() };
        probe(&Client::new(&settings).unwrap(), "vca", registration).await
    }

    fn missing(line: &str) -> Reply {
        match line {
            line if line.contains("/channels/") => {
                Reply::Json(404, json!({ "message": "Channel not found" }))
            }
            line if line.contains("/bridges/") => Reply::Json(404, json!({ "message": "Bridge not found" })),
            line => healthy(line, &[]),
        }
    }

    #[tokio::test]
    async fn a_missing_channel_is_no_trouble_and_a_missing_module_is() {
        let gone = || Reply::Json(404, json!({ "message": "Channel not found" }));
        assert_eq!(found("/channels/", gone(), AppRegistration::Required).await, Ok(()));
        let unloaded = || Reply::Json(404, json!({ "message": NO_MODULE }));
        for part in ["/channels/", "/bridges/", "/applications/"] {
            for registration in [AppRegistration::Required, AppRegistration::Optional] {
                let found = found(part, unloaded(), registration).await;
                assert!(matches!(found, Err(Trouble::Refused { .. })), "{part}: {found:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_application_has_to_be_known_only_while_it_is_registered() {
        let unknown = || Reply::Json(404, json!({ "message": "Application not found" }));
        assert_eq!(found("/applications/", unknown(), AppRegistration::Optional).await, Ok(()));
        let found = found("/applications/", unknown(), AppRegistration::Required).await;
        assert!(matches!(found, Err(Trouble::Refused { operation: "applications", .. })), "{found:?}");
    }

    #[tokio::test]
    async fn refusals_count_more_than_silence() {
        let page = "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>";
        for refusal in [Reply::Json(401, Value::Null), Reply::Json(403, Value::Null), Reply::Raw(page.into())]
        {
            let found = found("DELETE", refusal, AppRegistration::Optional).await;
            assert!(matches!(found, Err(Trouble::Refused { operation: "bridges", .. })), "{found:?}");
        }
        for silence in [Reply::Stall, Reply::Raw(String::new()), Reply::Json(500, Value::Null)] {
            let found = found("/channels/", silence, AppRegistration::Required).await;
            assert!(matches!(found, Err(Trouble::Unanswered { operation: "channels", .. })), "{found:?}");
        }
    }

    #[test]
    fn a_gone_channel_raises_no_doubt() {
        let health = ProbeHealth::default();
        let status = |code, message: &str| AriError::Status { code, message: message.into() };
        for error in [status(404, "Channel not found"), status(409, ""), status(422, "")] {
            health.note(&error);
            assert_eq!(*lock(&health.doubted_at), None, "{error}");
        }
        for error in [status(401, ""), status(500, ""), status(404, NO_MODULE), AriError::Broken] {
            health.forget_doubts();
            health.note(&error);
            assert!(lock(&health.doubted_at).is_some(), "{error}");
        }
    }
}
