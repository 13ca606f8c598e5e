//! Asterisk refuses or does not answer: the call fails in an orderly way, nothing of it stays, the next one works.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use serde_json::Value;
use vca::sim::Step;
use vca::tenancy::{Call, CallStatus, TenantId};

use super::{MAIN, agent, env, exchange, listen, ms, understood};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::{http, wait};

/// An environment whose daemon reaches Asterisk by a wire.
fn wired_env() -> Option<(TestEnv, TenantId, FaultProxy)> {
    let (mut env, main) = env(agent())?;
    let address = env.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = FaultProxy::to_http(address);
    env.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    env.set("VCA__ARI__REQUEST_TIMEOUT_MS", "500");
    env.set("VCA__ARI__SET_UP_TIMEOUT_MS", "1500");
    env.set("VCA__ARI__RECONNECT_MAX_MS", "1000");
    env.open();
    Some((env, main, wire))
}

/// A call while the wire has a fault; its record.
fn fails(env: &TestEnv, main: TenantId, wire: &FaultProxy, fault: Fault) -> Call {
    wire.fail(fault.clone());
    let report = env.dial(MAIN, vec![listen(), Step::HangUp]);
    assert_eq!(report.status, Some(503), "{fault:?}\n{}\n{}", report.log, env.log());
    assert!(wire.met() > 0, "{fault:?} was never met");
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, turns.len()), (CallStatus::Failed, 0), "{fault:?}");
    assert_eq!(record.answered_at, None, "{fault:?}");
    // What may come into being late is looked for once more.
    let none_left = wait::until_true(ms(6_000), || env.metric("vca_calls_live", &[]) == Some(0.0));
    assert!(none_left, "{fault:?}: the call's task does not end\n{}", env.log());
    env.clears_away(ms(0));
    record
}

fn works_again(env: &TestEnv, main: TenantId, wire: &FaultProxy) {
    wire.mend();
    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
    assert_eq!(leaks(env), 0.0);
}

/// Another program with the name of the daemon's application, until it is dropped.
fn other_program(env: &TestEnv) -> TcpStream {
    let asterisk = &env.asterisk;
    let address = asterisk.ari_url().trim_start_matches("http://").to_owned();
    let (user, password) = (asterisk.ari_user(), asterisk.ari_password());
    let mut stream = TcpStream::connect(address).expect("Asterisk's HTTP server");
    let request = format!(
        "GET /ari/events?app=vca&api_key={user}:{password} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    stream
}

fn leaks(env: &TestEnv) -> f64 {
    env.metric("vca_asterisk_leaks_total", &[]).unwrap_or(0.0)
}

#[test]
fn a_call_that_asterisk_does_not_set_up_is_cleared_away() {
    let Some((env, main, wire)) = wired_env() else { return };
    for request in ["POST /ari/bridges", "POST /ari/channels/externalMedia"] {
        let record = fails(&env, main, &wire, Fault::Refused(request));
        assert_eq!(record.disposition.as_deref(), Some("failed_setup"), "{request}");
        let reason = record.failure_reason.as_deref().unwrap_or_default();
        assert!(reason.contains("Asterisk responded with 5"), "{request}: {reason:?}");
    }
    fails(&env, main, &wire, Fault::Swallowed("POST /ari/bridges"));
    // What Asterisk made is deleted although nobody said that it was made.
    fails(&env, main, &wire, Fault::Unanswered("POST /ari/bridges"));
    fails(&env, main, &wire, Fault::Unanswered("POST /ari/channels/externalMedia"));
    works_again(&env, main, &wire);
}

#[test]
fn what_cannot_be_deleted_at_once_is_deleted_later() {
    let Some((env, main, wire)) = wired_env() else { return };
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    wire.fail(Fault::Refused("DELETE /ari/"));
    call.hang_up();
    env.until(&mut call, ms(5_000), "deletions are refused more than once", || wire.met() >= 4);
    assert!(!env.asterisk.bridges().is_empty(), "nobody else clears away");
    wire.mend();
    env.last_call(main);
    assert_eq!(leaks(&env), 0.0);
}

#[test]
fn a_call_goes_on_while_events_are_lost() {
    let Some((env, main, wire)) = wired_env() else { return };
    let mut call = env.answered(MAIN, exchange());
    env.turns(&mut call, main, 1);
    wire.fail(Fault::Cut);
    let lost = || env.metric("vca_ari_connected", &[]) == Some(0.0);
    env.until(&mut call, ms(5_000), "the event WebSocket is lost", lost);
    // The caller is answered meanwhile, and leaves while nobody can tell the daemon.
    env.satisfied(call);
    assert_eq!(env.metric("vca_calls_live", &[]), Some(1.0));
    wire.mend();
    let (record, turns) = env.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("caller_hung_up"), "{record:?}");
    assert_eq!(understood(&turns), 1, "{turns:?}");
}

