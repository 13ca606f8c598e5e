//! Calls as scripts, then thousands of random ones against a simulated Asterisk that is slow, fails or stays silent.

mod arrangements;
mod asterisk;
mod dialled;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ari::answer::{Continuity, Inventory};
use crate::ari::event::{Channel, ChannelState};
use crate::ari::request::{Method, Reason};

const SET_UP: Duration = Duration::from_secs(5);

struct Bench {
    machine: Topology,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let now = Instant::now();
        Bench { machine: Topology::new(now, "7", ChannelId::new("17.0"), "vca", SET_UP), now }
    }

    /// A call that is let in: media and bridge are asked for as requests 0 and 1.
    fn admitted() -> Bench {
        let mut bench = Bench::new();
        let said = bench.tell(Input::admit("127.0.0.1:4000".parse().unwrap(), "ulaw".into()));
        assert_eq!(said, ["0 Post channels.externalMedia", "1 Post bridges.create"]);
        bench
    }

    /// A call that talks.
    fn up() -> Bench {
        let mut bench = Bench::admitted();
        assert_eq!(bench.respond(0, Ok(media())), [""; 0]);
        assert_eq!(bench.respond(1, Ok(json!({}))), [""; 0]);
        assert_eq!(
            bench.tell(start("vca-media-7")),
            ["2 Post /bridges/vca-bridge-7/addChannel?channel=17.0%2Cvca-media-7"]
        );
        assert_eq!(bench.respond(2, Ok(Value::Null)), ["3 Post /channels/17.0/answer"]);
        assert_eq!(bench.respond(3, Ok(Value::Null)), ["ready 127.0.0.1:31544"]);
        bench
    }

    fn tell(&mut self, input: Input) -> Vec<String> {
        self.machine.handle(self.now, input);
        std::iter::from_fn(|| self.machine.poll()).map(|output| shown(&output)).collect()
    }

    fn respond(&mut self, id: u32, result: Result<Value, AriError>) -> Vec<String> {
        self.tell(Input::Response { id: RequestId(id), result })
    }

    fn after(&mut self, pause: Duration) -> Vec<String> {
        self.now += pause;
        self.tell(Input::Tick)
    }

    /// Lets time pass to the next deadline.
    fn wait(&mut self) -> Vec<String> {
        let deadline = self.machine.deadline().expect("a deadline");
        assert!(deadline > self.now, "it asks to be ticked at once, for ever");
        self.now = deadline;
        self.tell(Input::Tick)
    }
}

fn shown(output: &Output) -> String {
    match output {
        Output::Send { id, request } if request.target.len() > 60 || request.target.contains("bridgeId") => {
            match request.operation {
                "bridges.addChannel" | "bridges.removeChannel" => {
                    format!("{} {:?} {}", id.0, request.method, request.target)
                }
                operation => format!("{} {:?} {operation}", id.0, request.method),
            }
        }
        Output::Send { id, request } => format!("{} {:?} {}", id.0, request.method, request.target),
        Output::Ready { peer } => format!("ready {peer}"),
        Output::MediaReady { leg, peer } => format!("leg {} media {peer}", leg.0),
        Output::LegAnswered { leg } => format!("leg {} answered", leg.0),
        Output::LegEnded { leg, cause } => format!("leg {} ended {cause:?}", leg.0),
        Output::ReferFailed => "refer failed".into(),
        Output::ReferEnded => "refer ended".into(),
        Output::Ended(end) => format!("ended {end:?}"),
        Output::Leaked { channels, bridges } => {
            let channels = channels.iter().map(ChannelId::as_str);
            let ids: Vec<_> = channels.chain(bridges.iter().map(BridgeId::as_str)).collect();
            format!("leaked {}", ids.join(" "))
        }
        Output::Done => "done".into(),
    }
}

