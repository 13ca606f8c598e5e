//! The access log: one line for each request, under the target `vca::access`, when its response has ended.
//!
//! A line names the route (`/api/tenants/{tenant_id}/calls`), not the path: routes are few, so lines can be counted by
//! them; a path that matches none may contain anything that an unknown client sends; and queries, which hold callers' numbers, are
//! part of neither. The tenant is a field of its own; the audit log names the call or key that a request was about.
//! Probes that succeed (`/healthz`, `/readyz`, `/metrics`) are logged at debug: they arrive every few seconds.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, StatusCode};
use http_body::{Frame, SizeHint};

use super::client::Client;
use crate::tenancy::{ApiKey, KeyId, Role, TenantId};

/// The client as its key identifies it. Filled by the extractors of `auth`, read when the request is logged.
#[derive(Debug, Default)]
pub struct Requester {
    key: OnceLock<(KeyId, Role, Option<TenantId>)>,
    tenant: OnceLock<TenantId>,
}

impl Requester {
    /// The request carries this valid key.
    pub fn identify(&self, key: &ApiKey) {
        let _ = self.key.set((key.id, key.role, key.tenant_id));
    }

    /// The request may reach what belongs to this tenant.
    pub fn enter(&self, tenant: TenantId) {
        let _ = self.tenant.set(tenant);
    }

    /// The tenant of the accessed resources, or else the key's.
    fn tenant(&self) -> Option<TenantId> {
        self.tenant.get().copied().or_else(|| self.key.get().and_then(|(_, _, own)| *own))
    }
}

/// A request, until its response has ended.
#[derive(Debug)]
pub struct AccessLogEntry {
    pub request_id: String,
    pub client: Option<Client>,
    pub method: Method,
    /// The route that the path matched.
    pub route: Option<String>,
    pub requester: Arc<Requester>,
    pub began: Instant,
}

impl AccessLogEntry {
    fn write(&self, status: StatusCode, bytes: u64, is_complete: bool) {
        let route = self.route.as_deref().unwrap_or("unmatched");
        if matches!(route, "/healthz" | "/readyz" | "/metrics") && status.is_success() {
            tracing::debug!(target: "vca::access", route, status = status.as_u16(), "probe");
            return;
        }
        let key = self.requester.key.get();
        tracing::info!(
            target: "vca::access",
            request_id = %self.request_id,
            client = self.client.map(|client| tracing::field::display(client.address())),
            is_address_proven = self.client.map(|client| client.proven().is_some()),
            method = method(&self.method),
            route,
            status = status.as_u16(),
            ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes,
            is_complete,
            key = key.map(|(id, _, _)| tracing::field::display(id)),
            role = key.map(|(_, role, _)| tracing::field::display(role)),
            tenant = self.requester.tenant().map(tracing::field::display),
            "request"
        );
    }
}

/// A client may send any word for a method.
fn method(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

/// The body of a response, which logs its request when it ends or is given up.
pub struct LoggedBody {
    inner: Body,
    status: StatusCode,
    bytes: u64,
    has_ended: bool,
    entry: AccessLogEntry,
}

impl LoggedBody {
    pub fn new(inner: Body, status: StatusCode, entry: AccessLogEntry) -> LoggedBody {
        LoggedBody { inner, status, bytes: 0, has_ended: false, entry }
    }
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.bytes += u64::try_from(length).unwrap_or(u64::MAX);
            }
            Some(Err(_)) => {}
            None => self.has_ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let is_complete = self.has_ended || self.inner.is_end_stream();
        self.entry.write(self.status, self.bytes, is_complete);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use futures_util::{StreamExt, stream};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    /// Reads so many of the three parts of a stream's response: the line that is logged when it is dropped.
    async fn logged(parts: usize) -> String {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let stream =
            stream::iter([&b"one"[..], b"two", b"three"].map(|part| Ok::<_, io::Error>(Bytes::from(part))));
        let entry = AccessLogEntry {
            request_id: "1".into(),
            client: None,
            method: Method::from_bytes(b"SOMETHING").unwrap(),
            route: None,
            requester: Arc::default(),
            began: Instant::now(),
        };
        let body = Body::new(LoggedBody::new(Body::from_stream(stream), StatusCode::OK, entry));
        let mut stream = body.into_data_stream();
        for _ in 0..parts {
            stream.next().await;
        }
        assert!(lines.0.lock().unwrap().is_empty(), "not before its end");
        drop(stream);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn a_response_is_logged_when_it_ends_or_is_given_up() {
        let given_up = logged(2).await;
        assert!(given_up.contains(r#""bytes":6,"is_complete":false"#), "{given_up}");
        assert!(given_up.contains(r#""method":"other","route":"unmatched""#), "{given_up}");
        let complete = logged(4).await;
        assert!(complete.contains(r#""bytes":11,"is_complete":true"#), "{complete}");
    }
}
