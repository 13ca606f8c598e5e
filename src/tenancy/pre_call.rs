//! The pre-call webhook of a number: a tenant's server that decides, while a call rings, how it is answered. The request and the
//! response are read and written here; `webhooks` sends the request.
//!
//! A response is data from outside. It can only choose among what the tenant has and the operator permits, and one that is not of
//! the documented form has no effect.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::check::LONGEST_PHRASE;
use super::kinds::{id, words};
use super::variables::check_declared;
use super::{
    AiProfile, CallId, Did, Label, NumberId, ProfileSettings, TenantId, check_comment, check_name,
    check_profile_name,
};
use crate::language::Language;
use crate::names::check_language;
use crate::violation::Violation;

/// The longest response, in bytes.
pub const MAX_PRE_CALL_RESPONSE: usize = 16 * 1024;
/// How long a webhook has, in milliseconds.
pub const PRE_CALL_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=5_000;
/// The longest name of a voice, in characters, as of a profile.
const LONGEST_VOICE: usize = 200;

id!(
    /// A pre-call webhook.
    PreCallWebhookId
);

words!(
    /// The outcome of the request to a pre-call webhook. After all but the first four the call was answered as without a webhook.
    PreCallOutcome {
        /// Its profile, variables or overrides were used.
        Applied = "applied",
        /// It asked for nothing.
        Unchanged = "unchanged",
        /// The call went to a transfer target, unanswered.
        Forwarded = "forwarded",
        /// The call was refused.
        Rejected = "rejected",
        /// No complete response in time.
        TimedOut = "timed_out",
        /// No connection, or an address that is not allowed.
        Unreachable = "unreachable",
        /// Another status than 200 or 204.
        BadStatus = "bad_status",
        /// The response is not of the documented form, or names a profile or target that cannot be used.
        Invalid = "invalid",
        /// The tenant's other calls took all places for such requests.
        Busy = "busy",
        /// The request could not be made: the webhook's secret or the database could not be read.
        Failed = "failed",
    }
);
words!(
    /// Why a pre-call webhook refuses a call.
    RejectCause {
        /// SIP 486.
        Busy = "busy",
        /// SIP 403.
        Declined = "declined",
        /// SIP 503.
        Unavailable = "unavailable",
        /// SIP 404.
        UnknownNumber = "unknown_number",
    }
);

/// The numbers with calls that a pre-call webhook is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreCallOwner {
    /// One number.
    Number(NumberId),
    /// The tenant: its numbers without a webhook of their own.
    Tenant,
}

impl PreCallOwner {
    /// The one number.
    pub fn number(self) -> Option<NumberId> {
        match self {
            PreCallOwner::Number(number) => Some(number),
            PreCallOwner::Tenant => None,
        }
    }
}

/// A tenant's server that is asked about each call to a number, or to any number without one of its own, while it
/// rings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreCallWebhook {
    pub id: PreCallWebhookId,
    pub tenant_id: TenantId,
    /// `null` for the tenant's webhook.
    pub phone_number_id: Option<NumberId>,
    #[schema(examples("https://example.com/calls"))]
    pub url: String,
    /// How long it has for its response, in milliseconds.
    pub timeout_ms: u32,
    pub created_at: DateTime<Utc>,
}

/// A webhook with its secrets as the database has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPreCall {
    pub webhook: PreCallWebhook,
    pub secret: StoredSecret,
    /// The secret before the latest rotation.
    pub former: Option<FormerSecret>,
}

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerSecret {
    pub secret: StoredSecret,
    /// Requests are signed with it as well until then.
    pub until: DateTime<Utc>,
}

/// A secret as it is stored, which is in clear where the operator has set no key.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret(pub String);

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredSecret")
    }
}

/// The body of a request to a pre-call webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreCallRequest {
    #[serde(rename = "type")]
    pub kind: PreCallRequestType,
    pub call_id: CallId,
    pub tenant_id: TenantId,
    pub phone_number_id: NumberId,
    pub called_number: Did,
    /// As received from the trunk; `null` when withheld. It can be forged.
    pub caller_number: Option<String>,
    /// The SIP headers that the operator trusts, by their lower-case names.
    pub sip_headers: BTreeMap<String, String>,
    pub at: DateTime<Utc>,
}

