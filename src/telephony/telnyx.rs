//! `telnyx`: numbers of a Telnyx account, assigned to a SIP connection that leads to this Asterisk.
//!
//! A number's calls go to its `connection_id`
//! (<https://developers.telnyx.com/api-reference/phone-number-configurations/update-a-phone-number>), unless its voice
//! settings forward them
//! (<https://developers.telnyx.com/api-reference/phone-number-configurations/retrieve-a-phone-number-with-voice-settings>).

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::provider::{Credentials, Provider, url};
use super::settings::{Requests, Telnyx as Settings};
use super::{Effect, Provisioned, TelephonyAdapter, TelephonyError, TenantNumber};
use crate::tenancy::{Did, ProviderState};

#[derive(Debug)]
pub struct TelnyxAdapter {
    api: Provider,
    connection: String,
    numbers: Url,
}

const NAME: &str = "telnyx";
/// Numbers per page of the account's list, and the largest number of pages that are read.
const PAGE_SIZE: &str = "250";
const MOST_PAGES: u32 = 500;

#[derive(Deserialize)]
struct TelnyxResponse<T> {
    data: T,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    total_pages: u32,
}

/// VoiceSettings settings of a number.
#[derive(Deserialize)]
struct VoiceSettings {
    #[serde(default)]
    call_forwarding: Option<Forwarding>,
}

#[derive(Deserialize)]
struct Forwarding {
    #[serde(default)]
    call_forwarding_enabled: bool,
    #[serde(default)]
    forwards_to: Option<String>,
    /// `always` or `on-failure`.
    #[serde(default)]
    forwarding_type: Option<String>,
}

impl VoiceSettings {
    /// Whether its calls never reach the connection.
    fn forwards_always(&self) -> bool {
        self.call_forwarding.as_ref().is_some_and(|it| {
            let has_target = it.forwards_to.as_deref().is_some_and(|to| !to.is_empty());
            it.call_forwarding_enabled && has_target && it.forwarding_type.as_deref() == Some("always")
        })
    }
}

#[derive(Deserialize)]
struct TelnyxNumber {
    id: String,
    phone_number: String,
    #[serde(default)]
    connection_id: Option<String>,
}

impl TelnyxNumber {
    /// The connection that it is assigned to.
    fn connection(&self) -> Option<&str> {
        self.connection_id.as_deref().filter(|id| !id.is_empty())
    }
}

impl TelnyxAdapter {
    /// # Errors
    /// `NotConfigured`, with the keys that lack a value.
    pub fn new(settings: &Settings, requests: &Requests) -> Result<TelnyxAdapter, TelephonyError> {
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
        Ok(TelnyxAdapter { api, connection: connection_id.clone(), numbers })
    }

    /// The account's number. The filter matches three digits or more, so the results are compared.
    async fn find(&self, did: &Did) -> Result<TelnyxNumber, TelephonyError> {
        let query = [("filter[phone_number]", did.digits())];
        let asked = self.api.ask(Method::GET, self.numbers.clone(), |it| it.query(&query));
        let found: Result<TelnyxResponse<Vec<TelnyxNumber>>, _> = asked.await;
        let found = found
            .map_err(|error| error.nothing_there("this is not its API: see telephony.telnyx.base_url"))?;
        let wanted = did.to_string();
        let number = found.data.into_iter().find(|number| number.phone_number == wanted);
        number.ok_or(TelephonyError::NotFound { provider: NAME })
    }

    /// All numbers of the account.
    pub async fn account_numbers(&self) -> Result<Vec<Did>, TelephonyError> {
        let mut dids = Vec::new();
        for page in 1..=MOST_PAGES {
            let at = page.to_string();
            let query = [("page[number]", at.as_str()), ("page[size]", PAGE_SIZE)];
            let found: TelnyxResponse<Vec<TelnyxNumber>> =
                self.api.ask(Method::GET, self.numbers.clone(), |it| it.query(&query)).await?;
            dids.extend(found.data.iter().filter_map(|it| it.phone_number.parse::<Did>().ok()));
            if page >= found.meta.total_pages {
                return Ok(dids);
            }
        }
        Err(TelephonyError::Unreadable {
            provider: NAME,
            reason: format!("more than {MOST_PAGES} pages of numbers"),
        })
    }

    /// The URL of a number, or of a part of it.
    fn place(&self, number: &TelnyxNumber, part: &[&str]) -> Url {
        let mut place = self.numbers.clone();
        if let Ok(mut path) = place.path_segments_mut() {
            path.push(&number.id).extend(part);
        }
        place
    }

    /// Assigns the number to a connection, or to none if `connection` is empty, and checks that it is so.
    async fn assign(&self, number: &TelnyxNumber, connection: &str) -> Result<(), TelephonyError> {
        let place = self.place(number, &[]);
        let body = json!({ "connection_id": connection });
        let answer: TelnyxResponse<TelnyxNumber> =
            self.api.ask(Method::PATCH, place, |it| it.json(&body)).await?;
        match answer.data.connection().unwrap_or_default() {
            now if now == connection => Ok(()),
            _ => Err(TelephonyError::Refused {
                provider: NAME,
                reason:
                    "it accepted the change and did not make it; change the number's connection in its portal"
                        .into(),
            }),
        }
    }

    async fn register(&self, number: &TenantNumber) -> Result<Provisioned, TelephonyError> {
        number.check_owner(NAME)?;
        let found = self.find(&number.did).await?;
        let in_use = |by: String| Err(TelephonyError::InUse { provider: NAME, by });
        let effect = match found.connection() {
            Some(connection) if connection == self.connection => Effect::AsFound,
            Some(other) => {
                return in_use(format!(
                    "it is assigned to the connection {other}; remove it from that connection, then register it again"
                ));
            }
            None if self.voice(&found).await?.forwards_always() => {
                return in_use(
                    "its calls are forwarded; switch call forwarding off, then register it again".into(),
                );
            }
            None => {
                self.assign(&found, &self.connection).await?;
                Effect::Changed
            }
        };
        let detail = format!("Telnyx sends its calls to the connection {}", self.connection);
        let done = Provisioned::new(ProviderState::Registered, detail);
        Ok(done.with_reference(found.id).with_effect(effect))
    }

    async fn voice(&self, number: &TelnyxNumber) -> Result<VoiceSettings, TelephonyError> {
        let answer: TelnyxResponse<VoiceSettings> =
            self.api.ask(Method::GET, self.place(number, &["voice"]), |it| it).await?;
        Ok(answer.data)
    }

    async fn unregister(&self, number: &TenantNumber) -> Result<Provisioned, TelephonyError> {
        let gone = |detail: &str| Ok(Provisioned::new(ProviderState::Unregistered, detail));
        if !number.is_registered_by_vca {
            return gone("left as it is at Telnyx: VCA did not assign it to the connection");
        }
        let number = match self.find(&number.did).await {
            Ok(number) => number,
            Err(TelephonyError::NotFound { .. }) => {
                return gone("the Telnyx account does not have this number");
            }
            Err(error) => return Err(error),
        };
        if number.connection() != Some(&*self.connection) {
            return gone("it was not assigned to the connection any more");
        }
        self.assign(&number, "").await?;
        gone("Telnyx has removed it from the connection")
    }
}

impl TelephonyAdapter for TelnyxAdapter {
    fn register_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.register(number).boxed()
    }

    fn unregister_number<'a>(
        &'a self,
        number: &'a TenantNumber,
    ) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.unregister(number).boxed()
    }
}
