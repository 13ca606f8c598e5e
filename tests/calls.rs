//! Real calls: sipp dials, Asterisk routes, the built `vca` answers, and the caller's RTP is measured.

use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::conversation::percentile;
use vca::sim::{Codec, Echo, LineConditions, Step};
use vca::tenancy::{AnalysisStatus, CallStatus, EndedBy, TenantId, TenantStatus};

use crate::support::phone::{self, Call, Plan, Report};
use crate::support::receiver::{Answer, Receiver};
use crate::support::seed::{Seed as Database, local_agent, local_agent_with};
use crate::support::sipp::{Dial, Side, SipCall};
use crate::support::test_env::TestEnv;
use crate::support::{self, clips, wait};

const MAIN: &str = "+49305550100";
const UNKNOWN: &str = "+49305550999";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An environment whose main tenant has one agent.
struct Seed {
    env: TestEnv,
    main: TenantId,
}

impl Seed {
    /// `prepare` may add other tenants before the daemon starts.
    fn open(agent: serde_json::Value, prepare: impl FnOnce(&Database)) -> Option<Seed> {
        let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
        let main = env.seed.tenant("main", MAIN, None, agent);
        prepare(&env.seed);
        env.open();
        Some(Seed { env, main })
    }

    /// One whose daemon is not open yet, and whose tenants have so many minutes a month.
    fn of_starters(minutes: u32) -> Option<Seed> {
        let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
        env.set("VCA__PLANS__STARTER__MINUTES_PER_MONTH", &minutes.to_string());
        let main = env.seed.tenant("main", MAIN, None, local_agent());
        Some(Seed { env, main })
    }

    fn call(&self, to: &str, codec: Codec, script: Vec<Step>) -> Report {
        phone::call(&self.asterisk, Plan::new(to, codec, script))
    }

    fn comes_to_rest(&self) {
        self.last_call(self.main);
    }
}

impl Deref for Seed {
    type Target = TestEnv;
    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(12_000) }
}

fn say(text: &str) -> Step {
    Step::Say(clips::flite(text, "slt"))
}

fn question() -> Step {
    say("what are your opening hours")
}

#[test]
fn a_call_is_greeted_understood_and_answered_over_each_codec() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    for (codec, carried) in
        [(Codec::Ulaw, "ulaw"), (Codec::Alaw, "alaw"), (Codec::Slin16, "g722"), (Codec::Opus, "g722")]
    {
        let report = env.call(MAIN, codec, vec![listen(), question(), listen(), Step::HangUp]);
        assert_eq!(report.status, Some(200), "{codec:?}\n{}\n{}", report.log, env.log());
        let missed = &report.conversation.missed;
        assert!(missed.is_empty(), "{codec:?}: {missed:?}\n{}", env.log());
        assert_eq!(report.conversation.lost, 0, "{codec:?}");
        let (call, turns) = env.last_call(env.main);
        assert_eq!((call.status, call.ended_by), (CallStatus::Completed, Some(EndedBy::Caller)), "{codec:?}");
        assert_eq!(call.sip_status, Some(200), "{codec:?}");
        assert_eq!(call.codec.as_deref(), Some(carried), "{codec:?}: the format follows the call");
        let words: Vec<_> = turns.iter().map(|turn| turn.caller_text.as_str()).collect();
        assert!(words.contains(&"what are your opening hours"), "{codec:?}: heard {words:?}");
        let turn = turns.iter().find(|turn| !turn.caller_text.is_empty()).expect("a turn of the caller");
        let stages = [turn.pause_ms, turn.transcript_ms, turn.reply_ms, turn.clause_ms, turn.speech_ms];
        let stages: Vec<u32> = stages.into_iter().chain([turn.audio_ms]).flatten().collect();
        // The sentence is synthesised once for each sample rate, and kept for the calls that follow.
        let least = if matches!(codec, Codec::Ulaw | Codec::Slin16) { 6 } else { 5 };
        assert!(stages.len() >= least && stages.is_sorted(), "{codec:?}: {turn:?}");
    }
}

