//! `twilio`: numbers of a Twilio account, put on an Elastic SIP trunk whose origination leads to our Asterisk.
//!
//! A number is looked up among the account's (<https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>)
//! and associated with the trunk (<https://www.twilio.com/docs/sip-trunking/api/phonenumber-resource>).

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::provider::{Credentials, Provider, url};
use super::settings::{Requests, Twilio as Settings};
use super::{Line, Provisioned, TelephonyAdapter, TelephonyError};
use crate::tenancy::{Did, ProviderState};

#[derive(Debug)]
pub struct Twilio {
    api: Provider,
    trunk: String,
    /// The account's numbers.
    numbers: Url,
    /// The trunk's numbers.
    members: Url,
}

const NAME: &str = "twilio";

/// A page of the account's numbers.
#[derive(Deserialize)]
struct Numbers {
    incoming_phone_numbers: Vec<Number>,
}

#[derive(Deserialize)]
struct Number {
    sid: String,
    phone_number: String,
    #[serde(default)]
    trunk_sid: Option<String>,
    #[serde(default)]
    voice_application_sid: Option<String>,
}

impl Twilio {
    /// # Errors
    /// `NotConfigured`, with the keys that lack a value.
    pub fn new(settings: &Settings, requests: &Requests) -> Result<Twilio, TelephonyError> {
        let Settings { account_sid, auth_token, trunk_sid, base_url, trunking_url } = settings;
        let numbers = url(base_url, &["2010-04-01", "Accounts", account_sid, "IncomingPhoneNumbers.json"]);
        let members = url(trunking_url, &["v1", "Trunks", trunk_sid, "PhoneNumbers"]);
        let lacking = [
            ("telephony.twilio.account_sid (TWILIO_ACCOUNT_SID)", account_sid.is_empty()),
            ("telephony.twilio.auth_token (TWILIO_AUTH_TOKEN)", auth_token.is_none()),
            ("telephony.twilio.trunk_sid", trunk_sid.is_empty()),
            ("telephony.twilio.base_url", numbers.is_none()),
            ("telephony.twilio.trunking_url", members.is_none()),
        ];
        let missing: Vec<&str> = lacking.iter().filter(|(_, lacks)| *lacks).map(|(key, _)| *key).collect();
        let (Some(token), Some(numbers), Some(members), []) =
            (auth_token, numbers, members, missing.as_slice())
        else {
            return Err(TelephonyError::NotConfigured { provider: NAME, missing: missing.join(", ") });
        };
        let credentials = Credentials::Basic { user: account_sid.clone(), password: token.clone() };
        let api = Provider::new(NAME, credentials, requests)?;
        Ok(Twilio { api, trunk: trunk_sid.clone(), numbers, members })
    }

    /// The account's number; the filter is one for parts of numbers, so what comes back is looked at.
    async fn find(&self, did: &Did) -> Result<Number, TelephonyError> {
        let wanted = did.to_string();
        let asked =
            self.api.ask(Method::GET, self.numbers.clone(), |it| it.query(&[("PhoneNumber", &wanted)]));
        let found: Result<Numbers, _> = asked.await;
        let found = found.map_err(|error| {
            error.nothing_there("it has no such account: see telephony.twilio.account_sid")
        })?;
        let number = found.incoming_phone_numbers.into_iter().find(|number| number.phone_number == wanted);
        number.ok_or(TelephonyError::NotFound { provider: NAME })
    }

    async fn register(&self, did: &Did) -> Result<Provisioned, TelephonyError> {
        let number = self.find(did).await?;
        let in_use = |by: String| TelephonyError::InUse { provider: NAME, by };
        let given = |sid: &Option<String>| sid.clone().filter(|sid| !sid.is_empty());
        match (given(&number.trunk_sid), given(&number.voice_application_sid)) {
            (Some(trunk), _) if trunk == self.trunk => {}
            (Some(trunk), _) => {
                return Err(in_use(format!("it is on the trunk {trunk}; take it off there first")));
            }
            // To join a trunk would silently detach it from its application.
            (None, Some(app)) => {
                return Err(in_use(format!("the application {app} answers it; detach it there first")));
            }
            (None, None) => {
                let sid = number.sid.as_str();
                self.api
                    .send(Method::POST, self.members.clone(), |it| it.form(&[("PhoneNumberSid", sid)]))
                    .await
                    .map_err(|error| {
                        error.nothing_there("it has no such trunk: see telephony.twilio.trunk_sid")
                    })?;
            }
        }
        let detail = format!("Twilio sends its calls to the trunk {}", self.trunk);
        Ok(Provisioned::new(ProviderState::Registered, detail).with_reference(number.sid))
    }

    async fn unregister(&self, did: &Did) -> Result<Provisioned, TelephonyError> {
        let gone = |detail: &str| Ok(Provisioned::new(ProviderState::Unregistered, detail));
        let number = match self.find(did).await {
            Ok(number) => number,
            Err(TelephonyError::NotFound { .. }) => {
                return gone("Twilio does not have this number in our account");
            }
            Err(error) => return Err(error),
        };
        if number.trunk_sid.as_deref() != Some(&*self.trunk) {
            return gone("it was not on our trunk");
        }
        let mut member = self.members.clone();
        if let Ok(mut path) = member.path_segments_mut() {
            path.push(&number.sid);
        }
        match self.api.send(Method::DELETE, member, |it| it).await {
            Ok(_) | Err(TelephonyError::NotFound { .. }) => gone("Twilio has taken it off the trunk"),
            Err(error) => Err(error),
        }
    }
}

impl TelephonyAdapter for Twilio {
    fn register_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.register(&line.did).boxed()
    }

    fn unregister_number<'a>(&'a self, line: &'a Line) -> BoxFuture<'a, Result<Provisioned, TelephonyError>> {
        self.unregister(&line.did).boxed()
    }
}
