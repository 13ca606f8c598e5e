//! Requests to Asterisk, each with method, path, query and body.
//!
//! Transport and order are elsewhere. The operations are those of `/ari/api-docs/*.json`; all of them exist in
//! Asterisk 18 to 22.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::dtmf::DtmfTiming;
use super::ids::{BridgeId, ChannelId};
use crate::dtmf::Tone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// One request to ARI.
#[derive(Clone, PartialEq)]
pub struct Request {
    pub method: Method,
    /// Resource and operation, a bounded set of words for metrics: `channels.answer`.
    pub operation: &'static str,
    /// Path below `/ari`, and the query, both percent-encoded. May hold phone numbers and pressed keys.
    pub target: String,
    pub body: Option<Value>,
}

/// Why a channel is hung up: a Q.850 cause. Before the answer it decides the caller's SIP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 1; SIP 404.
    UnallocatedNumber,
    /// 16: the conversation is over.
    NormalClearing,
    /// 17; SIP 486.
    Busy,
    /// 21; SIP 403.
    Rejected,
    /// 34; SIP 503: no free circuit.
    NoCircuit,
    /// 42; SIP 503: temporarily unavailable here; another destination may not be.
    Congestion,
}

impl Reason {
    /// The Q.850 code.
    pub fn code(self) -> u8 {
        match self {
            Reason::UnallocatedNumber => 1,
            Reason::NormalClearing => 16,
            Reason::Busy => 17,
            Reason::Rejected => 21,
            Reason::NoCircuit => 34,
            Reason::Congestion => 42,
        }
    }

    /// The status with which Asterisk refuses a SIP call for this reason, before its answer (`hangup_cause2sip` of
    /// `chan_pjsip`); `None` where it depends on the version.
    pub fn sip_status(self) -> Option<u16> {
        match self {
            Reason::UnallocatedNumber => Some(404),
            Reason::NormalClearing => None,
            Reason::Busy => Some(486),
            Reason::Rejected => Some(403),
            Reason::NoCircuit | Reason::Congestion => Some(503),
        }
    }
}

/// Arguments of `Request::external_media`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMedia<'a> {
    /// The id that the channel will have.
    pub channel_id: &'a ChannelId,
    pub app: &'a str,
    /// Our socket, as Asterisk reaches it.
    pub external_host: SocketAddr,
    /// Asterisk's name of the codec: `ulaw`, `alaw`, `slin16`, `opus`.
    pub format: &'a str,
}

/// Arguments of `Request::originate`: a channel that goes straight into the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCall<'a> {
    pub channel_id: &'a ChannelId,
    /// For a `Local/` endpoint: the id of its other half.
    pub other_channel_id: Option<&'a ChannelId>,
    /// Such as `Local/s@vca-doctor` or `PJSIP/alice`.
    pub endpoint: &'a str,
    /// The number that it is shown; empty for none.
    pub caller_id: &'a str,
    pub app: &'a str,
    /// Comma-separated arguments of `StasisStart`.
    pub app_args: &'a str,
    /// How long it may ring, in seconds.
    pub timeout_s: u32,
    /// Channel variables and functions that are set before it rings.
    pub variables: &'a [(String, String)],
}

impl Request {
    /// Answers a call that rings.
    pub fn answer(channel: &ChannelId) -> Request {
        Request::new(Method::Post, "channels.answer", &["channels", channel.as_str(), "answer"], &[])
    }

    /// Hangs up; before the answer it refuses.
    pub fn hang_up(channel: &ChannelId, reason: Reason) -> Request {
        let code = reason.code().to_string();
        Request::new(
            Method::Delete,
            "channels.hangup",
            &["channels", channel.as_str()],
            &[("reason_code", &code)],
        )
    }

    /// Returns the channel to the dialplan, after the `Stasis()` that it entered through.
    pub fn continue_in_dialplan(channel: &ChannelId) -> Request {
        Request::continue_in_dialplan_at(channel, None)
    }

    /// The same, at the first priority of a context and extension.
    pub fn continue_in_dialplan_at(channel: &ChannelId, place: Option<(&str, &str)>) -> Request {
        let path = ["channels", channel.as_str(), "continue"];
        let query = place
            .map(|(context, extension)| [("context", context), ("extension", extension), ("priority", "1")]);
        Request::new(Method::Post, "channels.continue", &path, query.as_ref().map_or(&[], |query| &query[..]))
    }

