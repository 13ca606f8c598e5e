//! Requests that can be cancelled without losing their connection.
//!
//! HTTP/2 resets the stream of a cancelled request. HTTP/1.1 can only close the connection, and the next request would wait for
//! the handshakes of TCP and TLS: the rest of a cancelled response is read and dropped instead, as far as that is short.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use reqwest::{RequestBuilder, Response, Version};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

/// How long a cancelled response is read.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// How much of a cancelled response is read, in bytes.
const DRAIN_BYTES: usize = 256 * 1024;
/// The most cancelled responses of one server that are read at once; further ones close their connections.
const MOST_DRAINED: usize = 64;

/// What is known of the connections to one server. Clones share it.
#[derive(Debug, Clone)]
pub struct ServerConnections(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    /// The latest response had HTTP/2 or later.
    has_streams: AtomicBool,
    /// The time of the latest response.
    used_at: Mutex<Option<Instant>>,
    /// The time of the latest attempt to open a connection in advance.
    opened_at: Mutex<Option<Instant>>,
    drains: Arc<Semaphore>,
}

impl Default for ServerConnections {
    fn default() -> ServerConnections {
        ServerConnections(Arc::new(ConnectionState {
            has_streams: AtomicBool::new(false),
            used_at: Mutex::default(),
            opened_at: Mutex::default(),
            drains: Arc::new(Semaphore::new(MOST_DRAINED)),
        }))
    }
}

impl ServerConnections {
    /// Whether to open a connection in advance, which is noted: not within `used` of a response, because one is open in all
    /// likelihood, and not within `pause` of the last attempt, so that calls that ring at once make one request.
    pub fn begin_opening(&self, used: Duration, pause: Duration) -> bool {
        let is_within = |at: Option<Instant>, time: Duration| at.is_some_and(|at| at.elapsed() < time);
        let used_at = *self.0.used_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened_at = self.0.opened_at.lock().unwrap_or_else(PoisonError::into_inner);
        if is_within(used_at, used) || is_within(*opened_at, pause) {
            return false;
        }
        *opened_at = Some(Instant::now());
        true
    }

    /// Sends a request; `None` when its task ended without a result. Dropping the future cancels the request.
    pub async fn send(&self, request: RequestBuilder) -> Option<Result<Response, reqwest::Error>> {
        let (answer, answered) = oneshot::channel();
        let exchange = self.clone().exchange(request, answer);
        tokio::spawn(exchange.in_current_span());
        answered.await.ok()
    }

    async fn exchange(
        self,
        request: RequestBuilder,
        mut answer: oneshot::Sender<Result<Response, reqwest::Error>>,
    ) {
        let mut sending = pin!(request.send());
        let result = tokio::select! {
            result = &mut sending => result,
            () = answer.closed() => {
                let Some(_permit) = self.drain_permit() else { return };
                match timeout(DRAIN_TIME, &mut sending).await {
                    Ok(result) => result,
                    Err(_) => return,
                }
            }
        };
        if let Ok(response) = &result {
            self.note(response.version());
        }
        if let Err(Ok(response)) = answer.send(result)
            && let Some(permit) = self.drain_permit()
        {
            drain(response.bytes_stream().boxed(), permit).await;
        }
    }

    /// The body of a response. Dropping it cancels the rest.
    pub fn body(&self, response: Response) -> ResponseBody {
        ResponseBody { connections: self.clone(), stream: Some(response.bytes_stream().boxed()) }
    }

    /// The permission to read a cancelled response; none where cancelling costs no connection.
    fn drain_permit(&self) -> Option<OwnedSemaphorePermit> {
        let has_streams = self.0.has_streams.load(Ordering::Relaxed);
        (!has_streams).then(|| self.0.drains.clone().try_acquire_owned().ok()).flatten()
    }

    fn note(&self, version: Version) {
        self.0.has_streams.store(version >= Version::HTTP_2, Ordering::Relaxed);
        *self.0.used_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

type BodyStream = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// The body of a response as it arrives.
pub struct ResponseBody {
    connections: ServerConnections,
    /// `None` once it has ended.
    stream: Option<BodyStream>,
}

impl Stream for ResponseBody {
    type Item = Result<Bytes, reqwest::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let piece = std::task::ready!(stream.poll_next_unpin(cx));
        if !matches!(piece, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(piece)
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take()
            && let Ok(runtime) = Handle::try_current()
            && let Some(permit) = self.connections.drain_permit()
        {
            runtime.spawn(drain(stream, permit));
        }
    }
}

/// Reads the rest of a cancelled response, as far as it is short.
async fn drain(mut stream: BodyStream, _permit: OwnedSemaphorePermit) {
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(piece)) = stream.next().await {
            let Some(rest) = left.checked_sub(piece.len()) else { return };
            left = rest;
        }
    };
    let _ = timeout(DRAIN_TIME, read).await;
}

