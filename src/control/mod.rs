//! Use cases: what may be done with tenants and their data, and by which rules. The HTTP API and the command line both call
//! these, so that neither accepts what the other refuses.
//!
//! It holds no SQL and knows neither HTTP nor the command line.

mod analysis;
mod engine_credentials;
mod erasure;
mod feedback;
mod inventory;
mod keys;
mod names;
mod numbers;
mod pre_call;
mod profiles;
mod retention;
mod routing;
mod targets;
mod tenants;
mod tools;
mod upkeep;
mod webhooks;

#[cfg(test)]
mod tests;

pub use analysis::try_analysis;
pub use engine_credentials::{
    TenantEngines, create_engine_credential, permitted_of, replace_engine_credential, test_engine_credential,
};
pub use erasure::{ErasureRequest, erase};
pub use feedback::create_feedback;
pub use inventory::{add_inventory_number, put_inventory_number, update_inventory_number};
pub use keys::{Keys, try_rotation};
use names::{check_key_name, check_tenant_name};
pub use numbers::{GivenBy, NumberRequest, create_number, read_number, release_number, update_number};
pub use pre_call::{PreCallTrial, set_pre_call_webhook, test_pre_call_webhook};
pub use profiles::{create_profile, roll_back_profile, update_profile};
pub use retention::{RetentionRun, TenantExpired, count_expired};
pub use routing::{compare_routing, roll_back_routing, set_number_routing};
pub use targets::{create_target, update_target};
pub use tenants::{
    Unregistering, change_tenant, create_tenant, delete_tenant, delete_tenant_if, purge_tenant,
};
pub use tools::{create_tool_secret, list_mcp_tools, replace_tool_secret, test_mcp_tool, test_tool};
pub use upkeep::keep_up;
pub use webhooks::{create_webhook, update_webhook};

use crate::store::StoreError;
use crate::violation::Violation;

/// The precondition of a change that is made in every state of a resource.
///
/// # Errors
/// None.
pub fn in_any_state<T, E>(_: &T) -> Result<(), E> {
    Ok(())
}

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Fields with values that are not accepted.
    #[error("{}", listed(.0))]
    Invalid(Vec<Violation>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlError {
    fn field(field: &str, problem: impl Into<String>) -> ControlError {
        ControlError::Invalid(vec![Violation::new(field, problem)])
    }

    /// `Invalid` if there is a violation.
    fn unless_none(violations: impl IntoIterator<Item = Violation>) -> Result<(), ControlError> {
        let violations: Vec<Violation> = violations.into_iter().collect();
        if violations.is_empty() { Ok(()) } else { Err(ControlError::Invalid(violations)) }
    }
}

fn listed(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
