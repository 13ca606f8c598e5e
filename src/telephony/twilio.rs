//! `twilio`: numbers of a Twilio account, put on an Elastic SIP trunk with an origination to this Asterisk.
//!
//! A number is looked up in the account
//! (<https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>) and associated with the trunk
//! (<https://www.twilio.com/docs/sip-trunking/api/phonenumber-resource>). On a trunk, Twilio ignores the number's
//! voice URLs and deletes its voice application, so a number with either is left unchanged.

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::provider::{Credentials, Provider, url};
use super::settings::{Requests, Twilio as Settings};
use super::{Effect, Provisioned, TelephonyAdapter, TelephonyError, TenantNumber};
use crate::tenancy::{Did, ProviderState};

#[derive(Debug)]
pub struct TwilioAdapter {
    api: Provider,
    trunk: String,
    /// The account's numbers.
    numbers: Url,
    /// The trunk's numbers.
    members: Url,
}

const NAME: &str = "twilio";
/// The host of the voice URL of Twilio's new numbers, a demonstration.
const DEMONSTRATION: &str = "demo.twilio.com";
/// Numbers per page of the account's list, and the largest number of pages that are read.
const PAGE_SIZE: &str = "200";
const MOST_PAGES: usize = 500;

/// A page of the account's numbers.
#[derive(Deserialize)]
struct Numbers {
    incoming_phone_numbers: Vec<TwilioNumber>,
    /// The path of the next page.
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct TwilioNumber {
    sid: String,
    phone_number: String,
    #[serde(default)]
    trunk_sid: Option<String>,
    #[serde(default)]
    voice_application_sid: Option<String>,
    #[serde(default)]
    voice_url: Option<String>,
    /// `voice` or `fax`.
    #[serde(default)]
    voice_receive_mode: Option<String>,
}

/// The destination of a number's calls.
enum NumberUse {
    Free,
    OurTrunk,
    /// Another destination, and the remedy.
    Other(String),
}

impl TwilioNumber {
    fn usage(&self, trunk: &str) -> NumberUse {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(on) = given(&self.trunk_sid) {
            let elsewhere = || {
                NumberUse::Other(format!(
                    "it is on the trunk {on}; remove it from that trunk, then register it again"
                ))
            };
            return if on == trunk { NumberUse::OurTrunk } else { elsewhere() };
        }
        if let Some(application) = given(&self.voice_application_sid) {
            return NumberUse::Other(format!(
                "the application {application} answers it; remove the application from the number, then register it again"
            ));
        }
        if given(&self.voice_url).is_some_and(|url| !is_demonstration(&url)) {
            return NumberUse::Other(
                "a voice URL of its own answers it; clear the number's voice URL in Twilio's console, then register it again"
                    .into(),
            );
        }
        if self.voice_receive_mode.as_deref() == Some("fax") {
            return NumberUse::Other(
                "it receives faxes; set it to receive voice calls, then register it again".into(),
            );
        }
        NumberUse::Free
    }
}

fn is_demonstration(voice_url: &str) -> bool {
    Url::parse(voice_url).is_ok_and(|url| url.host_str() == Some(DEMONSTRATION))
}

impl TwilioAdapter {
    /// # Errors
    /// `NotConfigured`, with the keys that lack a value.
    pub fn new(settings: &Settings, requests: &Requests) -> Result<TwilioAdapter, TelephonyError> {
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
        Ok(TwilioAdapter { api, trunk: trunk_sid.clone(), numbers, members })
    }

