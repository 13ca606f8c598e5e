//! Transfers to SIP telephones that have to accept the call, with each outcome, and what each side hears.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::{RecordedCall, Step};
use vca::tenancy::{AfterBridge, TenantId, TransferEnd, TransferOutcome, TransferStyle};

use crate::support::asterisk::MUSIC_PITCH;
use crate::support::phone::Call;
use crate::support::telephone::{Habit, Telephone};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{Habit as Habits, KEY, Kind, NOT_NOW, REPLY, SUMMARY, Vendor, pitch};
use crate::support::{self, clips, wait};

/// The agent's own words, and those to the target.
const AGENT: u32 = 400;
const ANNOUNCEMENT: u32 = 1_500;
const GREETING: &str = "Welcome.";
/// The tones of caller and person once they are joined.
const CALLER: u32 = 1_900;
const PERSON: u32 = 2_300;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(12_000) }
}

fn question() -> Step {
    Step::Say(clips::flite("what are your opening hours", "slt"))
}

fn greeting() -> Step {
    Step::Say(clips::flite("hello this is the shop", "slt"))
}

fn yes() -> Step {
    Step::Say(clips::flite("yes please", "slt"))
}

fn tone_of(pitch: u32) -> Step {
    Step::Say(clips::tone(pitch, ms(1_500)))
}

/// The caller asks, does this so long after the agent's reply began, and hangs up at last.
fn caller_who(waits: u64, then: Step, hangs_up_after: u64) -> Vec<Step> {
    let mut script = caller(hangs_up_after);
    let place = script.len() - 2;
    script.splice(place..place, [Step::Wait(ms(waits)), then]);
    script
}

/// The caller asks, and hangs up so long after the agent's reply began. Music may follow it without a pause.
fn caller(hangs_up_after: u64) -> Vec<Step> {
    let reply = Step::LetSpeak { spoken: ms(300), at_most: ms(8_000) };
    vec![listen(), question(), reply, Step::Wait(ms(hangs_up_after)), Step::HangUp]
}

/// The person greets, hears the announcement, and does these steps.
fn person(steps: &[Step]) -> Habit {
    let script = [&[greeting(), listen()], steps].concat();
    Habit::Answers { script, hangs_up_after: ms(30_000) }
}

/// One call, and what becomes of it.
struct Case {
    style: TransferStyle,
    phone: Habit,
    caller: Vec<Step>,
    outcome: TransferOutcome,
    ended_by: Option<TransferEnd>,
    /// The agent has the caller again.
    is_back: bool,
    after_bridge: AfterBridge,
    key_term: Option<&'static str>,
}

impl Case {
    fn new(
        style: TransferStyle,
        phone: Habit,
        caller: Vec<Step>,
        outcome: TransferOutcome,
        ended_by: Option<TransferEnd>,
    ) -> Case {
        let is_back = !matches!(outcome, TransferOutcome::Connected | TransferOutcome::Cancelled);
        let (after_bridge, key_term) = (AfterBridge::Leave, None);
        Case { style, phone, caller, outcome, ended_by, is_back, after_bridge, key_term }
    }
}

