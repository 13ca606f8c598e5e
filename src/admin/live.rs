//! The interface between the HTTP port and calls in progress.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::tenancy::{Call, CallId, LiveCommand, LiveEvent, LiveRefusal, TenantId};

/// The calls in progress, as the daemon has them.
pub trait LiveCalls: Send + Sync {
    /// The calls of a tenant, or all calls, newest first.
    fn calls(&self, tenant: Option<TenantId>) -> Vec<Call>;

    /// Those of them whose agents are muted.
    fn muted(&self, tenant: Option<TenantId>) -> Vec<CallId>;

    /// Gives a command to a tenant's call.
    ///
    /// # Errors
    /// Why the call does not carry it out.
    fn command(
        &self,
        tenant: TenantId,
        call: CallId,
        command: LiveCommand,
    ) -> BoxFuture<'_, Result<(), LiveRefusal>>;

    /// The events of a tenant's call after `after`: past ones, then new ones.
    ///
    /// # Errors
    /// When there is no such call in progress, or it has too many readers.
    fn events(
        &self,
        tenant: TenantId,
        call: CallId,
        after: u64,
    ) -> Result<BoxStream<'static, LiveEvent>, WatchError>;

    /// The audio of a tenant's call from now on, as WAV.
    ///
    /// # Errors
    /// When there is no such call with audio, or it has a listener already.
    fn audio(&self, tenant: TenantId, call: CallId) -> Result<BoxStream<'static, Bytes>, WatchError>;
}

/// Why a call cannot be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchError {
    /// It is not in progress, or has no audio.
    NotLive,
    TooManyReaders,
}
