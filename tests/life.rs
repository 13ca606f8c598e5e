//! What becomes of calls when something breaks: strangers, crashes, and the loss of every server that there is.

mod analysis;
mod asterisk;
mod credentials;
mod disk;
mod engines;
mod media;
mod permitted;
mod reload;
pub mod servers;
mod trouble;
mod vendors;
mod voice;
mod webhooks;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{CallStatus, CallTurn, EndedBy, EngineKind, TenantId};

use crate::support::asterisk::Asterisk;
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::{self, clips, wait};

const MAIN: &str = "+49305550100";
const WORDS: &str = "what are your opening hours";
const GREETING: &str = "Hello there.";
const ANSWER: &str = "From nine to five.";
/// Short, so that the tests are.
const SCRIPT: &str = r#"
phrases = ["what are your opening hours", "goodbye", "yes", "no"]
otherwise = "I am sorry."

[[reply]]
pattern = "opening hours"
say = "From nine to five."
"#;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An environment with one tenant and no daemon yet; `None` where there is no sandbox.
fn env(agent: Value) -> Option<(TestEnv, TenantId)> {
    let mut env = TestEnv::build(&support::sandbox()?, program(), None);
    env.set_script(SCRIPT);
    let main = env.seed.tenant("main", MAIN, None, agent);
    Some((env, main))
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vca"))
}

fn agent() -> Value {
    json!({ "greeting": GREETING, "stt": "pocketsphinx", "llm": "scripted", "tts": "flite" })
}

fn listen() -> Step {
    Step::Listen { silent: ms(400), at_most: ms(12_000) }
}

fn question() -> Step {
    Step::Say(clips::flite(WORDS, "slt"))
}

/// Greeting, question, answer.
fn exchange() -> Vec<Step> {
    vec![listen(), question(), listen(), Step::HangUp]
}

fn understood(turns: &[CallTurn]) -> usize {
    turns.iter().filter(|turn| turn.caller_text == WORDS && turn.agent_text == ANSWER).count()
}

/// Where the daemon takes the RTP of the only call that there is.
fn media_port(asterisk: &Asterisk) -> Option<u16> {
    let channels = asterisk.channels();
    let name = channels.iter().find_map(|name| name.strip_prefix("UnicastRTP/127.0.0.1:"))?;
    name.split('-').next()?.parse().ok()
}

/// Sends loud RTP and garbage, a packet every 10 ms, until told to stop. How many packets came back.
fn intrude(target: SocketAddr, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    let mut returned = 0;
    for n in 0_u32.. {
        if stop.load(Relaxed) {
            return returned;
        }
        let mut forged = vec![0x80, 0];
        forged.extend((n as u16).to_be_bytes());
        forged.extend((n * 160).to_be_bytes());
        forged.extend(7_u32.to_be_bytes());
        // A square wave of mu-law, as loud as it gets.
        forged.extend((0..160).map(|n| if n % 16 < 8 { 0x80 } else { 0 }));
        let garbage: Vec<u8> = (0..rand::random_range(0..400)).map(|_| rand::random()).collect();
        for packet in [forged, garbage] {
            let _ = socket.send_to(&packet, target);
        }
        let mut buffer = [0; 2_048];
        while socket.recv(&mut buffer).is_ok() {
            returned += 1;
        }
        thread::sleep(ms(10));
    }
    returned
}

#[test]
fn a_stranger_on_the_media_port_is_neither_heard_nor_answered() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let call = env.answered(MAIN, exchange());
    let port = media_port(&env.asterisk).expect("the call's external-media channel");
    let stop = AtomicBool::new(false);
    let (report, returned) = thread::scope(|scope| {
        let stranger = scope.spawn(|| intrude((Ipv4Addr::LOCALHOST, port).into(), &stop));
        let report = env.satisfied(call);
        stop.store(true, Relaxed);
        (report, stranger.join().expect("the stranger"))
    });
    assert_eq!(returned, 0, "the agent's audio went to a stranger");
    assert_eq!(report.conversation.lost, 0);
    let (call, turns) = env.last_call(main);
    assert_eq!(understood(&turns), 1, "{turns:?}");
    let media = call.media.expect("a media report");
    assert!(media["unexpected"].as_u64() > Some(0), "{media}");
    assert_eq!((&media["malformed"], &media["lost"]), (&json!(0), &json!(0)), "{media}");
}