#[test]
fn what_may_not_come_in_is_refused_before_the_answer() {
    let busy = local_agent_with(json!({ "silence_ms": 60_000 }));
    let env = Seed::open(local_agent(), |seed| {
        seed.deactivate_numbers(seed.tenant("inactive", "+49305550101", None, local_agent()));
        let suspended = seed.tenant("suspended", "+49305550102", None, local_agent());
        seed.set_status(suspended, TenantStatus::Suspended);
        let deleted = seed.tenant("deleted", "+49305550103", None, local_agent());
        seed.set_status(deleted, TenantStatus::Deleted);
        seed.tenant("no agent", "+49305550104", None, json!(null));
        seed.tenant("odd engine", "+49305550105", None, json!({ "stt": "crystal-ball" }));
        seed.tenant("one line", "+49305550106", Some(1), busy);
    });
    let Some(env) = env else { return };
    let status = |did: &str| env.call(did, Codec::Ulaw, vec![]).status;
    assert_eq!(status(UNKNOWN), Some(404), "unknown number");
    assert_eq!(status("+49305550101"), Some(404), "inactive number");
    assert_eq!(status("+49305550102"), Some(403), "suspended tenant");
    assert_eq!(status("49305550103"), Some(404), "deleted tenant, dialled without +");
    assert_eq!(status("+49305550104"), Some(503), "no default profile");
    assert_eq!(status("+49305550105"), Some(503), "an engine that there is not");
    let first =
        Call::place(&env.asterisk, Plan::new("+49305550106", Codec::Ulaw, vec![listen(), Step::HangUp]));
    assert!(wait::until_true(ms(5_000), || first.progress().answered().is_some()), "{}", env.log());
    assert_eq!(status("+49305550106"), Some(486), "a tenant at its limit");
    assert_eq!(first.finish().status, Some(200));
    env.clears_away(ms(5_000));
}

/// A trunk that calls its account's name, and a dialplan that knows the number.
#[test]
fn the_dialplan_can_name_the_called_number() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    env.asterisk.cli("dialplan add extension account,1,Stasis(vca) into vca-inbound");
    assert_eq!(env.call("account", Codec::Ulaw, vec![]).status, Some(404), "{}", env.log());
    let log = env.log();
    let refused = log.lines().find(|line| line.contains("call refused")).expect("a line about it");
    for part in ["account", "extension", "Stasis(vca,"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let named = format!("dialplan add extension account,1,Stasis(vca,{MAIN}) into vca-inbound replace");
    env.asterisk.cli(&named);
    let report = env.call("account", Codec::Ulaw, vec![listen(), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}", env.log());
    let (call, _) = env.last_call(env.main);
    assert_eq!(call.called_number.to_string(), MAIN);
}

#[test]
fn a_refusal_names_the_numbers_that_were_looked_for() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    assert_eq!(env.call(UNKNOWN, Codec::Ulaw, vec![]).status, Some(404));
    let log = env.log();
    let refused = log.lines().find(|line| line.contains("call refused")).expect("a line about it");
    assert!(refused.contains("looked_for") && refused.matches(UNKNOWN).count() == 2, "{refused}");
    assert!(!refused.contains("30123456"), "the caller's number: {refused}");
}

#[test]
fn a_refused_call_of_a_known_tenant_is_on_record() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    env.seed.set_status(env.main, TenantStatus::Suspended);
    assert_eq!(env.call(MAIN, Codec::Ulaw, vec![]).status, Some(403));
    let (call, turns) = env.last_call(env.main);
    assert_eq!(call.status, CallStatus::Refused);
    assert_eq!(call.disposition.as_deref(), Some("refused_tenant_suspended"));
    assert_eq!((call.hangup_cause, call.answered_at, turns.len()), (Some(21), None, 0));
    assert_eq!(call.sip_status, Some(403), "as the trunk got it");
    let call_id = call.provider_call_id.expect("the SIP Call-ID");
    assert!(call_id.contains("@127.0.0."), "{call_id}");
}

