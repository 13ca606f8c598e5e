//! A simulated Asterisk, which carries out requests late, fails, or stays silent as a script says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::test_runner::TestCaseError;

use super::*;

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Done and answered after these many milliseconds.
    Fine(u64),
    /// Not done, and answered with this status.
    Status(u16, u64),
    /// Nobody answers; whether and when it is done all the same.
    Silent(Option<u64>),
}

/// One call's circumstances.
#[derive(Debug, Clone)]
pub(super) struct Script {
    fates: Vec<Fate>,
    event_delay_ms: u64,
    admit_at_ms: Option<u64>,
    hang_up_at_ms: Option<u64>,
    /// Its caller is not hung up then, but given back to the dialplan.
    to_dialplan: bool,
    caller_leaves_at_ms: Option<u64>,
    /// Times at which the wanted state changes. Then four legs are added with the first one, and nothing else ends the
    /// call.
    changes: Vec<(u64, Wanted)>,
    /// Inputs of a transfer, and the times of the target's answer and hang-up.
    transfer: Option<TransferScript>,
    /// From when to when events are lost; at the end comes an inventory.
    lost_ms: Option<(u64, u64)>,
}

/// A transfer: its inputs in any order, at any times.
#[derive(Debug, Clone)]
struct TransferScript {
    inputs: Vec<(u64, Input)>,
    answers_after_ms: Option<u64>,
    leaves_at_ms: Option<u64>,
}

/// How long the client waits for an answer.
const TIMEOUT_MS: u64 = 1_000;
/// By then a call without a will of its own is ended.
const LAST_MS: u64 = 8_000;

pub(super) fn script() -> impl Strategy<Value = Script> {
    let fate = prop_oneof![
        8 => (0..40_u64).prop_map(Fate::Fine),
        1 => (0..900_u64).prop_map(Fate::Fine),
        1 => (prop::sample::select(vec![400_u16, 404, 409, 422, 500, 503]), 0..40_u64).prop_map(|(code, ms)| Fate::Status(code, ms)),
        1 => prop::option::of(0..2_500_u64).prop_map(Fate::Silent),
    ];
    let moment = || prop::option::of(prop_oneof![0..200_u64, 0..7_000_u64]);
    let lost = prop::option::of((0..300_u64, 1..3_000_u64).prop_map(|(from, long)| (from, from + long)));
    let fates = prop::collection::vec(fate, 0..24);
    let moments = (moment(), moment(), moment());
    (fates, 0..30_u64, moments, any::<bool>(), lost).prop_map(
        |(fates, event_delay_ms, moments, to_dialplan, lost_ms)| {
            let (admit_at_ms, hang_up_at_ms, caller_leaves_at_ms) = moments;
            Script {
                fates,
                event_delay_ms,
                admit_at_ms,
                hang_up_at_ms,
                to_dialplan,
                caller_leaves_at_ms,
                changes: vec![],
                transfer: None,
                lost_ms,
            }
        },
    )
}

/// Any two groups of four legs, at any times.
pub(super) fn changes() -> impl Strategy<Value = Script> {
    let change = (0..6_000_u64, prop::collection::vec(0..3_usize, 4)).prop_map(|(at, groups_of)| {
        let group = |number| (0..4).filter(|leg| groups_of[usize::from(*leg)] == number).map(LegId).collect();
        (at, Wanted { groups: vec![group(0), group(1)], waiting: None })
    });
    let fates = prop::collection::vec((0..150_u64).prop_map(Fate::Fine), 0..40);
    (fates, 0..30_u64, prop::collection::vec(change, 0..8)).prop_map(|(fates, event_delay_ms, changes)| {
        Script {
            fates,
            event_delay_ms,
            admit_at_ms: None,
            hang_up_at_ms: Some(CHANGES_END_MS),
            to_dialplan: false,
            caller_leaves_at_ms: None,
            changes,
            transfer: None,
            lost_ms: None,
        }
    })
}

