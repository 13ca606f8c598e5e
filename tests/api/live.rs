//! Calls in progress over HTTP: which there are, their events, and how they are ended.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventsource_stream::{Event, Eventsource};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use vca::admin::api::{ApiState, LimitSettings, Limits};
use vca::audio::codec::Format;
use vca::conversation::{AfterWords, NoteAnswer, SayWhen};
use vca::media::{FramePath, Leg, LegConfig, Scratch, SpeechTag, link};
use vca::tenancy::{CallId, LiveCommand, LiveEventKind, LiveRefusal, Role, SpokenBy, TransferTarget};

use super::api_server::{ApiServer, Client, plain_api_state};
use super::calls::Line;
use super::on_both;

on_both!(
    a_live_call_is_watched_to_its_end,
    a_call_that_is_over_says_so_at_once,
    a_live_call_is_hung_up,
    a_live_call_is_listened_to_by_the_operator,
    a_live_call_is_listened_to_by_its_tenants_administrator,
    a_live_call_gets_commands,
    commands_are_for_administrators_of_the_calls_tenant,
    refusals_of_commands_name_the_reason,
    commands_are_limited_by_tenant,
);

type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A stream of events, whose ends are told by the test and not by time.
async fn watch(client: &Client, path: &str, last: Option<&str>) -> Events {
    let headers: Vec<(&str, &str)> = last.map(|id| ("last-event-id", id)).into_iter().collect();
    let answer = client.open(path, &headers).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let events = answer.bytes_stream().eventsource();
    Box::pin(events.map(|event| event.expect("an event")))
}

async fn next(events: &mut Events) -> (String, Value) {
    let event = events.next().await.expect("an event");
    let data: Value = serde_json::from_str(&event.data).expect("JSON");
    assert_eq!(data["type"], event.event);
    let id = if event.event == "ended" { "end".to_owned() } else { data["sequence"].to_string() };
    assert_eq!(event.id, id);
    (event.event, data)
}

async fn a_live_call_is_watched_to_its_end(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let ringing = json!({ "status": "ringing", "disposition": null, "ended_by": null, "ended_at": null });
    let call = line.call(ringing);
    api.lines.ring(&call);
    api.lines.tell(LiveEventKind::Answered);
    let live = format!("/api/tenants/{tenant}/calls/live");
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    for (client, path) in [(&admin, live.as_str()), (&viewer, &live), (&api.operator, "/api/calls/live")] {
        assert_eq!(client.get(path).await.expect(200)["items"][0]["id"], call.id.to_string());
    }

    let path = format!("/api/tenants/{tenant}/calls/{}/events", call.id);
    let mut events = watch(&viewer, &path, None).await;
    let (what, data) = next(&mut events).await;
    assert_eq!((what.as_str(), &data["call"]["caller_number"]), ("ringing", &json!("+15550123")));
    assert_eq!(next(&mut events).await.0, "answered");
    api.lines.tell(LiveEventKind::CallerTurn { turn: 1, text: "Are you open?".into() });
    assert_eq!(next(&mut events).await.1["text"], "Are you open?");
    let spoken_by = SpokenBy::Agent;
    api.lines.tell(LiveEventKind::AgentTurn { turn: 1, text: "We are.".into(), spoken_by });
    api.lines.tell(LiveEventKind::Interrupted { turn: 1 });
    assert_eq!(next(&mut events).await.0, "agent_turn");
    assert_eq!(next(&mut events).await.0, "interrupted");

    let mut resumed = watch(&viewer, &path, Some("4")).await;
    assert_eq!(next(&mut resumed).await.0, "interrupted", "what was read before is not told again");
    api.lines.tell(LiveEventKind::Ended { call: Box::new(line.call(json!({ "id": call.id }))) });
    for mut events in [events, resumed] {
        let (what, data) = next(&mut events).await;
        assert_eq!((what.as_str(), &data["call"]["disposition"]), ("ended", &json!("caller_hung_up")));
        assert!(events.next().await.is_none(), "the stream ends with the call");
    }
    assert_eq!(admin.get(&live).await.expect(200)["items"], json!([]));
}

async fn a_call_that_is_over_says_so_at_once(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let call = Line::of(&api, tenant).await.record(json!({})).await;
    let path = format!("/api/tenants/{tenant}/calls/{}/events", call.id);
    let mut events = watch(&admin, &path, None).await;
    let (what, data) = next(&mut events).await;
    assert_eq!((what.as_str(), &data["call"]["status"]), ("ended", &json!("completed")));
    assert!(events.next().await.is_none());
    assert_eq!(
        admin.open(&path, &[("last-event-id", "end")]).await.status(),
        204,
        "nobody needs to come back"
    );
}

