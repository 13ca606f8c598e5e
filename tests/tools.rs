//! The tests' own tools, proven against plain Asterisk: numbers whose calls end in its dialplan.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vca::sim::conversation::percentile;
use vca::sim::voice::is_voiced;
use vca::sim::{Codec, Step};

use crate::support;
use crate::support::asterisk::{Asterisk, Options};
use crate::support::phone::{self, Call, Plan};
use crate::support::redis::Redis;
use crate::support::sipp::{Dial, Side, SipCall};
use crate::support::test_env::TestEnv;
use crate::support::{clips, ports, wait};

const ECHO: &str = "9000";
const RECORDING: &str = "9001";
const BUSY: &str = "9002";
const RINGING: &str = "9003";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen(silent: u64) -> Step {
    Step::Listen { silent: ms(silent), at_most: ms(8_000) }
}

#[test]
fn an_echo_comes_back_over_each_codec() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let clip = clips::prompt(&sandbox, "vm-goodbye");
    for codec in [Codec::Ulaw, Codec::Alaw, Codec::Slin16, Codec::Opus] {
        let script = vec![Step::Wait(ms(100)), Step::Say(clip.clone()), listen(300), Step::HangUp];
        let report = phone::call(&asterisk, Plan::new(ECHO, codec, script));
        assert_eq!(
            (report.status, report.ended_by),
            (Some(200), Some(Side::Caller)),
            "{codec:?}\n{}",
            report.log
        );
        let heard = &report.conversation;
        assert!(heard.missed.is_empty(), "{codec:?}: {:?}", heard.missed);
        // An echo begins while the caller still speaks and ends with it.
        let (caller, agent) = (heard.caller()[0], heard.agent());
        let (begin, end) = (agent[0].0, agent[agent.len() - 1].1);
        assert!(begin.abs_diff(caller.0) < ms(60), "{codec:?}: {caller:?} came back as {agent:?}");
        assert!(end.abs_diff(caller.1) < ms(60), "{codec:?}: {caller:?} came back as {agent:?}");
        assert_eq!(heard.lost, 0, "{codec:?}");
    }
    asterisk.becomes_idle(ms(2_000)).unwrap();
}

#[test]
fn a_recording_is_heard_and_the_far_end_hangs_up() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let report = phone::call(&asterisk, Plan::new(RECORDING, Codec::Ulaw, vec![]));
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", report.log);
    let expected = clips::prompt(&sandbox, "vm-goodbye").duration();
    let agent = report.conversation.agent();
    let (begin, end) = (agent[0].0, agent[agent.len() - 1].1);
    assert!((end - begin) <= expected && (end - begin) * 2 > expected, "{agent:?} of {expected:?}");
    assert!(report.answer_to_first_packet().unwrap() < ms(200), "{:?}", report.answer_to_first_packet());
    asterisk.becomes_idle(ms(2_000)).unwrap();
}

#[test]
fn refusals_carry_their_status() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    // Without the application, any number is refused so that the trunk tries its next route.
    for (did, status) in
        [(BUSY, 486), ("+493055500100", 503), ("493055500100", 503), ("7", 404), ("abc", 404)]
    {
        let report = phone::call(&asterisk, Plan::new(did, Codec::Ulaw, vec![]));
        assert_eq!((report.status, report.ended_by), (Some(status), None), "{did}\n{}", report.log);
        assert_eq!(report.conversation.packets, 0, "{did}");
    }
    asterisk.becomes_idle(ms(2_000)).unwrap();
}

#[test]
fn two_run_side_by_side_and_one_comes_back_from_the_dead() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut one = Asterisk::start(&sandbox, Options::default());
    let other = Asterisk::start(&sandbox, Options::default());
    let mut call = Call::place(&one, Plan::new(ECHO, Codec::Ulaw, vec![Step::Wait(ms(60_000))]));
    assert!(wait::until_true(ms(5_000), || call.progress().answered().is_some()));
    assert_eq!((one.channels().len(), other.channels().len()), (1, 0));
    one.kill();
    assert!(one.ari("channels").is_none());
    one.restart();
    assert!(one.channels().is_empty());
    assert!(!one.has_application("vca"));
    call.hang_up();
    assert!(other.ari("asterisk/info").is_some());
}

/// Ports that are taken although they were free a moment ago: on another loopback address, and for one protocol.
fn taken() -> (Vec<u16>, impl Sized) {
    let udp: Vec<_> = (0..2).map(|_| UdpSocket::bind("127.0.0.7:0").expect("a port")).collect();
    let tcp = TcpListener::bind("0.0.0.0:0").expect("a port");
    let mut ports: Vec<u16> = udp.iter().map(|it| it.local_addr().expect("an address").port()).collect();
    ports.push(tcp.local_addr().expect("an address").port());
    (ports, (udp, tcp))
}

/// These ports first, then free ones.
fn first(ports: &[u16]) -> impl FnMut() -> u16 {
    let mut ports = ports.iter().copied();
    move || ports.next().unwrap_or_else(ports::free)
}

#[test]
fn a_port_that_is_taken_is_not_free_and_none_is_chosen_twice() {
    let (taken, _held) = taken();
    assert!(taken.iter().all(|port| !ports::is_free(*port)), "{taken:?}");
    let mut chosen: Vec<u16> = (0..200).map(|_| ports::free()).collect();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen.len(), 200);
}