fn media() -> Value {
    json!({ "id": "vca-media-7", "channelvars": { "UNICASTRTP_LOCAL_PORT": "31544", "UNICASTRTP_LOCAL_ADDRESS": "127.0.0.1" } })
}

fn channel(id: &str) -> Box<Channel> {
    Box::new(Channel { state: ChannelState::Up, ..Channel::with_id(id) })
}

fn start(id: &str) -> Input {
    Input::Event(Event::StasisStart { channel: channel(id), args: vec![], replaces: None })
}

fn takes_the_place(id: &str, old: &str) -> Input {
    Input::Event(Event::StasisStart {
        channel: channel(id),
        args: vec![],
        replaces: Some(ChannelId::new(old)),
    })
}

fn to_dialplan() -> Input {
    Input::ContinueInDialplan { exit: DialplanExit::with_status("draining"), reason: Reason::Congestion }
}

fn end(id: &str) -> Input {
    Input::Event(Event::StasisEnd { channel: channel(id) })
}

fn status(code: u16) -> Result<Value, AriError> {
    Err(AriError::Status { code, message: String::new() })
}

fn inventory(asked_at: Instant, channels: &[&str], bridges: &[&str]) -> Input {
    let continuity = Continuity::Continued;
    let channels = channels.iter().map(|id| ChannelId::new(id)).collect();
    let bridges = bridges.iter().map(|id| BridgeId::new(id)).collect();
    Input::Reconciled(Arc::new(Inventory { asked_at, channels, bridges, continuity }))
}

#[test]
fn a_call_that_is_gone_with_its_asterisk_was_not_ended_by_the_caller() {
    for (continuity, expected) in [
        (Continuity::Restarted, End::AsteriskLost),
        (Continuity::Continued, End::CallerLeft { cause: None, sip_status: None }),
        (Continuity::Unknown, End::CallerLeft { cause: None, sip_status: None }),
    ] {
        let mut bench = Bench::up();
        let asked_at = bench.now + Duration::from_millis(1);
        let (channels, bridges) = Default::default();
        let outputs =
            bench.tell(Input::Reconciled(Arc::new(Inventory { asked_at, channels, bridges, continuity })));
        assert!(outputs.contains(&format!("ended {expected:?}")), "{continuity:?}: {outputs:?}");
    }
}

#[test]
fn a_hang_up_that_asterisk_was_asked_for_is_not_the_callers() {
    let request = |soft| {
        let channel = channel("17.0");
        Input::Event(Event::ChannelHangupRequest { channel, cause: Some(16), tech_cause: None, soft })
    };
    let ends = [true, false].map(|soft| Bench::up().tell(request(soft)));
    let asked = End::HungUpInAsterisk { cause: Some(16) };
    assert!(ends[0].contains(&format!("ended {asked:?}")), "{:?}", ends[0]);
    let left = End::CallerLeft { cause: Some(16), sip_status: None };
    assert!(ends[1].contains(&format!("ended {left:?}")), "{:?}", ends[1]);
}

#[test]
fn the_caller_hangs_up() {
    let mut bench = Bench::up();
    assert_eq!(bench.machine.deadline(), None, "a call that talks waits for nothing");
    assert_eq!(
        bench.tell(end("17.0")),
        [
            "ended CallerLeft { cause: None, sip_status: None }",
            "4 Delete /channels/vca-media-7?reason_code=16",
            "5 Delete /bridges/vca-bridge-7"
        ]
    );
    assert_eq!(bench.respond(5, Ok(Value::Null)), [""; 0]);
    assert_eq!(bench.respond(4, Ok(Value::Null)), ["done"]);
    assert_eq!(bench.tell(end("17.0")), [""; 0], "nothing after done");
}