#[test]
fn a_tenant_whose_minutes_are_used_up_is_refused_and_others_are_not() {
    let Some(mut env) = Seed::of_starters(1) else { return };
    let other = env.seed.tenant("other", "+49305550107", None, local_agent());
    env.seed.talked(env.main, 60);
    env.env.open();
    assert_eq!(env.call(MAIN, Codec::Ulaw, vec![]).status, Some(403));
    let (call, _) = env.last_call(env.main);
    assert_eq!((call.status, call.hangup_cause), (CallStatus::Refused, Some(21)));
    assert_eq!(call.disposition.as_deref(), Some("refused_quota_reached"));
    assert_eq!(env.metric("vca_refusals_total", &["reason=\"refused_quota_reached\""]), Some(1.0));
    env.seed.talked(other, 59);
    let report = env.call("+49305550107", Codec::Ulaw, vec![listen(), question(), listen(), Step::HangUp]);
    assert_eq!(
        report.status,
        Some(200),
        "one second is left, and a call in progress is not cut\n{}",
        env.log()
    );
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    let (call, _) = env.last_call(other);
    assert_eq!(call.disposition.as_deref(), Some("caller_hung_up"));
    assert_eq!(env.call("+49305550107", Codec::Ulaw, vec![]).status, Some(403), "now it is used up");
}

#[test]
fn a_caller_may_leave_at_any_moment() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let speaking = |spoken| Step::LetSpeak { spoken: ms(spoken), at_most: ms(12_000) };
    for (moment, script) in [
        ("during the greeting", vec![speaking(300), Step::HangUp]),
        ("during thinking", vec![listen(), question(), Step::Wait(ms(200)), Step::HangUp]),
        ("while the agent speaks", vec![listen(), question(), speaking(600), Step::HangUp]),
    ] {
        let report = env.call(MAIN, Codec::Ulaw, script);
        assert!(
            report.conversation.missed.is_empty(),
            "{moment}: {:?}\n{}",
            report.conversation.missed,
            env.log()
        );
        assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Caller)), "{moment}");
        let (call, _) = env.last_call(env.main);
        assert_eq!(call.disposition.as_deref(), Some("caller_hung_up"), "{moment}");
    }
}

/// Over the daemon's HTTP port, by the commands that ask it.
#[test]
fn a_live_call_is_listed_watched_listened_to_and_hung_up() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let vca = env.vca.clone().with("VCA_API_KEY", &env.seed.operator_key());
    let mut call = env.answered(MAIN, vec![listen(), question(), listen()]);
    let live = vca.cli_json(&["call", "live"]).expect("calls in progress");
    let id = live[0]["id"].as_str().unwrap_or_else(|| panic!("no call in {live}")).to_owned();
    let watch = {
        let (vca, id) = (vca.clone(), id.clone());
        std::thread::spawn(move || vca.cli(&["call", "watch", &id, "--json"]))
    };
    let listening = {
        let (vca, id) = (vca.clone(), id.clone());
        std::thread::spawn(move || vca.run(&["call", "listen", &id]))
    };
    env.turns(&mut call, env.main, 2);
    vca.cli(&["call", "hang-up", &id]).expect("it is in progress");
    let report = call.finish();
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    let told = watch.join().expect("no panic").expect("the call's events");
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((kinds[0], kinds[1]), ("ringing", "answered"), "{told}");
    let heard = events
        .iter()
        .any(|event| event["type"] == "caller_turn" && event["text"] == "what are your opening hours");
    assert!(heard && kinds.contains(&"agent_turn"), "{told}");
    let end = &events.last().expect("an end")["call"];
    assert_eq!((&end["disposition"], &end["ended_by"]), (&json!("requested"), &json!("system")), "{told}");
    let audio = listening.join().expect("no panic").expect("the call's audio");
    assert!(audio.status.success(), "{}", String::from_utf8_lossy(&audio.stderr));
    assert_eq!(audio.stdout.get(..4), Some(&b"RIFF"[..]));
    // Both are heard, each in a channel of its own.
    for channel in [0, 2] {
        let samples = audio.stdout[44..].chunks_exact(4);
        let loud = samples
            .filter(|pair| i16::from_le_bytes([pair[channel], pair[channel + 1]]).unsigned_abs() > 1_000);
        assert!(loud.count() > 1_000, "channel {channel} of {} bytes", audio.stdout.len());
    }
    let gone = vca.cli(&["call", "hang-up", &id]).expect_err("it is over");
    assert!(gone.contains("not in progress"), "{gone}");
    env.comes_to_rest();
}

#[test]
fn the_agent_says_goodbye_and_hangs_up_at_its_limit() {
    let Some(env) = Seed::open(local_agent_with(json!({ "max_turns": 1 })), |_| {}) else { return };
    // A word or two would not count.
    let report = env.call(MAIN, Codec::Alaw, vec![listen(), question()]);
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    let (call, turns) = env.last_call(env.main);
    assert_eq!((call.disposition.as_deref(), call.ended_by), (Some("turn_limit"), Some(EndedBy::Agent)));
    assert!(turns.iter().any(|turn| turn.caller_text == "what are your opening hours"), "{turns:?}");
}

