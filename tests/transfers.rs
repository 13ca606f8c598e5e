//! Transfers over real calls: by dialling, by the dialplan and by SIP REFER, with each outcome, and the hang-up in each phase.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::{Step, voice};
use vca::tenancy::{CallTransfer, TenantId, TransferEnd, TransferOutcome};

use crate::support::asterisk::Asterisk;
use crate::support::phone::Call;
use crate::support::receiver::{Answer, Receiver};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};
use crate::support::{self, clips, wait};

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(8_000) }
}

pub fn question() -> Step {
    Step::Say(clips::flite("what are your opening hours", "slt"))
}

/// The agent's model transfers each caller who says something. The context `people` has targets that answer, talk, are busy or
/// ring.
pub fn test_env() -> Option<(TestEnv, Vendor)> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("VCA__TURN__FILLER_MS", "0");
    env.set("VCA__TRANSFER__CONTEXTS", r#"["people"]"#);
    env.set("VCA__TRANSFER__QUEUE_CONTEXT", "people");
    env.set("VCA__TRANSFER__SIP_HOSTS", r#"["shop.example.com"]"#);
    env.set("VCA__TRANSFER__MAX_LEGS_PER_TENANT", "30");
    env.set("VCA__TRANSFER__RING_S", "4");
    for (extension, priorities) in [
        ("answers", ["Answer()", "Wait(2)", "Hangup()"]),
        ("talks", ["Answer()", "Wait(60)", "Hangup()"]),
        ("busy", ["NoOp()", "Hangup(17)", "NoOp()"]),
        ("rings", ["Ringing()", "Wait(60)", "Hangup()"]),
    ] {
        for (number, application) in (1..).zip(priorities) {
            env.asterisk
                .cli(&format!("dialplan add extension {extension},{number},{application} into people"));
        }
    }
    Some((env, vendor))
}

/// A tenant whose agent transfers to the only target.
pub fn tenant(env: &TestEnv, did: &str, target: Value) -> TenantId {
    let agent = json!({ "greeting": "Welcome.", "tools": ["transfer"] });
    let tenant = env.seed.tenant(did, did, Some(50), agent);
    env.seed.target(tenant, "shop", target);
    tenant
}

pub fn extension(name: &str) -> Value {
    json!({ "kind": "extension", "address": format!("{name}@people") })
}

/// Goes on with all calls until they are over.
pub fn see_to_the_end(env: &TestEnv, calls: &mut [Call]) {
    let over = wait::until_true(ms(60_000), || {
        calls.iter_mut().for_each(|call| {
            call.step();
        });
        calls.iter().all(|call| call.progress().is_over())
    });
    assert!(over, "a call does not end\n{}", env.log());
}

fn transfer(env: &TestEnv, tenant: TenantId) -> (CallTransfer, String) {
    let (call, _) = env.last_call(tenant);
    let [transfer] = &call.transfers[..] else { panic!("not one transfer\n{}", env.log()) };
    (transfer.clone(), call.disposition.unwrap_or_default())
}

#[test]
fn each_outcome_is_on_the_record_and_nothing_is_left() {
    let Some((mut env, vendor)) = test_env() else { return };
    let stay = || vec![listen(), question(), listen(), Step::Wait(ms(30_000))];
    let hang_up = |after| vec![listen(), question(), listen(), Step::Wait(ms(after)), Step::HangUp];
    let queue = json!({ "kind": "queue", "address": "answers" });
    let keys = vec![Step::Press('5'), Step::Wait(ms(200)), Step::Press('#')];
    let cancels = vec![Step::Wait(ms(500)), Step::Press('*'), Step::Wait(ms(5_000)), Step::HangUp];
    let cancels = [vec![listen(), question(), listen()], cancels].concat();
    let impatient = [vec![listen(), question(), listen()], keys, vec![Step::Wait(ms(7_000)), Step::HangUp]];
    let caller = Some(TransferEnd::Caller);
    let cases = [
        ("+49305550301", extension("answers"), stay(), TransferOutcome::Connected, Some(TransferEnd::Target)),
        ("+49305550302", extension("talks"), hang_up(3_000), TransferOutcome::Connected, caller),
        ("+49305550303", extension("busy"), hang_up(7_000), TransferOutcome::Busy, None),
        ("+49305550304", extension("rings"), hang_up(7_000), TransferOutcome::NoAnswer, None),
        ("+49305550305", extension("rings"), hang_up(1_000), TransferOutcome::Cancelled, caller),
        ("+49305550306", extension("nobody"), hang_up(7_000), TransferOutcome::Unreachable, None),
        ("+49305550307", queue, stay(), TransferOutcome::HandedOver, None),
        ("+49305550308", extension("rings"), impatient.concat(), TransferOutcome::NoAnswer, None),
        ("+49305550309", extension("rings"), cancels, TransferOutcome::Cancelled, caller),
    ];
    let tenants: Vec<TenantId> =
        cases.iter().map(|(did, target, ..)| tenant(&env, did, target.clone())).collect();
    env.open();
    let mut calls: Vec<Call> =
        cases.iter().map(|(did, _, script, ..)| env.place(did, script.clone())).collect();
    see_to_the_end(&env, &mut calls);
    drop(calls);
    env.clears_away(ms(10_000));
    for ((did, _, _, outcome, ended_by), tenant) in cases.iter().zip(tenants) {
        let (transfer, disposition) = transfer(&env, tenant);
        assert_eq!((transfer.outcome, transfer.ended_by), (*outcome, *ended_by), "{did}\n{}", env.log());
        assert_eq!(transfer.answered_at.is_some(), *outcome == TransferOutcome::Connected, "{did}");
        assert!(transfer.ended_at.is_some(), "{did}");
        let expected = if transfer.is_success() { "transferred" } else { "caller_hung_up" };
        assert_eq!(disposition, expected, "{did}\n{}", env.log());
    }
    let results = vendor.requests(Kind::Llm);
    for problem in ["busy", "no_answer", "unreachable", "did not want to wait"] {
        assert!(results.iter().any(|request| request.contains(problem)), "the model reads {problem}");
    }
}

#[test]
fn twenty_callers_are_transferred_at_once() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let did = "+49305550310";
    let tenant = tenant(&env, did, extension("answers"));
    env.open();
    let script = || vec![listen(), question(), listen(), Step::Wait(ms(40_000))];
    let mut calls: Vec<Call> = (0..20).map(|_| env.place(did, script())).collect();
    see_to_the_end(&env, &mut calls);
    drop(calls);
    env.last_call(tenant);
    let outcomes: Vec<_> = env
        .seed
        .calls(tenant)
        .into_iter()
        .flat_map(|(call, _)| call.transfers)
        .map(|it| it.outcome)
        .collect();
    assert_eq!(outcomes, [TransferOutcome::Connected; 20], "{}", env.log());
}

