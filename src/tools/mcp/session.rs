//! Sessions with MCP servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation,
    PaginatedRequestParams,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, serve_client};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::listing::ListedTool;
use super::transport::McpHttp;
use crate::tenancy::{McpServer, TenantId};
use crate::tools::ToolServices;
use crate::tools::reply::{cut, hidden, without};

/// The most pages and tools of a server's list, and its length in bytes.
const MAX_PAGES: usize = 10;
const MAX_LISTED: usize = 200;
const MAX_LENGTH: usize = 512 * 1024;

/// The longest description of an error, in characters.
const MAX_PROBLEM: usize = 300;

/// A session with a server. It ends, also on the server, when it is dropped.
pub(super) struct McpSession {
    client: RunningService<RoleClient, ClientConfig>,
    http: McpHttp,
    /// Of its headers: no result contains them.
    pub secrets: Vec<SecretString>,
}

impl McpSession {
    /// Begins a session. The time limit is the caller's.
    ///
    /// # Errors
    /// For the model: why there is none.
    pub async fn open(
        services: &ToolServices,
        tenant: TenantId,
        server: &McpServer,
    ) -> Result<McpSession, String> {
        let (headers, secrets) = services.headers(tenant, &server.headers, &server.secret_headers).await?;
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        let config = StreamableHttpClientTransportConfig::with_uri(server.url.as_str())
            .custom_headers(headers.collect::<HashMap<_, _>>());
        let http = McpHttp::new(services.client.for_tenant(tenant.0), server.timeout());
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        let vca = Implementation::new("vca", env!("CARGO_PKG_VERSION"));
        let client = serve_client(ClientConfig::new(ClientCapabilities::default(), vca), transport).await;
        match client {
            Ok(client) => Ok(McpSession { client, http, secrets }),
            Err(error) => Err(described(
                &http,
                &secrets,
                match error {
                    ClientInitializeError::JsonRpcError(error) => Some(error.message.to_string()),
                    _ => None,
                },
            )),
        }
    }

    /// The server's tools, at most [`MAX_LISTED`].
    ///
    /// # Errors
    /// Why there is no list.
    pub async fn list(&self) -> Result<Vec<ListedTool>, String> {
        let (mut tools, mut cursor) = (Vec::<ListedTool>::new(), None);
        for _ in 0..MAX_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.client.list_tools(Some(page)).await.map_err(|error| self.problem(error))?;
            tools.extend(page.tools.into_iter().map(ListedTool::from));
            if tools.iter().map(ListedTool::length).sum::<usize>() > MAX_LENGTH {
                return Err(format!("the list of tools is longer than {MAX_LENGTH} bytes"));
            }
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() >= MAX_LISTED {
                break;
            }
        }
        tools.truncate(MAX_LISTED);
        Ok(tools)
    }

    /// Calls a tool once.
    ///
    /// # Errors
    /// For the model: why there is no result.
    pub async fn call(&self, call: CallToolRequestParams) -> Result<CallToolResponse, String> {
        self.client.call_tool_once(call).await.map_err(|error| self.problem(error))
    }

    fn problem(&self, error: ServiceError) -> String {
        described(
            &self.http,
            &self.secrets,
            match error {
                ServiceError::McpError(error) => Some(error.message.to_string()),
                _ => None,
            },
        )
    }
}

/// A failure of the HTTP requests, else the server's own words, else a general description.
fn described(http: &McpHttp, secrets: &[SecretString], message: Option<String>) -> String {
    let failure = http.take_failure().map(|failure| failure.to_string());
    let text = failure.or(message).unwrap_or_else(|| "the server does not follow the protocol".to_owned());
    cut(&without(&hidden(secrets), &text), MAX_PROBLEM)
}

/// Where a session is opened, by one task at a time, and kept.
type SessionPlace = Arc<OnceCell<Arc<McpSession>>>;

/// The sessions of one call, by server.
#[derive(Default)]
pub struct McpSessions {
    places: Mutex<HashMap<[u8; 32], SessionPlace>>,
}

impl McpSessions {
    fn places(&self) -> MutexGuard<'_, HashMap<[u8; 32], SessionPlace>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call's session with a server, which begins with the first tool.
    ///
    /// # Errors
    /// As of [`McpSession::open`].
    pub(super) async fn with(
        &self,
        services: &ToolServices,
        tenant: TenantId,
        server: &McpServer,
    ) -> Result<Arc<McpSession>, String> {
        let place = self.places().entry(server.key()).or_default().clone();
        let open = || async { McpSession::open(services, tenant, server).await.map(Arc::new) };
        place.get_or_try_init(open).await.cloned()
    }

    /// Ends a session that may be out of order: the next tool begins another one. A session that is being opened stays.
    pub(super) fn end(&self, server: &McpServer) {
        let key = server.key();
        let mut places = self.places();
        if places.get(&key).is_some_and(|place| place.initialized()) {
            places.remove(&key);
        }
    }
}