    /// Sends keys to the channel's far end, in the form that was negotiated with it. The response does not wait for them.
    pub fn send_dtmf(channel: &ChannelId, keys: &[Tone], timing: DtmfTiming) -> Request {
        let keys: String = keys.iter().map(|key| key.as_char()).collect();
        let [pause, tone] = [timing.pause, timing.tone].map(|time| time.as_millis().to_string());
        let query = [("dtmf", keys.as_str()), ("between", &pause), ("duration", &tone)];
        Request::new(Method::Post, "channels.sendDTMF", &["channels", channel.as_str(), "dtmf"], &query)
    }

    /// Plays the ringing tone of the channel's zone. The audio of a bridge would end it.
    pub fn ring(channel: &ChannelId) -> Request {
        Request::new(Method::Post, "channels.ring", &["channels", channel.as_str(), "ring"], &[])
    }

    pub fn stop_ringing(channel: &ChannelId) -> Request {
        Request::new(Method::Delete, "channels.ringStop", &["channels", channel.as_str(), "ring"], &[])
    }

    /// Plays music on hold of this class.
    pub fn start_music(channel: &ChannelId, class: &str) -> Request {
        let path = ["channels", channel.as_str(), "moh"];
        Request::new(Method::Post, "channels.startMoh", &path, &[("mohClass", class)])
    }

    pub fn stop_music(channel: &ChannelId) -> Request {
        Request::new(Method::Delete, "channels.stopMoh", &["channels", channel.as_str(), "moh"], &[])
    }

    /// Plays a second of silence to a channel. Asterisk begins, and reports it, once it has carried out the requests
    /// about the channel that were sent before.
    pub fn play_silence(channel: &ChannelId) -> Request {
        let path = ["channels", channel.as_str(), "play"];
        Request::new(Method::Post, "channels.play", &path, &[("media", "sound:silence/1")])
    }

    /// Asks the far end of a SIP channel to call this URI instead: SIP REFER, or 302 before the answer. The response does not
    /// wait for the far end's.
    pub fn redirect(channel: &ChannelId, uri: &str) -> Request {
        let path = ["channels", channel.as_str(), "redirect"];
        let endpoint = format!("PJSIP/{uri}");
        Request::new(Method::Post, "channels.redirect", &path, &[("endpoint", &endpoint)])
    }

    /// Creates a channel that exchanges RTP with a socket of ours. Response: `ExternalMedia`.
    pub fn external_media(new: &NewMedia<'_>) -> Request {
        let host = new.external_host.to_string();
        let query = [
            ("channelId", new.channel_id.as_str()),
            ("app", new.app),
            ("external_host", &host),
            ("format", new.format),
            ("encapsulation", "rtp"),
            ("transport", "udp"),
            ("connection_type", "client"),
            ("direction", "both"),
        ];
        Request::new(Method::Post, "channels.externalMedia", &["channels", "externalMedia"], &query)
    }

    /// Creates a channel with the id `copy` that has the audio that a channel receives, and takes it into the application.
    /// Response: `Channel`.
    pub fn snoop(channel: &ChannelId, copy: &ChannelId, app: &str, app_args: &str) -> Request {
        let path = ["channels", channel.as_str(), "snoop", copy.as_str()];
        let query = [("spy", "in"), ("whisper", "none"), ("app", app), ("appArgs", app_args)];
        Request::new(Method::Post, "channels.snoop", &path, &query)
    }

    /// Rings an endpoint and takes it into the application. Response: `Channel`.
    pub fn originate(new: &NewCall<'_>) -> Request {
        let timeout = new.timeout_s.to_string();
        let mut query = vec![
            ("channelId", new.channel_id.as_str()),
            ("endpoint", new.endpoint),
            ("app", new.app),
            ("timeout", &timeout),
        ];
        if !new.app_args.is_empty() {
            query.push(("appArgs", new.app_args));
        }
        if !new.caller_id.is_empty() {
            query.push(("callerId", new.caller_id));
        }
        query.extend(new.other_channel_id.map(|other| ("otherChannelId", other.as_str())));
        let request = Request::new(Method::Post, "channels.originate", &["channels"], &query);
        let variables: Map<String, Value> =
            new.variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let body = (!variables.is_empty()).then(|| json!({ "variables": variables }));
        Request { body, ..request }
    }

    /// Response: `Channel`.
    pub fn channel(id: &ChannelId) -> Request {
        Request::new(Method::Get, "channels.get", &["channels", id.as_str()], &[])
    }