/// The target is changed or deleted while the call lasts. The call has the targets of its ring, but none that was deleted.
#[test]
fn a_call_keeps_the_targets_of_its_ring_unless_they_are_deleted() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let cases = [
        ("+49305550330", &["update", "shop", "--address", "busy@people"][..], TransferOutcome::Connected),
        ("+49305550332", &["delete", "shop"][..], TransferOutcome::Refused),
    ];
    let tenants = cases.map(|(did, ..)| tenant(&env, did, extension("answers")));
    env.open();
    for ((did, change, outcome), tenant) in cases.into_iter().zip(tenants) {
        let script = vec![listen(), question(), listen(), Step::Wait(ms(6_000)), Step::HangUp];
        let mut call = env.place(did, script);
        let rings = wait::until_true(ms(10_000), || {
            call.step();
            !env.seed.calls(tenant).is_empty()
        });
        assert!(rings, "{}", env.log());
        env.vca.cli(&[&["target"][..], change, &["--tenant", did]].concat()).expect("a change");
        see_to_the_end(&env, std::slice::from_mut(&mut call));
        assert_eq!(transfer(&env, tenant).0.outcome, outcome, "{}", env.log());
    }
}

/// The target moves to an extension that is busy. A profile that is rolled back dials the one of its version again.
#[test]
fn a_version_dials_the_targets_with_which_it_was_published() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let did = "+49305550331";
    let tenant = tenant(&env, did, extension("answers"));
    env.open();
    let update = ["target", "update", "shop", "--tenant", did, "--address", "busy@people"];
    env.vca.cli(&update).expect("a change");
    let mut outcomes = Vec::new();
    for version in ["3", "2"] {
        let roll_back = ["profile", "rollback", "front desk", "--tenant", did, "--version", version];
        env.vca.cli(&roll_back).expect("a rollback");
        let script = vec![listen(), question(), listen(), Step::Wait(ms(6_000)), Step::HangUp];
        let mut call = env.place(did, script);
        see_to_the_end(&env, std::slice::from_mut(&mut call));
        drop(call);
        env.clears_away(ms(10_000));
        outcomes.push(transfer(&env, tenant).0.outcome);
    }
    assert_eq!(outcomes, [TransferOutcome::Busy, TransferOutcome::Connected], "{}", env.log());
}