fn cases() -> Vec<Case> {
    use TransferOutcome::{Busy, Cancelled, Connected, Declined, NoAnswer, NotAccepted};
    use TransferStyle::{Cold, Confirmed, Warm};
    let case = |style, phone, hangs_up_after, outcome, ended_by| {
        Case::new(style, phone, caller(hangs_up_after), outcome, ended_by)
    };
    let (by_caller, by_target) = (Some(TransferEnd::Caller), Some(TransferEnd::Target));
    let accepts = || person(&[Step::Press('1'), Step::Wait(ms(1_000)), tone_of(PERSON)]);
    let talks = || caller_who(12_000, tone_of(CALLER), 2_500);
    let cancels = Case {
        is_back: true,
        ..Case::new(Warm, Habit::Rings, caller_who(3_500, Step::Press('*'), 5_000), Cancelled, by_caller)
    };
    let not_now = Case { key_term: Some(NOT_NOW), ..case(Warm, person(&[yes()]), 17_000, Declined, None) };
    let stays = Case {
        after_bridge: AfterBridge::Stay,
        phone: person(&[Step::Press('1'), Step::Wait(ms(1_000)), greeting()]),
        ..Case::new(Warm, Habit::Rings, caller_who(12_000, question(), 3_000), Connected, by_caller)
    };
    let leaves = |script, after| Habit::Answers { script, hangs_up_after: ms(after) };
    vec![
        Case::new(Warm, accepts(), talks(), Connected, by_caller),
        case(
            Warm,
            person(&[Step::Press('5'), Step::Wait(ms(300)), Step::Press('2')]),
            15_000,
            Declined,
            None,
        ),
        case(Warm, person(&[]), 17_000, NotAccepted, None),
        Case::new(
            Warm,
            person(&[yes(), Step::Wait(ms(2_500)), tone_of(PERSON)]),
            talks(),
            Connected,
            by_caller,
        ),
        case(Warm, person(&[greeting()]), 17_000, NotAccepted, None),
        case(Warm, leaves(vec![greeting()], 5_000), 14_000, NotAccepted, None),
        case(Warm, person(&[]), 6_500, Cancelled, by_caller),
        case(Warm, Habit::Refuses(486), 8_000, Busy, None),
        case(Warm, Habit::Refuses(603), 8_000, Declined, None),
        case(Warm, Habit::Rings, 12_000, NoAnswer, None),
        case(Warm, Habit::Rings, 3_500, Cancelled, by_caller),
        case(Warm, person(&[]), 9_500, Cancelled, by_caller),
        Case::new(Confirmed, accepts(), talks(), Connected, by_caller),
        case(Cold, leaves(vec![greeting()], 4_000), 15_000, Connected, by_target),
        cancels,
        not_now,
        stays,
    ]
}

struct Running {
    tenant: TenantId,
    call: Call,
    phone: Telephone,
}

/// A call that is over: its tenant, what caller and person heard, and the SIP messages of the telephone.
type Heard = (TenantId, RecordedCall, Option<RecordedCall>, String);

/// Places a call for each case, and sees all of them to their end.
fn play(env: &mut TestEnv, cases: &[Case]) -> Vec<Heard> {
    let phones: Vec<Telephone> =
        cases.iter().map(|case| Telephone::start(env.asterisk.sandbox(), case.phone.clone())).collect();
    let hosts: Vec<String> = phones.iter().map(Telephone::host).collect();
    env.set("VCA__TRANSFER__SIP_HOSTS", &json!(hosts).to_string());
    let places: Vec<(String, TenantId)> = cases
        .iter()
        .enumerate()
        .map(|(n, case)| {
            let did = format!("+493055504{n:02}");
            let terms = Vec::from_iter(case.key_term);
            let agent = json!({ "greeting": GREETING, "tools": ["transfer"], "key_terms": terms });
            (did.clone(), env.seed.tenant(&format!("Bakery {n}"), &did, Some(5), agent))
        })
        .collect();
    for ((case, host), (_, tenant)) in cases.iter().zip(&hosts).zip(&places) {
        let target = json!({
            "kind": "sip", "address": format!("shop@{host}"), "style": case.style, "after_bridge": case.after_bridge,
        });
        env.seed.target(*tenant, "shop", target);
    }
    env.open();
    let placed = phones.into_iter().zip(&places).zip(cases).map(|((phone, (did, tenant)), case)| Running {
        tenant: *tenant,
        call: env.place(did, case.caller.clone()),
        phone,
    });
    let mut running: Vec<Running> = placed.collect();
    let over = wait::until_true(ms(60_000), || {
        running.iter_mut().for_each(|it| {
            it.call.step();
            it.phone.step();
        });
        running.iter().all(|it| it.call.progress().is_over())
    });
    let phones = || running.iter().map(|it| it.phone.log()).collect::<String>();
    assert!(over, "a call does not end\n{}\n{}", phones(), env.log());
    let heard = running.into_iter().map(|it| {
        let messages = it.phone.log();
        (it.tenant, it.call.finish().conversation, it.phone.finish(), messages)
    });
    heard.collect()
}

/// The tones that a side heard, in order, each with its length in windows of 100 ms. Speech and silence are none.
fn tones(heard: &RecordedCall) -> Vec<(u32, usize)> {
    tones_by(heard, 10)
}

/// The same by so many windows a second.
fn tones_by(heard: &RecordedCall, windows: usize) -> Vec<(u32, usize)> {
    let track = &heard.received;
    let mut found: Vec<(u32, usize)> = Vec::new();
    for window in track.samples.chunks_exact(track.rate as usize / windows) {
        let Some(tone) = tone(window, track.rate) else { continue };
        match found.last_mut() {
            Some((last, length)) if *last == tone => *length += 1,
            _ => found.push((tone, 1)),
        }
    }
    found
}

