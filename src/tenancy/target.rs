//! Transfer targets: where a tenant's agents may transfer callers to, and how such a place is written.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::{id, words};
use super::target_resolver::TargetResolver;
use super::url_template::UrlTemplate;
use super::{Did, Hours, Label, TenantId};

id!(
    /// A transfer target.
    TargetId
);

words!(
    /// The kind of a target, which decides how its `address` is written. `extension`: `1001@sales`, an extension in a
    /// context of the dialplan. `number`: `+493055500100`. `sip`: `shop@pbx.example.com`. `queue`: `reception`, an extension
    /// in the operator's context of queues. `voicemail`: `shop`, an extension in the operator's context of mailboxes. `http`:
    /// `https://example.com/target`, an endpoint of the tenant's that is asked for the place when the transfer begins.
    TargetKind {
        /// An extension in a context of the dialplan: `1001@sales`.
        Extension = "extension",
        /// A phone number in E.164: `+493055500100`.
        Number = "number",
        /// A SIP user at a host: `shop@pbx.example.com`.
        Sip = "sip",
        /// An extension in the operator's context of queues: `reception`.
        Queue = "queue",
        /// An extension in the operator's context of mailboxes: `shop`.
        Voicemail = "voicemail",
        /// The tenant's endpoint names the place: `https://example.com/target`.
        Http = "http",
    }
);
words!(
    /// How a caller is transferred. `dial`: VCA dials the target and joins it with the caller; busy or without an answer, the
    /// caller returns to the agent. `refer`: the caller's trunk is asked to do it (SIP REFER). `dialplan`: the caller continues
    /// in the dialplan at the target.
    TransferMethod {
        /// VCA dials the target, and the caller returns to the agent where it does not answer.
        Dial = "dial",
        /// The caller's trunk is asked to connect the target: SIP REFER (RFC 3515).
        Refer = "refer",
        /// The caller continues in the dialplan, which connects the target.
        Dialplan = "dialplan",
    }
);

words!(
    /// How a dialled target receives the caller. `cold`: at once. `confirmed`: it hears from whom the call is, and takes
    /// it by key 1 or a word, or declines by key 2 or a word. `warm`: it also hears the agent's summary before that. A target that does
    /// not take the call does not get the caller, who returns to the agent.
    #[derive(Default)]
    TransferStyle {
        /// It talks to the caller as soon as it answers.
        #[default]
        Cold = "cold",
        /// It takes the call by a key or a word.
        Confirmed = "confirmed",
        /// It hears the agent's summary and takes the call by a key or a word. The caller hears music meanwhile.
        Warm = "warm",
    }
);

words!(
    /// VCA's part once a dialled target has the caller. `leave`: none. `stay`: it is silent and transcribes both sides
    /// for the call's record, until either hangs up.
    #[derive(Default)]
    AfterBridge {
        /// Its part of the call ends.
        #[default]
        Leave = "leave",
        /// It is silent and transcribes both sides for the call's record.
        Stay = "stay",
    }
);

/// A person or queue that an agent may transfer callers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferTarget {
    pub id: TargetId,
    pub tenant_id: TenantId,
    /// The name by which the model and failover routes choose the target. Unique within the tenant.
    pub name: Label,
    /// When to choose this target, for the model.
    pub description: String,
    pub kind: TargetKind,
    /// Its place, written as its kind requires.
    pub address: String,
    pub method: TransferMethod,
    /// How it receives the caller. Other styles than `cold` need the method `dial`.
    pub style: TransferStyle,
    /// VCA's part once it has the caller. `stay` needs the method `dial`.
    #[serde(default)]
    pub after_bridge: AfterBridge,
    /// For the kind `http`: how its endpoint is asked.
    pub resolver: Option<TargetResolver>,
    /// When it can be reached. Default: always.
    pub hours: Option<Hours>,
    pub created_at: DateTime<Utc>,
}

