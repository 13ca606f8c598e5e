//! One request to one receiver. URLs and secrets appear in no log line and no result.

use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::guard::{Guard, RefusedReceiver};
use super::{Settings, signature};
use crate::store::Claimed;

/// The part of a response's body that is read, so that the connection can be reused, and the time limit for it.
const BODY: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_millis(500);

pub struct HttpSender {
    http: Client,
    guard: Guard,
    time_limit: Duration,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResult {
    pub status: Option<u16>,
    pub took: Duration,
    /// The receiver's `Retry-After`.
    pub wish: Option<Duration>,
    /// Why the request failed.
    pub problem: Option<String>,
}

impl HttpSender {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<HttpSender, reqwest::Error> {
        let guard = Guard::new(settings);
        // A proxy would resolve names itself, and a redirect would bypass the guard.
        let http = Client::builder()
            .dns_resolver(guard)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("vca/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(HttpSender { http, guard, time_limit: Duration::from_millis(settings.timeout_ms) })
    }

    pub async fn deliver(&self, claimed: &Claimed) -> SendResult {
        let began = Instant::now();
        let (status, wish, problem) = match self.send(claimed).await {
            Ok(response) => {
                let status = response.status();
                let wish = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let problem = (!status.is_success()).then(|| format!("HTTP {}", status.as_u16()));
                // The status is known; the body has no effect on the result.
                let _ = timeout(BODY_TIMEOUT, read_off(response)).await;
                (Some(status.as_u16()), wish.map(Duration::from_secs), problem)
            }
            Err(problem) => (None, None, Some(problem)),
        };
        SendResult { status, took: began.elapsed(), wish, problem }
    }

    async fn send(&self, claimed: &Claimed) -> Result<Response, String> {
        let url = self.guard.check(&claimed.url).map_err(|refused| refused.to_string())?;
        let (id, timestamp) = (claimed.event.to_string(), Utc::now().timestamp());
        let secrets = claimed.secrets.as_ref().map_err(|error| {
            let (webhook_id, tenant_id) = (claimed.webhook, claimed.tenant);
            let remedy =
                "set seal.key or seal.former_keys, or rotate the secret: `vca secrets reseal --dry-run`";
            warn!(%webhook_id, %tenant_id, %error, remedy, "a webhook's secret cannot be opened");
            "the webhook's secret cannot be opened: ask the operator, or rotate it"
        })?;
        let signature = signature::sign(secrets, &id, timestamp, &claimed.payload);
        let signature = signature.ok_or("the webhook's secret cannot be read: rotate it")?;
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(claimed.payload.clone());
        match timeout(self.time_limit, request.send()).await {
            Ok(answer) => answer.map_err(|error| described(&error)),
            Err(_) => Err(format!("no answer within {} ms", self.time_limit.as_millis())),
        }
    }
}

async fn read_off(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read > BODY {
            break;
        }
    }
}

/// An error by its last cause, which contains neither the URL nor an address.
fn described(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if let Some(refused) = cause.downcast_ref::<RefusedReceiver>() {
            return refused.to_string();
        }
    }
    let step = if error.is_connect() { "cannot connect" } else { "no answer" };
    if std::ptr::addr_eq(cause, error) {
        step.to_owned()
    } else {
        format!("{step}: {cause}").chars().take(200).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::SealError;
    use crate::tenancy::{DeliveryId, EventId, TenantId, WebhookId};

    /// The deliverer records it as it records a receiver that does not answer, and goes on with other webhooks.
    #[tokio::test]
    async fn a_secret_that_does_not_open_is_a_failed_delivery() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sender = HttpSender::new(&Settings::default()).expect("TLS can be set up");
        let claimed = Claimed {
            id: DeliveryId::new(),
            tenant: TenantId::new(),
            webhook: WebhookId::new(),
            event: EventId::new(),
            attempts: 0,
            leased_until: Utc::now(),
            url: "https://example.com/".to_owned(),
            secrets: Err(SealError::UnknownKey("0badcafe".to_owned())),
            payload: "{}".to_owned(),
        };
        let SendResult { status, problem, .. } = sender.deliver(&claimed).await;
        let problem = problem.expect("nothing is sent without a signature");
        assert_eq!(status, None);
        assert!(problem.contains("cannot be opened") && !problem.contains("0badcafe"), "{problem}");
    }
}
