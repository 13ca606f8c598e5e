//! `tata`: Tata's SIP trunks have no public API for provisioning. Asterisk is asked for the state of the trunk, and the
//! detail of the number lists the steps that an administrator has to take.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Provisioned, TelephonyAdapter, TelephonyError, TenantNumber};
use crate::ari::answer::AsteriskEndpoint;
use crate::ari::{AriError, Client, Request};
use crate::tenancy::ProviderState;

pub struct TataAdapter {
    client: Arc<Client>,
    endpoint: String,
}

impl TataAdapter {
    pub fn new(client: Arc<Client>, endpoint: &str) -> TataAdapter {
        TataAdapter { client, endpoint: endpoint.to_owned() }
    }

    /// The state of the trunk in Asterisk, and the remedy.
    async fn trunk(&self) -> Result<String, TelephonyError> {
        let name = &self.endpoint;
        let asked = self.client.ask::<AsteriskEndpoint>(Request::endpoint("PJSIP", name)).await;
        match asked.map(|endpoint| endpoint.state.unwrap_or_default()).as_deref() {
            Ok("online") => Ok(format!("The trunk {name} is up. ")),
            Ok("offline") => Ok(format!(
                "The trunk {name} does not answer: see `pjsip show contacts` in Asterisk, the contact and the \
                 address in pjsip.conf, and the firewall. "
            )),
            Ok(_) => Ok(format!(
                "Asterisk has the trunk {name} and does not know whether it is up: set qualify_frequency of its AOR \
                 to find out. "
            )),
            Err(error @ AriError::Status { code: 404, .. }) => {
                tracing::warn!(endpoint = %name, %error, "no such trunk");
                Ok(format!(
                    "Asterisk has no endpoint {name}: install asterisk/vca-trunk.conf (asterisk/install.sh --trunk), and \
                     reload res_pjsip. "
                ))
            }
            Err(error) => Err(error.clone().into()),
        }
    }
}

impl TelephonyAdapter for TataAdapter {
    fn register_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        async move {
            let trunk = self.trunk().await?;
            let (did, name) = (&number.did, &self.endpoint);
            let detail = format!(
                "{trunk}Left to do by hand: have Tata route {did} to the SIP trunk that Asterisk knows as {name}, sent \
                 in E.164; then call {did} once, and look at `vca call list`."
            );
            Ok(Provisioned::new(ProviderState::Manual, detail))
        }
        .boxed()
    }

    fn unregister_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        let did = &number.did;
        let detail = format!(
            "Calls to {did} are refused from now on. Left to do by hand: have Tata take {did} off the SIP trunk."
        );
        async move { Ok(Provisioned::new(ProviderState::Manual, detail)) }.boxed()
    }
}