impl TargetKind {
    /// Is a target of this kind a party that is dialled, by VCA, the dialplan or the caller's trunk?
    pub fn is_dialled(self) -> bool {
        match self {
            TargetKind::Extension | TargetKind::Number | TargetKind::Sip => true,
            TargetKind::Queue | TargetKind::Voicemail | TargetKind::Http => false,
        }
    }

    /// The method of a target for which none is chosen.
    pub fn usual_method(self) -> TransferMethod {
        match self {
            TargetKind::Queue | TargetKind::Voicemail => TransferMethod::Dialplan,
            TargetKind::Extension | TargetKind::Number | TargetKind::Sip | TargetKind::Http => {
                TransferMethod::Dial
            }
        }
    }
}

impl TransferTarget {
    /// # Errors
    /// The address is not one of its kind.
    pub fn destination(&self) -> Result<Destination, AddressError> {
        Destination::parse(self.kind, &self.address)
    }

    /// Can it be reached at this time? Hours that cannot be evaluated do not prevent it.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        let schedule = self.hours.as_ref().and_then(|hours| hours.schedule().ok());
        schedule.is_none_or(|schedule| schedule.is_open(now))
    }
}

/// The place of a target, made of checked parts: nothing in it has a meaning for a dialplan, a dial string or a SIP URI beyond
/// its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Extension {
        extension: String,
        context: String,
    },
    Number(Did),
    Sip {
        user: String,
        host: String,
    },
    Queue(Label),
    Voicemail(Label),
    /// The tenant's endpoint names it. Not a place that is dialled.
    Endpoint,
}

/// Why an address is refused. `Display` is for the tenant's administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "write an extension and its context, as in 1001@sales: letters, digits, _ and -, in the extension also * and +"
    )]
    Extension,
    #[error("write a number with its country code, as in +493055500100")]
    Number,
    #[error("write a SIP user and a host, as in shop@pbx.example.com or shop@192.0.2.10:5070")]
    Sip,
    #[error("write the name of a queue, as in reception: 1 to 40 of the characters a to z, 0 to 9, _ and -")]
    Queue,
    #[error("write the name of a mailbox, as in shop: 1 to 40 of the characters a to z, 0 to 9, _ and -")]
    Voicemail,
    #[error("write a URL without variables, as in https://example.com/target")]
    Url,
}

const LONGEST_PART: usize = 64;
const LONGEST_HOST: usize = 253;
const LONGEST_URL: usize = 400;

impl Destination {
    /// # Errors
    /// The address is not one of this kind.
    pub fn parse(kind: TargetKind, address: &str) -> Result<Destination, AddressError> {
        match kind {
            TargetKind::Extension => extension(address).ok_or(AddressError::Extension),
            TargetKind::Number => number(address).ok_or(AddressError::Number),
            TargetKind::Sip => sip(address).ok_or(AddressError::Sip),
            TargetKind::Queue => address.parse().map(Destination::Queue).map_err(|_| AddressError::Queue),
            TargetKind::Voicemail => {
                address.parse().map(Destination::Voicemail).map_err(|_| AddressError::Voicemail)
            }
            TargetKind::Http => {
                is_endpoint(address).then_some(Destination::Endpoint).ok_or(AddressError::Url)
            }
        }
    }
}

fn extension(address: &str) -> Option<Destination> {
    let (extension, context) = address.split_once('@')?;
    let is_part = consists_of(extension, LONGEST_PART, b"_-*+") && consists_of(context, LONGEST_PART, b"_-");
    is_part.then(|| Destination::Extension { extension: extension.to_owned(), context: context.to_owned() })
}

/// With a plus sign: a national number could mean another country's.
fn number(address: &str) -> Option<Destination> {
    address.starts_with('+').then(|| address.parse().ok()).flatten().map(Destination::Number)
}