#[test]
fn an_agent_that_may_end_the_call_does_so_when_the_caller_says_goodbye() {
    let mut agent = local_agent();
    agent["tools"] = json!(["end_call"]);
    let Some(env) = Seed::open(agent, |_| {}) else { return };
    let goodbye = clips::prompt(env.asterisk.sandbox(), "vm-goodbye");
    let report = env.call(MAIN, Codec::Ulaw, vec![listen(), Step::Say(goodbye)]);
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    let (call, turns) = env.last_call(env.main);
    assert_eq!((call.disposition.as_deref(), call.ended_by), (Some("agent_hung_up"), Some(EndedBy::Agent)));
    assert_eq!(call.ai_profile_version, Some(1));
    assert!(turns.last().is_some_and(|turn| turn.agent_text.ends_with("Goodbye!")), "{turns:?}");
}

/// The caller's key is feedback; and the analysis of the call, which the script cannot do, ends visibly.
#[test]
fn a_caller_rates_the_call_by_a_key_when_the_agent_ends_it() {
    let mut agent = local_agent_with(json!({ "satisfaction": true }));
    agent["tools"] = json!(["end_call"]);
    agent["analysis"] = json!({ "enabled": true, "summary": true });
    let Some(env) = Seed::open(agent, |_| {}) else { return };
    let goodbye = clips::prompt(env.asterisk.sandbox(), "vm-goodbye");
    let wait = || Step::Listen { silent: ms(1_500), at_most: ms(20_000) };
    let script = vec![listen(), question(), wait(), Step::Say(goodbye), wait(), Step::Press('4'), wait()];
    let report = env.call(MAIN, Codec::Ulaw, script);
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    let (call, turns) = env.last_call(env.main);
    assert_eq!(call.disposition.as_deref(), Some("agent_hung_up"), "{turns:?}\n{}", env.log());
    let id = call.id.to_string();
    let rated = env.vca.cli(&["call", "feedback", "list", "--call", &id, "--json"]).expect("a list");
    let rated: Value = serde_json::from_str(&rated).expect("JSON");
    assert_eq!(
        (&rated[0]["rating"], &rated[0]["source"]),
        (&json!(4), &json!("caller")),
        "{turns:?}\n{}",
        env.log()
    );
    let analysed =
        || env.last_call(env.main).0.analysis.is_some_and(|it| it.status != AnalysisStatus::Pending);
    assert!(wait::until_true(ms(10_000), analysed), "{}", env.log());
    let analysis = env.last_call(env.main).0.analysis.expect("an analysis");
    assert_eq!(analysis.status, AnalysisStatus::Unavailable, "{analysis:?}");
}

#[test]
fn outside_of_business_hours_a_caller_is_told_so() {
    let mut agent = local_agent();
    agent["hours"] = json!({ "timezone": "Europe/Berlin", "weekly": {} });
    agent["phrases"] = json!({ "closed": "We are closed today." });
    let Some(env) = Seed::open(agent, |_| {}) else { return };
    let report = env.call(MAIN, Codec::Ulaw, vec![listen()]);
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    let (call, turns) = env.last_call(env.main);
    assert_eq!((call.status, call.disposition.as_deref()), (CallStatus::Completed, Some("closed")));
    let said: Vec<_> = turns.iter().map(|turn| turn.agent_text.as_str()).collect();
    assert_eq!(said, ["We are closed today."]);
}

