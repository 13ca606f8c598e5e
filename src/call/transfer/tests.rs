use proptest::prelude::*;

use super::words::LONGEST_RECOGNITION;
use super::*;
use crate::tenancy::DialplanRoute;

const LEG: LegId = LegId::MEDIA;
const TIMES: TransferTimes = TransferTimes {
    first_words: Duration::from_secs(3),
    accept: Duration::from_secs(10),
    leg: Duration::from_secs(60),
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key(key: char) -> Digit {
    Digit::try_from(key).expect("a key")
}

fn begun(route: TransferRoute, style: TransferStyle) -> (Transfer, Instant) {
    let now = Instant::now();
    (Transfer::new(ToolId(1), route, style, TIMES, now + seconds(1)), now)
}

/// The first step after the last words, to a target that the tenant still has.
fn after_check(transfer: &mut Transfer, now: Instant) -> Option<TransferStep> {
    assert_eq!(transfer.tick(now + seconds(1)), Some(TransferStep::Check));
    assert_eq!(transfer.deadline(), None, "the check has a time limit of its own");
    transfer.checked(true)
}

fn ringing(style: TransferStyle) -> (Transfer, Instant) {
    let (mut transfer, now) = begun(TransferRoute::Dial { endpoint: "PJSIP/alice".into() }, style);
    assert_eq!(transfer.tick(now), None, "the last words are still played");
    let dial = TransferStep::Dial { endpoint: "PJSIP/alice".into() };
    assert_eq!(after_check(&mut transfer, now), Some(dial));
    transfer.ringing(LEG, now + seconds(30));
    (transfer, now)
}

/// The target has answered and is joined with the agent.
fn answered() -> (Transfer, Instant) {
    let (mut transfer, now) = ringing(TransferStyle::Warm);
    assert_eq!(transfer.leg_answered(LEG, now), Some(TransferStep::Consult { leg: LEG }));
    (transfer, now)
}

/// The announcement is played.
fn announcing() -> (Transfer, Instant) {
    let (mut transfer, now) = answered();
    assert_eq!(transfer.tick(now + seconds(3)), Some(TransferStep::Announce));
    (transfer, now)
}

/// The announcement was played.
fn deciding() -> (Transfer, Instant) {
    let (mut transfer, now) = announcing();
    transfer.announced(now + seconds(9));
    (transfer, now)
}

#[test]
fn a_target_that_answers_talks_until_it_hangs_up_or_its_time_is_over() {
    let (mut transfer, now) = ringing(TransferStyle::Cold);
    assert_eq!(transfer.leg_answered(LegId::CALLER, now), None, "another leg");
    assert_eq!(transfer.leg_answered(LEG, now), Some(TransferStep::Connect { leg: LEG }));
    assert_eq!(transfer.leg_answered(LEG, now), None, "once");
    assert_eq!(transfer.pressed(LEG, key('2'), now), None, "keys of a conversation are not for the agent");
    assert_eq!(transfer.call_ended(TransferEnd::Caller), None);
    assert_eq!(transfer.tick(now + seconds(30)), None);
    let ended = transfer.leg_ended(LEG, Some(16));
    assert_eq!(ended, Some(TransferStep::End { by: TransferEnd::Target }));
    let ended = transfer.tick(now + seconds(60));
    assert_eq!(ended, Some(TransferStep::End { by: TransferEnd::System }));
}

#[test]
fn a_target_that_does_not_answer_returns_the_caller() {
    for (cause, outcome) in [
        (Some(17), TransferOutcome::Busy),
        (Some(19), TransferOutcome::NoAnswer),
        (Some(18), TransferOutcome::NoAnswer),
        (Some(21), TransferOutcome::Declined),
        (Some(1), TransferOutcome::Unreachable),
        (Some(3), TransferOutcome::Unreachable),
        (None, TransferOutcome::Unreachable),
    ] {
        for style in TransferStyle::ALL {
            let (mut transfer, _) = ringing(*style);
            assert_eq!(transfer.leg_ended(LEG, cause), returned(outcome, None), "{cause:?}");
        }
    }
    let (mut transfer, now) = ringing(TransferStyle::Warm);
    let expected = returned(TransferOutcome::NoAnswer, Some(LEG));
    assert_eq!(transfer.tick(now + seconds(30)), expected);
    assert_eq!(transfer.leg_answered(LEG, now), None, "too late");
}

#[test]
fn the_announcement_waits_for_the_first_words() {
    let (mut transfer, now) = answered();
    transfer.voice_paused(now, 0);
    assert_eq!(transfer.tick(now + seconds(2)), None, "a pause without words before it");
    transfer.voice_started(now + seconds(2), 0);
    assert_eq!(transfer.tick(now + seconds(4)), None, "they last longer than the wait for them");
    transfer.voice_paused(now + seconds(4), 0);
    transfer.voice_started(now + seconds(4), 0);
    assert_eq!(transfer.tick(now + seconds(5)), None, "a short pause is not their end");
    transfer.voice_paused(now + seconds(5), 0);
    assert_eq!(transfer.tick(now + seconds(5) + WORDS_PAUSE), Some(TransferStep::Announce));
    let (mut transfer, now) = answered();
    transfer.voice_started(now + seconds(1), 0);
    assert_eq!(transfer.tick(now + seconds(5)), None);
    assert_eq!(transfer.tick(now + seconds(6)), Some(TransferStep::Announce), "the greeting of a mailbox");
}

#[test]
fn the_target_accepts_or_declines_by_a_key_at_any_time() {
    for stage in [answered, announcing, deciding] {
        let (mut transfer, now) = stage();
        assert_eq!(transfer.pressed(LegId::CALLER, key('1'), now), None, "the caller's keys do not count");
        assert_eq!(transfer.pressed(LEG, key('5'), now), None);
        assert_eq!(transfer.pressed(LEG, key('1'), now), Some(TransferStep::Connect { leg: LEG }));
        assert_eq!(transfer.pressed(LEG, key('2'), now), None, "it has the caller");
        assert_eq!(transfer.leg_ended(LEG, None), Some(TransferStep::End { by: TransferEnd::Target }));
        let (mut transfer, now) = stage();
        let declined = returned(TransferOutcome::Declined, Some(LEG));
        assert_eq!(transfer.pressed(LEG, key('2'), now), declined);
        assert_eq!(transfer.pressed(LEG, key('1'), now), None, "too late");
    }
}

/// The target has answered the question, and its words are awaited.
fn asked() -> (Transfer, Instant) {
    let (mut transfer, now) = deciding();
    let begins = transfer.voice_started(now + seconds(10), 80_000);
    assert_eq!(begins, Some(TransferStep::BeginWords { from: 80_000 }));
    transfer.voice_paused(now + seconds(11), 88_000);
    assert_eq!(transfer.voice_started(now + seconds(11), 89_000), None, "a short pause is not their end");
    transfer.voice_paused(now + seconds(12), 96_000);
    let ends = transfer.tick(now + seconds(12) + WORDS_PAUSE);
    assert_eq!(ends, Some(TransferStep::EndWords { to: 96_000 }));
    (transfer, now + seconds(13))
}

#[test]
fn the_target_accepts_or_declines_by_words_after_the_question() {
    let (mut transfer, now) = asked();
    let connects = transfer.answered_in_words(now, Some(Acceptance::Accepted));
    assert_eq!(connects, Some(TransferStep::Connect { leg: LEG }));
    let (mut transfer, now) = asked();
    let declines = transfer.answered_in_words(now, Some(Acceptance::Declined));
    assert_eq!(declines, returned(TransferOutcome::Declined, Some(LEG)));
    let (mut transfer, now) = asked();
    assert_eq!(transfer.answered_in_words(now, None), None, "doubt");
    assert_eq!(transfer.answered_in_words(now, Some(Acceptance::Accepted)), None, "no words are awaited");
    assert_eq!(transfer.voice_started(now, 8), Some(TransferStep::BeginWords { from: 8 }), "another answer");
    let (mut transfer, now) = asked();
    assert_eq!(transfer.tick(now + LONGEST_RECOGNITION), Some(TransferStep::DropWords));
    let over = returned(TransferOutcome::NotAccepted, Some(LEG));
    assert_eq!(transfer.tick(now + seconds(10)), over, "its time is over meanwhile");
}

#[test]
fn a_caller_cancels_a_ringing_transfer_by_words() {
    let (mut transfer, now) = ringing(TransferStyle::Warm);
    let begins = Some(TransferStep::BeginWords { from: 800 });
    let ends = Some(TransferStep::EndWords { to: 8_800 });
    assert_eq!(transfer.voice_started(now + seconds(2), 800), begins);
    transfer.voice_paused(now + seconds(3), 8_800);
    assert_eq!(transfer.tick(now + seconds(3) + WORDS_PAUSE), ends);
    assert_eq!(transfer.caller_said(now + seconds(4), false), None, "other words");
    assert_eq!(transfer.voice_started(now + seconds(5), 800), begins);
    assert_eq!(transfer.tick(now + seconds(9)), Some(TransferStep::DropWords), "they talk to another person");
    assert_eq!(transfer.caller_said(now + seconds(9), true), None, "no words are awaited");
    assert_eq!(transfer.voice_started(now + seconds(10), 800), begins);
    transfer.voice_paused(now + seconds(11), 8_800);
    assert_eq!(transfer.tick(now + seconds(11) + WORDS_PAUSE), ends);
    let (outcome, by, release) = (TransferOutcome::Cancelled, Some(TransferEnd::Caller), Some(LEG));
    let cancelled = Some(TransferStep::Return { outcome, by, release });
    assert_eq!(transfer.caller_said(now + seconds(12), true), cancelled);
    assert_eq!(transfer.leg_answered(LEG, now + seconds(12)), None, "too late");
}

#[test]
fn the_words_of_a_caller_who_waits_are_bounded() {
    let (mut transfer, now) = ringing(TransferStyle::Warm);
    let begins = |second: &u64| {
        let at = now + seconds(*second);
        let begins = transfer.voice_started(at, 0).is_some();
        transfer.voice_paused(at, 0);
        transfer.tick(at + WORDS_PAUSE);
        transfer.caller_said(at + WORDS_PAUSE, false);
        begins
    };
    assert_eq!((0..20).filter(begins).count() as u32, MOST_UTTERANCES);
    assert_eq!(transfer.tick(now + seconds(30)), returned(TransferOutcome::NoAnswer, Some(LEG)));
}

#[test]
fn words_of_a_waiting_caller_that_begin_during_recognition_count_as_well() {
    let (mut transfer, now) = ringing(TransferStyle::Warm);
    assert!(transfer.voice_started(now, 0).is_some());
    transfer.voice_paused(now, 0);
    let goes_on = |turn: &u32| {
        let at = now + seconds(1) + WORDS_PAUSE * 2 * *turn;
        assert!(matches!(transfer.tick(at), Some(TransferStep::EndWords { .. })));
        assert_eq!(transfer.voice_started(at, 0), None);
        transfer.voice_paused(at, 0);
        transfer.caller_said(at, false).is_some()
    };
    assert_eq!(1 + (0..20).take_while(goes_on).count() as u32, MOST_UTTERANCES);
}

#[test]
fn an_engine_may_end_the_targets_turn_before_its_pause() {
    let speaking = || {
        let (mut transfer, now) = deciding();
        transfer.voice_started(now + seconds(10), 80_000);
        (transfer, now + seconds(11))
    };
    let connects = Some(TransferStep::Connect { leg: LEG });
    let (mut transfer, now) = speaking();
    assert_eq!(transfer.answered_in_words(now, Some(Acceptance::Accepted)), connects, "in its voice");
    let (mut transfer, now) = speaking();
    transfer.voice_paused(now, 88_000);
    assert_eq!(transfer.answered_in_words(now, Some(Acceptance::Accepted)), connects, "in a short pause");
    let (mut transfer, now) = speaking();
    transfer.voice_paused(now, 88_000);
    let declines = transfer.answered_in_words(now, Some(Acceptance::Declined));
    assert_eq!(declines, returned(TransferOutcome::Declined, Some(LEG)));
    let (mut transfer, now) = speaking();
    transfer.voice_paused(now, 88_000);
    transfer.voice_started(now + WORDS_PAUSE / 2, 91_000);
    let now = now + WORDS_PAUSE / 2;
    let goes_on = transfer.answered_in_words(now, Some(Acceptance::Accepted));
    assert_eq!(
        goes_on,
        Some(TransferStep::BeginWords { from: 91_000 }),
        "\"Yes, you have reached the Smiths.\""
    );
    assert_eq!(transfer.answered_in_words(now + seconds(2), None), None);
}

#[test]
fn an_answer_that_begins_while_another_is_recognised_is_recognised_next() {
    let (mut transfer, now) = asked();
    assert_eq!(transfer.voice_started(now, 100_000), None);
    transfer.voice_paused(now + seconds(1), 108_000);
    let begins = Some(TransferStep::BeginWords { from: 100_000 });
    assert_eq!(transfer.answered_in_words(now + seconds(1), None), begins);
    let ends = transfer.tick(now + seconds(1) + WORDS_PAUSE);
    assert_eq!(ends, Some(TransferStep::EndWords { to: 108_000 }));
    let connects = transfer.answered_in_words(now + seconds(2), Some(Acceptance::Accepted));
    assert_eq!(connects, Some(TransferStep::Connect { leg: LEG }));
    let (mut transfer, now) = asked();
    transfer.voice_started(now, 100_000);
    let late = now + LONGEST_RECOGNITION;
    assert_eq!(transfer.tick(late), begins, "the words before it are given up");
    assert_eq!(transfer.tick(late), Some(TransferStep::DropWords), "it has lasted for too long meanwhile");
    let (mut transfer, now) = asked();
    assert_eq!(transfer.voice_started(now + seconds(6), 100_000), None);
    assert_eq!(transfer.answered_in_words(now + seconds(6), None), None, "its time was over");
}

#[test]
fn words_before_the_question_and_long_speech_are_no_answer() {
    for stage in [answered, announcing] {
        let (mut transfer, now) = stage();
        assert_eq!(transfer.voice_started(now, 0), None);
        transfer.voice_paused(now, 0);
        assert_eq!(transfer.answered_in_words(now, Some(Acceptance::Accepted)), None);
    }
    let (mut transfer, now) = announcing();
    transfer.voice_started(now + seconds(8), 0);
    transfer.announced(now + seconds(9));
    transfer.voice_paused(now + seconds(10), 0);
    assert_eq!(transfer.tick(now + seconds(12)), None, "it began before the question");
    let (mut transfer, now) = deciding();
    transfer.voice_started(now + seconds(15), 0);
    assert_eq!(transfer.tick(now + seconds(18)), None);
    assert_eq!(transfer.tick(now + seconds(19)), Some(TransferStep::DropWords), "the greeting of a mailbox");
    assert_eq!(transfer.tick(now + seconds(19)), returned(TransferOutcome::NotAccepted, Some(LEG)));
}

#[test]
fn a_target_that_does_not_accept_returns_the_caller() {
    for stage in [answered, announcing, deciding] {
        let (mut transfer, _) = stage();
        assert_eq!(transfer.leg_ended(LegId::CALLER, None), None, "another leg");
        let hung_up = transfer.leg_ended(LEG, Some(16));
        assert_eq!(hung_up, returned(TransferOutcome::NotAccepted, None));
        let (transfer, _) = stage();
        assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::Cancelled));
    }
    let not_accepted = || returned(TransferOutcome::NotAccepted, Some(LEG));
    let (mut transfer, now) = deciding();
    assert_eq!(transfer.tick(now + seconds(18)), None);
    assert_eq!(transfer.tick(now + seconds(19)), not_accepted(), "a mailbox presses no key");
    let (mut transfer, now) = announcing();
    assert_eq!(transfer.tick(now + seconds(3) + LONGEST_ANNOUNCEMENT), not_accepted());
}

