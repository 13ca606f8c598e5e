//! Legs that VCA dials, and what the caller hears meanwhile.

use super::*;

/// The third leg of a call.
const PERSON: LegId = LegId(2);

fn dial() -> Input {
    let (endpoint, caller_id) = ("PJSIP/alice".to_owned(), "+4930".to_owned());
    let spec = DialSpec { endpoint, caller_id, timeout: Duration::from_secs(30), variables: vec![] };
    let wanted = Wanted::apart(Some(WaitingSound::Ringing));
    Input::Arrange { legs: vec![LegSpec::Dial(spec)], wanted }
}

fn together(legs: [LegId; 2]) -> Input {
    Input::Arrange { legs: vec![], wanted: Wanted::together(legs) }
}

fn destroyed(id: &str, cause: u16) -> Input {
    let (channel, cause_txt, tech_cause) = (channel(id), String::new(), None);
    Input::Event(Event::ChannelDestroyed { channel, cause, cause_txt, tech_cause })
}

/// The person rings, and the caller hears it.
fn ringing() -> Bench {
    let mut bench = Bench::up();
    let said = bench.tell(dial());
    let parted = "5 Post /bridges/vca-bridge-7/removeChannel?channel=17.0%2Cvca-media-7";
    assert_eq!(said, ["4 Post channels.originate", parted]);
    assert_eq!(bench.respond(4, Ok(json!({}))), [""; 0]);
    assert_eq!(bench.respond(5, Ok(Value::Null)), ["6 Post /channels/17.0/ring"]);
    assert_eq!(bench.respond(6, Ok(Value::Null)), [""; 0]);
    bench
}

/// The caller talks to the person.
fn connected() -> Bench {
    let mut bench = ringing();
    assert_eq!(bench.tell(start("vca-leg-7.2")), ["leg 2 answered"]);
    assert_eq!(bench.tell(together([LegId::CALLER, PERSON])), ["7 Delete /channels/17.0/ring"]);
    assert_eq!(
        bench.tell(Input::Release { leg: LegId::MEDIA }),
        ["8 Delete /channels/vca-media-7?reason_code=16"]
    );
    assert_eq!(
        bench.respond(7, Ok(Value::Null)),
        ["9 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-leg-7.2"]
    );
    bench.respond(8, Ok(Value::Null));
    assert_eq!(bench.respond(9, Ok(Value::Null)), [""; 0]);
    assert_eq!(bench.tell(destroyed("vca-media-7", 16)), [""; 0], "the call goes on without the media");
    bench
}

#[test]
fn the_caller_hears_ringing_and_then_the_person() {
    let mut bench = connected();
    assert_eq!(bench.machine.deadline(), None);
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), ["leg 2 ended Some(16)"]);
    let said = bench.tell(Input::HangUp { reason: Reason::NormalClearing });
    let deletions = ["10 Delete /channels/17.0?reason_code=16", "11 Delete /bridges/vca-bridge-7"];
    assert_eq!(said, [&["ended HungUp(NormalClearing)"][..], &deletions].concat());
}

#[test]
fn a_person_who_does_not_answer_leaves_the_caller_with_the_agent() {
    let mut bench = ringing();
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 17)), ["leg 2 ended Some(17)"]);
    let said = bench.tell(together([LegId::CALLER, LegId::MEDIA]));
    assert_eq!(said, ["7 Delete /channels/17.0/ring"]);
    let said = bench.respond(7, Ok(Value::Null));
    assert_eq!(said, ["8 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7"]);
    assert_eq!(bench.respond(8, Ok(Value::Null)), [""; 0]);
    assert_eq!(bench.machine.next_leg(), Some(LegId(3)), "another person can be dialled");
}

#[test]
fn a_person_who_is_released_ends_without_a_report() {
    let mut bench = ringing();
    let said = bench.tell(Input::Release { leg: PERSON });
    assert_eq!(said, ["7 Delete /channels/vca-leg-7.2?reason_code=16"]);
    assert_eq!(bench.tell(start("vca-leg-7.2")), [""; 0], "too late");
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), [""; 0]);
}

#[test]
fn a_leg_that_is_released_before_it_exists_is_hung_up_then() {
    let mut bench = Bench::up();
    bench.tell(dial());
    assert_eq!(bench.tell(Input::Release { leg: PERSON }), [""; 0]);
    assert_eq!(bench.respond(4, Ok(json!({}))), ["6 Delete /channels/vca-leg-7.2?reason_code=16"]);
}

