//! The operator's ceilings for transfers, and the place in Asterisk that a target leads to.
//!
//! A target is checked when it is saved and again when it is used, because the rules may have changed in between.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::leg_prices::PrefixPrice;
use super::target::{AddressError, Destination};
use super::{AfterBridge, Did, Label, TargetKind, TransferMethod, TransferStyle, TransferTarget};

/// `[transfer]`. Without settings no target can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferRules {
    /// The endpoint of Asterisk for a number, such as `PJSIP/{number}@vca-trunk`: `{number}` is the number with a plus sign,
    /// `{digits}` without. Default: empty, numbers are not dialled.
    pub number_endpoint: String,
    /// The endpoint for a SIP address, such as `PJSIP/vca-trunk/{uri}`. Default: empty, SIP addresses are not dialled.
    pub sip_endpoint: String,
    /// The URI to which a trunk is asked to transfer a caller to a number (SIP REFER), such as
    /// `sip:{number}@sip.example.com`. Default: empty, numbers are not referred to.
    pub refer_uri: String,
    /// The contexts of the dialplan that targets may name. Default: none.
    pub contexts: Vec<String>,
    /// The context whose extensions are queues. Default: empty, there are no queues.
    pub queue_context: String,
    /// The context with an extension for each mailbox. Default: empty, there are none.
    pub voicemail_context: String,
    /// The hosts that SIP targets may name, with their port where a target names one. Default: none.
    pub sip_hosts: Vec<String>,
    /// The prefixes that numbers have to begin with, such as `+49`. Default: none, no number is allowed.
    pub prefixes: Vec<String>,
    /// Prefixes that are refused although one of `prefixes` fits, such as `+49900`. Default: none.
    pub blocked_prefixes: Vec<String>,
    /// The number that the target is shown. Default: `called`, the number that the caller dialled.
    pub caller_id: CallerIdPolicy,
    /// Dialled legs at once. Default 50.
    pub max_legs: u32,
    /// Dialled legs of one tenant at once. Default 10.
    pub max_legs_per_tenant: u32,
    /// The price of a minute of a dialled leg, in millionths of the unit of `prices.currency`. Default: 0.
    pub leg_minute: u64,
    /// Prices of legs to numbers by their prefix, of which the longest one applies. Default: none.
    pub prefix_prices: Vec<PrefixPrice>,
    /// The most that the dialled legs of one tenant may cost a day (UTC), in the same millionths. Default: no limit.
    pub max_daily_spend_per_tenant: Option<u64>,
    /// How long a target rings, in seconds. Default 25.
    pub ring_s: u64,
    /// The longest conversation with a target, in seconds. Default 3600.
    pub max_leg_s: u64,
    /// The class of music on hold that a caller hears while the target rings. Default: empty, a ringing tone, and Asterisk's class
    /// `default` for warm transfers.
    pub music_class: String,
    /// The SIP header in which the agent's summary is sent to a dialled endpoint of PJSIP, such as `X-Transfer-Summary`. Default:
    /// empty, it is not sent.
    pub summary_header: String,
    /// How long the first words of a target are waited for before it is announced a call that it has to accept, in milliseconds.
    /// Default 3000.
    pub first_words_ms: u64,
    /// How long a target has to accept a call after the announcement, in seconds. Default 15.
    pub accept_s: u64,
}

/// The number that a dialled target is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdPolicy {
    /// The called number, which is the tenant's own.
    #[default]
    Called,
    /// The caller's, where it is known. Some trunks refuse calls with such a number.
    Caller,
}

impl Default for TransferRules {
    fn default() -> Self {
        TransferRules {
            number_endpoint: String::new(),
            sip_endpoint: String::new(),
            refer_uri: String::new(),
            contexts: Vec::new(),
            queue_context: String::new(),
            voicemail_context: String::new(),
            sip_hosts: Vec::new(),
            prefixes: Vec::new(),
            blocked_prefixes: Vec::new(),
            caller_id: CallerIdPolicy::Called,
            max_legs: 50,
            max_legs_per_tenant: 10,
            leg_minute: 0,
            prefix_prices: Vec::new(),
            max_daily_spend_per_tenant: None,
            ring_s: 25,
            max_leg_s: 3_600,
            music_class: String::new(),
            summary_header: String::new(),
            first_words_ms: 3_000,
            accept_s: 15,
        }
    }
}

/// How a caller reaches a target. Each text is made of the operator's templates and checked parts of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferRoute {
    /// An endpoint of Asterisk to dial.
    Dial {
        endpoint: String,
    },
    /// A SIP URI that the trunk is asked to connect.
    Refer {
        uri: String,
    },
    Dialplan(DialplanRoute),
    /// The tenant's endpoint is asked for the place.
    Ask,
}

/// A place in the dialplan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialplanRoute {
    pub context: String,
    pub extension: String,
    /// For [`DialplanRoute::DIAL_CONTEXT`]: the endpoint that it dials.
    pub endpoint: Option<String>,
}