/// sipp takes a REFER for the end of the call, as a trunk does that connects the caller elsewhere.
#[test]
fn a_trunk_is_asked_to_connect_the_target() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let did = "+49305550320";
    let target = json!({ "kind": "sip", "address": "shop@shop.example.com", "method": "refer" });
    let tenant = tenant(&env, did, target);
    env.open();
    let report = env.dial(did, vec![listen(), question(), listen(), Step::Wait(ms(3_000)), Step::HangUp]);
    assert!(report.log.contains("REFER sip:"), "{}\n{}", report.log, env.log());
    assert!(report.log.contains("sip:shop@shop.example.com"), "{}", report.log);
    // sipp leaves its dialog open, so Asterisk's channel outlasts the call.
    let calls = || env.seed.calls(tenant).into_iter().map(|(call, _)| call);
    let closed = wait::until_true(ms(10_000), || calls().all(|call| call.ended_at.is_some()));
    assert!(closed, "{}", env.log());
    let call = calls().next_back().expect("a call");
    let outcomes: Vec<_> = call.transfers.iter().map(|it| it.outcome).collect();
    assert_eq!(
        (outcomes, call.disposition.as_deref()),
        (vec![TransferOutcome::HandedOver], Some("transferred"))
    );
}

/// A queue with a member who answers, and a mailbox, by the example lines of the shipped dialplan.
fn set_up_queue_and_mailbox(asterisk: &Asterisk) {
    asterisk.add_config("queues", "[general]\n[reception]\nmember => Local/member@people\n");
    asterisk.add_config("voicemail", "[general]\nformat=wav\n[default]\n100 => 1234,Shop\n");
    for example in ["exten => shop,1,VoiceMail(100@default,u)", "exten => reception,1,Queue(reception,,,,60)"]
    {
        let commented = format!("; {example}\n;  same => n,Hangup(16)\n");
        asterisk.edit("vca-extensions", &commented, &format!("{example}\n same => n,Hangup(16)\n"));
    }
    asterisk.cli("dialplan reload");
    for (number, application) in (1..).zip(["Answer()", "Wait(2)", "Hangup()"]) {
        asterisk.cli(&format!("dialplan add extension member,{number},{application} into people"));
    }
    // A member whose extension is not there when the module is loaded stays unavailable.
    for module in ["app_queue.so", "app_voicemail.so"] {
        asterisk.cli(&format!("module load {module}"));
    }
}