#[test]
fn a_transfer_is_cancelled_until_the_target_has_the_caller() {
    let cancelled = |release| {
        let by = Some(TransferEnd::Caller);
        Some(TransferStep::Return { outcome: TransferOutcome::Cancelled, by, release })
    };
    for style in [TransferStyle::Cold, TransferStyle::Warm] {
        let (mut transfer, _) = begun(TransferRoute::Dial { endpoint: "PJSIP/alice".into() }, style);
        assert_eq!(transfer.cancel(TransferEnd::Caller), cancelled(None), "before it is dialled");
        let (mut transfer, _) = ringing(style);
        assert_eq!(transfer.cancel(TransferEnd::Caller), cancelled(Some(LEG)));
    }
    for stage in [answered, announcing, deciding] {
        let (mut transfer, now) = stage();
        assert_eq!(transfer.cancel(TransferEnd::Caller), cancelled(Some(LEG)));
        assert_eq!(transfer.pressed(LEG, key('1'), now), None, "too late");
        assert_eq!(transfer.cancel(TransferEnd::Operator), None, "once");
    }
    let (mut transfer, now) = ringing(TransferStyle::Cold);
    transfer.leg_answered(LEG, now);
    assert_eq!(transfer.cancel(TransferEnd::Operator), None, "the target has the caller");
    let (mut transfer, now) = begun(TransferRoute::Refer { uri: "sip:shop@pbx".into() }, TransferStyle::Cold);
    after_check(&mut transfer, now);
    transfer.referring(now);
    assert_eq!(transfer.cancel(TransferEnd::Caller), None, "the trunk may have connected them");
}