/// Whether a call rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PreCallRequestType {
    #[serde(rename = "call.ringing")]
    Ringing,
    /// There is no call: the webhook is tried.
    #[serde(rename = "call.test")]
    Test,
}

/// The response of a pre-call webhook. Every field is optional; `{}` changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Response {
    profile: Option<String>,
    version: Option<u32>,
    variables: BTreeMap<String, String>,
    overrides: PreCallOverrides,
    forward: Option<Label>,
    reject: Option<RejectCause>,
}

/// Settings of the profile that are replaced for one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreCallOverrides {
    pub greeting: Option<String>,
    pub language: Option<String>,
    pub voice: Option<String>,
}

/// A profile of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedProfile {
    /// Its id, or its name if only one has it.
    pub name: String,
    /// The present version when absent.
    pub version: Option<u32>,
}

/// How the agent of one call differs from the number's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentChanges {
    pub profile: Option<NamedProfile>,
    /// Values of variables, which take the place of the profile's own.
    pub variables: BTreeMap<String, String>,
    pub overrides: PreCallOverrides,
}

/// The instruction in the response of a pre-call webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreCallInstruction {
    /// An agent answers.
    Answer(AgentChanges),
    /// The call goes to a transfer target, unanswered.
    Forward(Label),
    /// The call is refused.
    Reject(RejectCause),
}

/// The request to a pre-call webhook, on the record of its call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreCallRecord {
    pub outcome: PreCallOutcome,
    /// Why it had no effect.
    pub problem: Option<String>,
    /// Time until the complete response, in milliseconds.
    pub duration_ms: u32,
}

impl PreCallInstruction {
    /// Reads a response.
    ///
    /// # Errors
    /// The problem, with the field. It may quote the response.
    pub fn read(body: &[u8]) -> Result<PreCallInstruction, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(PreCallInstruction::Answer(AgentChanges::default()));
        }
        // Read as objects first: serde takes a list for a structure as well.
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if fields.get("overrides").is_some_and(|overrides| !overrides.is_object()) {
            return Err("overrides: write an object".to_owned());
        }
        let response: Response =
            serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        let Response { profile, version, variables, overrides, forward, reject } = response;
        let profile = match (profile, version) {
            (Some(name), version) => Some(NamedProfile { name, version }),
            (None, None) => None,
            (None, Some(_)) => return Err("version: it needs a profile".to_owned()),
        };
        let changes = AgentChanges { profile, variables, overrides };
        match (forward, reject) {
            (None, None) => changes.checked().map(PreCallInstruction::Answer),
            _ if changes != AgentChanges::default() => {
                Err("forward and reject go with no other field".to_owned())
            }
            (Some(target), None) => Ok(PreCallInstruction::Forward(target)),
            (None, Some(cause)) => Ok(PreCallInstruction::Reject(cause)),
            (Some(_), Some(_)) => Err("forward and reject exclude each other".to_owned()),
        }
    }

    /// The outcome on the call's record, once it is carried out.
    pub fn outcome(&self) -> PreCallOutcome {
        match self {
            PreCallInstruction::Answer(changes) if *changes == AgentChanges::default() => {
                PreCallOutcome::Unchanged
            }
            PreCallInstruction::Answer(_) => PreCallOutcome::Applied,
            PreCallInstruction::Forward(_) => PreCallOutcome::Forwarded,
            PreCallInstruction::Reject(_) => PreCallOutcome::Rejected,
        }
    }
}

impl AgentChanges {
    fn checked(self) -> Result<AgentChanges, String> {
        let PreCallOverrides { greeting, language, voice } = &self.overrides;
        let profile = self.profile.as_ref().and_then(|profile| check_profile_name(&profile.name));
        let profile = profile.map(|it| Violation { field: "profile".to_owned(), ..it });
        let greeting =
            greeting.as_deref().and_then(|it| check_comment("overrides.greeting", it, LONGEST_PHRASE));
        let voice = voice.as_deref().and_then(|it| check_name("overrides.voice", it, LONGEST_VOICE));
        let language = language.as_deref().and_then(|tag| check_language(tag).err());
        let language = language.map(|error| Violation::new("overrides.language", error.to_string()));
        let found = [profile, greeting, language, voice].into_iter().flatten();
        match found.chain(check_declared(&self.variables)).next() {
            Some(Violation { field, problem, .. }) => Err(format!("{field}: {problem}")),
            None => Ok(self),
        }
    }