#[test]
fn a_daemon_that_was_killed_leaves_nothing_behind_once_it_is_back() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let mut call = env.answered(MAIN, vec![listen(), question(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 2);
    env.daemon().kill();
    let left = (env.asterisk.channels().len(), env.asterisk.bridges().len());
    assert_eq!(left, (2, 1), "a crash leaves the call as it is");

    env.open();
    let report = call.finish();
    assert_eq!(report.ended_by, Some(Side::Agent), "the dialplan goes on, and hangs up: {}", env.log());
    let (record, _) = env.last_call(main);
    assert_eq!((record.status, record.ended_by), (CallStatus::Failed, Some(EndedBy::System)));
    assert_eq!(record.disposition.as_deref(), Some("interrupted"));
    assert!(record.ended_at.is_some());
    let usage = env.seed.usage_of(&record);
    assert_eq!((usage.sums.calls, usage.sums.turns), (1, 1), "{usage:?}");
    let kinds: Vec<_> = usage.engines.iter().map(|taken| taken.kind).collect();
    assert!(
        kinds.contains(&EngineKind::Stt) && kinds.contains(&EngineKind::Llm),
        "its engines' use: {usage:?}"
    );

    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
}

/// The dialplan serves new callers as it does when there is no daemon: here, with a cause of its own.
#[test]
fn a_daemon_that_is_to_stop_gives_calls_back_and_lets_others_end() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    env.asterisk.cli("dialplan add extension s,1,Hangup(17) into vca-absent replace");
    let mut call =
        env.answered(MAIN, vec![listen(), question(), listen(), question(), listen(), Step::HangUp]);
    env.daemon().signal(Signal::TERM);
    let draining = || env.page("/readyz").is_some_and(|(status, _)| status == 503);
    env.until(&mut call, ms(5_000), "readiness is withdrawn", draining);
    let absent = || env.asterisk.cli("dialplan show vca-absent");
    assert_eq!(env.dial(MAIN, vec![]).status, Some(486), "a new call\n{}\n{}", absent(), env.log());
    env.satisfied(call);
    let ended = env.daemon().wait_for_end(ms(10_000));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", env.log());
    env.clears_away(ms(1_000));

    let calls = env.seed.calls(main);
    let words: Vec<_> = calls.iter().map(|(call, _)| call.disposition.as_deref().unwrap_or("open")).collect();
    assert_eq!(words, ["caller_hung_up", "refused_draining"]);
    assert_eq!(understood(&calls[0].1), 2, "{:?}", calls[0].1);
}

#[test]
fn a_call_that_outlasts_the_drain_gets_its_goodbye() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.set("VCA__CALLS__DRAIN_TIMEOUT_S", "1");
    env.open();
    let mut call = env.answered(MAIN, vec![listen()]);
    env.turns(&mut call, main, 1);
    env.daemon().signal(Signal::TERM);
    let report = env.satisfied(call);
    assert_eq!(report.ended_by, Some(Side::Agent));
    let silence = report.ended.zip(report.conversation.agent().last()).map(|(end, last)| end - last.1);
    assert!(
        silence.is_some_and(|silence| silence < ms(1_000)),
        "hung up in the end of a goodbye: {silence:?}"
    );
    let ended = env.daemon().wait_for_end(ms(10_000));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", env.log());
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.disposition.as_deref()), (CallStatus::Completed, Some("requested")));
    assert!(turns.last().is_some_and(|turn| turn.agent_text.ends_with("Goodbye!")), "{turns:?}");
}

#[test]
fn a_daemon_that_is_told_twice_cuts_its_calls_off() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    env.daemon().signal(Signal::TERM);
    let draining = || env.page("/readyz").is_some_and(|(status, _)| status == 503);
    env.until(&mut call, ms(5_000), "readiness is withdrawn", draining);
    let told = std::time::Instant::now();
    env.daemon().signal(Signal::TERM);
    let report = call.finish();
    assert_eq!(report.ended_by, Some(Side::Agent), "{}", env.log());
    let ended = env.daemon().wait_for_end(ms(10_000));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", env.log());
    assert!(told.elapsed() < ms(6_000), "{:?}", told.elapsed());
    env.clears_away(ms(1_000));
    let (record, turns) = env.last_call(main);
    assert!(record.ended_at.is_some(), "{record:?}");
    assert!(!turns.iter().any(|turn| turn.agent_text.contains("Goodbye")), "{turns:?}");
}

#[test]
fn the_daemon_tells_how_it_is_and_keeps_secrets() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let mut call = env.answered(MAIN, exchange());
    env.until(&mut call, ms(2_000), "a call is counted", || env.metric("vca_calls_live", &[]) == Some(1.0));
    env.satisfied(call);
    env.last_call(main);
    let is = |name: &str, labels: &[&str], value: f64| {
        assert_eq!(env.metric(name, labels), Some(value), "{name}: {:?}", env.page("/metrics"));
    };
    is("vca_calls_total", &["disposition=\"caller_hung_up\""], 1.0);
    is("vca_calls_live", &[], 0.0);
    is("vca_ari_connected", &[], 1.0);
    is("vca_turn_seconds_count", &["stage=\"commit\""], 1.0);
    is("vca_turn_stage_seconds_count", &["stage=\"reply\"", "engine=\"scripted\""], 1.0);
    assert!(env.metric("vca_frame_lateness_seconds_count", &[]).is_some_and(|frames| frames > 100.0));

    let log = env.log();
    assert!(log.contains("call answered") && log.contains("call ended"), "{log}");
    assert!(log.contains(MAIN), "an operator has to see which number was called\n{log}");
    for secret in ["30123456", "opening", "there.", "five", env.asterisk.ari_password()] {
        assert!(!log.contains(secret), "the log tells {secret:?}:\n{log}");
    }

    let ready = |env: &TestEnv| env.page("/readyz").map(|(status, _)| status);
    assert_eq!(ready(&env), Some(200));
    env.asterisk.kill();
    assert!(wait::until_true(ms(5_000), || ready(&env) == Some(503)), "{:?}", env.page("/readyz"));
    assert_eq!(env.metric("vca_ari_connected", &[]), Some(0.0));
    env.asterisk.restart();
    assert!(wait::until_true(ms(15_000), || ready(&env) == Some(200)), "{:?}", env.page("/readyz"));
    assert_eq!(env.metric("vca_ari_connected", &[]), Some(1.0));
}
