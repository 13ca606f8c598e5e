//! What needs no key: the daemon's name, whether it lives, and whether it can take calls. And the metrics, which
//! may need an operator's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::api::{self, Desk};
use super::{Health, MetricsAccess, Part};

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long what was found is told again: many who ask make no work for the database.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Status {
    pub health: Arc<dyn Health>,
    pub metrics: PrometheusHandle,
    pub access: MetricsAccess,
    pub desk: Desk,
    found: Arc<Mutex<Option<Found>>>,
}

/// What the last check found, and when. There are no parts when it did not end in time.
struct Found {
    at: Instant,
    parts: Option<Vec<Part>>,
}

impl Status {
    pub fn new(
        health: Arc<dyn Health>,
        metrics: PrometheusHandle,
        access: MetricsAccess,
        desk: Desk,
    ) -> Status {
        Status { health, metrics, access, desk, found: Arc::default() }
    }

    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/",
                get(|| async { Json(json!({ "name": "vca", "version": env!("CARGO_PKG_VERSION") })) }),
            )
            .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .with_state(self)
    }

    /// How every part is, or was a moment ago. Whoever asks meanwhile waits for the same answer.
    async fn parts(&self) -> Option<Vec<Part>> {
        let mut found = self.found.lock().await;
        if let Some(found) = found.as_ref().filter(|found| found.at.elapsed() < FRESH) {
            return found.parts.clone();
        }
        let parts = timeout(PATIENCE, self.health.check()).await.ok();
        *found = Some(Found { at: Instant::now(), parts: parts.clone() });
        parts
    }
}

/// 200 when calls can be taken, otherwise 503; either way with every part.
async fn ready(State(status): State<Status>) -> impl IntoResponse {
    let Some(parts) = status.parts().await else {
        let problem = "the checks did not end in time";
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "problem": problem })));
    };
    let is_ready = parts.iter().all(|part| part.ok || !part.needed);
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": is_ready, "parts": parts })))
}

async fn scrape(State(status): State<Status>, request: Request) -> Response {
    if status.access == MetricsAccess::Operator {
        let (mut parts, _) = request.into_parts();
        if let Err(refusal) = api::admit_operator(&status.desk, &mut parts).await {
            return refusal;
        }
    }
    status.health.measure();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], status.metrics.render()).into_response()
}