    /// The profile with the variables and overrides of one call, which begins in the language of the overrides, with their voice. In
    /// another language than the profile's first one, greeting and phrases are the built-in ones, unless the greeting is overridden,
    /// and there are no menus.
    #[must_use]
    pub fn apply(&self, profile: AiProfile) -> AiProfile {
        let mut settings = profile.settings;
        settings.variables.extend(self.variables.clone());
        let PreCallOverrides { greeting, language, voice } = self.overrides.clone();
        if language.as_deref().is_some_and(|tag| !is_same_language(settings.first_language(), tag)) {
            settings.greeting = None;
            settings.phrases.clear();
            settings.keypad_menus.clear();
            settings.keypad_menu_key = None;
        }
        if let Some(tag) = language.as_ref().filter(|_| !settings.languages.is_empty()) {
            settings.languages.retain(|other| other != tag);
            settings.languages.insert(0, tag.clone());
        }
        if voice.is_some()
            && let Some(first) = settings.languages.first()
        {
            settings.voices.remove(first);
        }
        let settings = ProfileSettings {
            greeting: greeting.or(settings.greeting),
            language: language.or(settings.language),
            voice: voice.or(settings.voice),
            ..settings
        };
        AiProfile { settings, ..profile }
    }
}

/// Whether two tags have the same primary language. A profile that names none speaks English.
fn is_same_language(first: Option<&str>, tag: &str) -> bool {
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    primary(first.unwrap_or(Language::of(None).tag)) == primary(tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::tenancy::{AgentRole, ProfileId};

    fn read(response: &Value) -> Result<PreCallInstruction, String> {
        PreCallInstruction::read(response.to_string().as_bytes())
    }

    #[test]
    fn an_empty_response_changes_nothing() {
        for body in ["", " \r\n", "{}", r#"{"profile":null,"variables":{},"overrides":{}}"#] {
            let instruction = PreCallInstruction::read(body.as_bytes()).unwrap();
            assert_eq!(instruction.outcome(), PreCallOutcome::Unchanged, "{body}");
        }
    }

    #[test]
    fn a_response_chooses_profile_variables_and_overrides() {
        let response = json!({
            "profile": "Regulars", "version": 3, "variables": { "customer": "Ann" },
            "overrides": { "greeting": "Hello {{customer}}!", "language": "de-DE", "voice": "alloy" },
        });
        let PreCallInstruction::Answer(changes) = read(&response).unwrap() else {
            panic!("an agent answers")
        };
        assert_eq!(changes.profile, Some(NamedProfile { name: "Regulars".into(), version: Some(3) }));
        assert_eq!(changes.variables["customer"], "Ann");
        assert_eq!(changes.overrides.voice.as_deref(), Some("alloy"));
    }

    #[test]
    fn a_response_forwards_or_rejects() {
        let shop = PreCallInstruction::Forward("shop".parse().unwrap());
        assert_eq!(read(&json!({ "forward": "shop" })), Ok(shop));
        for cause in RejectCause::ALL {
            let reject = read(&json!({ "reject": cause.as_str() })).unwrap();
            assert_eq!(reject, PreCallInstruction::Reject(*cause));
            assert_eq!(reject.outcome(), PreCallOutcome::Rejected);
        }
    }

    #[test]
    fn a_response_of_another_form_is_refused() {
        let long = "x".repeat(1_001);
        for (wrong, named) in [
            (json!([]), "map"),
            (json!(["Regulars"]), "map"),
            (json!({ "overrides": ["Hello."] }), "overrides"),
            (json!({ "profil": "x" }), "profil"),
            (json!({ "version": 1 }), "version"),
            (json!({ "profile": "x", "version": -1 }), "u32"),
            (json!({ "profile": " " }), "profile"),
            (json!({ "profile": "a\nb" }), "profile"),
            (json!({ "variables": { "now": "x" } }), "variables.now"),
            (json!({ "variables": { "Customer": "x" } }), "variables.Customer"),
            (json!({ "variables": { "customer": long } }), "variables.customer"),
            (json!({ "variables": { "customer": 7 } }), "string"),
            (json!({ "overrides": { "system_prompt": "x" } }), "system_prompt"),
            (json!({ "overrides": { "greeting": long } }), "overrides.greeting"),
            (json!({ "overrides": { "language": "de_DE" } }), "overrides.language"),
            (json!({ "overrides": { "voice": "a\u{0}b" } }), "overrides.voice"),
            (json!({ "forward": "Shop&PJSIP/evil" }), "label"),
            (json!({ "forward": "+491234" }), "label"),
            (json!({ "forward": "shop", "profile": "x" }), "forward"),
            (json!({ "forward": "shop", "reject": "busy" }), "forward"),
            (json!({ "reject": "hang_up" }), "hang_up"),
            (json!({ "reject": 486 }), "reject"),
        ] {
            let problem = read(&wrong).unwrap_err();
            assert!(problem.contains(named) || named == "reject", "{wrong}: {problem}");
        }
        let many: BTreeMap<String, &str> = (0..51).map(|n| (format!("v{n}"), "x")).collect();
        assert!(read(&json!({ "variables": many })).unwrap_err().contains("more than 50"));
    }

    #[test]
    fn overrides_are_those_of_the_language_in_which_the_call_begins() {
        let settings = json!({ "languages": ["en", "de"], "voices": { "en": "kal", "de": "eva" },
            "greeting": "Hello.", "phrases": { "goodbye": "Bye." } });
        let profile = AiProfile {
            id: ProfileId::new(),
            tenant_id: TenantId::new(),
            name: "Front desk".into(),
            role: AgentRole::Custom,
            system_prompt: "Be brief.".into(),
            is_default: true,
            settings: serde_json::from_value(settings).unwrap(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            targets: None,
        };
        let changed = |overrides: Value| {
            let PreCallInstruction::Answer(changes) = read(&json!({ "overrides": overrides })).unwrap()
            else {
                panic!("an agent answers")
            };
            changes.apply(profile.clone()).settings
        };
        let german = changed(json!({ "language": "de" }));
        assert_eq!(german.languages, ["de", "en"]);
        assert_eq!(german.in_language("de").voice.as_deref(), Some("eva"));
        assert_eq!((german.greeting, german.phrases.len()), (None, 0), "they are English");
        let own = changed(json!({ "language": "de", "greeting": "Guten Tag." }));
        assert_eq!(own.greeting.as_deref(), Some("Guten Tag."));
        let british = changed(json!({ "language": "en-GB" }));
        assert_eq!((british.greeting.as_deref(), british.phrases.len()), (Some("Hello."), 1));
        let other_voice = changed(json!({ "voice": "amy" }));
        assert_eq!(other_voice.in_language("en").voice.as_deref(), Some("amy"));
        assert_eq!(other_voice.in_language("de").voice.as_deref(), Some("eva"));
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = PreCallInstruction::read(&bytes);
        }

        #[test]
        fn what_is_read_is_within_the_bounds(profile in "\\PC{0,220}", value in "\\PC{0,1100}", language in "\\PC{0,40}",
                                             target in "[a-zA-Z&/0-9_-]{0,45}", kind in 0..3) {
            let response = match kind {
                0 => json!({ "profile": profile, "variables": { "a": value } }),
                1 => json!({ "overrides": { "language": language, "greeting": value } }),
                _ => json!({ "forward": target }),
            };
            match read(&response) {
                Ok(PreCallInstruction::Answer(AgentChanges { profile, variables, overrides })) => {
                    prop_assert!(profile.is_none_or(|it| (1..=200).contains(&it.name.chars().count())));
                    prop_assert!(variables.values().all(|it| it.chars().count() <= 1_000));
                    prop_assert!(overrides.language.is_none_or(|it| it.is_ascii() && it.len() <= 35));
                    prop_assert!(overrides.greeting.is_none_or(|it| it.chars().count() <= 1_000));
                }
                Ok(PreCallInstruction::Forward(target)) => {
                    prop_assert!(target.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b)));
                }
                Ok(PreCallInstruction::Reject(_)) => prop_assert!(false, "nothing asked for it"),
                Err(_) => {}
            }
        }
    }
}
