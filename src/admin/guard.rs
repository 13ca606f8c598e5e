//! The layer before every handler: the client's address, the time that a request may take, its line in the access log,
//! and the headers that restrict browsers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::time::timeout;
use tracing::warn;

use super::Settings;
use super::access_log::{AccessLogEntry, LoggedBody, Requester};
use super::api::{self, BodyTimeout, RequestId};
use super::client::{Client, Conflict, TrustedProxies};

/// Puts the guard before all routes.
pub fn guarded(router: Router, settings: &Settings) -> Router {
    let guard = RequestGuard {
        request: Duration::from_millis(settings.request_timeout_ms),
        body: Duration::from_millis(settings.body_timeout_ms),
        is_encrypted: settings.tls.certificate.is_some(),
        proxies: Arc::new(TrustedProxies(settings.trusted_proxies.clone())),
    };
    router.layer(from_fn_with_state(guard, watch))
}

#[derive(Debug, Clone)]
struct RequestGuard {
    request: Duration,
    body: Duration,
    is_encrypted: bool,
    proxies: Arc<TrustedProxies>,
}

/// Gives a request its id, its client and its time, and logs it.
async fn watch(State(guard): State<RequestGuard>, mut request: Request, next: Next) -> Response {
    let id = RequestId::fresh();
    let client = guard.client(&request);
    let entry = AccessLogEntry {
        request_id: id.0.clone(),
        client: client.ok().flatten(),
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()),
        requester: Arc::new(Requester::default()),
        began: Instant::now(),
    };
    let extensions = request.extensions_mut();
    extensions.insert(BodyTimeout(guard.body));
    extensions.insert(id.clone());
    extensions.insert(Arc::clone(&entry.requester));
    let mut response = match client {
        Err(Conflict) => api::conflicting_headers(&id),
        Ok(client) => {
            if let Some(client) = client {
                extensions.insert(client);
            }
            guard.serve(&id, request, next).await
        }
    };
    harden(response.headers_mut(), guard.is_encrypted);
    let status = response.status();
    response.map(|body| axum::body::Body::new(LoggedBody::new(body, status, entry)))
}

impl RequestGuard {
    fn client(&self, request: &Request) -> Result<Option<Client>, Conflict> {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Ok(None);
        };
        Client::of(peer.ip(), request.headers(), &self.proxies).map(Some)
    }

    /// Waits for the beginning of the response for so long; a stream of events may then last.
    async fn serve(&self, id: &RequestId, request: Request, next: Next) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match timeout(self.request, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                warn!(request_id = %id.0, %method, %path, "request timed out");
                api::too_slow(id)
            }
        }
    }
}

/// Adds the headers of <https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html>, except
/// those that a handler has set itself.
fn harden(headers: &mut HeaderMap, is_encrypted: bool) {
    const ALWAYS: [(HeaderName, HeaderValue); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    if is_encrypted {
        // RFC 6797
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use axum::Extension;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// Something that takes its time: before it answers, or while it does. It keeps the id of a late request.
    fn slow(kept: Arc<Mutex<String>>) -> Router {
        const PAUSE: Duration = Duration::from_millis(300);
        let events = || async {
            Body::from_stream(stream::unfold(0, |n| async move {
                sleep(PAUSE).await;
                (n < 3).then(|| (Ok::<_, io::Error>(Bytes::from("data: x\n\n")), n + 1))
            }))
        };
        let late = |Extension(id): Extension<RequestId>| async move {
            *kept.lock().unwrap() = id.0;
            sleep(PAUSE * 10).await;
            "late"
        };
        Router::new().route("/events", get(events)).route("/late", get(late))
    }

    #[tokio::test]
    async fn an_answer_has_to_begin_in_time_and_may_then_last() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { request_timeout_ms: 200, ..Settings::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::<Mutex<String>>::default();
        let router = guarded(slow(kept.clone()), &settings);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = async |path: &str| reqwest::get(format!("{base}{path}")).await.unwrap();
        let events = ask("/events").await;
        assert_eq!(events.status(), 200);
        assert_eq!(events.text().await.unwrap(), "data: x\n\n".repeat(3));
        let late = ask("/late").await;
        assert_eq!(
            (late.status().as_u16(), &late.headers()["content-type"]),
            (503, &"application/problem+json".parse().unwrap())
        );
        let named = late.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: serde_json::Value = late.json().await.unwrap();
        assert_eq!(body["code"], "timed_out");
        assert_eq!(body["request_id"], named);
        assert_eq!(*kept.lock().unwrap(), named, "the log knows the request by the same id");
    }
}