impl DialplanRoute {
    /// The context of `vca-extensions.conf` that dials a number or a SIP address.
    pub const DIAL_CONTEXT: &'static str = "vca-transfer";
}

/// Why a target is refused. `Display` is for the tenant's administrator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefusal {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the operator does not allow the context {0:?}")]
    Context(String),
    #[error("the operator does not allow the SIP host {0:?}")]
    SipHost(String),
    #[error("the operator does not allow numbers that begin like {0}")]
    Prefix(Did),
    #[error("its endpoint is asked during calls with an agent only")]
    Endpoint,
    #[error("an emergency number cannot be a target")]
    Emergency,
    #[error("the operator has not set up {0}")]
    NotSetUp(&'static str),
    #[error("a {kind} cannot be reached by {method}")]
    Method { kind: TargetKind, method: TransferMethod },
    #[error("a target that is reached by {0} cannot be asked to accept the call")]
    Style(TransferMethod),
    #[error("VCA cannot stay in a call after a transfer by {0}")]
    AfterBridge(TransferMethod),
}

impl TransferRules {
    /// The place of a target, as its method requires.
    ///
    /// # Errors
    /// The operator does not allow it, or has not set up what it takes.
    pub fn route(&self, target: &TransferTarget) -> Result<TransferRoute, TargetRefusal> {
        let destination = self.allowed(target)?;
        let method = target.method;
        if target.style != TransferStyle::Cold && method != TransferMethod::Dial {
            return Err(TargetRefusal::Style(method));
        }
        if target.after_bridge == AfterBridge::Stay && method != TransferMethod::Dial {
            return Err(TargetRefusal::AfterBridge(method));
        }
        match (method, &destination) {
            (_, Destination::Endpoint) => Ok(TransferRoute::Ask),
            (TransferMethod::Dialplan, _) => self.place(&destination).map(TransferRoute::Dialplan),
            (TransferMethod::Dial, Destination::Queue(_) | Destination::Voicemail(_))
            | (
                TransferMethod::Refer,
                Destination::Queue(_) | Destination::Voicemail(_) | Destination::Extension { .. },
            ) => Err(TargetRefusal::Method { kind: target.kind, method }),
            (TransferMethod::Dial, _) => {
                self.endpoint(&destination).map(|endpoint| TransferRoute::Dial { endpoint })
            }
            (TransferMethod::Refer, _) => self.uri(&destination).map(|uri| TransferRoute::Refer { uri }),
        }
    }

    /// The place in the dialplan from which a target is reached, regardless of its method.
    ///
    /// # Errors
    /// As of [`TransferRules::route`].
    pub fn dialplan(&self, target: &TransferTarget) -> Result<DialplanRoute, TargetRefusal> {
        self.place(&self.allowed(target)?)
    }

