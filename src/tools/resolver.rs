//! The request to the endpoint of a transfer target, which names the place that the caller goes to.

use super::ToolServices;
use crate::egress::EgressError;
use crate::tenancy::{ResolveRequest, ResolvedTarget, TargetResolver, TenantId};

/// The longest body of a response, in bytes.
const MAX_RESPONSE: usize = 16 * 1024;

/// Asks an endpoint, within the resolver's time limit.
///
/// # Errors
/// Why there is no place, for the log: without the URL and without secrets.
pub async fn resolve(
    services: &ToolServices,
    tenant: TenantId,
    url: &str,
    resolver: &TargetResolver,
    request: &ResolveRequest,
) -> Result<ResolvedTarget, String> {
    let Some(_slot) = services.slot(tenant) else {
        return Err("the tenant has tools.max_concurrent_per_tenant requests running".to_owned());
    };
    let limit = resolver.timeout();
    match tokio::time::timeout(limit, ask(services, tenant, url, resolver, request)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no response within {} ms", limit.as_millis())),
    }
}

async fn ask(
    services: &ToolServices,
    tenant: TenantId,
    url: &str,
    resolver: &TargetResolver,
    request: &ResolveRequest,
) -> Result<ResolvedTarget, String> {
    let (headers, _) = services.headers(tenant, &resolver.headers, &resolver.secret_headers).await?;
    let described = |error: EgressError| error.to_string();
    let client = services.client.for_tenant(tenant.0);
    let post = client.post(url).map_err(|error| error.to_string())?;
    let response = client.send(post.headers(headers).json(request)).await.map_err(described)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    let body = response.read(MAX_RESPONSE).await.map_err(described)?;
    ResolvedTarget::read(&body).map_err(str::to_owned)
}

#[cfg(test)]
mod tests;