#[test]
fn a_name_that_another_program_took_is_taken_back_when_that_is_gone() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let is_connected = |env: &TestEnv| env.metric("vca_ari_connected", &[]) == Some(1.0);
    let other = other_program(&env);
    assert!(wait::until_true(ms(5_000), || !is_connected(&env)), "{}", env.log());
    assert_eq!(env.metric("vca_ari_disconnects_total", &["why=\"replaced\""]), Some(1.0));
    let is_unready = || env.page("/readyz").is_some_and(|(status, _)| status == 503);
    assert!(wait::until_true(ms(5_000), is_unready), "{}", env.log());
    let fights = wait::until_true(ms(7_000), || is_connected(&env));
    assert!(!fights, "the other program keeps the name while it is there\n{}", env.log());
    drop(other);
    assert!(wait::until_true(ms(20_000), || is_connected(&env)), "{}", env.log());
    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
}

/// A phone that takes a call over, as at the end of an attended transfer: an INVITE with Replaces (RFC 3891). It says
/// nothing, and listens to nothing.
struct Heir {
    socket: UdpSocket,
    asterisk: String,
    /// Asterisk's end of the dialog, with its tag.
    to: String,
}

impl Heir {
    /// Takes over the only call of a phone that there is.
    fn of(env: &TestEnv) -> Heir {
        let dialog = |part: &str| of_the_dialog(env, part);
        let (call, ours, theirs) = (dialog("call-id"), dialog("local_tag"), dialog("remote_tag"));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(ms(5_000))).expect("a socket");
        let asterisk = format!("127.0.0.1:{}", env.asterisk.sip_port());
        let mut heir = Heir { socket, to: format!("<sip:{MAIN}@{asterisk}>"), asterisk };
        let replaces = format!("Replaces: {call};to-tag={ours};from-tag={theirs}\r\n");
        heir.send("INVITE", 1, &replaces, &heir.offer());
        heir.to = heir.answered_by();
        heir.send("ACK", 1, "", "");
        heir
    }

    fn hang_up(&self) {
        self.send("BYE", 2, "", "");
    }

    fn offer(&self) -> String {
        let port = self.port();
        format!(
            "v=0\r\no=heir 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }

    fn send(&self, method: &str, number: u32, more: &str, body: &str) {
        let (Heir { asterisk, to, .. }, port, length) = (self, self.port(), body.len());
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let message = format!(
            "{method} sip:{MAIN}@{asterisk} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{port}\r\n\
             From: <sip:4930999@127.0.0.1:{port}>;tag=heir\r\nTo: {to}\r\nCall-ID: heir-{port}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:4930999@127.0.0.1:{port}>\r\nMax-Forwards: 70\r\n\
             {more}{kind}Content-Length: {length}\r\n\r\n{body}"
        );
        self.socket.send_to(message.as_bytes(), asterisk).expect("a datagram");
    }

    /// Waits for the 200 to the INVITE; whom it is from.
    fn answered_by(&self) -> String {
        let mut buffer = [0; 4_096];
        loop {
            let length = self.socket.recv(&mut buffer).expect("an answer to the INVITE with Replaces");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(text.starts_with("SIP/2.0 1") || text.starts_with("SIP/2.0 200"), "{text}");
            let to = text.lines().find_map(|line| line.strip_prefix("To: "));
            if let Some(to) = to.filter(|_| text.starts_with("SIP/2.0 200")) {
                return to.to_owned();
            }
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("a bound socket").port()
    }
}

/// What Asterisk knows of the SIP dialog of the only phone that there is.
fn of_the_dialog(env: &TestEnv, part: &str) -> String {
    let asterisk = &env.asterisk;
    let channels = asterisk.ari("channels").expect("a list of channels");
    let mut channels = channels.as_array().into_iter().flatten();
    let is_phone = |channel: &&Value| channel["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/"));
    let id = channels.find(is_phone).and_then(|channel| channel["id"].as_str()).expect("a phone").to_owned();
    let port = asterisk.ari_url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (user, password) = (asterisk.ari_user(), asterisk.ari_password());
    let variable = format!("variable=CHANNEL%28pjsip%2C{part}%29");
    let path = format!("/ari/channels/{id}/variable?{variable}&api_key={user}:{password}");
    let (_, body) = http::get(port, &path).expect("an answer");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    answer["value"].as_str().unwrap_or_else(|| panic!("no {part}: {body}")).to_owned()
}

#[test]
fn a_call_that_is_transferred_goes_on_with_its_new_caller() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    env.asterisk.cli("module load res_pjsip_refer.so");
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    let heir = Heir::of(&env);
    let report = call.finish();
    assert_eq!(report.ended_by, Some(Side::Agent), "the first caller is let go\n{}", env.log());
    assert_eq!(env.metric("vca_calls_live", &[]), Some(1.0), "the call goes on\n{}", env.log());
    assert!(env.log().contains("the caller was transferred"), "{}", env.log());
    heir.hang_up();
    let (record, _) = env.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("caller_hung_up"), "{}", env.log());
    assert_eq!(env.seed.calls(main).len(), 1, "nobody was asked to let it in again\n{}", env.log());
}