fn sip(address: &str) -> Option<Destination> {
    let (user, host) = address.split_once('@')?;
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    let is_host = consists_of(name, LONGEST_HOST, b".-") && !name.starts_with(['.', '-']);
    let fits = consists_of(user, LONGEST_PART, b"_-.+") && is_host && port.is_none_or(is_port);
    fits.then(|| Destination::Sip { user: user.to_owned(), host: host.to_ascii_lowercase() })
}

fn is_endpoint(address: &str) -> bool {
    let is_visible = address.len() <= LONGEST_URL && address.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible && UrlTemplate::parse(address).is_ok_and(|url| url.variables().next().is_none())
}

/// Letters and digits of ASCII, and `others`.
fn consists_of(text: &str, longest: usize, others: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !text.is_empty() && text.len() <= longest && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_by_kind() {
        for (kind, address) in [
            (TargetKind::Extension, "1001@sales"),
            (TargetKind::Extension, "*98@vm_box"),
            (TargetKind::Number, "+49 30 555-00100"),
            (TargetKind::Sip, "shop@PBX.example.com"),
            (TargetKind::Sip, "+4930@192.0.2.10:5070"),
            (TargetKind::Queue, "reception"),
            (TargetKind::Voicemail, "shop"),
            (TargetKind::Http, "https://example.com/target?shop=7"),
        ] {
            assert!(Destination::parse(kind, address).is_ok(), "{kind} {address}");
        }
        let host = "pbx.example.com:5070".to_owned();
        let read = Destination::parse(TargetKind::Sip, "shop@PBX.example.com:5070");
        assert_eq!(read, Ok(Destination::Sip { user: "shop".into(), host }));
    }

    #[test]
    fn other_addresses_are_refused() {
        for (kind, address) in [
            (TargetKind::Extension, "1001"),
            (TargetKind::Extension, "1001@sales,1"),
            (TargetKind::Extension, "1001&SIP/evil@sales"),
            (TargetKind::Extension, "${X}@sales"),
            (TargetKind::Extension, "1001/n@sales"),
            (TargetKind::Extension, "@sales"),
            (TargetKind::Number, "493055500100"),
            (TargetKind::Number, "+4930555@trunk"),
            (TargetKind::Number, "+49,n"),
            (TargetKind::Sip, "sip:shop@pbx.example.com"),
            (TargetKind::Sip, "shop@pbx.example.com;transport=tcp"),
            (TargetKind::Sip, "shop@pbx@evil"),
            (TargetKind::Sip, "shop@pbx:0"),
            (TargetKind::Sip, "shop@pbx:99999"),
            (TargetKind::Sip, "shop@-pbx"),
            (TargetKind::Sip, "shop?Replaces=x@pbx"),
            (TargetKind::Queue, "Reception"),
            (TargetKind::Queue, ""),
            (TargetKind::Voicemail, "shop@default"),
            (TargetKind::Http, "ftp://example.com/"),
            (TargetKind::Http, "https://example.com/{{caller}}"),
            (TargetKind::Http, "shop"),
        ] {
            assert!(Destination::parse(kind, address).is_err(), "{kind} {address}");
        }
    }

    proptest! {
        #[test]
        fn parts_contain_no_separator(address in ".{0,40}|[a-z0-9]{1,5}[@,/&$()]{1,2}[a-z.:0-9]{1,9}") {
            let parts = |destination| match destination {
                Destination::Extension { extension, context } => vec![extension, context],
                Destination::Number(did) => vec![did.digits().to_owned()],
                Destination::Sip { user, host } => vec![user, host.replacen(':', "", 1)],
                Destination::Queue(label) | Destination::Voicemail(label) => vec![label.to_string()],
                Destination::Endpoint => vec![],
            };
            for kind in TargetKind::ALL {
                let parts = Destination::parse(*kind, &address).map(parts).unwrap_or_default();
                let is_inert = |part: &String| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-*+.".contains(&b));
                prop_assert!(parts.iter().all(is_inert), "{parts:?}");
            }
        }
    }
}
