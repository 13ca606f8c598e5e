//! `/`, `/healthz` and `/readyz`, which need no key, `/metrics`, which may need an operator's, and `/status`, which needs an
//! operator's except for clients on this machine.
//!
//! `/healthz` also reports the configuration, to clients on this machine alone: which engines and providers are in use
//! is no secret, and still of use to an attacker.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;
use uuid::Uuid;

use super::api::{self, ApiState};
use super::client::Client;
use super::measurements::exposition;
use super::{DaemonReport, Health, MetricsAccess, Part, PartReport};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// For how long a result is served again, so that frequent probes make no work for the database.
const FRESH: Duration = Duration::from_secs(1);

/// Why there are no parts.
const UNFINISHED: &str = "the checks did not end in time";

#[derive(Clone)]
pub struct Status {
    pub health: Arc<dyn Health>,
    pub metrics: PrometheusHandle,
    pub access: MetricsAccess,
    pub api: ApiState,
    found: Arc<Mutex<Option<CheckedParts>>>,
}

/// The result of the last check, and when it was made. Without parts it did not end in time.
struct CheckedParts {
    at: Instant,
    parts: Option<Vec<Part>>,
}

impl Status {
    pub fn new(
        health: Arc<dyn Health>,
        metrics: PrometheusHandle,
        access: MetricsAccess,
        api: ApiState,
    ) -> Status {
        Status { health, metrics, access, api, found: Arc::default() }
    }

    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/",
                get(|| async { Json(json!({ "name": "vca", "version": env!("CARGO_PKG_VERSION") })) }),
            )
            .route("/healthz", get(health))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .route("/status", get(report))
            .with_state(self)
    }

    /// The state of every part, at most [`FRESH`] old. Requests during a check wait for its result.
    async fn parts(&self) -> Option<Vec<Part>> {
        let mut found = self.found.lock().await;
        if let Some(found) = found.as_ref().filter(|found| found.at.elapsed() < FRESH) {
            return found.parts.clone();
        }
        let parts = timeout(CHECK_TIMEOUT, self.health.check()).await.ok();
        *found = Some(CheckedParts { at: Instant::now(), parts: parts.clone() });
        parts
    }
}

/// 200 while the daemon runs. It asks nothing and waits for nothing.
async fn health(State(status): State<Status>, request: Request) -> impl IntoResponse {
    let (parts, _) = request.into_parts();
    let is_local = api::client(&parts).is_some_and(Client::is_local);
    if !is_local {
        return Json(json!({ "status": "ok" }));
    }
    // The daemon does not start with a configuration that is not valid.
    let configuration = json!({ "status": "valid", "in_use": status.health.configuration() });
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "configuration": configuration }))
}

/// Can calls be taken?
fn is_ready(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.ok || !part.needed)
}

/// 200 when calls can be taken, otherwise 503; either way with every part. `degraded`: a part fails that calls can do
/// without.
async fn ready(State(status): State<Status>) -> impl IntoResponse {
    let Some(parts) = status.parts().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "problem": UNFINISHED })));
    };
    let is_ready = is_ready(&parts);
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_degraded = is_ready && parts.iter().any(|part| !part.ok);
    (code, Json(json!({ "ready": is_ready, "degraded": is_degraded, "parts": parts })))
}

#[derive(Deserialize)]
struct ReportQuery {
    /// A row of `write_probes`.
    probe: Option<Uuid>,
}

/// The daemon's report.
async fn report(
    State(status): State<Status>,
    Query(ReportQuery { probe }): Query<ReportQuery>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    if !is_local(&status, &parts)
        && let Err(refusal) = api::admit_operator(&status.api, &mut parts).await
    {
        return refusal;
    }
    let (report, parts) = tokio::join!(status.health.report(probe), status.parts());
    let parts = parts.unwrap_or_else(|| {
        vec![Part { name: "checks", ok: false, needed: true, problem: Some(UNFINISHED.to_owned()) }]
    });
    let ready = is_ready(&parts);
    let parts = parts.into_iter().map(PartReport::from).collect();
    Json(DaemonReport { ready, parts, ..report }).into_response()
}

async fn scrape(State(status): State<Status>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let is_open = match status.access {
        MetricsAccess::Open => true,
        MetricsAccess::Local => is_local(&status, &parts),
        MetricsAccess::Operator => false,
    };
    if !is_open && let Err(refusal) = api::admit_operator(&status.api, &mut parts).await {
        return refusal;
    }
    let lateness = status.health.measure();
    let text = format!("{}{}", status.metrics.render(), exposition(&lateness));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// A client that is not, and only seems so because its proxy is not trusted, needs a key; the log says why.
fn is_local(status: &Status, parts: &Parts) -> bool {
    let Some(client) = api::client(parts) else { return false };
    if let Some(doubt) = client.doubt()
        && client.address().is_loopback()
        && status.api.limits.warns_of(client)
    {
        warn!(client = %client.address(), "an operator's key is needed here: {doubt}");
    }
    client.is_local()
}