/// Any call that is admitted, with dialled legs that are briefed, connected and released in any order, and channels that hear the
/// caller.
pub(super) fn transfers() -> impl Strategy<Value = Script> {
    const PERSON: LegId = LegId(2);
    let together = |legs: &[LegId]| Wanted::together(legs.iter().copied());
    let arrange = |wanted| Input::Arrange { legs: vec![], wanted };
    let dial = || {
        let (endpoint, timeout) = ("PJSIP/alice".to_owned(), Duration::from_secs(30));
        LegSpec::Dial(DialSpec { endpoint, caller_id: String::new(), timeout, variables: vec![] })
    };
    let ringing = Wanted::apart(Some(WaitingSound::Ringing));
    let input = prop::sample::select(vec![
        Input::Arrange { legs: vec![dial()], wanted: ringing },
        Input::Arrange {
            legs: vec![LegSpec::Snoop { of: LegId::CALLER }],
            wanted: together(&[PERSON, LegId::MEDIA]).with_waiting(WaitingSound::Ringing),
        },
        arrange(together(&[PERSON, LegId::MEDIA]).with_waiting(WaitingSound::Music("default".into()))),
        arrange(together(&[LegId::CALLER, PERSON])),
        arrange(together(&[LegId::CALLER, LegId::MEDIA])),
        Input::Arrange {
            legs: vec![
                LegSpec::Snoop { of: LegId::CALLER },
                LegSpec::FurtherMedia { host: "127.0.0.1:4002".parse().unwrap(), format: "ulaw".into() },
            ],
            wanted: together(&[LegId::CALLER, PERSON]),
        },
        Input::Spare { leg: LegId::MEDIA },
        Input::Release { leg: PERSON },
        Input::Release { leg: LegId::MEDIA },
        Input::HangUp { reason: Reason::NormalClearing },
    ]);
    let inputs = prop::collection::vec((100..6_000_u64, input), 1..12);
    let moments = (prop::option::of(0..3_000_u64), prop::option::of(0..7_000_u64));
    (script(), inputs, moments).prop_map(|(script, inputs, (answers_after_ms, leaves_at_ms))| Script {
        admit_at_ms: Some(0),
        transfer: Some(TransferScript { inputs, answers_after_ms, leaves_at_ms }),
        ..script
    })
}

/// By then the latest change is carried out.
const CHANGES_END_MS: u64 = 20_000;

pub(super) fn any_input() -> impl Strategy<Value = (Input, Duration)> {
    let id = prop::sample::select(vec!["17.0", "vca-media-7", "other"]);
    let result = prop_oneof![
        4 => Just(Ok(media())),
        1 => Just(Err(AriError::Refused)),
        1 => Just(Err(AriError::Timeout(SET_UP))),
        2 => prop::sample::select(vec![400_u16, 404, 409, 422, 500]).prop_map(status),
    ];
    let input = prop_oneof![
        1 => Just(Input::admit("127.0.0.1:4000".parse().unwrap(), "ulaw".into())),
        1 => Just(Input::HangUp { reason: Reason::Busy }),
        1 => Just(to_dialplan()),
        1 => id.clone().prop_map(|old| takes_the_place("other", old)),
        2 => id.clone().prop_map(start),
        1 => id.clone().prop_map(end),
        1 => id.prop_map(|id| Input::Event(Event::ChannelDestroyed { channel: channel(id), cause: 16, cause_txt: String::new(), tech_cause: None })),
        1 => Just(Input::Event(Event::BridgeDestroyed { bridge: BridgeId::new("vca-bridge-7") })),
        8 => (0..12_u32, result).prop_map(|(id, result)| Input::Response { id: RequestId(id), result }),
        1 => any::<(bool, bool)>().prop_map(|(caller, media)| {
            let channels: Vec<_> = [(caller, "17.0"), (media, "vca-media-7")].iter().filter(|(there, _)| *there).map(|(_, id)| *id).collect();
            inventory(Instant::now() + SET_UP, &channels, &[])
        }),
    ];
    (input, (0..3_000_u64).prop_map(Duration::from_millis))
}

