//! A SIP call, placed by sipp in the sandbox. sipp does the signalling alone: the SDP that it offers names the
//! test's own RTP endpoint.
//!
//! What happened is read from sipp's message log, whose times are good to the microsecond. To hang up, sipp is
//! interrupted twice (SIGUSR1): it then sends BYE, or CANCEL while the call is not answered yet.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use chrono::DateTime;
use rustix::process::Signal;
use vca::sim::Codec;

use super::asterisk::Asterisk;
use super::sandbox::{Program, RunFolder};
use super::{ports, wait};

const MESSAGES: &str = "messages.log";

#[derive(Debug, Clone)]
pub struct Dial {
    /// The address that the call comes from, which decides the trunk (see `asterisk::Options`).
    pub from_address: Ipv4Addr,
    /// The caller's number.
    pub from: String,
    /// The called number, in the form in which the trunk sends it: with or without a plus sign.
    pub to: String,
    pub codec: Codec,
    /// Where the caller wants to have its RTP.
    pub media: SocketAddr,
    /// Keys that are reported by SIP INFO, each after a pause.
    pub keys: Vec<(Duration, char)>,
    /// Lines of the INVITE beside those of every call, such as `X-Customer-Id: 4711`.
    pub headers: Vec<String>,
    /// How long after the keys the caller puts the call on hold, if they do.
    pub holds_after: Option<Duration>,
    /// The answer to a REFER, which ends the call when absent.
    pub referral: Option<Referral>,
}

/// An answer to a REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referral {
    /// It is refused with this status.
    Refused(u16),
    /// It is accepted, and no end is reported.
    Silent,
    /// It is accepted, and the target is reported as busy.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Caller,
    /// Asterisk, on behalf of the agent.
    Agent,
}

/// What is known of a call so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the INVITE left.
    pub invited: Option<Instant>,
    /// The final status of the INVITE and when it came: 200 for an answer, 404 or so for a refusal.
    pub status: Option<(u16, Instant)>,
    /// Where the answer's SDP wants the RTP.
    pub media: Option<SocketAddr>,
    /// Who sent BYE (or, before the answer, CANCEL) first, and when.
    pub ended: Option<(Side, Instant)>,
}

impl Progress {
    /// When the call was answered.
    pub fn answered(&self) -> Option<Instant> {
        self.status.filter(|status| status.0 == 200).map(|status| status.1)
    }

    /// Whether nothing more is to come: refused, or ended by either side.
    pub fn is_over(&self) -> bool {
        self.ended.is_some() || self.status.is_some_and(|(code, _)| code >= 300)
    }
}

/// A call in progress; hung up when dropped.
#[derive(Debug)]
pub struct SipCall {
    // Dropped in this order: the program before the folder that it runs in.
    program: Program,
    folder: RunFolder,
}

impl SipCall {
    pub fn place(asterisk: &Asterisk, dial: &Dial) -> SipCall {
        SipCall::place_from(asterisk, dial, ports::free)
    }

    /// Takes its ports from `port`, and further ones while one of them is taken.
    ///
    /// # Panics
    /// When that leads to nothing.
    pub fn place_from(asterisk: &Asterisk, dial: &Dial, mut port: impl FnMut() -> u16) -> SipCall {
        let mut attempts = (0..ports::TRIES).map(|_| SipCall::start(asterisk, dial, port(), port()));
        let bound = attempts.find_map(|mut call| if call.lacks_a_port() { None } else { Some(call) });
        bound.expect("sipp found every port taken")
    }

    fn start(asterisk: &Asterisk, dial: &Dial, port: u16, control: u16) -> SipCall {
        let sandbox = asterisk.sandbox();
        let folder = sandbox.run_folder("sipp");
        folder.write("call.xml", &scenario(dial));
        let target = format!("{}:{}", asterisk.sip_address(), asterisk.sip_port());
        let (own, port, control) = (dial.from_address.to_string(), port.to_string(), control.to_string());
        let args = [
            &[
                &target, "-sf", "call.xml", "-s", &dial.to, "-i", &own, "-p", &port, "-cp", &control, "-m",
                "1",
            ][..],
            &["-nostdin", "-trace_msg", "-message_file", MESSAGES, "-trace_err", "-error_file", "errors.log"],
        ]
        .concat();
        let program = sandbox.start(&folder, "sipp", &args);
        SipCall { program, folder }
    }