async fn a_live_call_is_hung_up(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    assert_eq!(admin.post(&format!("{path}/hang-up"), json!({})).await.problem(409), "call_not_live");
    api.lines.ring(&call);
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.post(&format!("{path}/hang-up"), json!({})).await.problem(403), "read_only_key");
    let mut events = watch(&admin, &format!("{path}/events"), None).await;
    assert_eq!(next(&mut events).await.0, "ringing");
    admin.post(&format!("{path}/hang-up"), json!({})).await.expect(202);
    assert_eq!(next(&mut events).await.0, "ended");
    assert_eq!(admin.post(&format!("{path}/hang-up"), json!({})).await.problem(409), "call_not_live");
    let window = vca::store::Window::first(1);
    let audit = line.scope.audit(&Default::default(), window).await.expect("the audit log");
    let entry = &audit.items[0];
    assert_eq!((entry.action.as_str(), &entry.resource_id), ("hang_up", &call.id.to_string()));
}

async fn a_live_call_is_listened_to_by_the_operator(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (_, stranger) = api.tenant("Brewery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.call(json!({ "status": "ringing", "ended_at": null }));
    let path = format!("/api/calls/{}/audio", call.id);
    assert_eq!(api.operator.get(&path).await.problem(404), "not_found");
    api.lines.ring(&call);
    assert_eq!(api.operator.get(&path).await.problem(409), "no_audio");

    let (mut port, back) = link(Format::Ulaw);
    let (mut leg, mut scratch) = (Leg::new(LegConfig::new(Format::Ulaw), back), Box::<Scratch>::default());
    api.lines.set_audio(port.tap_point());
    for client in [&admin, &stranger] {
        assert_eq!(client.get(&path).await.problem(403), "operator_only");
    }
    let answer = api.operator.open(&path, &[]).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"audio/wav".parse().unwrap())
    );
    assert_eq!(api.operator.get(&path).await.problem(503), "too_many_readers");

    assert!(port.play(SpeechTag(1), vec![900; 800].into(), true));
    let now = Instant::now();
    for _ in 0..10 {
        leg.tick(now, 1, &mut scratch);
    }
    drop(port);
    // The stream ends with the call.
    let audio = answer.bytes().await.expect("a stream with an end");
    assert_eq!((&audio[..4], audio.len()), (&b"RIFF"[..], 44 + 9 * 160 * 4));
    let agent = audio[44..].chunks_exact(4).map(|pair| i16::from_le_bytes([pair[2], pair[3]]));
    assert_eq!(agent.filter(|sample| *sample == 900).count(), 4 * 160);

    let window = vca::store::Window::first(1);
    let audit = line.scope.audit(&Default::default(), window).await.expect("the audit log");
    let entry = &audit.items[0];
    assert_eq!((entry.action.as_str(), &entry.resource_id), ("listen", &call.id.to_string()));
}

