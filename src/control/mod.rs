//! Use cases: what may be done with tenants and their data, and by which rules. The HTTP API and the command line both call
//! these, so that neither accepts what the other refuses.
//!
//! It holds no SQL and knows neither HTTP nor the command line.

mod erasure;
mod names;
mod retention;
mod tenants;
mod upkeep;

#[cfg(test)]
mod tests;

pub use erasure::{ErasureRequest, erase};
pub use names::{check_key_name, check_tenant_name};
pub use retention::{RetentionRun, TenantExpired, count_expired};
pub use tenants::{
    Unregistering, change_tenant, create_tenant, delete_tenant, delete_tenant_if, purge_tenant,
};
pub use upkeep::keep_up;

use crate::store::StoreError;
use crate::tenancy::Flaw;

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Fields whose values are not acceptable.
    #[error("{}", listed(.0))]
    Invalid(Vec<Flaw>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlError {
    fn field(field: &str, problem: impl Into<String>) -> ControlError {
        ControlError::Invalid(vec![Flaw::new(field, problem)])
    }
}

fn listed(flaws: &[Flaw]) -> String {
    flaws.iter().map(|flaw| format!("{}: {}", flaw.field, flaw.problem)).collect::<Vec<_>>().join("; ")
}