#[test]
fn an_endpoint_that_asterisk_refuses_ends_at_once() {
    let mut bench = Bench::up();
    bench.tell(dial());
    let deletion = "6 Delete /channels/vca-leg-7.2?reason_code=16";
    assert_eq!(bench.respond(4, status(500)), ["leg 2 ended None", deletion], "in case it exists after all");
    assert_eq!(bench.tell(Input::Tick), [""; 0], "it is not requested again");
    let mut bench = Bench::up();
    bench.tell(dial());
    assert_eq!(bench.respond(4, status(400)), ["leg 2 ended None"]);
    assert_eq!(bench.tell(Input::Tick), [""; 0]);
    let mut bench = Bench::up();
    bench.tell(dial());
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 3)), ["leg 2 ended Some(3)"]);
    assert_eq!(bench.respond(4, status(500)), [""; 0], "once");
}

#[test]
fn a_caller_who_hangs_up_leaves_nothing_in_any_phase() {
    for (mut bench, id) in [(ringing(), "ringing"), (connected(), "connected")] {
        let said = bench.tell(end("17.0"));
        assert!(said[0].starts_with("ended CallerLeft"), "{id}: {said:?}");
        let deletes = |channel: &str| said.iter().any(|line| line.contains(&format!("Delete {channel}")));
        assert!(deletes("/channels/vca-leg-7.2?reason_code=16"), "{id}: {said:?}");
        assert!(deletes("/bridges/vca-bridge-7"), "{id}: {said:?}");
        let ids: Vec<u32> = said.iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        let last = ids.into_iter().flat_map(|id| bench.respond(id, Ok(Value::Null))).last();
        assert_eq!(last.as_deref(), Some("done"), "{id}");
        assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), [""; 0], "{id}: no report after the end");
    }
}

/// The caller hears music, and VCA hears the caller.
fn overheard() -> Bench {
    let mut bench = Bench::up();
    let wanted = Wanted::together([LegId::MEDIA, PERSON]).with_waiting(WaitingSound::Music("jazz".into()));
    let said = bench.tell(Input::Arrange { legs: vec![LegSpec::Snoop { of: LegId::CALLER }], wanted });
    let parted = "5 Post /bridges/vca-bridge-7/removeChannel?channel=17.0";
    assert_eq!(said, ["4 Post channels.snoop", parted]);
    assert_eq!(bench.respond(4, Ok(json!({}))), [""; 0]);
    assert_eq!(bench.respond(5, Ok(Value::Null)), ["6 Post /channels/17.0/moh?mohClass=jazz"]);
    assert_eq!(bench.respond(6, Ok(Value::Null)), [""; 0]);
    bench
}

#[test]
fn a_caller_who_waits_is_heard_without_the_music() {
    let mut bench = overheard();
    let said = bench.tell(start("vca-leg-7.2"));
    assert_eq!(
        said,
        ["7 Post /bridges/vca-bridge-7/addChannel?channel=vca-leg-7.2"],
        "and no answer is reported"
    );
    bench.respond(7, Ok(Value::Null));
    let said = bench.tell(Input::Release { leg: PERSON });
    assert_eq!(said, ["8 Delete /channels/vca-leg-7.2?reason_code=16"]);
    let said = bench.tell(together([LegId::CALLER, LegId::MEDIA]));
    assert_eq!(said, ["9 Delete /channels/17.0/moh"]);
    assert_eq!(bench.respond(9, Ok(Value::Null)), [""; 0], "the caller's own voice would be heard");
    let said = bench.tell(destroyed("vca-leg-7.2", 16));
    assert_eq!(said, ["10 Post /bridges/vca-bridge-7/addChannel?channel=17.0"]);
}

#[test]
fn a_caller_who_cannot_be_heard_waits_all_the_same() {
    let mut bench = Bench::up();
    let wanted = Wanted::together([LegId::MEDIA, PERSON]);
    bench.tell(Input::Arrange { legs: vec![LegSpec::Snoop { of: LegId::CALLER }], wanted });
    assert_eq!(bench.respond(4, status(404)), [""; 0]);
    let mut bench = overheard();
    bench.tell(start("vca-leg-7.2"));
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), [""; 0]);
}

