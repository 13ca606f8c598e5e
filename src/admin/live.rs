//! What the HTTP port asks of calls that are under way.

use futures_util::stream::BoxStream;

use crate::tenancy::{Call, CallId, LiveEvent, TenantId};

/// The calls under way, as the daemon has them.
pub trait LiveCalls: Send + Sync {
    /// A tenant's, or everybody's, newest first.
    fn calls(&self, tenant: Option<TenantId>) -> Vec<Call>;

    /// Ends a tenant's call politely. False when it is not under way.
    fn hang_up(&self, tenant: TenantId, call: CallId) -> bool;

    /// What has happened on a tenant's call after the event `after` and happens from now on.
    ///
    /// # Errors
    /// When there is nothing to watch, or are too many who do.
    fn events(
        &self,
        tenant: TenantId,
        call: CallId,
        after: u64,
    ) -> Result<BoxStream<'static, LiveEvent>, Unwatched>;
}

/// Why a call cannot be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwatched {
    /// It is not under way.
    NotLive,
    TooManyReaders,
}
