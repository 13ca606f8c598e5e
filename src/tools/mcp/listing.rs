//! Lists of servers' tools, kept for some minutes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use rmcp::model::Tool;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::session::McpSession;
use crate::tenancy::{McpServer, TenantId};
use crate::tools::ToolServices;

/// How long a list is kept, and how long a failure, so that a server that is down is not asked by each call.
const KEPT: Duration = Duration::from_secs(5 * 60);
const FAILURE_KEPT: Duration = Duration::from_secs(20);

/// The lists that are kept at the same time.
const MAX_LISTS: usize = 1_000;
/// Those of one tenant, so that it does not displace the lists of others.
const MAX_LISTS_OF_TENANT: usize = 50;

/// The longest description of a tool, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// A tool as a server lists it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tools) struct ListedTool {
    pub name: String,
    pub description: String,
    /// JSON schema of the arguments, as text, which needs a fraction of a value's memory.
    schema: String,
    /// Of name, description and schema.
    pub fingerprint: String,
}

impl ListedTool {
    /// JSON schema of the arguments.
    pub fn schema(&self) -> Value {
        serde_json::from_str(&self.schema).unwrap_or_default()
    }

    /// In bytes.
    pub fn length(&self) -> usize {
        self.name.len() + self.description.len() + self.schema.len()
    }
}

impl From<Tool> for ListedTool {
    fn from(tool: Tool) -> ListedTool {
        let schema = Value::Object(tool.input_schema.as_ref().clone());
        let description = tool.description.or(tool.title.map(Into::into)).unwrap_or_default();
        let identity = json!([tool.name, description, schema]);
        let fingerprint = Sha256::digest(identity.to_string());
        ListedTool {
            name: tool.name.into_owned(),
            description: description.chars().take(MAX_DESCRIPTION).collect(),
            schema: schema.to_string(),
            fingerprint: fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// Why there is no list, or the list.
pub(in crate::tools) type Listing = Result<Arc<[ListedTool]>, String>;

/// Listed by one task at a time.
type ListingPlace = Arc<tokio::sync::Mutex<Option<(Instant, Listing)>>>;

/// Lists by tenant and server.
#[derive(Default)]
pub(in crate::tools) struct McpListings {
    places: Mutex<HashMap<(TenantId, [u8; 32]), ListingPlace>>,
}

impl McpListings {
    fn place(&self, tenant: TenantId, server: &McpServer) -> ListingPlace {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, server.key());
        if !places.contains_key(&key) {
            let of_tenant = places.keys().filter(|(owner, _)| *owner == tenant).count();
            if of_tenant >= MAX_LISTS_OF_TENANT {
                places.retain(|(owner, _), place| *owner != tenant || is_waited_for(place));
            }
            if places.len() >= MAX_LISTS {
                places.retain(|_, place| is_waited_for(place));
            }
        }
        places.entry(key).or_default().clone()
    }
}

/// A call waits for the list.
fn is_waited_for(place: &ListingPlace) -> bool {
    Arc::strong_count(place) > 1
}

/// The tools of a server: as they are kept, or as the server lists them now.
///
/// # Errors
/// Why there is no list.
pub(in crate::tools) async fn list(services: &ToolServices, tenant: TenantId, server: &McpServer) -> Listing {
    let place = services.listings.place(tenant, server);
    let mut place = place.lock().await;
    if let Some((at, listing)) = &*place {
        let kept = if listing.is_ok() { KEPT } else { FAILURE_KEPT };
        if at.elapsed() < kept {
            return listing.clone();
        }
    }
    // A refusal for the tenant's load is no failure of the server, and is not kept.
    let _slot = services.slot(tenant).ok_or_else(no_slot)?;
    let listing = asked(services, tenant, server).await;
    let outcome = if listing.is_ok() { "succeeded" } else { "failed" };
    counter!("vca_mcp_listings_total", "outcome" => outcome).increment(1);
    *place = Some((Instant::now(), listing.clone()));
    listing
}

/// Asks the server, in a session of its own.
///
/// # Errors
/// Why there is no list.
pub(in crate::tools) async fn list_now(
    services: &ToolServices,
    tenant: TenantId,
    server: &McpServer,
) -> Listing {
    let _slot = services.slot(tenant).ok_or_else(no_slot)?;
    asked(services, tenant, server).await
}

fn no_slot() -> String {
    "too many tools of the tenant are running".to_owned()
}

async fn asked(services: &ToolServices, tenant: TenantId, server: &McpServer) -> Listing {
    let listed = async { McpSession::open(services, tenant, server).await?.list().await };
    let limit = server.timeout();
    let tools = timeout(limit, listed).await;
    let tools = tools.map_err(|_| format!("no list of tools within {} ms", limit.as_millis()))??;
    Ok(tools.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: usize) -> McpServer {
        let server = json!({ "name": "shop", "url": format!("https://example.com/{number}") });
        serde_json::from_value(server).expect("a server")
    }

    #[test]
    fn a_tenant_with_many_servers_displaces_its_own_lists_only() {
        let listings = McpListings::default();
        let (tenant, other) = (TenantId::new(), TenantId::new());
        drop(listings.place(other, &server(0)));
        let waited_for = listings.place(tenant, &server(0));
        for number in 1..=2 * MAX_LISTS_OF_TENANT {
            drop(listings.place(tenant, &server(number)));
        }
        {
            let places = listings.places.lock().expect("no panic");
            assert!(places.contains_key(&(other, server(0).key())));
            assert!(places.contains_key(&(tenant, server(0).key())));
            assert!(places.len() <= 1 + MAX_LISTS_OF_TENANT);
        }
        drop(waited_for);
    }
}
