//! The API's access to calls in progress, through the switchboard.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::admin::{LiveCalls, Unwatched};
use crate::call::Unheard;
use crate::switchboard::Switchboard;
use crate::tenancy::{Call, CallId, LiveEvent, TenantId};

/// The API's access to calls in progress.
pub struct Lines(pub Switchboard);

impl LiveCalls for Lines {
    fn calls(&self, tenant: Option<TenantId>) -> Vec<Call> {
        self.0.calls_of(tenant)
    }

    fn hang_up(&self, tenant: TenantId, call: CallId) -> bool {
        self.0.hang_up(tenant, call)
    }

    fn events(
        &self,
        tenant: TenantId,
        call: CallId,
        after: u64,
    ) -> Result<BoxStream<'static, LiveEvent>, Unwatched> {
        let view = self.0.view(tenant, call).ok_or(Unwatched::NotLive)?;
        view.events(after).map(StreamExt::boxed).map_err(|_| Unwatched::TooManyReaders)
    }

    fn audio(&self, tenant: TenantId, call: CallId) -> Result<BoxStream<'static, Bytes>, Unwatched> {
        let view = self.0.view(tenant, call).ok_or(Unwatched::NotLive)?;
        view.listen().map(StreamExt::boxed).map_err(|unheard| match unheard {
            Unheard::NoAudio => Unwatched::NotLive,
            Unheard::TooManyListeners => Unwatched::TooManyReaders,
        })
    }
}
