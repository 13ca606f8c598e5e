//! What stands between the network and every handler: how long a request may take, how many connections there
//! may be, and the headers that tell a browser to be careful.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum_server::Handle;
use axum_server::accept::Accept;
use metrics::counter;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;

use super::Settings;
use super::api::{self, BodyPatience, RequestId};

/// Puts the guard before all routes.
pub fn guarded(router: Router, settings: &Settings) -> Router {
    let guard = Guard {
        request: Duration::from_millis(settings.request_timeout_ms),
        body: Duration::from_millis(settings.body_timeout_ms),
        is_encrypted: settings.tls.certificate.is_some(),
    };
    router.layer(from_fn_with_state(guard, watch))
}

#[derive(Debug, Clone, Copy)]
struct Guard {
    request: Duration,
    body: Duration,
    is_encrypted: bool,
}

/// Gives a request its id and its time. Only the wait for the answer's beginning counts: a stream of events may
/// last.
async fn watch(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let (id, method, path) = (RequestId::fresh(), request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(BodyPatience(guard.body));
    request.extensions_mut().insert(id.clone());
    let mut response = match timeout(guard.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            warn!(request_id = %id.0, %method, %path, "a request took too long");
            api::too_slow(&id)
        }
    };
    harden(response.headers_mut(), guard.is_encrypted);
    response
}

/// The headers of <https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html>. What a handler
/// has set itself stays.
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

/// Lets a connection in as long as there are not too many.
#[derive(Debug, Clone)]
pub struct Gate {
    pub server: Handle<SocketAddr>,
    pub most: usize,
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = TcpStream;
    type Service = S;
    type Future = Ready<io::Result<(TcpStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // This one is counted already.
        if self.server.connection_count() > self.most {
            counter!("vca_admin_connections_refused_total").increment(1);
            return ready(Err(io::Error::other("too many connections")));
        }
        ready(stream.set_nodelay(true).map(|()| (stream, service)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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