    /// All channels of Asterisk. Response: a list of `Channel`.
    pub fn channels() -> Request {
        Request::new(Method::Get, "channels.list", &["channels"], &[])
    }

    /// A channel variable or function, such as `CHANNEL(audioreadformat)`. Response: `ChannelVariable`.
    pub fn variable(channel: &ChannelId, name: &str) -> Request {
        let path = ["channels", channel.as_str(), "variable"];
        Request::new(Method::Get, "channels.getVariable", &path, &[("variable", name)])
    }

    pub fn set_variable(channel: &ChannelId, name: &str, value: &str) -> Request {
        let path = ["channels", channel.as_str(), "variable"];
        Request::new(Method::Post, "channels.setVariable", &path, &[("variable", name), ("value", value)])
    }

    /// Creates a bridge. For two channels Asterisk takes its cheapest technology.
    pub fn create_bridge(id: &BridgeId) -> Request {
        Request::new(
            Method::Post,
            "bridges.create",
            &["bridges"],
            &[("bridgeId", id.as_str()), ("type", "mixing")],
        )
    }

    /// All of them enter, or the first that is missing fails the request.
    pub fn add_to_bridge(bridge: &BridgeId, channels: &[&ChannelId]) -> Request {
        let path = ["bridges", bridge.as_str(), "addChannel"];
        Request::new(Method::Post, "bridges.addChannel", &path, &[("channel", &list(channels))])
    }

    /// They stay in the application, out of any bridge.
    pub fn remove_from_bridge(bridge: &BridgeId, channels: &[&ChannelId]) -> Request {
        let path = ["bridges", bridge.as_str(), "removeChannel"];
        Request::new(Method::Post, "bridges.removeChannel", &path, &[("channel", &list(channels))])
    }

    /// The channels in it stay in the application.
    pub fn destroy_bridge(id: &BridgeId) -> Request {
        Request::new(Method::Delete, "bridges.destroy", &["bridges", id.as_str()], &[])
    }

    /// Lets only these kinds of event through. Response: `Application`.
    pub fn event_filter(app: &str, kinds: &[&str]) -> Request {
        let allowed: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
        let path = ["applications", app, "eventFilter"];
        let request = Request::new(Method::Put, "applications.filter", &path, &[]);
        Request { body: Some(json!({ "allowed": allowed })), ..request }
    }

    /// Response: `Application`.
    pub fn application(app: &str) -> Request {
        Request::new(Method::Get, "applications.get", &["applications", app], &[])
    }

    /// The devices and trunks of a technology, such as `PJSIP`. Response: a list of `AsteriskEndpoint`.
    pub fn endpoints(technology: &str) -> Request {
        Request::new(Method::Get, "endpoints.list", &["endpoints", technology], &[])
    }

    /// The settings of an endpoint of pjsip.conf, defaults included. Response: a list of `Setting`.
    pub fn pjsip_endpoint(name: &str) -> Request {
        let path = ["asterisk", "config", "dynamic", "res_pjsip", "endpoint", name];
        Request::new(Method::Get, "asterisk.config", &path, &[])
    }

    /// The state of a device or trunk in Asterisk, such as `PJSIP` and `vca-trunk`. Response: `AsteriskEndpoint`.
    pub fn endpoint(technology: &str, resource: &str) -> Request {
        Request::new(Method::Get, "endpoints.get", &["endpoints", technology, resource], &[])
    }

    /// Response: `Info`.
    pub fn info() -> Request {
        Request::new(Method::Get, "asterisk.info", &["asterisk", "info"], &[])
    }

    /// The modules that are loaded. Response: a list of `Module`.
    pub fn modules() -> Request {
        Request::new(Method::Get, "asterisk.modules", &["asterisk", "modules"], &[])
    }

    fn new(method: Method, operation: &'static str, path: &[&str], query: &[(&str, &str)]) -> Request {
        let mut target = String::new();
        for segment in path {
            target.push('/');
            encode(segment, &mut target);
        }
        for (at, (key, value)) in query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(key);
            target.push('=');
            encode(value, &mut target);
        }
        Request { method, operation, target, body: None }
    }
}

/// The value of a query parameter that may be repeated.
fn list(channels: &[&ChannelId]) -> String {
    channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(",")
}

