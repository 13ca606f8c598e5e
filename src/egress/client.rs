//! The HTTP client. URLs and addresses appear in no error.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use tokio::time::timeout;
use uuid::Uuid;

use super::lookups::{NameLookups, TENANT};
use super::policy::{DestinationError, DestinationPolicy, DestinationResolver};

/// The part of a response's body that is read, so that the connection can be reused, and the time limit for it.
const MAX_DRAINED: usize = 16 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest description of an error, in characters.
const MAX_CAUSE: usize = 200;

/// An HTTP client for the destinations that a [`DestinationPolicy`] allows. Requests are those of a tenant
/// ([`EgressClient::for_tenant`]), so that none escapes the limit of the tenant's lookups.
pub struct EgressClient {
    http: Client,
    policy: DestinationPolicy,
    time_limit: Duration,
}

/// The client for the requests of one tenant, whose lookups leave places for those of others. It shares its connections
/// with all tenants.
#[derive(Clone)]
pub struct TenantClient {
    http: Client,
    policy: DestinationPolicy,
    time_limit: Duration,
    tenant: Uuid,
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    #[error(transparent)]
    Refused(#[from] DestinationError),
    #[error("no response within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// The step that failed, with its last cause.
    #[error("{0}")]
    Failed(String),
}

impl EgressClient {
    /// `time_limit` is for a request until the head of its response, connecting included.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(policy: DestinationPolicy, time_limit: Duration) -> Result<EgressClient, reqwest::Error> {
        // A proxy would resolve names itself, and a redirect would bypass the policy.
        let http = Client::builder()
            .dns_resolver(DestinationResolver::new(policy, NameLookups::default()))
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("vca/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(EgressClient { http, policy, time_limit })
    }

    /// The client for the requests of one tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: Uuid) -> TenantClient {
        let EgressClient { http, policy, time_limit } = self;
        TenantClient { http: http.clone(), policy: *policy, time_limit: *time_limit, tenant }
    }
}

impl TenantClient {
    /// Begins a request, for [`TenantClient::send`].
    ///
    /// # Errors
    /// For a URL that the policy refuses.
    pub fn post(&self, url: &str) -> Result<RequestBuilder, DestinationError> {
        Ok(self.http.post(self.policy.check(url)?))
    }

    /// Begins a request with any method, for [`TenantClient::send`].
    ///
    /// # Errors
    /// For a URL that the policy refuses.
    pub fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, DestinationError> {
        Ok(self.http.request(method, self.policy.check(url)?))
    }

    /// # Errors
    /// When the name leads to refused addresses, and when there is no response within the time limit.
    pub async fn send(&self, request: RequestBuilder) -> Result<EgressResponse, EgressError> {
        match TENANT.scope(self.tenant, timeout(self.time_limit, request.send())).await {
            Ok(Ok(response)) => Ok(EgressResponse(response)),
            Ok(Err(error)) => Err(described(&error)),
            Err(_) => Err(EgressError::TimedOut(self.time_limit)),
        }
    }
}

/// The response to a request.
pub struct EgressResponse(Response);

