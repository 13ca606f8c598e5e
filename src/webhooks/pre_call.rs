//! The request to a pre-call webhook: one attempt within the webhook's time limit, signed as deliveries are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use tokio::time::timeout;

use super::{Settings, signature};
use crate::egress::{EgressClient, EgressError};
use crate::tenancy::{
    MAX_PRE_CALL_RESPONSE, PRE_CALL_TIMEOUT_MS, PreCallInstruction, PreCallOutcome, PreCallRequest,
    PreCallWebhook, TenantId,
};

/// Asks pre-call webhooks. Each tenant has a number of requests in progress of its own, so that a slow server delays its tenant's
/// calls alone.
pub struct PreCallClient {
    http: EgressClient,
    in_progress: Arc<Mutex<HashMap<TenantId, usize>>>,
    most_per_tenant: usize,
}

/// Why a webhook has no effect on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreCallFailure {
    pub outcome: PreCallOutcome,
    /// For the call's record. It quotes nothing of the response.
    pub problem: String,
    /// For the tenant who tries the webhook: it may quote the response.
    pub detail: Option<String>,
}

impl PreCallFailure {
    pub fn new(outcome: PreCallOutcome, problem: impl Into<String>) -> PreCallFailure {
        PreCallFailure { outcome, problem: problem.into(), detail: None }
    }
}

impl PreCallClient {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<PreCallClient, reqwest::Error> {
        let time_limit = Duration::from_millis(u64::from(*PRE_CALL_TIMEOUT_MS.end()));
        Ok(PreCallClient {
            http: EgressClient::new(settings.destinations(), time_limit)?,
            in_progress: Arc::default(),
            most_per_tenant: settings.max_pre_call_per_tenant,
        })
    }

    /// Asks a webhook, within its time limit. The request has a signature by each of the secrets.
    ///
    /// # Errors
    /// Why there is no usable response.
    pub async fn ask(
        &self,
        webhook: &PreCallWebhook,
        secrets: &[SecretString],
        request: &PreCallRequest,
    ) -> Result<PreCallInstruction, PreCallFailure> {
        let limit = webhook.timeout_ms.clamp(*PRE_CALL_TIMEOUT_MS.start(), *PRE_CALL_TIMEOUT_MS.end());
        let limit = Duration::from_millis(limit.into());
        let Some(_place) = self.place(webhook.tenant_id) else {
            let problem = format!("{} requests for other calls are in progress", self.most_per_tenant);
            return Err(PreCallFailure::new(PreCallOutcome::Busy, problem));
        };
        let late = || {
            let problem = format!("no complete response within {} ms", limit.as_millis());
            PreCallFailure::new(PreCallOutcome::TimedOut, problem)
        };
        timeout(limit, self.send(webhook, secrets, request)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn send(
        &self,
        webhook: &PreCallWebhook,
        secrets: &[SecretString],
        request: &PreCallRequest,
    ) -> Result<PreCallInstruction, PreCallFailure> {
        let failed = |problem: &str| PreCallFailure::new(PreCallOutcome::Failed, problem);
        let body = serde_json::to_string(request).map_err(|_| failed("the request cannot be written"))?;
        let (id, at) = (request.call_id.to_string(), Utc::now().timestamp());
        let signed = signature::sign(secrets, &id, at, &body);
        let signed =
            signed.ok_or_else(|| failed("the webhook's secret cannot be read: set the webhook again"))?;
        let http = self.http.for_tenant(webhook.tenant_id.0);
        let post = http.post(&webhook.url).map_err(|refused| unreachable(refused.into()))?;
        let post = post
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signed)
            .body(body);
        let response = http.send(post).await.map_err(unreachable)?;
        if !matches!(response.status(), StatusCode::OK | StatusCode::NO_CONTENT) {
            let problem = format!("HTTP {}", response.status().as_u16());
            return Err(PreCallFailure::new(PreCallOutcome::BadStatus, problem));
        }
        let body = response.read(MAX_PRE_CALL_RESPONSE).await.map_err(unreachable)?;
        PreCallInstruction::read(&body).map_err(|detail| PreCallFailure {
            detail: Some(detail),
            ..PreCallFailure::new(PreCallOutcome::Invalid, "the response is not of the documented form")
        })
    }

    /// A place among the tenant's requests in progress; `None` where all are taken.
    fn place(&self, tenant: TenantId) -> Option<Place> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = in_progress.entry(tenant).or_default();
        if *taken >= self.most_per_tenant {
            return None;
        }
        *taken += 1;
        Some(Place { tenant, in_progress: self.in_progress.clone() })
    }
}

