//! Shared by the tools of all calls: the HTTP client, tenants' secrets, lists of MCP servers' tools, and the limit for each
//! tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::mcp::McpListings;
use crate::egress::{DestinationPolicy, EgressClient};
use crate::store::{Store, StoreError};
use crate::tenancy::TenantId;

/// `[tools]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether HTTP and MCP tools may reach loopback, private and other addresses that are not public. Default false.
    pub allow_private_targets: bool,
    /// Whether HTTP and MCP tools may reach servers without TLS. Default false.
    pub allow_http: bool,
    /// HTTP and MCP tools of one tenant that run at the same time. Default 50.
    pub max_concurrent_per_tenant: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { allow_private_targets: false, allow_http: false, max_concurrent_per_tenant: 50 }
    }
}

/// The longest time until the head of a response; each tool has a limit of its own.
const LONGEST: Duration = Duration::from_secs(30);

/// Secrets of tenants, for the headers of requests.
pub trait Secrets: Send + Sync {
    /// # Errors
    /// Why there is none, for the model: without the secret.
    fn open<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<SecretString, String>>;
}

impl Secrets for Store {
    fn open<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<SecretString, String>> {
        async move {
            let secret = self.scope(tenant).open_tool_secret(name).await;
            secret.map_err(|error| match error {
                // The tenant's mistake.
                StoreError::NotFound => format!("the tenant has no secret {name:?}"),
                error => {
                    tracing::warn!(tenant_id = %tenant, name, %error, "a tool's secret cannot be read");
                    format!("the secret {name:?} of this tool cannot be read")
                }
            })
        }
        .boxed()
    }
}

pub struct ToolServices {
    pub(super) client: EgressClient,
    secrets: Box<dyn Secrets>,
    pub(super) listings: McpListings,
    slots: Arc<TenantSlots>,
}

impl ToolServices {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: &Settings, secrets: impl Secrets + 'static) -> Result<ToolServices, reqwest::Error> {
        let policy = DestinationPolicy {
            allow_private: settings.allow_private_targets,
            allow_http: settings.allow_http,
        };
        let slots = TenantSlots { most: settings.max_concurrent_per_tenant, taken: Mutex::default() };
        Ok(ToolServices {
            client: EgressClient::new(policy, LONGEST)?,
            secrets: Box::new(secrets),
            listings: McpListings::default(),
            slots: Arc::new(slots),
        })
    }

    /// The headers of a tenant's requests, and the secrets in them.
    ///
    /// # Errors
    /// For the model: a header that cannot be sent, or a secret that cannot be read.
    pub(super) async fn headers(
        &self,
        tenant: TenantId,
        plain: &BTreeMap<String, String>,
        secret: &BTreeMap<String, String>,
    ) -> Result<(HeaderMap, Vec<SecretString>), String> {
        let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, value) in plain {
            headers.insert(header_name(name)?, header_value(value)?);
        }
        for (name, secret) in secret {
            let secret = self.secrets.open(tenant, secret).await?;
            let mut value = header_value(secret.expose_secret())?;
            value.set_sensitive(true);
            headers.insert(header_name(name)?, value);
            secrets.push(secret);
        }
        Ok((headers, secrets))
    }

    /// A place for a tool of a tenant; `None` when the tenant has its maximum.
    pub(super) fn slot(&self, tenant: TenantId) -> Option<TenantSlot> {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(tenant).or_default();
        if *count >= self.slots.most {
            return None;
        }
        *count += 1;
        Some(TenantSlot { slots: self.slots.clone(), tenant })
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("{name:?} is no name of a header"))
}

pub(super) fn header_value(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| "a header has a value that cannot be sent".to_owned())
}

struct TenantSlots {
    most: usize,
    taken: Mutex<HashMap<TenantId, usize>>,
}

/// Gives the place back when it is dropped.
pub(super) struct TenantSlot {
    slots: Arc<TenantSlots>,
    tenant: TenantId,
}

impl Drop for TenantSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}