/// The tone that has nearly all of a window's energy, by Goertzel's algorithm.
fn tone(window: &[i16], rate: u32) -> Option<u32> {
    let energy: f64 = window.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let is_loud = energy / window.len() as f64 > 250_000.0;
    let share = |pitch: u32| {
        let step = f64::from(pitch) * std::f64::consts::TAU / f64::from(rate);
        let (mut one, mut two) = (0.0, 0.0);
        for sample in window {
            let next = f64::from(*sample) + 2.0 * step.cos() * one - two;
            (two, one) = (one, next);
        }
        let power = one * one + two * two - 2.0 * step.cos() * one * two;
        2.0 * power / (energy * window.len() as f64)
    };
    [AGENT, MUSIC_PITCH, ANNOUNCEMENT, CALLER, PERSON]
        .into_iter()
        .filter(|_| is_loud)
        .find(|pitch| share(*pitch) > 0.8)
}

fn length_of(pitch: u32, tones: &[(u32, usize)]) -> usize {
    tones.iter().filter(|(it, _)| *it == pitch).map(|(_, length)| length).sum()
}

fn test_env() -> Option<(TestEnv, Vendor)> {
    test_env_with(Habits::ShortYes)
}

fn test_env_with(habit: Habits) -> Option<(TestEnv, Vendor)> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let vendor = Vendor::with(&[habit]);
    for (name, value) in [
        ("OPENAI_BASE_URL", vendor.base_url().as_str()),
        ("OPENAI_API_KEY", KEY),
        ("VCA__TURN__FILLER_MS", "0"),
        ("VCA__TRANSFER__SIP_ENDPOINT", "PJSIP/vca-trunk/{uri}"),
        ("VCA__TRANSFER__RING_S", "4"),
        ("VCA__TRANSFER__ACCEPT_S", "3"),
        ("VCA__TRANSFER__SUMMARY_HEADER", "X-Transfer-Summary"),
    ] {
        env.set(name, value);
    }
    Some((env, vendor))
}

#[test]
fn twenty_people_are_asked_at_once() {
    let Some((mut env, _vendor)) = test_env() else { return };
    env.set("VCA__TRANSFER__ACCEPT_S", "10");
    let (outcome, ended_by) = (TransferOutcome::Connected, Some(TransferEnd::Caller));
    let phone = || person(&[Step::Press('1')]);
    let case = || Case::new(TransferStyle::Warm, phone(), caller(20_000), outcome, ended_by);
    let cases: Vec<Case> = (0..20).map(|_| case()).collect();
    let heard = play(&mut env, &cases);
    env.clears_away(ms(10_000));
    for (tenant, ..) in heard {
        let (call, _) = env.last_call(tenant);
        let outcomes: Vec<_> = call.transfers.iter().map(|it| (it.outcome, it.ended_by)).collect();
        assert_eq!(outcomes, [(TransferOutcome::Connected, Some(TransferEnd::Caller))], "{}", env.log());
    }
}