/// The agent looks something up and says it, collects a masked PIN that only a tool gets, and sends keys that the caller's
/// side receives.
#[test]
fn an_agent_looks_up_collects_a_masked_pin_and_sends_keys() {
    const PIN: &str = "83514927";
    let Some(sandbox) = support::sandbox() else { return };
    let shop = Receiver::start();
    // It repeats the PIN, which may not reach the model either.
    shop.answers(Answer::Echo);
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let http = |name: &str, argument: &str| {
        json!({
            "name": name, "description": "Asks the shop.", "method": "POST", "url": shop.url(&format!("/{name}")),
            "parameters": { "type": "object", "properties": { argument: { "type": "string" } }, "required": [argument] },
        })
    };
    let mut agent = local_agent();
    agent["tools"] = json!(["collect_digits", "send_dtmf", "remember"]);
    agent["http_tools"] = json!([http("stock", "bread"), http("verify", "pin")]);
    let main = env.seed.tenant("main", MAIN, None, agent);
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = 'opening hours'
        say = "One moment please."
        call = { tool = "stock", bread = "rye" }
        [[reply]]
        pattern = '^stock: .*"bread":"(?<bread>[a-z]+)"'
        say = "We have $bread bread. Please enter your number."
        call = { tool = "collect_digits", max_digits = "12", masked = "true" }
        [[reply]]
        pattern = '^collect_digits: .*(?<entry>keypad-[0-9]+)'
        say = "Thank you."
        call = { tool = "verify", pin = "$entry" }
        [[reply]]
        pattern = '^verify: '
        say = "I know you."
        call = { tool = "send_dtmf", keys = "1w2#" }
        [[reply]]
        pattern = '^send_dtmf: '
        say = "The keys are sent."
        call = { tool = "remember", field = "customer", value = "known" }
        [[reply]]
        pattern = '^remember: '
        say = "Goodbye."
        "#,
    );
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__WEBHOOKS__ALLOW_HTTP", "true");
    env.set("VCA__WEBHOOKS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__LOG__FILTER", "debug,vca=trace");
    let hooks = shop.url("/hooks");
    env.open();
    env.vca
        .cli(&["webhook", "create", "--tenant", "main", "--url", &hooks, "--event", "transcript.ready"])
        .expect("a webhook");
    let keys = PIN.chars().chain(['#']).flat_map(|key| [Step::Press(key), Step::Wait(ms(100))]);
    let wait = Step::Listen { silent: ms(1_500), at_most: ms(15_000) };
    let script =
        [listen(), question(), wait].into_iter().chain(keys).chain([Step::Wait(ms(9_000)), Step::HangUp]);
    let report = env.dial(MAIN, script.collect());
    let log = env.log();
    assert_eq!(report.conversation.keys, ['1', '2', '#'], "{log}");
    let (call, turns) = env.last_call(main);
    let used: Vec<_> =
        turns.iter().flat_map(|turn| &turn.tools).map(|it| (it.name.as_str(), it.outcome.as_str())).collect();
    let tools = ["stock", "collect_digits", "verify", "send_dtmf", "remember"];
    assert_eq!(used, tools.map(|name| (name, "succeeded")), "{turns:#?}");
    let said: String = turns.iter().map(|turn| turn.agent_text.as_str()).collect();
    assert!(said.contains("We have rye bread."), "{said}");
    assert_eq!(call.fields.get("customer").map(String::as_str), Some("known"));
    assert_eq!(shop.requests_to("/verify")[0].json(), json!({ "pin": PIN }));
    assert!(
        wait::until_true(ms(10_000), || !shop.requests_to("/hooks").is_empty()),
        "the transcript is delivered"
    );
    let hook = shop.requests_to("/hooks")[0].body.clone();
    assert!(hook.contains("keypad-"), "{hook}");
    let database =
        env.files().into_iter().map(|file| String::from_utf8_lossy(&file).into_owned()).collect::<String>();
    assert!(database.contains("keypad-"), "the database has the call");
    for (place, text) in [("log", log + &env.log()), ("webhook", hook), ("database", database)] {
        assert!(!text.contains(PIN), "the {place} has the PIN");
    }
}

#[test]
fn a_caller_whose_device_sends_nothing_in_pauses_is_answered_in_time() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let script = vec![listen(), question(), listen(), Step::HangUp];
    let plan = Plan { suppress_silence: true, ..Plan::new(MAIN, Codec::Ulaw, script) };
    let report = phone::call(&env.asterisk, plan);
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    let latency = report.conversation.responses()[0].latency();
    assert!(latency.is_some_and(|latency| latency < ms(1_000)), "{latency:?}");
    env.comes_to_rest();
}