    /// Whether sipp ended because a port is taken; known once it did, or sent its INVITE.
    fn lacks_a_port(&mut self) -> bool {
        wait::until_true(Duration::from_secs(10), || {
            !self.program.is_running() || self.progress().invited.is_some()
        });
        !self.program.is_running() && self.folder.read("errors.log").contains("Address already in use")
    }

    /// What has happened so far.
    pub fn progress(&self) -> Progress {
        read_messages(&self.folder.read(MESSAGES), Instant::now(), SystemTime::now())
    }

    /// Waits for the final answer to the INVITE; `None` when none comes within `timeout`.
    pub fn wait_for_answer(&self, timeout: Duration) -> Option<Progress> {
        wait::until(timeout, || Some(self.progress()).filter(|progress| progress.status.is_some()))
    }

    /// Waits until the call is over; `None` when it still is not after `timeout`.
    pub fn wait_for_end(&self, timeout: Duration) -> Option<Progress> {
        wait::until(timeout, || Some(self.progress()).filter(Progress::is_over))
    }

    /// Suspends sipp until the caller hangs up: no message is read or answered meanwhile.
    pub fn suspend(&self) {
        self.program.signal(Signal::STOP);
    }

    /// Hangs up, in whatever state the call is. It takes some tens of milliseconds.
    pub fn hang_up(&mut self) {
        for _ in 0..50 {
            if !self.program.is_running() {
                return;
            }
            self.program.signal(Signal::CONT);
            self.program.signal(Signal::USR1);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.program.kill();
    }

    /// sipp's log of SIP messages and its complaints, for a failing test.
    pub fn log(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.folder.read(MESSAGES),
            self.folder.read("errors.log"),
            self.folder.read("output")
        )
    }
}

impl Drop for SipCall {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// INVITE, ACK, the keys, then wait for BYE. A refusal is not in it: sipp acknowledges that by itself and ends.
fn scenario(dial: &Dial) -> String {
    let Dial { from, codec, media, keys, headers, holds_after, referral, .. } = dial;
    let headers: String = headers.iter().map(|line| format!("{line}\n")).collect();
    let (payload_type, rtpmap) = (codec.payload_type(), codec.rtpmap());
    let dialog = format!(
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
         From: <sip:{from}@[local_ip]:[local_port]>;tag=[pid]call[call_number]"
    );
    let keys: String =
        (2..).zip(keys).map(|(cseq, (pause, key))| key_by_info(&dialog, cseq, *pause, *key)).collect();
    let hold = holds_after.map(|pause| hold(&dialog, dial, keys.len() + 2, pause)).unwrap_or_default();
    let referral = referral.map(|answer| answer_to_refer(&dialog, answer)).unwrap_or_default();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<scenario name="call">
  <send retrans="500"><![CDATA[

INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{dialog}
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:{from}@[local_ip]:[local_port]>
Max-Forwards: 70
{headers}Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP4 {ip}
s=-
c=IN IP4 {ip}
t=0 0
m=audio {port} RTP/AVP {payload_type} 101
a=rtpmap:{payload_type} {rtpmap}
a=rtpmap:101 telephone-event/8000
a=ptime:20

]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[

ACK [next_url] SIP/2.0
{dialog}
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
{keys}{hold}{referral}  <recv request="BYE"/>
  <send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"#,
        ip = media.ip(),
        port = media.port(),
    )
}

/// A REFER, its response, and a NOTIFY where the end is reported.
fn answer_to_refer(dialog: &str, answer: Referral) -> String {
    let status = match answer {
        Referral::Refused(status) => status,
        Referral::Silent | Referral::Busy => 202,
    };
    let response = format!(
        r#"  <recv request="REFER"><action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/></action></recv>
  <send><![CDATA[

SIP/2.0 {status} Referral
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Length: 0

]]></send>
"#
    );
    let notification = format!(
        r#"  <send retrans="500"><![CDATA[

NOTIFY [next_url] SIP/2.0
{dialog}
To:[$1]
Call-ID: [call_id]
CSeq: 90 NOTIFY
Contact: <sip:[local_ip]:[local_port]>
Event: refer
Subscription-State: terminated;reason=noresource
Max-Forwards: 70
Content-Type: message/sipfrag;version=2.0
Content-Length: [len]

SIP/2.0 486 Busy Here

]]></send>
  <recv response="200"/>
"#
    );
    let unused = "  <Reference variables=\"1\"/>\n".to_owned();
    response + &(if answer == Referral::Busy { notification } else { unused })
}