#[test]
fn a_person_accepts_or_declines_what_the_caller_does_not_hear() {
    let Some((mut env, vendor)) = test_env() else { return };
    assert_eq!(pitch("A call for"), ANNOUNCEMENT);
    let cases = cases();
    let heard = play(&mut env, &cases);
    env.clears_away(ms(10_000));
    for (n, (case, (tenant, caller, person, messages))) in cases.iter().zip(&heard).enumerate() {
        let (call, turns) = env.last_call(*tenant);
        let [transfer] = &call.transfers[..] else { panic!("{n}: not one transfer\n{}", env.log()) };
        assert_eq!(transfer.summary.as_deref(), Some(SUMMARY), "{n}");
        assert_eq!(
            (transfer.outcome, transfer.ended_by),
            (case.outcome, case.ended_by),
            "{n}\n{}",
            env.log()
        );
        assert!(messages.contains(&format!("X-Transfer-Summary: {SUMMARY}")), "{n}: {messages}");
        let is_connected = case.outcome == TransferOutcome::Connected;
        assert_eq!(transfer.answered_at.is_some(), person.is_some(), "{n}");
        let is_accepted = is_connected && case.style != TransferStyle::Cold;
        assert_eq!(transfer.accepted_at.is_some(), is_accepted, "{n}");
        let tones_of_caller = tones(caller);
        assert_eq!(length_of(ANNOUNCEMENT, &tones_of_caller), 0, "{n}: {tones_of_caller:?}");
        if case.style == TransferStyle::Warm
            && (person.is_some() || case.outcome == TransferOutcome::NoAnswer)
        {
            assert!(length_of(MUSIC_PITCH, &tones_of_caller) > 5, "{n}: {tones_of_caller:?}");
        }
        // Greeting and reply were played to their end before the music; up to four windows of 20 ms are cut by an end.
        let words = [GREETING, &REPLY.concat()].map(|text| 500 + 30 * text.len()).iter().sum::<usize>();
        let fine = tones_by(caller, 50);
        let before = fine.iter().take_while(|(pitch, _)| *pitch != MUSIC_PITCH);
        let said = length_of(AGENT, &before.copied().collect::<Vec<_>>()) * 20;
        assert!(said + 80 >= words, "{n}: {said} of {words} ms: {fine:?}");
        let is_announced = person.is_some() && case.style != TransferStyle::Cold;
        let tones_of_person = person.as_ref().map(tones).unwrap_or_default();
        assert_eq!(length_of(ANNOUNCEMENT, &tones_of_person) > 3, is_announced, "{n}: {tones_of_person:?}");
        assert_eq!(length_of(MUSIC_PITCH, &tones_of_person), 0, "{n}: {tones_of_person:?}");
        let last = tones_of_caller.iter().map(|(pitch, _)| *pitch).rfind(|pitch| *pitch != PERSON);
        assert_eq!(
            last == Some(AGENT),
            case.is_back || case.style != TransferStyle::Warm,
            "{n}: {tones_of_caller:?}"
        );
        let hear_each_other =
            (length_of(PERSON, &tones_of_caller) > 10, length_of(CALLER, &tones_of_person) > 10);
        let is_long = is_connected && case.ended_by == Some(TransferEnd::Caller);
        let is_toned = is_long && case.after_bridge == AfterBridge::Leave;
        assert_eq!(hear_each_other, (is_toned, is_toned), "{n}: {tones_of_caller:?} {tones_of_person:?}");
        let of_people = turns.iter().filter(|turn| turn.target_text.is_some());
        let mut speakers: Vec<bool> = of_people.map(|turn| turn.caller_text.is_empty()).collect();
        speakers.dedup();
        let expected: &[bool] = if case.after_bridge == AfterBridge::Stay { &[true, false] } else { &[] };
        assert_eq!(
            speakers,
            expected,
            "{n}: the person's words, then the caller's: {turns:?}\n{}",
            env.log()
        );
    }
    let announced = vendor.requests(Kind::Tts);
    let texts = |n: usize, summary: &str| {
        format!(
            "A call for Bakery {n}.{summary} Will you take the call? Say yes or no, or press 1 for yes, or 2 for no."
        )
    };
    for text in [texts(0, &format!(" {SUMMARY}")), texts(12, "")] {
        assert!(announced.iter().any(|request| request.json()["input"] == text.as_str()), "{text}");
    }
    let results = vendor.requests(Kind::Llm);
    for outcome in ["declined", "not_accepted", "busy", "no_answer"] {
        assert!(results.iter().any(|request| request.contains(outcome)), "the model reads {outcome}");
    }
}

#[test]
fn a_caller_who_hears_music_cancels_by_words() {
    let Some((mut env, _vendor)) = test_env_with(Habits::ShortCancel) else { return };
    env.set("VCA__TRANSFER__RING_S", "20");
    let cancel = [Step::Say(clips::flite("cancel", "slt")), Step::Wait(ms(6_000)), Step::HangUp];
    let mut script = caller(6_000);
    script.splice(script.len() - 1.., cancel);
    let (outcome, ended_by) = (TransferOutcome::Cancelled, Some(TransferEnd::Caller));
    let case = Case::new(TransferStyle::Warm, Habit::Rings, script, outcome, ended_by);
    let heard = play(&mut env, &[case]);
    env.clears_away(ms(10_000));
    let (tenant, caller, ..) = &heard[0];
    let (call, _) = env.last_call(*tenant);
    let outcomes: Vec<_> = call.transfers.iter().map(|it| (it.outcome, it.ended_by)).collect();
    assert_eq!(outcomes, [(outcome, ended_by)], "{}", env.log());
    let tones = tones(caller);
    assert!(length_of(MUSIC_PITCH, &tones) > 5, "{tones:?}");
    assert_eq!(
        tones.last().map(|(pitch, _)| *pitch),
        Some(AGENT),
        "the agent has the caller again: {tones:?}"
    );
}