impl EgressResponse {
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is longer than `most` bytes, and when the connection breaks. The time limit is the caller's.
    pub async fn read(mut self, most: usize) -> Result<Vec<u8>, EgressError> {
        let mut body = Vec::new();
        while let Some(piece) = self.0.chunk().await.map_err(|error| described(&error))? {
            if body.len() + piece.len() > most {
                return Err(EgressError::TooLong(most));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The body in pieces, as they arrive. An error ends it when it is longer than `most` bytes, and when the connection
    /// breaks. The time limit is the caller's.
    pub fn pieces(self, most: usize) -> impl Stream<Item = Result<Bytes, EgressError>> + Send {
        stream::try_unfold((self.0, most), move |(mut response, left)| async move {
            let Some(piece) = response.chunk().await.map_err(|error| described(&error))? else {
                return Ok(None);
            };
            let left = left.checked_sub(piece.len()).ok_or(EgressError::TooLong(most))?;
            Ok(Some((piece, (response, left))))
        })
    }

    /// Reads and drops the body, so that the connection can be reused. Gives up on a body that is long or slow.
    pub async fn drain(self) {
        let _ = timeout(DRAIN_TIMEOUT, read_off(self.0)).await;
    }
}

async fn read_off(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read > MAX_DRAINED {
            break;
        }
    }
}

/// An error by its last cause, which contains neither the URL nor an address.
fn described(error: &reqwest::Error) -> EgressError {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if let Some(refused) = cause.downcast_ref::<DestinationError>() {
            return EgressError::Refused(*refused);
        }
    }
    let step = if error.is_connect() { "cannot connect" } else { "no answer" };
    if std::ptr::addr_eq(cause, error) {
        return EgressError::Failed(step.to_owned());
    }
    EgressError::Failed(format!("{step}: {cause}").chars().take(MAX_CAUSE).collect())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(300);

    fn shared(allow_private: bool) -> EgressClient {
        let _ = rustls::crypto::ring::default_provider().install_default();
        EgressClient::new(DestinationPolicy { allow_private, allow_http: true }, LIMIT)
            .expect("TLS can be set up")
    }

    fn client(allow_private: bool) -> TenantClient {
        shared(allow_private).for_tenant(Uuid::now_v7())
    }

    /// A server that responds to each connection with `head`, and counts connections.
    async fn server(head: &'static str) -> (String, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let connections = async move {
            let mut count = 0;
            while let Ok(Ok((mut stream, _))) = timeout(3 * LIMIT, listener.accept()).await {
                count += 1;
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head.as_bytes()).await;
                if head.is_empty() {
                    tokio::time::sleep(2 * LIMIT).await;
                }
            }
            count
        };
        (url, tokio::spawn(connections))
    }

    async fn ask(client: &TenantClient, url: &str) -> Result<EgressResponse, EgressError> {
        client.send(client.post(url)?).await
    }

    #[tokio::test]
    async fn a_redirect_is_returned_and_not_followed() {
        let (url, connections) = server(
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
        .await;
        let response = ask(&client(true), &url).await.expect("a response");
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(response.headers()["location"], "/elsewhere");
        response.drain().await;
        assert_eq!(connections.await.expect("the server"), 1);
    }

    #[tokio::test]
    async fn a_server_that_does_not_respond_times_out() {
        let (url, _connections) = server("").await;
        let error = ask(&client(true), &url).await.err();
        assert_eq!(error, Some(EgressError::TimedOut(LIMIT)));
    }

    #[tokio::test]
    async fn private_addresses_are_refused_before_a_connection() {
        let (url, connections) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let error = ask(&client(false), &url).await.err();
        assert_eq!(error, Some(EgressError::Refused(DestinationError::Address("loopback"))));
        assert_eq!(connections.await.expect("the server"), 0);
    }

    /// The URL passes, as a name in DNS would that leads to a private address; the resolver refuses.
    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused_while_resolving() {
        let (url, connections) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let url = url.replace("127.0.0.1", "localhost");
        let strict = client(false);
        let error = strict.send(strict.http.post(url)).await.err();
        assert_eq!(error, Some(EgressError::Refused(DestinationError::Address("loopback"))));
        assert_eq!(connections.await.expect("the server"), 0);
    }

    #[tokio::test]
    async fn the_lookups_of_a_request_are_those_of_its_tenant() {
        let (url, _connections) = server("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        let url = url.replace("127.0.0.1", "localhost");
        let policy = DestinationPolicy { allow_private: true, allow_http: true };
        let lookups = NameLookups::default();
        let resolver = DestinationResolver::new(policy, lookups.clone());
        // Also installs the TLS provider that the builder below requires.
        let usual = shared(true);
        let http = Client::builder().dns_resolver(resolver).no_proxy().build().expect("a client");
        let shared = EgressClient { http, ..usual };
        let [one, other] = [(); 2].map(|()| Uuid::now_v7());
        let held = lookups.all_of_tenant(one).await;
        assert_eq!(ask(&shared.for_tenant(one), &url).await.err(), Some(EgressError::TimedOut(LIMIT)));
        assert!(ask(&shared.for_tenant(other), &url).await.is_ok());
        drop(held);
        assert!(ask(&shared.for_tenant(one), &url).await.is_ok());
    }

    #[tokio::test]
    async fn a_refused_connection_is_described_without_its_address() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        drop(listener);
        let error = ask(&client(true), &url).await.err().expect("an error").to_string();
        assert!(error.starts_with("cannot connect") && !error.contains("127.0.0.1"), "{error}");
    }
}