/// Plays one call to its end and counts what is left.
pub(super) fn play(script: &Script) -> Result<(), TestCaseError> {
    let mut world = World::new(script);
    let trace = world.run();
    let ended = trace.iter().filter(|line| line.contains("-> ended ")).count();
    prop_assert_eq!(ended, 1, "one end:\n{}", trace.join("\n"));
    let last = trace.iter().rfind(|line| line.contains("->"));
    prop_assert!(last.is_some_and(|line| line.ends_with("done")), "done is last:\n{}", trace.join("\n"));
    let left: BTreeSet<_> = world.there.difference(&world.leaked).collect();
    prop_assert!(left.is_empty(), "left behind: {:?}\n{}", left, trace.join("\n"));
    Ok(())
}

/// Plays the changes and compares the groups in Asterisk with the wanted ones.
pub(super) fn play_changes(script: &Script) -> Result<(), TestCaseError> {
    let mut world = World::new(script);
    let trace = world.run();
    let trace = trace.join("\n");
    prop_assert!(trace.contains("ended HungUp"), "nothing else ends it:\n{trace}");
    let latest = script.changes.iter().max_by_key(|(at, _)| *at).map(|(_, wanted)| wanted.clone());
    let wanted = latest.unwrap_or_else(|| Wanted::together([LegId::CALLER, LegId::MEDIA]));
    let name = |leg: &LegId| ["17.0", "vca-media-7", "vca-media-7.2", "vca-media-7.3"][usize::from(leg.0)];
    let expected: BTreeSet<BTreeSet<String>> = wanted
        .groups
        .iter()
        .filter(|group| group.len() > 1)
        .map(|group| group.iter().map(|leg| name(leg).to_owned()).collect())
        .collect();
    prop_assert_eq!(&world.groups_at_hang_up, &expected, "{}", trace);
    prop_assert!(world.there.is_empty(), "left behind: {:?}\n{}", world.there, trace);
    Ok(())
}

enum Act {
    /// Notes who hears whom.
    Observe,
    Tell(Input),
    /// An event, unless the socket is lost.
    Happen(Input),
    Carry(Request),
    /// A target answers, if its channel is still there.
    Answer(String),
    LookAround,
}

struct World<'a> {
    script: &'a Script,
    machine: Topology,
    epoch: Instant,
    /// What comes when, and in which order.
    agenda: BTreeMap<(u64, u32), Act>,
    serial: u32,
    sent: usize,
    there: BTreeSet<String>,
    /// The channels of each bridge.
    members: BTreeMap<String, BTreeSet<String>>,
    groups_at_hang_up: BTreeSet<BTreeSet<String>>,
    leaked: BTreeSet<String>,
}