#[test]
fn music_is_stopped_as_it_was_started() {
    let mut bench = Bench::up();
    let wanted = Wanted::apart(Some(WaitingSound::Music("jazz".into())));
    bench.tell(Input::Arrange { legs: vec![], wanted });
    assert_eq!(bench.respond(4, Ok(Value::Null)), ["5 Post /channels/17.0/moh?mohClass=jazz"]);
    assert_eq!(bench.tell(together([LegId::CALLER, LegId::MEDIA])), [""; 0], "it starts first");
    assert_eq!(bench.respond(5, status(500)), ["6 Delete /channels/17.0/moh"]);
    let said = bench.respond(6, status(409));
    assert_eq!(said, ["7 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7"]);
}

#[test]
fn a_caller_is_referred_outside_of_all_bridges() {
    let mut bench = Bench::up();
    bench.tell(Input::Arrange { legs: vec![], wanted: Wanted::apart(None) });
    assert_eq!(bench.tell(Input::Refer { uri: "sip:shop@pbx".into() }), [""; 0]);
    let said = bench.respond(4, Ok(Value::Null));
    assert_eq!(said, ["5 Post /channels/17.0/redirect?endpoint=PJSIP%2Fsip%3Ashop%40pbx"]);
    assert_eq!(bench.respond(5, status(422)), ["refer failed"]);
    let said = bench.tell(together([LegId::CALLER, LegId::MEDIA]));
    assert_eq!(said, ["6 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7"]);
}

/// Asterisk carries out nothing about the channel until it knows the outcome.
#[test]
fn silence_is_heard_once_the_referral_is_over() {
    let started = |id| Input::Event(Event::PlaybackStarted { channel: ChannelId::new(id) });
    let mut bench = Bench::up();
    bench.tell(Input::Arrange { legs: vec![], wanted: Wanted::apart(None) });
    bench.tell(Input::Refer { uri: "sip:shop@pbx".into() });
    bench.respond(4, Ok(Value::Null));
    assert_eq!(bench.tell(started("17.0")), [""; 0], "it was not requested yet");
    let said = bench.respond(5, Ok(Value::Null));
    assert_eq!(said, ["6 Post /channels/17.0/play?media=sound%3Asilence%2F1"]);
    assert_eq!(bench.respond(6, Ok(json!({}))), [""; 0]);
    assert_eq!(bench.tell(started("18.0")), [""; 0], "another channel's");
    assert_eq!(bench.tell(started("17.0")), ["refer ended"]);
    assert_eq!(bench.tell(started("17.0")), [""; 0], "once");
}

#[test]
fn the_legs_of_a_call_without_a_task_have_known_ids() {
    let mut bench = Bench::up();
    bench.tell(dial());
    let ids: Vec<ChannelId> = dialled_leg_ids("7").collect();
    assert_eq!(ids[0], ChannelId::new("vca-leg-7.2"));
    for _ in &ids[1..] {
        assert!(bench.machine.next_leg().is_some());
        bench.tell(dial());
    }
    assert_eq!(bench.machine.next_leg(), None, "there is none beyond these");
}

#[test]
fn a_leg_that_vanished_with_the_events_is_reported() {
    let mut bench = ringing();
    bench.now += Duration::from_millis(20);
    let asked_at = bench.now;
    bench.now += Duration::from_millis(20);
    let said = bench.tell(inventory(asked_at, &["17.0", "vca-media-7"], &["vca-bridge-7"]));
    assert_eq!(said, ["leg 2 ended None"]);
}

/// The person is briefed by the agent, and the caller waits.
fn briefed() -> Bench {
    let mut bench = ringing();
    assert_eq!(bench.tell(start("vca-leg-7.2")), ["leg 2 answered"]);
    let wanted = Wanted::together([PERSON, LegId::MEDIA]).with_waiting(WaitingSound::Ringing);
    let said = bench.tell(Input::Arrange { legs: vec![], wanted });
    assert_eq!(said, ["7 Post /bridges/vca-bridge-7/addChannel?channel=vca-media-7%2Cvca-leg-7.2"]);
    assert_eq!(bench.respond(7, Ok(Value::Null)), [""; 0], "the caller hears the sound on");
    bench
}

