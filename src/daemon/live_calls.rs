//! The API's access to calls in progress, through the switchboard.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use crate::admin::{LiveCalls, WatchError};
use crate::call::Unheard;
use crate::switchboard::Switchboard;
use crate::tenancy::{Call, CallId, LiveCommand, LiveEvent, LiveRefusal, TenantId};

/// The API's access to calls in progress.
pub struct SwitchboardCalls(pub Switchboard);

impl LiveCalls for SwitchboardCalls {
    fn calls(&self, tenant: Option<TenantId>) -> Vec<Call> {
        self.0.calls_of(tenant)
    }

    fn muted(&self, tenant: Option<TenantId>) -> Vec<CallId> {
        self.0.muted(tenant)
    }

    fn command(
        &self,
        tenant: TenantId,
        call: CallId,
        command: LiveCommand,
    ) -> BoxFuture<'_, Result<(), LiveRefusal>> {
        self.0.command(tenant, call, command).boxed()
    }

    fn events(
        &self,
        tenant: TenantId,
        call: CallId,
        after: u64,
    ) -> Result<BoxStream<'static, LiveEvent>, WatchError> {
        let view = self.0.view(tenant, call).ok_or(WatchError::NotLive)?;
        view.events(after).map(StreamExt::boxed).map_err(|_| WatchError::TooManyReaders)
    }

    fn audio(&self, tenant: TenantId, call: CallId) -> Result<BoxStream<'static, Bytes>, WatchError> {
        let view = self.0.view(tenant, call).ok_or(WatchError::NotLive)?;
        view.listen().map(StreamExt::boxed).map_err(|unheard| match unheard {
            Unheard::NoAudio => WatchError::NotLive,
            Unheard::TooManyListeners => WatchError::TooManyReaders,
        })
    }
}