    /// The account's number. The filter also matches parts of numbers, so the results are compared.
    async fn find(&self, did: &Did) -> Result<TwilioNumber, TelephonyError> {
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

    /// All numbers of the account.
    pub async fn account_numbers(&self) -> Result<Vec<Did>, TelephonyError> {
        let mut page = self.numbers.clone();
        page.query_pairs_mut().append_pair("PageSize", PAGE_SIZE);
        let mut dids = Vec::new();
        for _ in 0..MOST_PAGES {
            let found: Numbers = self.api.ask(Method::GET, page.clone(), |it| it).await?;
            dids.extend(
                found.incoming_phone_numbers.iter().filter_map(|it| it.phone_number.parse::<Did>().ok()),
            );
            match found.next_page_uri.filter(|path| !path.is_empty()) {
                Some(path) => page = self.page_at(&path)?,
                None => return Ok(dids),
            }
        }
        Err(TelephonyError::Unreadable {
            provider: NAME,
            reason: format!("more than {MOST_PAGES} pages of numbers"),
        })
    }

    /// The URL of a page. It has to be on the account's server, because the credentials are sent there.
    fn page_at(&self, path: &str) -> Result<Url, TelephonyError> {
        let page = self.numbers.join(path).ok().filter(|page| page.origin() == self.numbers.origin());
        let reason = "next_page_uri names another server".to_owned();
        page.ok_or(TelephonyError::Unreadable { provider: NAME, reason })
    }

    async fn register(&self, number: &TenantNumber) -> Result<Provisioned, TelephonyError> {
        number.check_owner(NAME)?;
        let found = self.find(&number.did).await?;
        let effect = match found.usage(&self.trunk) {
            NumberUse::Other(by) => return Err(TelephonyError::InUse { provider: NAME, by }),
            NumberUse::OurTrunk => Effect::AsFound,
            NumberUse::Free => {
                self.join(&found.sid).await?;
                Effect::Changed
            }
        };
        let detail = format!("Twilio sends its calls to the trunk {}", self.trunk);
        let done = Provisioned::new(ProviderState::Registered, detail);
        Ok(done.with_reference(found.sid).with_effect(effect))
    }

    /// Associates a number with the trunk.
    async fn join(&self, sid: &str) -> Result<(), TelephonyError> {
        let join =
            self.api.send(Method::POST, self.members.clone(), |it| it.form(&[("PhoneNumberSid", sid)]));
        let no_trunk = "it has no such trunk: see telephony.twilio.trunk_sid";
        join.await.map(drop).map_err(|error| error.nothing_there(no_trunk))
    }

    async fn unregister(&self, number: &TenantNumber) -> Result<Provisioned, TelephonyError> {
        let gone = |detail: &str| Ok(Provisioned::new(ProviderState::Unregistered, detail));
        if !number.is_registered_by_vca {
            return gone("left as it is at Twilio: VCA did not put it on the trunk");
        }
        let number = match self.find(&number.did).await {
            Ok(number) => number,
            Err(TelephonyError::NotFound { .. }) => {
                return gone("the Twilio account does not have this number");
            }
            Err(error) => return Err(error),
        };
        if number.trunk_sid.as_deref() != Some(&*self.trunk) {
            return gone("it was not on the trunk any more");
        }
        let mut member = self.members.clone();
        if let Ok(mut path) = member.path_segments_mut() {
            path.push(&number.sid);
        }
        match self.api.send(Method::DELETE, member, |it| it).await {
            Ok(_) | Err(TelephonyError::NotFound { .. }) => gone("Twilio has removed it from the trunk"),
            Err(error) => Err(error),
        }
    }
}

impl TelephonyAdapter for TwilioAdapter {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn number(change: impl FnOnce(&mut TwilioNumber)) -> TwilioNumber {
        let mut number = TwilioNumber {
            sid: "PN1".into(),
            phone_number: "+493055500100".into(),
            trunk_sid: None,
            voice_application_sid: None,
            voice_url: None,
            voice_receive_mode: None,
        };
        change(&mut number);
        number
    }

    #[test]
    fn only_an_unused_number_is_free() {
        let usage = |change: fn(&mut TwilioNumber)| number(change).usage("TK1");
        assert!(matches!(usage(|_| {}), NumberUse::Free));
        assert!(matches!(usage(|it| it.voice_url = Some(String::new())), NumberUse::Free));
        assert!(matches!(usage(|it| it.voice_receive_mode = Some("voice".into())), NumberUse::Free));
        for url in ["https://demo.twilio.com/welcome/voice/", "http://demo.twilio.com/docs/voice.xml"] {
            assert!(
                matches!(number(|it| it.voice_url = Some(url.into())).usage("TK1"), NumberUse::Free),
                "{url}"
            );
        }
        assert!(matches!(usage(|it| it.trunk_sid = Some("TK1".into())), NumberUse::OurTrunk));
        assert!(matches!(usage(|it| it.trunk_sid = Some("TK2".into())), NumberUse::Other(_)));
        assert!(matches!(usage(|it| it.voice_application_sid = Some("AP1".into())), NumberUse::Other(_)));
        assert!(matches!(usage(|it| it.voice_receive_mode = Some("fax".into())), NumberUse::Other(_)));
        for url in ["https://ivr.example/voice", "https://demo.twilio.com.evil.example/", "not a URL"] {
            assert!(
                matches!(number(|it| it.voice_url = Some(url.into())).usage("TK1"), NumberUse::Other(_)),
                "{url}"
            );
        }
    }
}