#[test]
fn what_finds_its_port_taken_starts_on_another_one() {
    let Some(sandbox) = support::sandbox() else { return };
    let (taken, _held) = taken();
    let tcp = taken[2];
    // Asterisk: first its SIP port is taken, then the one of its HTTP server.
    let (sip, http) = (tcp, tcp);
    let asterisk =
        Asterisk::start_from(&sandbox, Options::default(), first(&[sip, ports::free(), ports::free(), http]));
    assert!(asterisk.sip_port() != sip && asterisk.ari("asterisk/info").is_some());
    // sipp: first its control port is taken, on another address, then the one of its SIP socket.
    let dial = Dial {
        from_address: asterisk.options().trunk,
        from: "4930123456".into(),
        to: BUSY.into(),
        codec: Codec::Ulaw,
        media: (Ipv4Addr::LOCALHOST, 9).into(),
        keys: Vec::new(),
        headers: Vec::new(),
        holds_after: None,
        referral: None,
    };
    let held = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let own = held.local_addr().expect("an address").port();
    let call = SipCall::place_from(&asterisk, &dial, first(&[ports::free(), taken[0], own, ports::free()]));
    let answer = call.wait_for_answer(ms(10_000)).unwrap_or_else(|| panic!("{}", call.log()));
    assert_eq!(answer.status.map(|status| status.0), Some(486), "{}", call.log());
    let redis = Redis::start_from(&sandbox, first(&[tcp]));
    assert!(!redis.url().ends_with(&format!(":{tcp}")));
}

/// `./dev` starts Redis and PostgreSQL in the same way.
#[test]
fn the_dev_script_tries_another_port_when_one_is_taken() {
    if support::sandbox().is_none() {
        return;
    }
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("an address").port();
    let script = format!(
        r#"source ./dev
        eval "$(declare -f free_port | sed '1s/free_port/random_port/')"
        free_port() {{ if ((attempt == 1)); then echo {port}; else random_port; fi; }}
        trap stop_servers EXIT
        start_redis
        echo "$redis_url""#
    );
    let mut command = Command::new("bash");
    let output = command.args(["-c", &script]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.expect("bash can be run");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.starts_with("redis://"), "{printed}{said}");
    assert!(said.contains(&format!("port {port} is taken: trying another one")), "{said}");
    assert!(!printed.contains(&format!(":{port}")), "{printed}");
}

#[test]
fn a_daemon_that_finds_its_port_taken_starts_on_another_one() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let (taken, _held) = taken();
    env.vca.set_admin_port(taken[2]);
    env.open();
    assert_ne!(env.vca.admin_port(), taken[2]);
    assert_eq!(env.page("/readyz").map(|(status, _)| status), Some(200));
}

#[test]
fn prompts_come_with_their_words() {
    let Some(sandbox) = support::sandbox() else { return };
    let prompts = clips::prompts(&sandbox);
    assert!(prompts.len() > 300, "{}", prompts.len());
    let goodbye = prompts.iter().find(|(name, _)| name == "vm-goodbye").expect("it is listed");
    assert!(goodbye.1.to_lowercase().contains("goodbye"), "{goodbye:?}");
}

#[test]
fn ten_calls_at_once_keep_step() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let clip = clips::prompt(&sandbox, "vm-goodbye");
    let script = || vec![Step::Wait(ms(100)), Step::Say(clip.clone()), listen(300), Step::HangUp];
    let plan = || Plan::new(ECHO, Codec::Ulaw, script());
    let reports: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..10).map(|_| scope.spawn(|| phone::call(&asterisk, plan()))).collect();
        calls.into_iter().map(|call| call.join().expect("no call panics")).collect()
    });
    let errors: Vec<Duration> =
        reports.iter().flat_map(|report| report.conversation.pacing_errors.iter().copied()).collect();
    eprintln!("pacing error of echoed packets, p99: {:?}", percentile(&errors, 0.99));
    for report in &reports {
        assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Caller)), "{}", report.log);
        assert!(report.conversation.missed.is_empty(), "{:?}", report.conversation.missed);
    }
    asterisk.becomes_idle(ms(2_000)).unwrap();
}

#[test]
fn a_call_can_be_given_up_while_it_rings() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let mut call = Call::place(&asterisk, Plan::new(RINGING, Codec::Ulaw, vec![]));
    assert!(wait::until_true(ms(5_000), || !asterisk.channels().is_empty()));
    call.hang_up();
    let report = call.finish();
    assert_eq!(report.ended_by, Some(Side::Caller), "{}", report.log);
    assert_eq!(report.answered, None, "{}", report.log);
    asterisk.becomes_idle(ms(2_000)).unwrap();
}

#[test]
fn engines_speak_and_redis_comes_and_goes() {
    let Some(sandbox) = support::sandbox() else { return };
    for clip in [clips::espeak("Good morning", "en"), clips::flite("Good morning", "slt")] {
        assert!(clip.duration() > ms(400) && clip.duration() < ms(3_000), "{clip:?}");
        assert!(is_voiced(&clip.samples), "{clip:?}");
    }
    let mut redis = Redis::start(&sandbox);
    let port = redis.url().rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap();
    redis.kill();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    redis.restart();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[test]
fn the_trunks_of_all_providers_are_known_by_their_addresses() {
    let Some(sandbox) = support::sandbox() else { return };
    let asterisk = Asterisk::start(&sandbox, Options::default());
    let identifies = asterisk.cli("pjsip show identifies");
    for (trunk, address) in
        [("vca-trunk", "127.0.0.1"), ("twilio-trunk", "54.244.51.0"), ("telnyx-trunk", "64.16.250.10")]
    {
        assert!(identifies.contains(trunk) && identifies.contains(address), "{trunk}\n{identifies}");
        let state = asterisk.ari(&format!("endpoints/PJSIP/{trunk}")).expect("an endpoint");
        assert!(state["state"].is_string(), "{state}");
    }
    let plan = asterisk.cli("dialplan show +493055501000@vca-inbound");
    assert!(plan.contains("Stasis(vca)"), "{plan}");
}
