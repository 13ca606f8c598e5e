//! `fake`: confirms every request and does nothing. For development; refused in production.

use futures_util::future::{BoxFuture, FutureExt};

use super::{
    CallMetadata, EventKind, ProviderCallEvent, Provisioned, TelephonyAdapter, TelephonyError, TenantNumber,
};
use crate::tenancy::ProviderState;

#[derive(Debug)]
pub struct Fake(());

const DONE: &str = "nothing was done: this provider is for development";

impl Fake {
    /// # Errors
    /// `Forbidden` in production, regardless of the settings; `NotConfigured` where it is not enabled.
    pub fn new(wanted: bool, production: bool) -> Result<Fake, TelephonyError> {
        match (production, wanted) {
            (true, _) => Err(TelephonyError::Forbidden(
                "the provider fake is for development: there is none in production",
            )),
            (false, true) => Ok(Fake(())),
            (false, false) => Err(TelephonyError::NotConfigured {
                provider: "fake",
                missing: "telephony.fake = true, on a machine for development".into(),
            }),
        }
    }
}

impl TelephonyAdapter for Fake {
    fn register_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        let reference = format!("fake-{}", number.phone_number_id);
        async move { Ok(Provisioned::new(ProviderState::Registered, DONE).with_reference(reference)) }.boxed()
    }

    fn unregister_number<'a>(
        &'a self,
        _: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        async move { Ok(Provisioned::new(ProviderState::Unregistered, DONE)) }.boxed()
    }

    fn on_inbound_call(&self, call: CallMetadata) -> BoxFuture<'_, ProviderCallEvent> {
        async { ProviderCallEvent::new(EventKind::Ringing, call, Some("a number of the provider fake")) }
            .boxed()
    }
}