#[test]
fn the_agent_hangs_up() {
    let mut bench = Bench::up();
    let said = bench.tell(Input::HangUp { reason: Reason::NormalClearing });
    assert_eq!(said[..2], ["ended HungUp(NormalClearing)", "4 Delete /channels/17.0?reason_code=16"]);
    assert_eq!(bench.tell(end("17.0")), [""; 0], "the first reason counts");
    assert_eq!(bench.respond(5, status(404)), [""; 0]);
    assert_eq!(bench.respond(6, status(404)), ["done"], "what is gone is gone");
}

#[test]
fn a_call_is_refused() {
    let mut bench = Bench::new();
    let said = bench.tell(Input::HangUp { reason: Reason::UnallocatedNumber });
    assert_eq!(said, ["ended HungUp(UnallocatedNumber)", "0 Delete /channels/17.0?reason_code=1"]);
    assert_eq!(bench.respond(0, Ok(Value::Null)), ["done"]);
}

#[test]
fn a_caller_is_given_back_to_the_dialplan() {
    let told = "0 Post /channels/17.0/variable?variable=VCA_STATUS&value=draining";
    let asked = || {
        let mut bench = Bench::new();
        assert_eq!(bench.tell(to_dialplan()), ["ended HungUp(Congestion)", told]);
        bench
    };
    let mut bench = asked();
    assert_eq!(bench.respond(0, Ok(Value::Null)), ["1 Post /channels/17.0/continue"]);
    assert_eq!(bench.respond(1, Ok(Value::Null)), ["done"]);
    let mut bench = asked();
    bench.respond(0, Ok(Value::Null));
    assert_eq!(bench.tell(end("17.0")), ["done"], "the event comes before the answer");
    let mut bench = asked();
    assert_eq!(bench.tell(end("17.0")), ["done"], "the caller has given up");
    let mut bench = asked();
    bench.respond(0, Ok(Value::Null));
    assert_eq!(bench.respond(1, status(409)), ["done"], "it has left the application");
}

#[test]
fn a_caller_who_cannot_be_given_back_is_refused() {
    let mut bench = Bench::new();
    bench.tell(to_dialplan());
    assert_eq!(bench.respond(0, status(500)), ["1 Delete /channels/17.0?reason_code=42"]);
    assert_eq!(bench.respond(1, Ok(Value::Null)), ["done"]);
    for failure in [status(412), Err(AriError::Timeout(SET_UP))] {
        let mut bench = Bench::new();
        bench.tell(to_dialplan());
        bench.respond(0, Ok(Value::Null));
        assert_eq!(bench.respond(1, failure), ["2 Delete /channels/17.0?reason_code=42"]);
        assert_eq!(bench.respond(2, Ok(Value::Null)), ["done"]);
    }
}

#[test]
fn a_call_goes_on_by_the_channel_that_replaces_its_callers() {
    let mut bench = Bench::up();
    assert_eq!(bench.tell(takes_the_place("18.0", "17.0")), [""; 0]);
    assert_eq!(bench.wait(), ["4 Delete /channels/17.0?reason_code=16"], "nobody talks to it any more");
    assert_eq!(bench.machine.deadline(), None);
    assert_eq!(bench.respond(4, status(404)), [""; 0]);
    assert_eq!(bench.tell(end("17.0")), [""; 0]);
    let gone = Event::ChannelDestroyed {
        channel: channel("17.0"),
        cause: 16,
        cause_txt: String::new(),
        tech_cause: None,
    };
    assert_eq!(bench.tell(Input::Event(gone)), [""; 0]);
    let later = bench.now + Duration::from_secs(1);
    assert_eq!(bench.tell(inventory(later, &["18.0", "vca-media-7"], &["vca-bridge-7"])), [""; 0]);
    assert_eq!(bench.tell(takes_the_place("19.0", "vca-media-7")), [""; 0], "only a caller is replaced");
    let said = bench.tell(Input::HangUp { reason: Reason::NormalClearing });
    assert_eq!(said[1], "5 Delete /channels/18.0?reason_code=16");
    let mut bench = Bench::up();
    bench.tell(takes_the_place("18.0", "17.0"));
    assert_eq!(
        bench.tell(end("18.0"))[0],
        "ended CallerLeft { cause: None, sip_status: None }",
        "the new caller hangs up"
    );
}

