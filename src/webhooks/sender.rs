//! One request to one receiver. URLs and secrets appear in no log line and no result.

use std::time::Duration;

use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::time::Instant;
use tracing::warn;

use super::{Settings, signature};
use crate::egress::{EgressClient, EgressResponse};
use crate::store::ClaimedDelivery;

pub struct HttpSender {
    client: EgressClient,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResult {
    pub status: Option<u16>,
    pub took: Duration,
    /// The receiver's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Why the request failed.
    pub problem: Option<String>,
}

impl HttpSender {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<HttpSender, reqwest::Error> {
        let time_limit = Duration::from_millis(settings.timeout_ms);
        Ok(HttpSender { client: EgressClient::new(settings.destinations(), time_limit)? })
    }

    pub async fn deliver(&self, claimed: &ClaimedDelivery) -> SendResult {
        let began = Instant::now();
        let (status, retry_after, problem) = match self.send(claimed).await {
            Ok(response) => {
                let status = response.status();
                let retry_after = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let problem = (!status.is_success()).then(|| format!("HTTP {}", status.as_u16()));
                // The status is known; the body has no effect on the result.
                response.drain().await;
                (Some(status.as_u16()), retry_after.map(Duration::from_secs), problem)
            }
            Err(problem) => (None, None, Some(problem)),
        };
        SendResult { status, took: began.elapsed(), retry_after, problem }
    }

    async fn send(&self, claimed: &ClaimedDelivery) -> Result<EgressResponse, String> {
        let client = self.client.for_tenant(claimed.tenant.0);
        let request = client.post(&claimed.url).map_err(|refused| refused.to_string())?;
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
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(claimed.payload.clone());
        client.send(request).await.map_err(|error| error.to_string())
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
        let claimed = ClaimedDelivery {
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