#[test]
fn a_refer_without_an_end_returns_the_caller() {
    let refer = || begun(TransferRoute::Refer { uri: "sip:shop@pbx".into() }, TransferStyle::Cold);
    let (mut transfer, now) = refer();
    let step = after_check(&mut transfer, now);
    assert_eq!(step, Some(TransferStep::Refer { uri: "sip:shop@pbx".into() }));
    transfer.referring(now);
    assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::HandedOver));
    assert_eq!(transfer.call_ended(TransferEnd::System), Some(TransferOutcome::Cancelled));
    let returned = returned(TransferOutcome::Unreachable, None);
    assert_eq!(transfer.tick(now + REFER_LIMIT), returned);
    let (mut transfer, now) = refer();
    transfer.refer_ended(now);
    after_check(&mut transfer, now);
    transfer.referring(now);
    transfer.refer_ended(now + seconds(1));
    assert_eq!(transfer.deadline(), Some(now + seconds(1) + REFER_GRACE));
    assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::HandedOver));
    assert_eq!(transfer.tick(now + seconds(1) + REFER_GRACE), returned);
    let (mut transfer, now) = refer();
    assert_eq!(transfer.refer_failed(), None);
    after_check(&mut transfer, now);
    transfer.referring(now);
    assert_eq!(transfer.refer_failed(), returned);
}