#[test]
fn a_channel_that_replaces_a_caller_who_is_hung_up_goes_too() {
    let mut bench = Bench::up();
    let said = bench.tell(Input::HangUp { reason: Reason::NormalClearing });
    assert_eq!(said[1], "4 Delete /channels/17.0?reason_code=16");
    let said = bench.tell(takes_the_place("18.0", "17.0"));
    assert_eq!(said, ["7 Delete /channels/17.0?reason_code=16", "8 Delete /channels/18.0?reason_code=16"]);
    for id in [4, 5, 6, 7] {
        assert_eq!(bench.respond(id, Ok(Value::Null)), [""; 0]);
    }
    assert_eq!(bench.respond(8, Ok(Value::Null)), ["done"]);
}

#[test]
fn nobody_decides_about_a_call() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.wait(),
        ["ended Failed(Deadline(Admission))", "0 Delete /channels/17.0?reason_code=42"],
        "the caller is not left ringing"
    );
}

#[test]
fn the_media_channel_is_not_moved_before_it_has_entered() {
    let mut bench = Bench::admitted();
    assert_eq!(bench.tell(start("vca-media-7")), [""; 0]);
    assert_eq!(bench.respond(1, Ok(json!({}))), [""; 0]);
    assert_eq!(bench.respond(0, Ok(media())).len(), 1, "all three have come");
}