/// Asterisk forwards the packets as they are.
#[test]
fn a_caller_with_packets_of_60_ms_is_understood() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let script = vec![listen(), question(), listen(), Step::HangUp];
    let conditions = LineConditions { packet_frames: 3, jitter: ms(20), ..LineConditions::default() };
    let plan = Plan { conditions, ..Plan::new(MAIN, Codec::Ulaw, script) };
    let report = phone::call(&env.asterisk, plan);
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    let (call, turns) = env.last_call(env.main);
    let media = call.media.expect("a report of the media");
    let count = |name: &str| media[name].as_u64().expect("a count");
    let packets = report.conversation.sent.samples.len() as u64 / 480;
    assert!(count("received") <= packets + 1, "packets hold 60 ms: {media}, {packets}");
    assert_eq!((count("lost"), count("malformed")), (0, 0), "{media}");
    let words = turns.iter().any(|turn| turn.caller_text == "what are your opening hours");
    assert!(words, "{turns:?}\n{}", env.log());
}

/// The telephone returns the agent's voice 250 ms later and 20 dB fainter.
#[test]
fn an_echo_of_the_agent_is_not_a_turn_of_the_caller() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let script = vec![listen(), question(), listen(), Step::Wait(ms(1_000)), Step::HangUp];
    let echo = Some(Echo { delay: ms(250), level_db: -20.0 });
    let conditions = LineConditions { echo, ..LineConditions::default() };
    let report = phone::call(&env.asterisk, Plan { conditions, ..Plan::new(MAIN, Codec::Ulaw, script) });
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    let (_, turns) = env.last_call(env.main);
    let said: Vec<&str> =
        turns.iter().map(|turn| turn.caller_text.as_str()).filter(|text| !text.is_empty()).collect();
    assert_eq!(said, ["what are your opening hours"], "{}", env.log());
    assert!(turns.iter().all(|turn| !turn.interrupted), "{turns:?}");
}

/// The first sound of the agent is held back until the path to the caller is open; the caller is heard from the answer on.
#[test]
fn the_first_word_of_either_side_survives_the_answer() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let report = env.call(MAIN, Codec::Ulaw, vec![listen(), Step::HangUp]);
    let delay = report.answer_to_first_voice();
    assert!(delay.is_some_and(|delay| (ms(300)..ms(1_500)).contains(&delay)), "{delay:?}\n{}", env.log());
    // Recorded by a person: "Goodbye". It begins with the answer.
    let goodbye = clips::prompt(env.asterisk.sandbox(), "vm-goodbye");
    let report = env.call(MAIN, Codec::Ulaw, vec![Step::Say(goodbye), listen(), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}", env.log());
    let (_, turns) = env.last_call(env.main);
    assert!(turns.iter().any(|turn| turn.caller_text == "goodbye"), "{turns:?}");
}

#[test]
fn a_call_without_media_is_on_record_as_such() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let main = env.seed.tenant("main", MAIN, None, local_agent());
    env.set("VCA__MEDIA__NO_MEDIA_MS", "1000");
    env.open();
    // The caller's audio never arrives.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut call = SipCall::place(
        &env.asterisk,
        &Dial {
            from_address: env.asterisk.options().trunk,
            from: "4930123456".into(),
            to: MAIN.into(),
            codec: Codec::Ulaw,
            media: socket.local_addr().expect("a bound socket"),
            keys: Vec::new(),
            headers: Vec::new(),
            holds_after: None,
            referral: None,
        },
    );
    let warned = wait::until_true(ms(10_000), || env.log().contains("no media from the caller"));
    assert!(warned, "{}", env.log());
    call.hang_up();
    let (record, _) = env.last_call(main);
    assert_eq!((record.status, record.ended_by), (CallStatus::Failed, Some(EndedBy::Caller)));
    assert_eq!(record.disposition.as_deref(), Some("no_media"));
    assert_eq!(record.failure_reason.as_deref(), Some("no media: nothing_arrives"));
    let media = record.media.expect("a media report");
    assert_eq!((&media["received"], media.get("mos")), (&json!(0), None), "{media}");
    let counted = env.metric("vca_calls_without_media_total", &["cause=\"nothing_arrives\""]);
    assert_eq!(counted, Some(1.0));
}