#[test]
fn the_dialplan_takes_over_after_the_last_words() {
    let place = DialplanRoute { context: "sales".into(), extension: "1001".into(), endpoint: None };
    let (mut transfer, now) = begun(TransferRoute::Dialplan(place.clone()), TransferStyle::Cold);
    assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::Cancelled));
    assert_eq!(after_check(&mut transfer, now), Some(TransferStep::HandOver(place)));
    assert_eq!(transfer.tick(now + seconds(2)), None);
}

#[test]
fn an_endpoint_names_the_place() {
    let asked = || {
        let (mut transfer, now) = begun(TransferRoute::Ask, TransferStyle::Cold);
        assert_eq!(after_check(&mut transfer, now), Some(TransferStep::Ask));
        assert_eq!(transfer.deadline(), None, "the request has a time limit of its own");
        (transfer, now)
    };
    let route = || TransferRoute::Dial { endpoint: "PJSIP/alice".into() };
    let (mut transfer, now) = asked();
    let dial = Some(TransferStep::Dial { endpoint: "PJSIP/alice".into() });
    assert_eq!(transfer.resolved(route(), TransferStyle::Warm), Some(TransferStep::Check));
    assert_eq!(transfer.checked(true), dial);
    assert_eq!(transfer.resolved(route(), TransferStyle::Warm), None, "once");
    transfer.ringing(LEG, now + seconds(30));
    assert_eq!(transfer.leg_answered(LEG, now), Some(TransferStep::Consult { leg: LEG }), "its own style");
    let (mut transfer, _) = asked();
    assert_eq!(
        transfer.resolved(TransferRoute::Ask, TransferStyle::Cold),
        None,
        "no endpoint leads to another"
    );
    assert_eq!(transfer.unresolved(TransferOutcome::Refused), returned(TransferOutcome::Refused, None));
    let (mut transfer, _) = asked();
    assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::Cancelled));
    assert!(transfer.cancel(TransferEnd::Caller).is_some());
    assert_eq!(transfer.resolved(route(), TransferStyle::Cold), None, "it was cancelled");
    assert_eq!(transfer.unresolved(TransferOutcome::Unreachable), None);
}