/// The model calls the tools by their names, without arguments, and the callers continue in contexts of the shipped dialplan.
#[test]
fn callers_go_to_a_queue_and_to_a_mailbox_of_the_shipped_dialplan() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    env.set("VCA__TRANSFER__QUEUE_CONTEXT", "vca-queue");
    env.set("VCA__TRANSFER__VOICEMAIL_CONTEXT", "vca-voicemail");
    set_up_queue_and_mailbox(&env.asterisk);
    env.set_script(
        r#"
        phrases = ["what are your opening hours", "please take a message"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = "opening hours"
        say = "One moment."
        call = { tool = "queue" }
        [[reply]]
        pattern = "message"
        say = "After the tone."
        call = { tool = "voicemail" }
        "#,
    );
    let agent = json!({ "greeting": "Welcome.", "tools": ["queue", "voicemail"] });
    let tenant = env.seed.tenant("shop", "+49305550330", Some(5), agent);
    env.seed.target(tenant, "waiting-room", json!({ "kind": "queue", "address": "reception" }));
    env.seed.target(tenant, "mailbox", json!({ "kind": "voicemail", "address": "shop" }));
    env.open();
    let waits = vec![listen(), question(), listen(), Step::Wait(ms(30_000))];
    // "#" leaves out the mailbox's instructions, and ends the message.
    let (message, left) =
        (clips::flite("please take a message", "slt"), clips::prompt(&sandbox, "vm-goodbye"));
    let skips = [Step::Wait(ms(1_000)), Step::Press('#'), Step::Wait(ms(2_000))];
    let leaves = [Step::Say(left), Step::Wait(ms(300)), Step::Press('#'), Step::Wait(ms(30_000))];
    let asks = vec![listen(), Step::Say(message), listen()];
    let speaks = asks.into_iter().chain(skips).chain(leaves).collect();
    let mut calls = [waits, speaks].map(|script| env.place("+49305550330", script));
    see_to_the_end(&env, &mut calls);
    drop(calls);
    env.clears_away(ms(10_000));
    env.last_call(tenant);
    let queue = env.asterisk.cli("queue show reception");
    assert!(queue.contains("C:1, A:0"), "a member has answered: {queue}");
    let left = env.asterisk.spooled("voicemail/default/100/INBOX/msg0000.wav");
    let left = left.unwrap_or_else(|| panic!("no message was left\n{}", env.asterisk.log()));
    let samples: Vec<i16> = left.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let loud = samples.chunks_exact(160).filter(|frame| voice::is_voiced(frame)).count();
    assert!(loud >= 20, "the message has {loud} frames of speech");
    let transfers = env.seed.calls(tenant).into_iter().flat_map(|(call, _)| call.transfers);
    let mut reached: Vec<_> = transfers.map(|it| (it.target.to_string(), it.outcome)).collect();
    reached.sort_by(|one, other| one.0.cmp(&other.0));
    let handed_over = TransferOutcome::HandedOver;
    let expected = [("mailbox".to_owned(), handed_over), ("waiting-room".to_owned(), handed_over)];
    assert_eq!(reached, expected, "{}", env.log());
}

/// The tenants' endpoints name an extension: one that the target's resolver allows, and one that the operator alone allows.
#[test]
fn an_endpoint_names_the_person() {
    let Some((mut env, vendor)) = test_env() else { return };
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    let endpoint = Receiver::start();
    endpoint.answers(Answer::Json(200, r#"{ "kind": "extension", "address": "answers@people" }"#));
    let target = |allow: Value| json!({ "kind": "http", "address": endpoint.url("/on-call"), "resolver": { "allow": allow } });
    let allowed = tenant(&env, "+49305550340", target(json!(["@people"])));
    let refused = tenant(&env, "+49305550341", target(json!(["@sales"])));
    env.open();
    let script = || vec![listen(), question(), listen(), Step::Wait(ms(8_000)), Step::HangUp];
    let mut calls: Vec<Call> =
        ["+49305550340", "+49305550341"].iter().map(|did| env.place(did, script())).collect();
    see_to_the_end(&env, &mut calls);
    drop(calls);
    env.clears_away(ms(10_000));
    let (reached, _) = transfer(&env, allowed);
    let place = Some("answers@people".to_owned());
    assert_eq!((reached.outcome, reached.resolved_to), (TransferOutcome::Connected, place), "{}", env.log());
    let (returned, _) = transfer(&env, refused);
    assert_eq!((returned.outcome, returned.resolved_to), (TransferOutcome::Refused, None), "{}", env.log());
    assert_eq!(endpoint.requests().len(), 2);
    let results = vendor.requests(Kind::Llm);
    assert!(results.iter().any(|request| request.contains("refused")), "the model reads it");
}
