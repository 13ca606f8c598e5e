//! A trial of an HTTP tool, outside of a call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ToolServices;
use super::http::{HttpCall, KeptValues, ToolReply};
use crate::tenancy::{HttpTool, TenantId};

/// The result of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToolTrial {
    /// `succeeded`, `failed`, `timed_out` or `refused`.
    pub outcome: &'static str,
    /// The text that the model would read.
    pub result: String,
    /// The fields of the response that a call would keep as variables.
    #[schema(value_type = Object)]
    pub variables: BTreeMap<String, Value>,
    pub duration_ms: u64,
}

/// Sends the request of a tool with these arguments, as a call would.
pub async fn try_out(
    services: &ToolServices,
    tool: HttpTool,
    tenant: TenantId,
    arguments: &Value,
) -> ToolTrial {
    let began = Instant::now();
    let key = Uuid::now_v7().to_string();
    let arguments = arguments.to_string();
    let request = HttpCall::new(Arc::new(tool), tenant, &arguments, &BTreeMap::new(), KeptValues::new(), key);
    let outcome = match (request, services.slot(tenant)) {
        (Ok(request), Some(_slot)) => request.send(services).await,
        (Ok(_), None) => ToolReply::refused("too many tools of the tenant are running"),
        (Err(reason), _) => ToolReply::refused(&reason),
    };
    ToolTrial {
        outcome: outcome.outcome.as_str(),
        result: outcome.result.as_ref().to_owned(),
        variables: outcome.kept,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