#[test]
fn a_target_that_was_deleted_meanwhile_returns_the_caller() {
    let check = || {
        let (mut transfer, now) =
            begun(TransferRoute::Dial { endpoint: "PJSIP/alice".into() }, TransferStyle::Cold);
        assert_eq!(transfer.checked(true), None, "during the last words");
        assert_eq!(transfer.tick(now + seconds(1)), Some(TransferStep::Check));
        transfer
    };
    let mut transfer = check();
    assert_eq!(transfer.checked(false), returned(TransferOutcome::Refused, None));
    assert_eq!(transfer.checked(true), None, "too late");
    let mut transfer = check();
    let outcome = TransferOutcome::SpendLimit;
    assert_eq!(transfer.not_charged(outcome), returned(outcome, None));
    assert_eq!(transfer.not_charged(outcome), None, "once");
    let mut transfer = check();
    assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::Cancelled));
    assert!(transfer.cancel(TransferEnd::Caller).is_some());
    assert_eq!(transfer.checked(true), None, "it was cancelled");
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Answers,
    Speaks,
    Pauses,
    Announced,
    Presses(char),
    Leaves,
    Cancelled,
    Words(Option<Acceptance>),
    CallersWords { cancel: bool },
    Waits(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Answers),
        2 => Just(Happening::Speaks),
        2 => Just(Happening::Pauses),
        2 => Just(Happening::Announced),
        1 => prop::sample::select(vec!['1', '2', '3']).prop_map(Happening::Presses),
        1 => Just(Happening::Leaves),
        1 => Just(Happening::Cancelled),
        2 => prop::sample::select(vec![None, Some(Acceptance::Accepted), Some(Acceptance::Declined)])
            .prop_map(Happening::Words),
        1 => any::<bool>().prop_map(|cancel| Happening::CallersWords { cancel }),
        3 => (0..4_000_u64).prop_map(Happening::Waits),
    ]
}