    /// The target of a name to which an unanswered call can continue in the dialplan.
    ///
    /// # Errors
    /// Why it cannot at this time.
    pub fn forward_target<'a>(
        &self,
        targets: &'a [TransferTarget],
        name: &Label,
        now: DateTime<Utc>,
    ) -> Result<&'a TransferTarget, String> {
        let target = targets.iter().find(|target| target.name == *name);
        let target = target.ok_or_else(|| "the tenant has no such transfer target".to_owned())?;
        if !target.is_open(now) {
            return Err("the transfer target has closed".to_owned());
        }
        let place = self.dialplan(target);
        place.map_err(|refusal| format!("the transfer target is not allowed: {refusal}"))?;
        Ok(target)
    }

    /// Does the agent's summary reach the target, by voice or in a SIP header?
    pub fn takes_summary(&self, target: &TransferTarget) -> bool {
        let has_header = !self.summary_header.is_empty() && target.kind != TargetKind::Extension;
        target.method == TransferMethod::Dial && (target.style == TransferStyle::Warm || has_header)
    }

    fn allowed(&self, target: &TransferTarget) -> Result<Destination, TargetRefusal> {
        let destination = target.destination()?;
        if is_emergency(&destination) {
            return Err(TargetRefusal::Emergency);
        }
        match &destination {
            Destination::Extension { context, .. } => {
                if !self.contexts.contains(context) {
                    return Err(TargetRefusal::Context(context.clone()));
                }
            }
            Destination::Number(did) => self.check_number(did)?,
            Destination::Sip { host, .. } => {
                if !self.sip_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
                    return Err(TargetRefusal::SipHost(host.clone()));
                }
            }
            Destination::Queue(_) if self.queue_context.is_empty() => {
                return Err(TargetRefusal::NotSetUp("queues (transfer.queue_context)"));
            }
            Destination::Voicemail(_) if self.voicemail_context.is_empty() => {
                return Err(TargetRefusal::NotSetUp("mailboxes (transfer.voicemail_context)"));
            }
            Destination::Queue(_) | Destination::Voicemail(_) | Destination::Endpoint => {}
        }
        Ok(destination)
    }

    fn check_number(&self, did: &Did) -> Result<(), TargetRefusal> {
        let number = did.to_string();
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| number.starts_with(&**prefix));
        match begins(&self.prefixes) && !begins(&self.blocked_prefixes) {
            true => Ok(()),
            false => Err(TargetRefusal::Prefix(did.clone())),
        }
    }

    fn endpoint(&self, destination: &Destination) -> Result<String, TargetRefusal> {
        match destination {
            Destination::Extension { extension, context } => Ok(format!("Local/{extension}@{context}/n")),
            Destination::Number(did) => filled(&self.number_endpoint, did)
                .ok_or(TargetRefusal::NotSetUp("dialling numbers (transfer.number_endpoint)")),
            Destination::Sip { user, host } => match self.sip_endpoint.is_empty() {
                true => Err(TargetRefusal::NotSetUp("dialling SIP addresses (transfer.sip_endpoint)")),
                false => Ok(self.sip_endpoint.replace("{uri}", &sip_uri(user, host))),
            },
            Destination::Queue(_) | Destination::Voicemail(_) => {
                Err(TargetRefusal::NotSetUp("dialling queues and mailboxes"))
            }
            Destination::Endpoint => Err(TargetRefusal::Endpoint),
        }
    }

    fn uri(&self, destination: &Destination) -> Result<String, TargetRefusal> {
        match destination {
            Destination::Sip { user, host } => Ok(sip_uri(user, host)),
            Destination::Number(did) => filled(&self.refer_uri, did)
                .ok_or(TargetRefusal::NotSetUp("SIP REFER to numbers (transfer.refer_uri)")),
            Destination::Extension { .. } | Destination::Queue(_) | Destination::Voicemail(_) => {
                Err(TargetRefusal::NotSetUp("SIP REFER to extensions"))
            }
            Destination::Endpoint => Err(TargetRefusal::Endpoint),
        }
    }

    fn place(&self, destination: &Destination) -> Result<DialplanRoute, TargetRefusal> {
        let route = |context: &str, extension: &str, endpoint| DialplanRoute {
            context: context.to_owned(),
            extension: extension.to_owned(),
            endpoint,
        };
        Ok(match destination {
            Destination::Extension { extension, context } => route(context, extension, None),
            Destination::Queue(name) => route(&self.queue_context, name.as_str(), None),
            Destination::Voicemail(name) => route(&self.voicemail_context, name.as_str(), None),
            Destination::Endpoint => return Err(TargetRefusal::Endpoint),
            Destination::Number(_) | Destination::Sip { .. } => {
                route(DialplanRoute::DIAL_CONTEXT, "s", Some(self.endpoint(destination)?))
            }
        })
    }
}

fn sip_uri(user: &str, host: &str) -> String {
    format!("sip:{user}@{host}")
}

/// `None` for an empty template.
fn filled(template: &str, did: &Did) -> Option<String> {
    let text = template.replace("{number}", &did.to_string()).replace("{digits}", did.digits());
    (!template.is_empty()).then_some(text)
}

/// Emergency numbers of countries (ITU-T E.161.1 recommends 112 and 911), and those of police, fire brigade and ambulance.
const EMERGENCY: [&str; 32] = [
    "000", "08", "100", "101", "102", "103", "104", "106", "107", "108", "110", "111", "112", "113", "114",
    "115", "116", "117", "118", "119", "120", "122", "123", "133", "144", "190", "191", "192", "193", "194",
    "911", "999",
];

/// Those that are unlikely to be extensions of a PBX.
const EMERGENCY_EXTENSIONS: [&str; 5] = ["000", "110", "112", "911", "999"];

fn is_emergency(destination: &Destination) -> bool {
    match destination {
        Destination::Number(did) => is_emergency_number(did),
        Destination::Extension { extension, .. } => is_emergency_extension(extension),
        Destination::Sip { user, .. } => is_emergency_extension(user),
        Destination::Queue(name) | Destination::Voicemail(name) => is_emergency_extension(name.as_str()),
        Destination::Endpoint => false,
    }
}

/// Of a country code and an emergency number, with or without a zero between them. No number of a subscriber is as short.
fn is_emergency_number(did: &Did) -> bool {
    let digits = did.digits();
    let is_emergency = |rest: &str| rest.len() <= 3 && EMERGENCY.contains(&rest);
    let after_zero = |rest: &str| rest.strip_prefix('0').is_some_and(is_emergency);
    (0..=3).filter_map(|code| digits.get(code..)).any(|rest| is_emergency(rest) || after_zero(rest))
}

/// Also after a digit for an outside line, as a number with its country code, and with separators, which Asterisk and trunks
/// ignore.
fn is_emergency_extension(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_words = text.chars().any(|c| c.is_ascii_alphabetic());
    let after = |prefix: &str| digits.strip_prefix(prefix).unwrap_or(&digits);
    let is_dialled = || ["", "0", "9"].iter().any(|prefix| EMERGENCY_EXTENSIONS.contains(&after(prefix)));
    let is_number =
        || text.starts_with('+') && digits.parse::<Did>().is_ok_and(|did| is_emergency_number(&did));
    !is_words && (is_dialled() || is_number())
}

#[cfg(test)]
mod tests;
