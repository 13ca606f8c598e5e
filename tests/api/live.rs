//! Calls in progress over HTTP: which there are, their events, and how they are ended.

use std::pin::Pin;
use std::time::Instant;

use eventsource_stream::{Event, Eventsource};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use vca::audio::codec::Format;
use vca::media::{FramePath, Leg, LegConfig, Scratch, SpeechTag, link};
use vca::tenancy::{LiveEventKind, Role};

use super::api_server::{ApiServer, Client};
use super::calls::Line;
use super::on_both;

on_both!(
    a_live_call_is_watched_to_its_end,
    a_call_that_is_over_says_so_at_once,
    a_live_call_is_hung_up,
    a_live_call_is_listened_to_by_the_operator_alone,
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
    api.lines.tell(LiveEventKind::AgentTurn { turn: 1, text: "We are.".into() });
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

async fn a_live_call_is_listened_to_by_the_operator_alone(api: ApiServer) {
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