/// A request in progress, until it is dropped.
struct Place {
    tenant: TenantId,
    in_progress: Arc<Mutex<HashMap<TenantId, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = in_progress.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                in_progress.remove(&self.tenant);
            }
        }
    }
}

fn unreachable(error: EgressError) -> PreCallFailure {
    let outcome = match error {
        EgressError::TimedOut(_) => PreCallOutcome::TimedOut,
        EgressError::TooLong(_) => PreCallOutcome::Invalid,
        EgressError::Refused(_) | EgressError::Failed(_) => PreCallOutcome::Unreachable,
    };
    PreCallFailure::new(outcome, error.to_string())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::tenancy::{CallId, NumberId, PreCallRequestType, PreCallWebhookId};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn client(allow_private: bool) -> Arc<PreCallClient> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings {
            allow_private_targets: allow_private,
            allow_http: true,
            max_pre_call_per_tenant: 2,
            ..Settings::default()
        };
        Arc::new(PreCallClient::new(&settings).expect("TLS can be set up"))
    }

    fn webhook(tenant_id: TenantId, url: &str) -> PreCallWebhook {
        let (id, phone_number_id) = (PreCallWebhookId::new(), Some(NumberId::new()));
        let created_at = DateTime::UNIX_EPOCH;
        PreCallWebhook { id, tenant_id, phone_number_id, url: url.to_owned(), timeout_ms: 5_000, created_at }
    }

    async fn ask(
        client: &PreCallClient,
        webhook: &PreCallWebhook,
    ) -> Result<PreCallInstruction, PreCallFailure> {
        let request = PreCallRequest {
            kind: PreCallRequestType::Ringing,
            call_id: CallId::new(),
            tenant_id: webhook.tenant_id,
            phone_number_id: webhook.phone_number_id.expect("one of a number"),
            called_number: "+493055500100".parse().expect("a number"),
            caller_number: None,
            sip_headers: Default::default(),
            at: DateTime::UNIX_EPOCH,
        };
        client.ask(webhook, &[SecretString::from(SECRET)], &request).await
    }

    #[tokio::test]
    async fn a_private_address_is_not_reached() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let failure = ask(&client(false), &webhook(TenantId::new(), &url)).await.expect_err("no response");
        assert_eq!(failure.outcome, PreCallOutcome::Unreachable);
        assert!(!failure.problem.contains("127.0.0.1"), "{failure:?}");
    }

    /// One tenant's server accepts connections and never responds; the tenant's third call is not asked about, another tenant's is.
    #[tokio::test]
    async fn a_slow_server_takes_its_tenants_places_alone() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let (client, slow) = (client(true), webhook(TenantId::new(), &url));
        let mut waiting = Vec::new();
        let mut connections = Vec::new();
        for _ in 0..2 {
            let (client, slow) = (client.clone(), slow.clone());
            waiting.push(tokio::spawn(async move { ask(&client, &slow).await }));
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 16];
            stream.read_exact(&mut request).await.expect("a request");
            connections.push(stream);
        }
        let busy = ask(&client, &slow).await.expect_err("no place");
        assert_eq!(busy.outcome, PreCallOutcome::Busy);
        let other = PreCallWebhook { timeout_ms: 100, ..webhook(TenantId::new(), &url) };
        let late = ask(&client, &other).await.expect_err("no response");
        assert_eq!(late.outcome, PreCallOutcome::TimedOut);
        for task in waiting {
            task.abort();
            let _ = task.await;
        }
        let again = ask(&client, &PreCallWebhook { timeout_ms: 100, ..slow }).await;
        assert_eq!(
            again.expect_err("no response").outcome,
            PreCallOutcome::TimedOut,
            "its places are free again"
        );
    }
}
