//! Deleting tenants, erasing personal data, and deleting what is older than a tenant's retention.
//!
//! A tenant is deleted in one transaction and for good; its rows stay until it is purged. A purge and the retention delete
//! in small batches, each a transaction of its own, so that they hold up no other writer and can be repeated after a crash.

mod erasure;
mod letters;
mod purge;
mod retention;
pub(super) mod tables;
mod tenant;

#[cfg(test)]
mod tests;

pub use erasure::{Erased, Subject};
pub use purge::{PurgeSettings, Purged};
pub use retention::Expired;
pub use tenant::Deleted;

/// Rows that one transaction deletes.
const BATCH: i64 = 500;
