//! Requests to addresses that tenants name: an HTTP client that reaches public addresses only, with timeouts, without a
//! proxy and without following redirects.

mod addresses;
mod client;
mod guard;
mod lookups;
mod policy;

pub use client::{EgressClient, EgressError, EgressResponse, TenantClient};
pub use guard::Guard;
pub use policy::{DestinationError, DestinationPolicy};
