//! The daemon's HTTP port: is it alive, can it take calls, and what does it count?
//!
//! It knows nothing of calls; what it tells it asks of [`Health`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
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

/// Installs the recorder of all metrics. Once a process.
///
/// # Errors
/// When there is a recorder already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 14] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0];
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?;
    builder.install_recorder().context("metrics are recorded already")
}

/// A server that has its port and does not serve yet.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Shared {
    health: Arc<dyn Health>,
    metrics: PrometheusHandle,
}

impl Server {
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn bind(
        address: SocketAddr,
        health: Arc<dyn Health>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| {
            format!("the admin port {address} cannot be opened: choose another with admin.bind")
        })?;
        Ok(Server { listener, router: router(Shared { health, metrics }) })
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let server = axum::serve(self.listener, self.router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin port is closed");
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| async { Json(json!({ "name": "vca", "version": env!("CARGO_PKG_VERSION") })) }))
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(shared)
}

/// 200 when calls can be taken, otherwise 503; either way with every part.
async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let Ok(parts) = tokio::time::timeout(PATIENCE, shared.health.check()).await else {
        let problem = "the checks did not end in time";
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "problem": problem })));
    };
    let is_ready = parts.iter().all(|part| part.ok || !part.needed);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": is_ready, "parts": parts })))
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    shared.health.measure();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Vec<Part>);

    impl Health for Told {
        fn check(&self) -> BoxFuture<'_, Vec<Part>> {
            Box::pin(async { self.0.clone() })
        }

        fn measure(&self) {}
    }

    async fn status_and_body(path: &str, parts: Vec<Part>) -> (u16, String) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(any, Arc::new(Told(parts)), recorder.handle()).await.unwrap();
        let (url, stop) =
            (format!("http://{}{path}", server.listener.local_addr().unwrap()), CancellationToken::new());
        let serving = tokio::spawn(server.serve(stop.clone()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
        let result = (answer.status().as_u16(), answer.text().await.unwrap());
        stop.cancel();
        serving.await.unwrap();
        result
    }

    fn part(ok: bool, needed: bool) -> Part {
        Part { name: "ari", ok, needed, problem: (!ok).then(|| "away".to_owned()) }
    }

    #[tokio::test]
    async fn it_is_alive_whatever_is_away() {
        assert_eq!(status_and_body("/healthz", vec![part(false, true)]).await.0, 200);
        assert_eq!(status_and_body("/metrics", vec![]).await.0, 200);
        assert_eq!(status_and_body("/nothing", vec![]).await.0, 404);
    }

    #[tokio::test]
    async fn it_is_ready_when_all_that_is_needed_is_there() {
        assert_eq!(status_and_body("/readyz", vec![part(true, true), part(false, false)]).await.0, 200);
        let (status, body) = status_and_body("/readyz", vec![part(false, true)]).await;
        assert_eq!(status, 503);
        assert!(body.contains("away"), "{body}");
    }
}
