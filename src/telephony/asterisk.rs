//! `asterisk` and `generic`: the dialplan routes the number already, so there is nothing to provision.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Provisioned, TelephonyAdapter, TelephonyError, TenantNumber};
use crate::ari::answer::Application;
use crate::ari::{Client, Request};
use crate::tenancy::ProviderState;

pub struct Asterisk {
    client: Arc<Client>,
    app: String,
}

impl Asterisk {
    pub fn new(client: Arc<Client>, app: &str) -> Asterisk {
        Asterisk { client, app: app.to_owned() }
    }

    /// Calls that the dialplan sends to the Stasis application arrive, if it is registered.
    async fn check(&self) -> Result<Provisioned, TelephonyError> {
        let app = &self.app;
        match self.client.ask::<Application>(Request::application(app)).await {
            Ok(_) => Ok(Provisioned::new(
                ProviderState::Registered,
                format!(
                    "the dialplan routes it: Asterisk answers, and the Stasis application {app:?} is registered"
                ),
            )),
            Err(error) if error.is_gone() => Err(TelephonyError::Unavailable {
                provider: "Asterisk",
                reason: format!(
                    "it runs, but the Stasis application {app:?} is not registered: is `vca serve` up?"
                ),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

impl TelephonyAdapter for Asterisk {
    fn register_number<'a>(
        &'a self,
        _: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.check().boxed()
    }

    /// The dialplan sends every number to VCA, which refuses calls to numbers that no tenant has.
    fn unregister_number<'a>(
        &'a self,
        _: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        let done = "nothing to undo: calls to it are refused from now on";
        async move { Ok(Provisioned::new(ProviderState::Unregistered, done)) }.boxed()
    }
}
