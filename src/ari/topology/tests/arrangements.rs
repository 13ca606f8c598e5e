//! Changes of the wanted state: who hears whom, while requests are under way as well.

use std::collections::BTreeSet;

use super::*;

const HALF: [LegId; 2] = [LegId(2), LegId(3)];

fn group(legs: &[LegId]) -> BTreeSet<LegId> {
    legs.iter().copied().collect()
}

fn change(groups: &[&[LegId]]) -> Input {
    let groups = groups.iter().map(|legs| group(legs)).collect();
    Input::Arrange { legs: vec![], wanted: Wanted { groups, waiting: None } }
}

fn apart() -> Input {
    change(&[&[LegId::CALLER], &[LegId::MEDIA]])
}

fn together() -> Input {
    change(&[&[LegId::CALLER, LegId::MEDIA]])
}

const JOIN_BOTH: &str = "Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7";
const PART_BOTH: &str = "Post /bridges/vca-bridge-7/removeChannel?channel=17.0%2Cvca-media-7";

/// A call with two groups: a second caller has a media channel of its own.
fn two_groups() -> Bench {
    let mut bench = Bench::up();
    let host = "127.0.0.1:4002".parse().unwrap();
    let legs = vec![
        LegSpec::Arrived(ChannelId::new("18.0")),
        LegSpec::ExternalMedia { host, format: "ulaw".into() },
    ];
    let groups = vec![group(&[LegId::CALLER, LegId::MEDIA]), group(&HALF)];
    let said = bench.tell(Input::Arrange { legs, wanted: Wanted { groups, waiting: None } });
    assert_eq!(said, ["4 Post channels.externalMedia", "5 Post bridges.create"]);
    assert_eq!(bench.tell(start("vca-media-7.3")), [""; 0]);
    assert_eq!(bench.respond(4, Ok(media())), [""; 0]);
    assert_eq!(
        bench.respond(5, Ok(json!({}))),
        ["6 Post /bridges/vca-bridge-7.1/addChannel?channel=18.0%2Cvca-media-7.3"]
    );
    assert_eq!(bench.respond(6, Ok(Value::Null)), ["7 Post /channels/18.0/answer"]);
    assert_eq!(bench.respond(7, Ok(Value::Null)), [""; 0], "the call is ready once");
    bench
}