/// A pause, then a key as `application/dtmf-relay`, which Asterisk and most gateways use.
fn key_by_info(dialog: &str, cseq: u32, pause: Duration, key: char) -> String {
    format!(
        r#"  <pause milliseconds="{}"/>
  <send retrans="500"><![CDATA[

INFO [next_url] SIP/2.0
{dialog}
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal={key}
Duration=100

]]></send>
  <recv response="200"/>
"#,
        pause.as_millis()
    )
}

/// A pause, then an INVITE that puts the call on hold.
fn hold(dialog: &str, dial: &Dial, cseq: usize, pause: Duration) -> String {
    let Dial { from, codec, media, .. } = dial;
    format!(
        r#"  <pause milliseconds="{}"/>
  <send retrans="500"><![CDATA[

INVITE [next_url] SIP/2.0
{dialog}
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} INVITE
Contact: <sip:{from}@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 2 IN IP4 {ip}
s=-
c=IN IP4 {ip}
t=0 0
m=audio {port} RTP/AVP {payload_type} 101
a=rtpmap:{payload_type} {rtpmap}
a=rtpmap:101 telephone-event/8000
a=sendonly
a=ptime:20

]]></send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[

ACK [next_url] SIP/2.0
{dialog}
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
"#,
        pause.as_millis(),
        payload_type = codec.payload_type(),
        rtpmap = codec.rtpmap(),
        ip = media.ip(),
        port = media.port(),
    )
}

/// Reads sipp's log: a line of dashes with the time, a line that says sent or received, the message.
///
/// `now` and `today` are the same moment on either clock.
fn read_messages(log: &str, now: Instant, today: SystemTime) -> Progress {
    let mut progress = Progress::default();
    for entry in log.split("-----------------------------------------------").skip(1) {
        let mut lines = entry.lines();
        let Some(at) = lines.next().and_then(|line| instant(line.trim(), now, today)) else { continue };
        let Some(heading) = lines.next() else { continue };
        let sender = if heading.contains(" sent ") { Side::Caller } else { Side::Agent };
        let message: Vec<&str> = lines.map(str::trim_end).skip_while(|line| line.is_empty()).collect();
        note(&mut progress, sender, at, &message);
    }
    progress
}

fn note(progress: &mut Progress, sender: Side, at: Instant, message: &[&str]) {
    let Some(first) = message.first() else { return };
    if first.starts_with("INVITE ") {
        progress.invited.get_or_insert(at);
    } else if first.starts_with("BYE ") || first.starts_with("CANCEL ") {
        progress.ended.get_or_insert((sender, at));
    } else if let Some(status) = first.strip_prefix("SIP/2.0 ")
        && sender == Side::Agent
        && message.iter().any(|line| line.starts_with("CSeq:") && line.ends_with("INVITE"))
    {
        let code = status.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        if code >= 200 {
            progress.status.get_or_insert((code, at));
            progress.media = progress.media.or_else(|| media_address(message));
        }
    }
}

/// The media address of an SDP.
pub(super) fn media_address(message: &[&str]) -> Option<SocketAddr> {
    let value = |prefix: &str| message.iter().find_map(|line| line.strip_prefix(prefix));
    let ip = value("c=IN IP4 ")?.parse().ok()?;
    let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

fn instant(text: &str, now: Instant, today: SystemTime) -> Option<Instant> {
    let time = SystemTime::from(DateTime::parse_from_rfc3339(text).ok()?);
    match today.duration_since(time) {
        Ok(ago) => now.checked_sub(ago),
        Err(ahead) => Some(now + ahead.duration()),
    }
}
