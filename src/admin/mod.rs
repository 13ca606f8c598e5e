//! The daemon's HTTP port: is it alive, can it take calls, what does it count; and under `api` all that an
//! operator and a tenant's administrators work with.
//!
//! It knows nothing of a call's life; what it tells of calls under way it asks of [`Health`] and [`LiveCalls`].

pub mod api;
mod live;

pub use live::{LiveCalls, Unwatched};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What the daemon says of itself.
pub trait Health: Send + Sync {
    /// Everything that a call needs, and how it is.
    fn check(&self) -> BoxFuture<'_, Vec<Part>>;

    /// Sets the gauges that are only known when they are asked for.
    fn measure(&self);
}

/// Something that the daemon depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub ok: bool,
    /// Can calls be taken without it?
    pub needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long what was found is told again: many who ask make no work for the database.
const FRESH: Duration = Duration::from_secs(1);
/// A request that takes longer is given up.
const LONGEST_REQUEST: Duration = Duration::from_secs(5);
/// The most bytes that a request may bring.
const LARGEST_BODY: usize = 64 * 1024;
/// How long requests under way may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// How often measurements are condensed that nobody fetches; without it they would pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of all metrics. Once a process.
///
/// # Errors
/// When there is a recorder already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    builder()?.install_recorder().context("metrics are recorded already")
}

/// Times fall into buckets that part what a caller feels.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    const SECONDS: [f64; 14] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0];
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
}

/// A server that has its port and does not serve yet.
pub struct Server {
    listener: TcpListener,
    shared: Shared,
    api: Router,
}

#[derive(Clone)]
struct Shared {
    health: Arc<dyn Health>,
    metrics: PrometheusHandle,
    found: Arc<Mutex<Option<Found>>>,
}

/// What the last check found, and when. There are no parts when it did not end in time.
struct Found {
    at: Instant,
    parts: Option<Vec<Part>>,
}

impl Server {
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn bind(
        address: SocketAddr,
        health: Arc<dyn Health>,
        metrics: PrometheusHandle,
        api: Router,
    ) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| {
            format!("the admin port {address} cannot be opened: choose another with admin.bind")
        })?;
        Ok(Server { listener, shared: Shared { health, metrics, found: Arc::default() }, api })
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let metrics = self.shared.metrics.clone();
        let server = axum::serve(
            self.listener,
            router(self.shared).merge(self.api).into_make_service_with_connect_info::<SocketAddr>(),
        );
        let server = server.with_graceful_shutdown(stop.clone().cancelled_owned());
        let too_late = async {
            stop.cancelled().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            outcome = server.into_future() => if let Err(error) = outcome {
                tracing::error!(%error, "the admin port is closed");
            },
            () = too_late => {}
            () = keep_up(&metrics) => {}
        }
    }
}

/// Condenses measurements, for ever.
async fn keep_up(metrics: &PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| async { Json(json!({ "name": "vca", "version": env!("CARGO_PKG_VERSION") })) }))
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(limited))
        .with_state(shared)
}

/// Gives a request its time, and no more.
async fn limited(request: Request, next: Next) -> Response {
    match timeout(LONGEST_REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// 200 when calls can be taken, otherwise 503; either way with every part.
async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let Some(parts) = shared.parts().await else {
        let problem = "the checks did not end in time";
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "problem": problem })));
    };
    let is_ready = parts.iter().all(|part| part.ok || !part.needed);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": is_ready, "parts": parts })))
}

impl Shared {
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

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    shared.health.measure();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render())
}

#[cfg(test)]
mod tests;