/// Shows no target, which may hold a phone number or pressed keys.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({})", self.operation)
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
pub(super) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            _ => write!(into, "%{byte:02X}").unwrap_or_else(|_| unreachable!("a String takes all text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> ChannelId {
        ChannelId::new(text)
    }

    fn line(request: &Request) -> String {
        format!("{:?} {}", request.method, request.target)
    }

    #[test]
    fn requests_read_as_ari_wants_them() {
        let media = NewMedia {
            channel_id: &id("vca-media-7"),
            app: "vca",
            external_host: "[::1]:4000".parse().unwrap(),
            format: "slin16",
        };
        let bridge = BridgeId::new("b");
        let keys: Vec<Tone> = "1w#".chars().map(|key| key.try_into().unwrap()).collect();
        let cases = [
            (Request::answer(&id("17.0")), "Post /channels/17.0/answer"),
            (Request::hang_up(&id("17.0"), Reason::Busy), "Delete /channels/17.0?reason_code=17"),
            (Request::continue_in_dialplan(&id("17.0")), "Post /channels/17.0/continue"),
            (
                Request::external_media(&media),
                "Post /channels/externalMedia?channelId=vca-media-7&app=vca&external_host=%5B%3A%3A1%5D%3A4000&\
                 format=slin16&encapsulation=rtp&transport=udp&connection_type=client&direction=both",
            ),
            (
                Request::send_dtmf(&id("17.0"), &keys, DtmfTiming::default()),
                "Post /channels/17.0/dtmf?dtmf=1w%23&between=100&duration=100",
            ),
            (
                Request::snoop(&id("17.0"), &id("vca-leg-7.2"), "vca", "leg"),
                "Post /channels/17.0/snoop/vca-leg-7.2?spy=in&whisper=none&app=vca&appArgs=leg",
            ),
            (Request::create_bridge(&bridge), "Post /bridges?bridgeId=b&type=mixing"),
            (
                Request::add_to_bridge(&bridge, &[&id("1.0"), &id("2.0")]),
                "Post /bridges/b/addChannel?channel=1.0%2C2.0",
            ),
            (
                Request::remove_from_bridge(&bridge, &[&id("1.0")]),
                "Post /bridges/b/removeChannel?channel=1.0",
            ),
            (Request::destroy_bridge(&bridge), "Delete /bridges/b"),
            (Request::application("vca"), "Get /applications/vca"),
            (Request::endpoint("PJSIP", "vca-trunk"), "Get /endpoints/PJSIP/vca-trunk"),
            (Request::endpoints("PJSIP"), "Get /endpoints/PJSIP"),
            (Request::pjsip_endpoint("a/b"), "Get /asterisk/config/dynamic/res_pjsip/endpoint/a%2Fb"),
            (
                Request::variable(&id("1.0"), "CHANNEL(audioreadformat)"),
                "Get /channels/1.0/variable?variable=CHANNEL%28audioreadformat%29",
            ),
        ];
        for (request, expected) in cases {
            assert_eq!(line(&request), expected);
        }
    }

    #[test]
    fn the_filter_names_the_kinds() {
        let request = Request::event_filter("vca", &["StasisStart", "StasisEnd"]);
        assert_eq!(request.target, "/applications/vca/eventFilter");
        assert_eq!(
            request.body,
            Some(json!({ "allowed": [{ "type": "StasisStart" }, { "type": "StasisEnd" }] }))
        );
    }

    #[test]
    fn variables_of_a_new_call_are_in_its_body() {
        let channel = id("vca-leg-7.2");
        let new = |variables: &[(String, String)]| {
            Request::originate(&NewCall {
                channel_id: &channel,
                other_channel_id: None,
                endpoint: "PJSIP/alice",
                caller_id: "",
                app: "vca",
                app_args: "leg",
                timeout_s: 30,
                variables,
            })
        };
        assert_eq!(new(&[]).body, None);
        let header = [("PJSIP_HEADER(add,X-Summary)".to_owned(), "Ms Ito, \"late\"".to_owned())];
        let expected = json!({ "variables": { "PJSIP_HEADER(add,X-Summary)": "Ms Ito, \"late\"" } });
        assert_eq!(new(&header).body, Some(expected));
    }

    #[test]
    fn debug_shows_no_number() {
        assert_eq!(format!("{:?}", Request::channel(&id("Local/15550100"))), "Request(channels.get)");
    }

    proptest! {
        #[test]
        fn no_id_escapes_its_segment(id in any::<String>()) {
            let target = Request::answer(&ChannelId::new(&id)).target;
            prop_assert_eq!(target.matches('/').count(), 3);
            prop_assert!(target.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#'));
        }
    }
}