#[test]
fn legs_that_are_alone_leave_their_bridge_and_return_to_it() {
    let mut bench = Bench::up();
    assert_eq!(bench.tell(apart()), [format!("4 {PART_BOTH}")]);
    assert_eq!(bench.respond(4, Ok(Value::Null)), [""; 0]);
    assert_eq!(bench.tell(together()), [format!("5 {JOIN_BOTH}")]);
    assert_eq!(bench.respond(5, Ok(Value::Null)), [""; 0], "the caller is answered already");
    assert_eq!(bench.tell(together()), [""; 0]);
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn a_second_group_has_a_bridge_of_its_own() {
    let mut bench = two_groups();
    let said = bench.tell(change(&[&[LegId::CALLER, LegId(3)], &[LegId::MEDIA, LegId(2)]]));
    assert_eq!(
        said,
        [
            "8 Post /bridges/vca-bridge-7/addChannel?channel=vca-media-7.3",
            "9 Post /bridges/vca-bridge-7.1/addChannel?channel=vca-media-7"
        ],
        "each group keeps the bridge of its first leg"
    );
    bench.respond(8, Ok(Value::Null));
    bench.respond(9, Ok(Value::Null));
    let said = bench.tell(change(&[&[LegId(2), LegId::MEDIA]]));
    assert_eq!(
        said,
        ["10 Post /bridges/vca-bridge-7/removeChannel?channel=17.0%2Cvca-media-7.3"],
        "a group keeps its bridge when another one ends"
    );
    let said = bench.tell(Input::HangUp { reason: Reason::NormalClearing });
    assert_eq!(
        said,
        [
            "ended HungUp(NormalClearing)",
            "11 Delete /channels/17.0?reason_code=16",
            "12 Delete /channels/vca-media-7?reason_code=16",
            "13 Delete /channels/18.0?reason_code=16",
            "14 Delete /channels/vca-media-7.3?reason_code=16",
            "15 Delete /bridges/vca-bridge-7",
            "16 Delete /bridges/vca-bridge-7.1"
        ]
    );
}

#[test]
fn a_group_of_all_legs_waits_for_the_last_of_them() {
    let mut bench = Bench::up();
    let legs =
        vec![LegSpec::ExternalMedia { host: "127.0.0.1:4002".parse().unwrap(), format: "ulaw".into() }];
    let wanted = Wanted::together([LegId::CALLER, LegId::MEDIA, LegId(2)]);
    assert_eq!(bench.tell(Input::Arrange { legs, wanted }), ["4 Post channels.externalMedia"]);
    assert_eq!(bench.respond(4, Ok(media())), [""; 0], "it has not entered");
    let said = bench.tell(start("vca-media-7.2"));
    assert_eq!(said, ["5 Post /bridges/vca-bridge-7/addChannel?channel=vca-media-7.2"]);
}

#[test]
fn a_change_waits_for_the_move_under_way() {
    let mut bench = Bench::up();
    bench.tell(apart());
    assert_eq!(bench.tell(together()), [""; 0]);
    assert_eq!(bench.respond(4, Ok(Value::Null)), [format!("5 {JOIN_BOTH}")]);
    assert_eq!(bench.tell(apart()), [""; 0]);
    assert_eq!(bench.respond(5, Ok(Value::Null)), [format!("6 {PART_BOTH}")]);
    assert_eq!(bench.respond(6, status(422)), [""; 0], "they are in the bridge no more");
    assert_eq!(bench.tell(together()), [format!("7 {JOIN_BOTH}")]);
    assert_eq!(bench.respond(7, status(422)), [""; 0]);
    assert_eq!(bench.tell(apart()), [""; 0]);
    assert_eq!(bench.wait(), [""; 0], "the join is not repeated");
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn a_removal_that_fails_ends_the_call() {
    let mut bench = Bench::up();
    bench.tell(apart());
    let said = bench.respond(4, status(500));
    assert!(said[0].starts_with("ended Failed(Step { stage: Joining"), "{said:?}");
}

#[test]
fn a_channel_that_replaces_a_caller_during_a_join_is_joined_as_well() {
    let mut bench = Bench::admitted();
    bench.respond(0, Ok(media()));
    bench.respond(1, Ok(json!({})));
    assert_eq!(bench.tell(start("vca-media-7")), [format!("2 {JOIN_BOTH}")]);
    let said = bench.tell(takes_the_place("18.0", "17.0"));
    assert_eq!(said, ["3 Post /bridges/vca-bridge-7/addChannel?channel=18.0%2Cvca-media-7"]);
    assert_eq!(bench.respond(2, Ok(Value::Null)), [""; 0], "the result is about the other channel");
    assert_eq!(bench.respond(3, Ok(Value::Null)), ["4 Post /channels/18.0/answer"]);
    assert_eq!(bench.respond(4, Ok(Value::Null)), ["ready 127.0.0.1:31544"]);
}

#[test]
fn a_list_from_before_a_channel_was_replaced_does_not_miss_it() {
    let mut bench = Bench::up();
    let asked_at = bench.now + Duration::from_millis(10);
    bench.now += Duration::from_millis(20);
    bench.tell(takes_the_place("18.0", "17.0"));
    assert_eq!(bench.tell(inventory(asked_at, &["17.0", "vca-media-7"], &["vca-bridge-7"])), [""; 0]);
}

#[test]
fn keys_are_sent_to_the_channel_that_the_caller_has_now() {
    let sent: Vec<Tone> = "1#".chars().map(|key| key.try_into().unwrap()).collect();
    let keys = || Input::SendDtmf { leg: LegId::CALLER, keys: sent.clone() };
    let mut bench = Bench::admitted();
    assert_eq!(bench.tell(keys()), [""; 0], "the call is not answered yet");
    let mut bench = Bench::up();
    assert_eq!(bench.tell(keys()), ["4 Post /channels/17.0/dtmf?dtmf=1%23&between=100&duration=100"]);
    assert_eq!(bench.respond(4, status(500)), [""; 0], "the call goes on");
    bench.tell(takes_the_place("18.0", "17.0"));
    assert_eq!(bench.tell(keys()), ["5 Post /channels/18.0/dtmf?dtmf=1%23&between=100&duration=100"]);
    assert!(!format!("{:?}", keys()).contains('#'), "keys are not logged");
}

proptest! {
    #[test]
    fn the_wanted_state_is_reached_however_it_changes(script in asterisk::changes()) {
        asterisk::play_changes(&script)?;
    }
}