#[cfg(test)]
mod http2_tests;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::engines::core::openai::{Endpoint, Settings};

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

    /// A server that keeps connections open, and counts them and the responses that it has sent whole.
    #[derive(Clone, Default)]
    struct KeepAlive {
        connections: Arc<AtomicUsize>,
        responses: Arc<AtomicUsize>,
        /// Lets one response go on.
        go_on: Arc<tokio::sync::Notify>,
        /// Responses have no end.
        endless: bool,
    }

    impl KeepAlive {
        async fn start(endless: bool) -> (KeepAlive, Endpoint) {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let server = KeepAlive { endless, ..KeepAlive::default() };
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let base_url = format!("http://{}", listener.local_addr().expect("an address"));
            let serving = server.clone();
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    serving.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serving.clone().serve(socket));
                }
            });
            let endpoint = Endpoint::new(&Settings { base_url, ..Settings::default() }).expect("an endpoint");
            (server, endpoint)
        }

        /// Sends the beginning of each response to a POST, and the rest when it is let go on.
        async fn serve(self, mut socket: TcpStream) {
            let mut request = Vec::new();
            while matches!(socket.read_buf(&mut request).await, Ok(1..)) {
                if !request.ends_with(b"\r\n\r\n") {
                    continue;
                }
                if request.starts_with(b"HEAD") {
                    let _ = socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
                } else {
                    self.respond(&mut socket, request.starts_with(b"POST /late")).await;
                }
                request.clear();
            }
        }

        async fn respond(&self, socket: &mut TcpStream, is_late: bool) {
            if is_late {
                self.go_on.notified().await;
            }
            let _ = socket.write_all(HEAD.as_bytes()).await;
            if !is_late {
                self.go_on.notified().await;
            }
            while self.endless && socket.write_all(b"5\r\nhello\r\n").await.is_ok() {}
            let _ = socket.write_all(b"0\r\n\r\n").await;
            self.responses.fetch_add(1, Ordering::SeqCst);
        }

        async fn until(&self, responses: usize) {
            let sent = async {
                while self.responses.load(Ordering::SeqCst) < responses {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(10), sent).await.expect("the responses are sent");
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::SeqCst)
        }
    }

    /// Makes a request once the connection of the one before is idle again.
    async fn reused(endpoint: &Endpoint, server: &KeepAlive) {
        // The pool takes the connection back when its response has been read to the end.
        let all = || endpoint.connections().0.drains.available_permits() == MOST_DRAINED;
        let idle = async {
            while !all() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), idle).await.expect("all is read");
        // The tasks of the connection and of the pool run; no bytes are missing.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let again = endpoint.send(endpoint.post("/x")).await.expect("a response");
        server.go_on.notify_one();
        assert_eq!(endpoint.body(again).count().await, 1);
    }

    #[tokio::test]
    async fn cancelling_a_response_keeps_the_connection() {
        let (server, endpoint) = KeepAlive::start(false).await;
        for n in 0..3 {
            let response = endpoint.send(endpoint.post("/x")).await.expect("a response");
            let mut body = endpoint.body(response);
            assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"hello"))));
            drop(body);
            server.go_on.notify_one();
            server.until(2 * n + 1).await;
            reused(&endpoint, &server).await;
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn cancelling_a_request_before_its_response_keeps_the_connection() {
        let (server, endpoint) = KeepAlive::start(false).await;
        let cancelled = timeout(Duration::from_millis(200), endpoint.send(endpoint.post("/late"))).await;
        assert!(cancelled.is_err(), "it is late");
        server.go_on.notify_one();
        server.until(1).await;
        reused(&endpoint, &server).await;
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn an_endless_response_is_not_read_to_its_end() {
        let (server, endpoint) = KeepAlive::start(true).await;
        let response = endpoint.send(endpoint.post("/x")).await.expect("a response");
        drop(endpoint.body(response));
        server.go_on.notify_one();
        server.until(1).await;
        assert!(endpoint.send(endpoint.post("/x")).await.is_ok());
        assert_eq!(server.connections(), 2);
    }

    #[tokio::test]
    async fn a_connection_is_opened_before_it_is_needed() {
        let (server, endpoint) = KeepAlive::start(false).await;
        endpoint.connect().await;
        endpoint.connect().await;
        assert_eq!(server.connections(), 1);
        reused(&endpoint, &server).await;
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_ring_at_once_open_one_connection() {
        let connections = ServerConnections::default();
        let (used, pause) = (Duration::from_secs(45), Duration::from_secs(10));
        let begun = || (0..20).filter(|_| connections.begin_opening(used, pause)).count();
        assert_eq!((begun(), begun()), (1, 0), "whether or not the server responds");
        tokio::time::advance(pause).await;
        assert_eq!(begun(), 1);
        connections.note(Version::HTTP_11);
        tokio::time::advance(pause).await;
        assert_eq!(begun(), 0, "a connection is open");
        tokio::time::advance(used).await;
        assert_eq!(begun(), 1);
    }

    /// The server has no certificate: only the client's first message is looked at.
    #[tokio::test]
    async fn http_2_is_offered() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("https://{}", listener.local_addr().expect("an address"));
        let endpoint = Endpoint::new(&Settings { base_url, ..Settings::default() }).expect("an endpoint");
        tokio::spawn(async move { endpoint.connect().await });
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let (mut acceptor, mut bytes) = (rustls::server::Acceptor::default(), Vec::new());
        let hello = loop {
            assert!(socket.read_buf(&mut bytes).await.expect("bytes") > 0);
            acceptor.read_tls(&mut std::mem::take(&mut bytes).as_slice()).expect("TLS");
            if let Ok(Some(accepted)) = acceptor.accept() {
                let protocols = accepted.client_hello().alpn().into_iter().flatten();
                break protocols.map(<[u8]>::to_vec).collect::<Vec<_>>();
            }
        };
        assert_eq!(hello, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