async fn a_live_call_is_listened_to_by_its_tenants_administrator(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (_, stranger) = api.tenant("Brewery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    let path = format!("/api/tenants/{tenant}/calls/{}/audio", call.id);
    assert_eq!(admin.get(&path).await.problem(409), "call_not_live");
    api.lines.ring(&call);
    assert_eq!(admin.get(&path).await.problem(409), "no_audio");
    let (port, _back) = link(Format::Ulaw);
    api.lines.set_audio(port.tap_point());
    assert_eq!(viewer.get(&path).await.problem(403), "read_only_key");
    assert_eq!(stranger.get(&path).await.problem(404), "not_found");
    let answer = admin.open(&path, &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(admin.get(&path).await.problem(503), "too_many_readers");
    assert_eq!(audited(&line, call.id).await, ["listen"]);
}

/// The actions on a call in the audit log, newest first.
async fn audited(line: &Line, call: CallId) -> Vec<String> {
    let audit = line.scope.audit(&Default::default(), vca::store::Window::first(20)).await;
    let entries = audit.expect("the audit log").items.into_iter();
    entries.filter(|entry| entry.resource_id == call.to_string()).map(|entry| entry.action).collect()
}

async fn a_live_call_gets_commands(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    api.lines.ring(&call);
    let target = json!({ "name": "shop", "description": "Orders.", "kind": "queue", "address": "shop" });
    let targets = format!("/api/tenants/{tenant}/transfer-targets");
    let target = admin.post(&targets, target).await.expect(201);
    let target: TransferTarget = serde_json::from_value(target).expect("a target");
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    let live = format!("/api/tenants/{tenant}/calls/live");
    for (command, body) in [
        ("say", json!({ "text": "One moment." })),
        ("say", json!({ "text": "Goodbye.", "interrupt": true, "end_call": true })),
        ("notes", json!({ "text": "Offer spelt.", "respond": true })),
        ("mute", json!({ "seconds": 60 })),
        ("transfer", json!({ "target": "shop", "take_over": true })),
        ("cancel-transfer", json!({})),
    ] {
        admin.post(&format!("{path}/{command}"), body).await.expect(202);
    }
    assert_eq!(admin.get(&live).await.expect(200)["muted"], json!([call.id]));
    admin.post(&format!("{path}/unmute"), json!({})).await.expect(202);
    assert_eq!(admin.get(&live).await.expect(200)["muted"], json!([]));
    api.operator.post(&format!("{path}/hang-up?goodbye=false"), json!({})).await.expect(202);
    let say = |text: &str, when, then| LiveCommand::Say { text: text.into(), when, then };
    let expected = [
        say("One moment.", SayWhen::Next, AfterWords::CallersTurn),
        say("Goodbye.", SayWhen::Now, AfterWords::CallEnds),
        LiveCommand::Note { text: "Offer spelt.".into(), answer: NoteAnswer::Soon },
        LiveCommand::Mute { at_most: Duration::from_secs(60) },
        LiveCommand::transfer(target, true),
        LiveCommand::CancelTransfer,
        LiveCommand::Unmute,
        LiveCommand::end(false),
    ];
    assert_eq!(api.lines.commands(), expected);
    let actions = audited(&line, call.id).await;
    assert_eq!(
        actions,
        ["hang_up", "unmute", "cancel_transfer", "transfer", "mute", "add_note", "say", "say"]
    );
    let audit = line.scope.audit(&Default::default(), vca::store::Window::first(20)).await;
    let audit = serde_json::to_string(&audit.expect("the audit log").items).expect("JSON");
    assert!(!audit.contains("One moment") && !audit.contains("spelt"), "words of the call: {audit}");
}

/// The commands, each with a body that is accepted.
fn commands() -> [(&'static str, Value); 7] {
    [
        ("say", json!({ "text": "Hello." })),
        ("notes", json!({ "text": "Be kind." })),
        ("mute", json!({})),
        ("unmute", json!({})),
        ("transfer", json!({ "target": "shop" })),
        ("cancel-transfer", json!({})),
        ("hang-up", json!({})),
    ]
}

async fn commands_are_for_administrators_of_the_calls_tenant(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (strangers, stranger) = api.tenant("Brewery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    api.lines.ring(&call);
    for (command, body) in commands() {
        let path = format!("/api/tenants/{tenant}/calls/{}/{command}", call.id);
        assert_eq!(viewer.post(&path, body.clone()).await.problem(403), "read_only_key", "{command}");
        assert_eq!(stranger.post(&path, body.clone()).await.problem(404), "not_found", "{command}");
        let path = format!("/api/tenants/{strangers}/calls/{}/{command}", call.id);
        assert_eq!(stranger.post(&path, body).await.problem(404), "not_found", "{command}");
    }
    assert_eq!(api.lines.commands(), []);
    let transfer = format!("/api/tenants/{tenant}/calls/{}/transfer", call.id);
    assert_eq!(admin.post(&transfer, json!({ "target": "shop" })).await.problem(409), "unknown_target");
    assert_eq!(audited(&line, call.id).await, [] as [&str; 0]);
}

async fn refusals_of_commands_name_the_reason(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    for (command, body) in commands() {
        let path = format!("/api/tenants/{tenant}/calls/{}/{command}", call.id);
        assert_eq!(admin.post(&path, body).await.problem(409), "call_not_live", "{command}");
    }
    api.lines.ring(&call);
    let say = format!("/api/tenants/{tenant}/calls/{}/say", call.id);
    for (refusal, status, code) in [
        (LiveRefusal::NotAnswered, 409, "call_not_answered"),
        (LiveRefusal::Ending, 409, "call_ending"),
        (LiveRefusal::Transferring, 409, "call_transferring"),
        (LiveRefusal::NoTransfer, 409, "no_transfer"),
        (LiveRefusal::TooMany, 409, "too_many_commands"),
        (LiveRefusal::TargetUnavailable("all lines are in use".into()), 409, "target_unavailable"),
        (LiveRefusal::NoResponse, 503, "call_busy"),
    ] {
        api.lines.refuse(refusal);
        assert_eq!(admin.post(&say, json!({ "text": "Hello." })).await.problem(status), code);
    }
    for body in
        [json!({}), json!({ "text": "" }), json!({ "text": "a".repeat(1_001) }), json!({ "text": "\u{7}" })]
    {
        assert_eq!(admin.post(&say, body.clone()).await.status, 400, "{body}");
    }
}

async fn commands_are_limited_by_tenant(api: ApiServer) {
    let (tenant, _) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    api.lines.ring(&call);
    let settings = LimitSettings { commands_per_tenant: NonZeroU32::MIN, ..LimitSettings::default() };
    let limits = Arc::new(Limits::new(&settings));
    let state = ApiState { limits, live: api.lines.clone(), ..plain_api_state(&api.store) };
    let server = api.served(state).await;
    let path = format!("/api/tenants/{tenant}/calls/{}/unmute", call.id);
    server.operator.post(&path, json!({})).await.expect(202);
    assert_eq!(server.operator.post(&path, json!({})).await.problem(429), "too_many_requests");
}