impl<'a> World<'a> {
    fn new(script: &'a Script) -> World<'a> {
        let epoch = Instant::now();
        let machine = Topology::new(epoch, "7", ChannelId::new("17.0"), "vca", SET_UP);
        let there = [String::from("17.0")].into();
        let agenda = BTreeMap::new();
        let mut world = World {
            script,
            machine,
            epoch,
            agenda,
            serial: 0,
            sent: 0,
            there,
            members: BTreeMap::new(),
            groups_at_hang_up: BTreeSet::new(),
            leaked: BTreeSet::new(),
        };
        world.plan_changes();
        let admit = Input::admit("127.0.0.1:4000".parse().unwrap(), "ulaw".into());
        if let Some(at) = script.admit_at_ms {
            world.plan(at, Act::Tell(admit));
        }
        let hang_up = Input::HangUp { reason: Reason::NormalClearing };
        let last = if script.to_dialplan { to_dialplan() } else { hang_up };
        world.plan(script.hang_up_at_ms.unwrap_or(LAST_MS), Act::Tell(last));
        if let Some(at) = script.caller_leaves_at_ms {
            world.plan(at, Act::Carry(Request::hang_up(&ChannelId::new("17.0"), Reason::NormalClearing)));
        }
        if let Some(transfer) = &script.transfer {
            for (at, input) in &transfer.inputs {
                world.plan(*at, Act::Tell(input.clone()));
            }
            if let Some(at) = transfer.leaves_at_ms {
                world.plan(at, Act::Carry(Request::hang_up(&ChannelId::new("vca-leg-7.2"), Reason::Busy)));
            }
        }
        if let Some((_, until)) = script.lost_ms {
            world.plan(until, Act::LookAround);
        }
        world
    }

    fn plan_changes(&mut self) {
        let hang_up_at = match self.script.hang_up_at_ms {
            Some(CHANGES_END_MS) => CHANGES_END_MS,
            _ => return,
        };
        let media =
            |port| LegSpec::ExternalMedia { host: ([127, 0, 0, 1], port).into(), format: "ulaw".into() };
        let wanted = Wanted::together([LegId::CALLER, LegId::MEDIA]);
        let legs = vec![media(4_000), media(4_002), media(4_004)];
        self.plan(0, Act::Tell(Input::Arrange { legs, wanted }));
        for (at, wanted) in &self.script.changes {
            // Not before the call is up: until then it has a deadline.
            self.plan(3_000 + at, Act::Tell(Input::Arrange { legs: vec![], wanted: wanted.clone() }));
        }
        self.plan(hang_up_at - 1, Act::Observe);
    }

    fn plan(&mut self, at_ms: u64, act: Act) {
        self.serial += 1;
        self.agenda.insert((at_ms, self.serial), act);
    }

    fn run(&mut self) -> Vec<String> {
        let mut trace = vec![];
        loop {
            let ticks = self.machine.deadline().map(|at| (at - self.epoch).as_millis() as u64);
            let next = self.agenda.keys().next().copied();
            let now_ms = match (next, ticks) {
                (Some((at, _)), Some(tick)) if tick < at => self.step(tick, Input::Tick, &mut trace),
                (None, Some(tick)) => self.step(tick, Input::Tick, &mut trace),
                (Some(key), _) => {
                    let act = self.agenda.remove(&key).expect("it was just seen");
                    self.act(key.0, act, &mut trace);
                    key.0
                }
                (None, None) => return trace,
            };
            if now_ms > 120_000 {
                trace.push("it goes on for ever".into());
                return trace;
            }
        }
    }

    fn act(&mut self, now: u64, act: Act, trace: &mut Vec<String>) {
        match act {
            Act::Tell(input) => {
                self.step(now, input, trace);
            }
            Act::Happen(input) => {
                if self.script.lost_ms.is_none_or(|(from, until)| now < from || until <= now) {
                    self.step(now, input, trace);
                }
            }
            Act::Carry(request) => self.carry(now, &request),
            Act::Answer(id) => {
                if self.there.contains(&id) {
                    self.act(now, Act::Happen(start(&id)), trace);
                }
            }
            Act::Observe => {
                self.groups_at_hang_up =
                    self.members.values().filter(|members| !members.is_empty()).cloned().collect();
            }
            Act::LookAround => {
                let there: Vec<_> = self.there.iter().map(String::as_str).collect();
                let asked_at = self.epoch + Duration::from_millis(now);
                let input = inventory(asked_at, &there, &there);
                self.step(now, input, trace);
            }
        }
    }

    fn step(&mut self, now: u64, input: Input, trace: &mut Vec<String>) -> u64 {
        trace.push(format!("{now} <- {input:?}"));
        self.machine.handle(self.epoch + Duration::from_millis(now), input);
        while let Some(output) = self.machine.poll() {
            trace.push(format!("{now} -> {}", shown(&output)));
            match output {
                Output::Send { id, request } => self.take(now, id, request),
                Output::Leaked { channels, bridges } => {
                    self.leaked.extend(channels.iter().map(ToString::to_string));
                    self.leaked.extend(bridges.iter().map(ToString::to_string));
                }
                Output::Ready { .. } | Output::MediaReady { .. } | Output::Ended(_) | Output::Done => {}
                Output::LegAnswered { .. } | Output::LegEnded { .. } => {}
                Output::ReferFailed | Output::ReferEnded => {}
            }
        }
        now
    }

    /// A request is on its way.
    fn take(&mut self, now: u64, id: RequestId, request: Request) {
        let fate = match self.script.fates.get(self.sent).copied().unwrap_or(Fate::Fine(2)) {
            // An Asterisk that calls a caller gone who is there is not modelled.
            Fate::Status(404 | 409, ms)
                if matches!(request.operation, "channels.answer" | "channels.continue") =>
            {
                Fate::Status(500, ms)
            }
            fate => fate,
        };
        self.sent += 1;
        let (done, answered, result) = match fate {
            Fate::Fine(ms) => (Some(now + ms / 2), now + ms, self.foreseen(&request)),
            Fate::Status(code, ms) => (None, now + ms, status(code)),
            Fate::Silent(done) => (
                done.map(|ms| now + ms),
                now + TIMEOUT_MS,
                Err(AriError::Timeout(Duration::from_millis(TIMEOUT_MS))),
            ),
        };
        // Nor one that answers a deletion with 404 while the thing is there.
        let honest = match (&result, request.method) {
            (Err(AriError::Status { code: 404, .. }), Method::Delete) => done.or(Some(now)),
            _ => done,
        };
        if let Some(at) = honest {
            self.plan(at, Act::Carry(request));
        }
        self.plan(answered, Act::Tell(Input::Response { id, result }));
    }

    fn foreseen(&self, request: &Request) -> Result<Value, AriError> {
        let there = subject(request).is_none_or(|id| self.there.contains(&id));
        match request.method {
            Method::Delete if !there => status(404),
            Method::Post if request.operation.starts_with("channels.") && !there => status(404),
            Method::Post if !moved(request).iter().all(|channel| self.there.contains(channel)) => status(400),
            _ => Ok(media()),
        }
    }

    /// Asterisk does what it was asked, and says so.
    fn carry(&mut self, now: u64, request: &Request) {
        let heard = now + self.script.event_delay_ms;
        match request.operation {
            "channels.externalMedia" => {
                let id = parameter(request, "channelId").expect("an id");
                self.plan(heard, Act::Happen(start(&id)));
                self.there.insert(id);
            }
            "channels.originate" => {
                let id = parameter(request, "channelId").expect("an id");
                if let Some(after) = self.script.transfer.as_ref().and_then(|it| it.answers_after_ms) {
                    self.plan(heard + after, Act::Answer(id.clone()));
                }
                self.there.insert(id);
            }
            "channels.snoop" if subject(request).is_some_and(|heard| self.there.contains(&heard)) => {
                let id = request.target.split(['/', '?']).nth(4).expect("an id").to_owned();
                self.plan(heard, Act::Happen(start(&id)));
                self.there.insert(id);
            }
            "bridges.create" => {
                self.there.insert(parameter(request, "bridgeId").expect("an id"));
            }
            "bridges.addChannel" | "bridges.removeChannel" => {
                let channels = moved(request);
                self.members.values_mut().for_each(|members| members.retain(|it| !channels.contains(it)));
                let bridge = subject(request).filter(|_| request.operation == "bridges.addChannel");
                if let Some(bridge) = bridge {
                    self.members.entry(bridge).or_default().extend(channels);
                }
            }
            "channels.hangup" | "channels.continue" | "bridges.destroy" => {
                let Some(id) = subject(request) else { return };
                if self.there.remove(&id) {
                    let event = match id.as_str() {
                        bridge if bridge.starts_with("vca-bridge-7") => {
                            Input::Event(Event::BridgeDestroyed { bridge: BridgeId::new(&id) })
                        }
                        _ => end(&id),
                    };
                    self.plan(heard, Act::Happen(event));
                }
            }
            _ => {}
        }
    }
}

/// The channel or bridge that a request is about.
fn subject(request: &Request) -> Option<String> {
    let path = request.target.split('?').next()?;
    path.split('/').nth(2).map(str::to_owned).filter(|id| id != "externalMedia")
}

/// The channels that a request moves.
fn moved(request: &Request) -> Vec<String> {
    let channels = parameter(request, "channel").unwrap_or_default();
    channels.split("%2C").filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    let (_, query) = request.target.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|it| it.1.to_owned())
}