#[test]
fn ten_callers_at_once_are_all_served() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let script = || vec![listen(), question(), listen(), Step::HangUp];
    let place = || Call::place(&env.asterisk, Plan::new(MAIN, Codec::Ulaw, script()));
    let mut calls: Vec<Call> = (0..10).map(|_| place()).collect();
    while calls.iter_mut().map(Call::step).filter(|over| !over).count() > 0 {
        std::thread::sleep(ms(5));
    }
    let reports: Vec<Report> = calls.into_iter().map(Call::finish).collect();
    for report in &reports {
        assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
        assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    }
    env.comes_to_rest();
    let errors: Vec<Duration> = reports.iter().flat_map(|r| r.conversation.pacing_errors.clone()).collect();
    println!(
        "FIGURE pacing error with 10 calls: p50 {:?} p99 {:?}",
        percentile(&errors, 0.5),
        percentile(&errors, 0.99)
    );
    println!("FIGURE frames by how late the daemon sent them: {}", lateness(&env));
    let lost: u64 = reports.iter().map(|report| report.conversation.lost).sum();
    assert_eq!(lost, 0, "packets lost on the way to the callers");
}

/// The daemon's own count: upper bounds in seconds, and the frames within them.
fn lateness(env: &TestEnv) -> String {
    let text = env.page("/metrics").map_or_else(String::new, |(_, text)| text);
    let lines = text.lines().filter_map(|line| line.strip_prefix("vca_frame_lateness_seconds_bucket{le="));
    lines.collect::<Vec<_>>().join(", ")
}

/// The wait is made long, so that the engines are always done when it ends: what is left is ours.
#[test]
fn greeting_answer_and_barge_in_are_as_fast_as_promised() {
    let patient = json!({ "commit_ms": 1_500, "commit_finished_ms": 1_500, "commit_trailing_ms": 1_500 });
    let Some(env) = Seed::open(local_agent_with(patient), |_| {}) else { return };
    let interrupt = Step::LetSpeak { spoken: ms(900), at_most: ms(12_000) };
    let (mut greetings, mut excesses, mut silences) = (vec![], vec![], vec![]);
    for _ in 0..4 {
        let script = vec![
            listen(),
            question(),
            interrupt.clone(),
            question(),
            listen(),
            question(),
            interrupt.clone(),
            question(),
            listen(),
            Step::HangUp,
        ];
        let report = env.call(MAIN, Codec::Ulaw, script);
        assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
        greetings.extend(report.answer_to_first_voice());
        let answers = report.conversation.responses().into_iter().filter_map(|response| response.latency());
        excesses.extend(answers.map(|latency| latency.as_secs_f64() * 1_000.0 - 1_500.0));
        silences.extend(report.conversation.interruptions().iter().map(|i| i.latency()));
    }
    env.comes_to_rest();
    println!("FIGURE answer to greeting: {greetings:?}");
    excesses.sort_by(f64::total_cmp);
    println!("FIGURE excess of an answer: worst {:?} ms of {excesses:?}", excesses.last());
    println!("FIGURE barge-in to silence: p95 {:?} of {silences:?}", percentile(&silences, 0.95));
    assert_eq!(silences.len(), 8, "every interruption is honoured\n{}", env.log());
}

/// The range of ports is short in the settings only: Asterisk itself would not survive its end.
#[test]
fn a_call_for_which_asterisk_has_no_ports_returns_to_the_dialplan() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let main = env.seed.tenant("main", MAIN, None, local_agent());
    env.set("VCA__ARI__RTP_PORTS", "[10000, 10003]");
    env.open();
    assert!(env.log().contains("suffice for fewer calls"), "{}", env.log());
    env.asterisk.cli("dialplan add extension s,1,Hangup(17) into vca-absent replace");
    let first = env.answered(MAIN, vec![listen(), Step::Wait(ms(1_000)), Step::HangUp]);
    let second = env.dial(MAIN, vec![]);
    assert_eq!(second.status, Some(486), "as the dialplan says\n{}", env.log());
    assert_eq!(first.finish().status, Some(200), "the call in progress goes on");
    env.last_call(main);
    let calls = env.seed.calls(main);
    let words: Vec<_> = calls.iter().map(|(call, _)| call.disposition.as_deref().unwrap_or("open")).collect();
    assert_eq!(words, ["caller_hung_up", "refused_no_rtp_ports"]);
}

