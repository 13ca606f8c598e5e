//! `telnyx`: numbers of a Telnyx account, assigned to a SIP connection that leads to our Asterisk.
//!
//! The number's own `connection_id` is what decides
//! (<https://developers.telnyx.com/api-reference/phone-number-configurations/update-a-phone-number>).

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::provider::{Credentials, Provider, url};
use super::settings::{Requests, Telnyx as Settings};
use super::{Line, Provisioned, TelephonyAdapter, TelephonyError};
use crate::tenancy::{Did, ProviderState};

#[derive(Debug)]
pub struct Telnyx {
    api: Provider,
    connection: String,
    numbers: Url,
}

const NAME: &str = "telnyx";

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Number {
    id: String,
    phone_number: String,
    #[serde(default)]
    connection_id: Option<String>,
}

impl Number {
    /// The connection that it is assigned to.
    fn connection(&self) -> Option<&str> {
        self.connection_id.as_deref().filter(|id| !id.is_empty())
    }
}

impl Telnyx {
    /// # Errors
    /// `NotConfigured`, with the keys that lack a value.
    pub fn new(settings: &Settings, requests: &Requests) -> Result<Telnyx, TelephonyError> {
        let Settings { api_key, connection_id, base_url } = settings;
        let numbers = url(base_url, &["phone_numbers"]);
        let lacking = [
            ("telephony.telnyx.api_key (TELNYX_API_KEY)", api_key.is_none()),
            ("telephony.telnyx.connection_id", connection_id.is_empty()),
            ("telephony.telnyx.base_url", numbers.is_none()),
        ];
        let missing: Vec<&str> = lacking.iter().filter(|(_, lacks)| *lacks).map(|(key, _)| *key).collect();
        let (Some(key), Some(numbers), []) = (api_key, numbers, missing.as_slice()) else {
            return Err(TelephonyError::NotConfigured { provider: NAME, missing: missing.join(", ") });
        };
        let api = Provider::new(NAME, Credentials::Bearer(key.clone()), requests)?;
        Ok(Telnyx { api, connection: connection_id.clone(), numbers })
    }

    /// The filter takes digits, of which three are enough: what comes back is looked at.
    async fn find(&self, did: &Did) -> Result<Number, TelephonyError> {
        let query = [("filter[phone_number]", did.digits())];
        let asked = self.api.ask(Method::GET, self.numbers.clone(), |it| it.query(&query));
        let found: Result<Answer<Vec<Number>>, _> = asked.await;
        let found = found
            .map_err(|error| error.nothing_there("this is not its API: see telephony.telnyx.base_url"))?;
        let wanted = did.to_string();
        let number = found.data.into_iter().find(|number| number.phone_number == wanted);
        number.ok_or(TelephonyError::NotFound { provider: NAME })
    }

    /// Assigns the number, to nothing if `connection` is empty, and sees whether it is so.
    async fn assign(&self, number: &Number, connection: &str) -> Result<(), TelephonyError> {
        let mut place = self.numbers.clone();
        if let Ok(mut path) = place.path_segments_mut() {
            path.push(&number.id);
        }
        let body = json!({ "connection_id": connection });
        let answer: Answer<Number> = self.api.ask(Method::PATCH, place, |it| it.json(&body)).await?;
        match answer.data.connection().unwrap_or_default() {
            now if now == connection => Ok(()),
            _ => Err(TelephonyError::Refused {
                provider: NAME,
                reason:
                    "it took the change and did not make it; change the number's connection in its portal"
                        .into(),
            }),
        }
    }

    async fn register(&self, did: &Did) -> Result<Provisioned, TelephonyError> {
        let number = self.find(did).await?;
        match number.connection() {
            Some(connection) if connection == self.connection => {}
            Some(other) => {
                let by = format!("it is assigned to the connection {other}; take it off there first");
                return Err(TelephonyError::InUse { provider: NAME, by });
            }
            None => self.assign(&number, &self.connection).await?,
        }
        let detail = format!("Telnyx sends its calls to the connection {}", self.connection);
        Ok(Provisioned::new(ProviderState::Registered, detail).with_reference(number.id))
    }

    async fn unregister(&self, did: &Did) -> Result<Provisioned, TelephonyError> {
        let gone = |detail: &str| Ok(Provisioned::new(ProviderState::Unregistered, detail));
        let number = match self.find(did).await {
            Ok(number) => number,
            Err(TelephonyError::NotFound { .. }) => {
                return gone("Telnyx does not have this number in our account");
            }
            Err(error) => return Err(error),
        };
        if number.connection() != Some(&*self.connection) {
            return gone("it was not assigned to our connection");
        }
        self.assign(&number, "").await?;
        gone("Telnyx has taken it off the connection")
    }
}

impl TelephonyAdapter for Telnyx {
    fn register_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.register(&line.did).boxed()
    }

    fn unregister_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.unregister(&line.did).boxed()
    }
}