#[test]
fn a_person_who_cannot_be_joined_has_ended_and_the_call_goes_on() {
    let mut bench = ringing();
    assert_eq!(bench.tell(start("vca-leg-7.2")), ["leg 2 answered"]);
    let wanted = Wanted::together([PERSON, LegId::MEDIA]).with_waiting(WaitingSound::Ringing);
    bench.tell(Input::Arrange { legs: vec![], wanted });
    for id in 7..10 {
        assert_eq!(bench.respond(id, status(422)), [""; 0]);
        let join = "Post /bridges/vca-bridge-7/addChannel?channel=vca-media-7%2Cvca-leg-7.2";
        assert_eq!(bench.wait(), [format!("{} {join}", id + 1)]);
    }
    let said = bench.respond(10, status(422));
    assert_eq!(said, ["leg 2 ended None", "11 Delete /channels/vca-leg-7.2?reason_code=16"]);
    let said = bench.tell(together([LegId::CALLER, LegId::MEDIA]));
    assert_eq!(said, ["12 Delete /channels/17.0/ring"]);
    let said = bench.respond(12, Ok(Value::Null));
    assert_eq!(said, ["13 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7"]);
    assert_eq!(bench.respond(13, Ok(Value::Null)), [""; 0]);
}

#[test]
fn a_briefed_person_takes_the_caller() {
    let mut bench = briefed();
    assert_eq!(
        bench.tell(together([LegId::CALLER, PERSON])),
        ["8 Post /bridges/vca-bridge-7/removeChannel?channel=vca-media-7", "9 Delete /channels/17.0/ring"]
    );
    let said = bench.tell(Input::Release { leg: LegId::MEDIA });
    assert_eq!(said, ["10 Delete /channels/vca-media-7?reason_code=16"]);
    assert_eq!(bench.respond(9, Ok(Value::Null)), [""; 0], "the agent is still in the bridge");
    let said = bench.respond(8, Ok(Value::Null));
    assert_eq!(said, ["11 Post /bridges/vca-bridge-7/addChannel?channel=17.0"]);
    assert_eq!(bench.respond(11, Ok(Value::Null)), [""; 0]);
}

#[test]
fn a_caller_who_returns_does_not_hear_the_person_who_was_briefed() {
    let mut bench = briefed();
    let said = bench.tell(Input::Release { leg: PERSON });
    assert_eq!(said, ["8 Delete /channels/vca-leg-7.2?reason_code=16"]);
    assert_eq!(bench.tell(together([LegId::CALLER, LegId::MEDIA])), ["9 Delete /channels/17.0/ring"]);
    assert_eq!(bench.respond(9, Ok(Value::Null)), [""; 0], "the person is still in the bridge");
    let said = bench.respond(8, Ok(Value::Null));
    assert_eq!(said, ["10 Post /bridges/vca-bridge-7/addChannel?channel=17.0"]);
}

#[test]
fn a_leg_that_leaves_the_application_has_ended() {
    let mut bench = connected();
    assert_eq!(bench.tell(end("vca-leg-7.2")), ["leg 2 ended None"]);
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), [""; 0], "once");
}

/// VCA stays when the person has the caller: each side is heard in a group of its own.
#[test]
fn both_sides_are_heard_apart_and_the_call_goes_on_without_their_media() {
    let mut bench = briefed();
    let legs = vec![
        LegSpec::Snoop { of: LegId::CALLER },
        LegSpec::Snoop { of: PERSON },
        LegSpec::FurtherMedia { host: "127.0.0.1:4002".parse().unwrap(), format: "ulaw".into() },
    ];
    let groups = [[LegId::CALLER, PERSON], [LegId::MEDIA, LegId(3)], [LegId(5), LegId(4)]];
    let groups = groups.into_iter().map(|legs| legs.into_iter().collect()).collect();
    assert_eq!(bench.tell(Input::Spare { leg: LegId::MEDIA }), [""; 0]);
    let said = bench.tell(Input::Arrange { legs, wanted: Wanted { groups, waiting: None } });
    assert!(said.iter().any(|it| it.contains("channels.externalMedia")), "{said:?}");
    assert_eq!(said.iter().filter(|it| it.contains("snoop")).count(), 2, "{said:?}");
    let media = said.iter().find_map(|it| it.split_once(' ').filter(|(_, it)| it.contains("externalMedia")));
    let media = media.and_then(|(id, _)| id.parse().ok()).expect("a request");
    assert_eq!(bench.respond(media, Ok(super::media())), ["leg 5 media 127.0.0.1:31544"]);
    for lost in ["vca-media-7", "vca-leg-7.5", "vca-leg-7.3"] {
        assert_eq!(bench.tell(destroyed(lost, 16)), [""; 0], "{lost}");
    }
    assert_eq!(bench.tell(destroyed("vca-leg-7.2", 16)), ["leg 2 ended Some(16)"]);
}