#[test]
fn a_call_that_is_hung_up_in_asterisk_is_not_ended_by_its_caller() {
    let Some(env) = Seed::open(local_agent(), |_| {}) else { return };
    let call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let channels = env.asterisk.channels();
    let name = channels.iter().find(|name| name.starts_with("PJSIP/")).expect("the caller's channel");
    env.asterisk.cli(&format!("channel request hangup {name}"));
    call.finish();
    let (record, _) = env.last_call(env.main);
    assert_eq!((record.status, record.ended_by), (CallStatus::Completed, Some(EndedBy::System)));
    assert_eq!(record.disposition.as_deref(), Some("hung_up_in_asterisk"), "{}", env.log());
}

#[test]
fn asterisk_may_go_away_and_come_back() {
    let Some(mut env) = Seed::open(local_agent(), |_| {}) else { return };
    let mut call = Call::place(&env.asterisk, Plan::new(MAIN, Codec::Ulaw, vec![listen()]));
    // The 200 OK reaches the caller before the result of `answer` reaches VCA; without it the set-up has failed.
    let is_recorded = || env.seed.calls(env.main).first().is_some_and(|(call, _)| call.answered_at.is_some());
    assert!(wait::until_true(ms(5_000), || call.step() || is_recorded()), "{}", env.log());
    env.env.asterisk.kill();
    env.env.asterisk.restart();
    assert!(wait::until_true(ms(20_000), || env.asterisk.has_application("vca")), "{}", env.log());
    let (lost, _) = env.last_call(env.main);
    assert_eq!((lost.status, lost.ended_by), (CallStatus::Failed, Some(EndedBy::System)), "{lost:?}");
    assert_eq!(lost.disposition.as_deref(), Some("asterisk_lost"), "{}", env.log());
    let report = env.call(MAIN, Codec::Ulaw, vec![listen(), question(), listen(), Step::HangUp]);
    assert!(report.conversation.missed.is_empty(), "{:?}\n{}", report.conversation.missed, env.log());
    drop(call);
    env.comes_to_rest();
}

/// The dialplan tells of the call over HTTP, with the channel's UNIQUEID, and hands the channel over after that.
#[test]
fn a_call_that_was_told_of_joins_its_record() {
    const TOLD: &str = "+49305550777";
    const SECRET: &str = "a-shared-secret-of-the-dialplan";
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let main = env.seed.tenant("main", TOLD, None, local_agent());
    env.set("VCA__TELEPHONY__INBOUND__SECRET", SECRET);
    env.open();
    let url = format!("http://127.0.0.1:{}/internal/telephony/inbound", env.vca.admin_port());
    env.asterisk.cli(&format!("dialplan set global VCA_INBOUND_URL {url}"));
    env.asterisk.cli(&format!("dialplan set global VCA_INBOUND_SECRET {SECRET}"));
    let report = env.dial(TOLD, vec![listen(), question(), listen(), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
    let (call, turns) = env.last_call(main);
    assert_eq!(call.status, CallStatus::Completed, "{}", env.log());
    assert!(!turns.is_empty(), "the conversation is on the record");
    assert_eq!(env.seed.calls(main).len(), 1, "the call has one record\n{}", env.log());
    let log = env.log();
    let told = log.lines().find(|line| line.contains("call announced"));
    let told = told.unwrap_or_else(|| panic!("the call was not announced\n{}\n{log}", env.asterisk.log()));
    assert!(
        told.contains(&call.id.to_string()) && told.contains(&call.asterisk_channel_id),
        "{told}\n{call:?}"
    );
}

#[test]
fn the_notice_and_a_greeting_with_values_are_heard_and_recorded() {
    let agent = json!({
        "notice": true, "variables": { "shop": "Roth" }, "greeting": "Shop {{shop}}, hello.",
        "phrases": { "notice": "I am a machine." }, "stt": "pocketsphinx", "llm": "scripted", "tts": "flite",
    });
    let Some(env) = Seed::open(agent, |_| {}) else { return };
    let talks_over = vec![say("hello hello"), listen(), Step::HangUp];
    let report = env.call(MAIN, Codec::Ulaw, talks_over);
    assert_eq!(report.status, Some(200), "{}", env.log());
    let (call, turns) = env.last_call(env.main);
    assert!(call.notice_heard_at.zip(call.answered_at).is_some_and(|(heard, answered)| heard > answered));
    let opening = &turns[0].agent_text;
    assert!(opening.starts_with("I am a machine. Shop Roth"), "{opening}");
    let shown = env.vca.cli(&["call", "show", &call.id.to_string()]).expect("a call");
    assert!(shown.contains("notice heard"), "{shown}");
}