proptest! {
    /// In any order of events the caller is connected once at most, only after key 1 or its consent in words
    /// where the target has to accept, and the
    /// transfer ends once: by a return or an end, within bounded time.
    #[test]
    fn every_transfer_ends_once(
        style in prop::sample::select(TransferStyle::ALL.to_vec()),
        events in prop::collection::vec(happening(), 0..40),
    ) {
        let (mut transfer, mut now) = ringing(style);
        let (mut steps, mut accepted) = (Vec::new(), style == TransferStyle::Cold);
        let is_over = |steps: &[TransferStep]| {
            steps.iter().any(|step| matches!(step, TransferStep::Return { .. } | TransferStep::End { .. }))
        };
        for event in events.into_iter().chain([Happening::Waits(200_000); 8]) {
            if is_over(&steps) {
                break;
            }
            let step = match event {
                Happening::Answers => transfer.leg_answered(LEG, now),
                Happening::Speaks => transfer.voice_started(now, 0),
                Happening::Pauses => { transfer.voice_paused(now, 0); None }
                Happening::Words(consent) => {
                    let step = transfer.answered_in_words(now, consent);
                    accepted |= consent == Some(Acceptance::Accepted) && step.is_some();
                    step
                }
                Happening::CallersWords { cancel } => transfer.caller_said(now, cancel),
                Happening::Announced => { transfer.announced(now); None }
                Happening::Presses(character) => {
                    let step = transfer.pressed(LEG, key(character), now);
                    accepted |= character == '1' && step.is_some();
                    step
                }
                Happening::Cancelled => transfer.cancel(TransferEnd::Operator),
                Happening::Leaves => transfer.leg_ended(LEG, None),
                Happening::Waits(ms) => { now += Duration::from_millis(ms); transfer.tick(now) }
            };
            let connects = matches!(step, Some(TransferStep::Connect { .. }));
            prop_assert!(accepted || !connects, "without the target's consent");
            steps.extend(step);
        }
        prop_assert!(is_over(&steps), "{steps:?}");
        let connects = steps.iter().filter(|step| matches!(step, TransferStep::Connect { .. })).count();
        prop_assert!(connects <= 1, "{steps:?}");
        let ends = steps.iter().any(|step| matches!(step, TransferStep::End { .. }));
        prop_assert_eq!(connects == 1, ends, "{:?}", steps);
    }
}