#[test]
fn the_entry_was_missed_while_the_socket_was_lost() {
    let mut bench = Bench::admitted();
    bench.respond(0, Ok(media()));
    bench.respond(1, Ok(json!({})));
    let said = bench.tell(inventory(bench.now, &["17.0", "vca-media-7"], &["vca-bridge-7"]));
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn what_is_created_late_is_deleted_then() {
    let mut bench = Bench::admitted();
    assert_eq!(bench.tell(end("17.0")), ["ended CallerLeft { cause: None, sip_status: None }"]);
    assert_eq!(bench.respond(1, Ok(json!({}))), ["2 Delete /bridges/vca-bridge-7"]);
    assert_eq!(bench.respond(2, Ok(Value::Null)), [""; 0]);
    assert_eq!(bench.respond(0, Ok(media())), ["3 Delete /channels/vca-media-7?reason_code=16"]);
    assert_eq!(bench.respond(3, Ok(Value::Null)), ["done"]);
}

#[test]
fn a_creation_without_an_answer_is_looked_for_twice() {
    let mut bench = Bench::admitted();
    bench.respond(1, status(409));
    let said = bench.respond(0, Err(AriError::Timeout(SET_UP)));
    assert_eq!(said, ["3 Delete /channels/vca-media-7?reason_code=16"]);
    bench.respond(2, Ok(Value::Null));
    assert_eq!(bench.respond(3, status(404)), [""; 0], "it may still come");
    assert_eq!(bench.wait(), ["4 Delete /channels/vca-media-7?reason_code=16"]);
    assert_eq!(bench.respond(4, status(404)), ["done"]);
}

#[test]
fn a_join_that_comes_too_early_is_tried_again() {
    let mut bench = Bench::admitted();
    bench.respond(0, Ok(media()));
    bench.respond(1, Ok(json!({})));
    bench.tell(start("vca-media-7"));
    assert_eq!(bench.respond(2, status(422)), [""; 0]);
    assert_eq!(bench.wait().len(), 1);
    assert_eq!(bench.respond(3, status(400)), [""; 0]);
    let said = bench.tell(end("17.0"));
    assert_eq!(
        said[0], "ended CallerLeft { cause: None, sip_status: None }",
        "the caller's going explains the refusal"
    );
}

#[test]
fn a_media_answer_without_an_address_fails_the_call() {
    let mut bench = Bench::admitted();
    let said = bench.respond(0, Ok(json!({ "id": "vca-media-7" })));
    assert!(said[0].starts_with("ended Failed(Step { stage: Creation"), "{said:?}");
    assert_eq!(said[2], "3 Delete /channels/vca-media-7?reason_code=16");
}

#[test]
fn set_up_ends_in_time() {
    let mut bench = Bench::admitted();
    bench.respond(0, Ok(media()));
    assert_eq!(
        bench.after(SET_UP),
        [
            "ended Failed(Deadline(Creation))",
            "2 Delete /channels/17.0?reason_code=42",
            "3 Delete /channels/vca-media-7?reason_code=16"
        ]
    );
}

#[test]
fn media_or_bridge_are_taken_away() {
    let mut bench = Bench::up();
    let gone = Event::ChannelDestroyed {
        channel: channel("vca-media-7"),
        cause: 16,
        cause_txt: String::new(),
        tech_cause: None,
    };
    let said = bench.tell(Input::Event(gone));
    assert_eq!(
        said,
        [
            "ended Failed(MediaLost)",
            "4 Delete /channels/17.0?reason_code=42",
            "5 Delete /bridges/vca-bridge-7"
        ]
    );
    let said =
        Bench::up().tell(Input::Event(Event::BridgeDestroyed { bridge: BridgeId::new("vca-bridge-7") }));
    assert_eq!(said[0], "ended Failed(BridgeLost)");
}

#[test]
fn after_a_reconnect_only_what_was_there_before_can_be_missed() {
    let mut bench = Bench::up();
    let asked_at = bench.now;
    assert_eq!(bench.tell(inventory(asked_at, &[], &[])), [""; 0], "asked before the call was up");
    let later = asked_at + Duration::from_secs(1);
    assert_eq!(bench.tell(inventory(later, &["17.0", "vca-media-7"], &["vca-bridge-7"])), [""; 0]);
    let said = bench.tell(inventory(later, &["vca-media-7"], &["vca-bridge-7"]));
    assert_eq!(said[0], "ended CallerLeft { cause: None, sip_status: None }");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn a_deletion_that_fails_is_tried_again_and_then_reported() {
    let mut bench = Bench::up();
    bench.tell(end("17.0"));
    bench.respond(5, Ok(Value::Null));
    let mut pauses = vec![];
    let mut id = 4;
    let said = loop {
        let said = bench.respond(id, status(500));
        if !said.is_empty() {
            break said;
        }
        let before = bench.now;
        let said = bench.wait();
        pauses.push((bench.now - before).as_millis());
        id = said[0].split(' ').next().unwrap().parse().unwrap();
    };
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000]);
    assert_eq!(said, ["leaked vca-media-7", "done"]);
}

#[test]
fn an_asterisk_that_never_answers_is_given_up() {
    let mut bench = Bench::up();
    bench.tell(end("17.0"));
    assert_eq!(bench.wait(), ["leaked vca-media-7 vca-bridge-7", "done"]);
}

proptest! {
    #[test]
    fn every_call_ends_and_leaves_nothing(script in asterisk::script()) {
        asterisk::play(&script)?;
    }

    #[test]
    fn every_transfer_ends_and_leaves_nothing(script in asterisk::transfers()) {
        asterisk::play(&script)?;
    }

    #[test]
    fn any_input_in_any_order_is_survived(inputs in prop::collection::vec(asterisk::any_input(), 0..40)) {
        let mut bench = Bench::new();
        let mut said = vec![];
        for (input, pause) in inputs {
            said.extend(bench.tell(input));
            said.extend(bench.after(pause));
        }
        prop_assert!(said.iter().filter(|line| line.starts_with("ended")).count() <= 1, "{:#?}", said);
        if let Some(at) = said.iter().position(|line| line == "done") {
            prop_assert_eq!(at, said.len() - 1, "{:#?}", said);
        }
    }
}
