//! The event WebSocket against an Asterisk that floods, stalls, sends garbage, disappears and returns.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::ari::ChannelId;
use crate::ari::answer::Continuity;
use crate::ari::fake::{FakeAri, Reply, Ws, header, healthy};

/// Longer than any step here takes: a hang fails the test.
const DEADLINE: Duration = Duration::from_secs(10);

struct Listener {
    signals: mpsc::UnboundedReceiver<Signal>,
    /// Of the latest connect.
    continuity: Continuity,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Listener {
    fn start(settings: Settings) -> Listener {
        let settings = Settings { reconnect_min_ms: 10, reconnect_max_ms: 50, ..settings };
        let client = Arc::new(Client::new(&settings).unwrap());
        let (heard, signals) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let sink = move |signal| {
            let _ = heard.send(signal);
        };
        let task = tokio::spawn(listen(client, settings, sink, stop.clone()));
        Listener { signals, continuity: Continuity::Unknown, stop, task }
    }

    async fn next(&mut self) -> String {
        let signal =
            tokio::time::timeout(DEADLINE, self.signals.recv()).await.expect("a signal").expect("a listener");
        assert_eq!(signal.asterisk, AsteriskId::default());
        match signal.kind {
            SignalKind::Connected(inventory) => {
                self.continuity = inventory.continuity;
                let mut channels: Vec<_> = inventory.channels.iter().map(ChannelId::as_str).collect();
                channels.sort();
                format!("connected {}", channels.join(" "))
            }
            SignalKind::Event(event) => {
                format!("{} {}", event.kind(), event.channel_id().map_or("", ChannelId::as_str))
            }
            SignalKind::Disconnected => "disconnected".into(),
        }
    }
}

async fn socket(fake: &mut FakeAri) -> Ws {
    tokio::time::timeout(DEADLINE, fake.sockets.recv()).await.expect("a WebSocket").expect("a server")
}

async fn tell(ws: &mut Ws, kind: &str, channel: &str) {
    let text = json!({ "type": kind, "channel": { "id": channel } }).to_string();
    ws.send(Message::text(text)).await.unwrap();
}

#[tokio::test]
async fn events_come_in_order_after_what_there_was() {
    let mut fake = FakeAri::healthy(&["1.0", "2.0"]).await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected 1.0 2.0");
    for n in 0..500 {
        tell(&mut ws, "StasisStart", &format!("{n}.0")).await;
    }
    for n in 0..500 {
        assert_eq!(listener.next().await, format!("StasisStart {n}.0"));
    }
    let heads = fake.heads.lock().unwrap().clone();
    assert!(heads[0].starts_with("GET /ari/events?subscribeAll=false&app=vca "), "{}", heads[0]);
    assert_eq!(header(&heads[0], "authorization"), Some("Basic dmNhOmh1c2gtaHVzaA=="));
    assert!(heads[1].starts_with("PUT /ari/applications/vca/eventFilter "), "{}", heads[1]);
    assert!(heads[2].starts_with("GET /ari/applications/vca "), "{}", heads[2]);
}

/// The answer to the resynchronisation waits until the events were sent: they must not overtake it.
#[tokio::test]
async fn events_during_the_resynchronisation_follow_it() {
    let release = Arc::new(Notify::new());
    let held = release.clone();
    let mut fake = FakeAri::start(move |line| match healthy(line, &["1.0"]) {
        Reply::Json(_, body) if line.starts_with("GET /ari/applications") => Reply::Held(held.clone(), body),
        reply => reply,
    })
    .await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    tell(&mut ws, "StasisStart", "2.0").await;
    tell(&mut ws, "StasisEnd", "2.0").await;
    release.notify_one();
    tell(&mut ws, "StasisStart", "3.0").await;
    let heard = [listener.next().await, listener.next().await, listener.next().await, listener.next().await];
    assert_eq!(heard, ["connected 1.0", "StasisStart 2.0", "StasisEnd 2.0", "StasisStart 3.0"]);
}

#[tokio::test]
async fn a_lost_socket_comes_back_with_what_there_is_then() {
    let mut connects = 0;
    let mut fake = FakeAri::start(move |line| {
        connects += usize::from(line.starts_with("GET /ari/events"));
        healthy(line, if connects == 1 { &["1.0"] } else { &["9.0"] })
    })
    .await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected 1.0");
    tell(&mut ws, "StasisEnd", "1.0").await;
    drop(ws);
    assert_eq!(listener.next().await, "StasisEnd 1.0");
    assert_eq!(listener.next().await, "disconnected");
    let _ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected 9.0");
}

#[tokio::test]
async fn a_restart_of_asterisk_is_recognised() {
    let mut connects = 0;
    let starts =
        ["2026-01-22T10:00:00.000+0000", "2026-01-22T10:00:00.000+0000", "2026-01-22T11:00:00.000+0000"];
    let mut fake = FakeAri::start(move |line| {
        connects += usize::from(line.starts_with("GET /ari/events"));
        if line.starts_with("GET /ari/asterisk/info") {
            let status = json!({ "startup_time": starts[connects - 1] });
            return Reply::Json(200, json!({ "system": { "version": "22.7.0" }, "status": status }));
        }
        healthy(line, &[])
    })
    .await;
    let mut listener = Listener::start(fake.settings());
    let mut seen = vec![];
    for _ in 0..3 {
        let ws = socket(&mut fake).await;
        assert_eq!(listener.next().await, "connected ");
        seen.push(listener.continuity);
        drop(ws);
        assert_eq!(listener.next().await, "disconnected");
    }
    assert_eq!(seen, [Continuity::Unknown, Continuity::Continued, Continuity::Restarted]);
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let mut fake = FakeAri::healthy(&[]).await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected ");
    for text in ["", "{", "[]", "null", r#"{"type":7}"#, r#"{"type":"StasisStart"}"#, "\u{0}\u{fffd}"] {
        ws.send(Message::text(text)).await.unwrap();
    }
    ws.send(Message::binary(vec![0xff; 100])).await.unwrap();
    tell(&mut ws, "Novelty", "1.0").await;
    tell(&mut ws, "StasisEnd", "1.0").await;
    assert_eq!([listener.next().await, listener.next().await], ["unknown ", "StasisEnd 1.0"]);
}

#[tokio::test]
async fn a_huge_event_costs_the_connection_and_no_more() {
    let mut fake = FakeAri::healthy(&[]).await;
    let mut listener = Listener::start(Settings { max_event_bytes: 10_000, ..fake.settings() });
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected ");
    let _ = ws.send(Message::text("x".repeat(20_000))).await;
    assert_eq!([listener.next().await, listener.next().await], ["disconnected", "connected "]);
}

/// Another program takes the application's name, keeps it for a look, and goes.
#[tokio::test]
async fn a_name_that_was_taken_is_left_alone_until_it_is_free() {
    let mut questions = 0;
    let mut fake = FakeAri::start(move |line| {
        questions += usize::from(line.starts_with("GET /ari/applications"));
        match healthy(line, &["1.0"]) {
            Reply::Json(..) if questions == 3 && line.starts_with("GET") => Reply::Json(404, Value::Null),
            reply => reply,
        }
    })
    .await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected 1.0");
    ws.send(Message::text(r#"{"type":"ApplicationReplaced","application":"vca"}"#)).await.unwrap();
    assert_eq!([listener.next().await, listener.next().await], ["disconnected", "connected 1.0"]);
    let heads = fake.heads.lock().unwrap().clone();
    let kinds: Vec<_> =
        heads.iter().map(|head| head.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ")).collect();
    let (open, filter) = ("GET /ari/events", "PUT /ari/applications/vca/eventFilter");
    let (look, info) = ("GET /ari/applications/vca", "GET /ari/asterisk/info");
    assert_eq!(kinds, [open, filter, look, info, look, look, open, filter, look, info]);
}

/// A half-open socket: the server's end is open and reads nothing, so no pong comes.
#[tokio::test]
async fn silence_counts_as_a_loss() {
    let mut fake = FakeAri::healthy(&[]).await;
    let mut listener =
        Listener::start(Settings { ping_interval_ms: 20, idle_limit_ms: 100, ..fake.settings() });
    let _mute = socket(&mut fake).await;
    let heard = [listener.next().await, listener.next().await, listener.next().await];
    assert_eq!(heard, ["connected ", "disconnected", "connected "]);
}

/// Nothing is said for two idle limits, but the pings are answered.
#[tokio::test]
async fn pongs_keep_a_quiet_socket() {
    let mut fake = FakeAri::healthy(&[]).await;
    let mut listener =
        Listener::start(Settings { ping_interval_ms: 20, idle_limit_ms: 500, ..fake.settings() });
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected ");
    let mut pings = 0;
    while pings < 50 {
        pings += usize::from(matches!(ws.next().await, Some(Ok(Message::Ping(_)))));
    }
    tell(&mut ws, "StasisEnd", "1.0").await;
    assert_eq!(listener.next().await, "StasisEnd 1.0");
}

/// Each fault of the set-up, one after the other; then all is well.
#[tokio::test]
async fn whatever_fails_is_tried_again() {
    let broken = Reply::Raw("HTTP/1.1 2".into());
    let error = Reply::Json(500, json!({ "message": "x" }));
    let mut events =
        vec![Reply::Json(401, Value::Null), Reply::Json(404, Value::Null), Reply::Stall, broken.clone()];
    let mut others = vec![error, broken, Reply::Stall, Reply::Json(200, json!({ "what": 1 }))];
    let mut fake = FakeAri::start(move |line| {
        let faults = if line.starts_with("GET /ari/events") { &mut events } else { &mut others };
        faults.pop().unwrap_or_else(|| healthy(line, &["1.0"]))
    })
    .await;
    let mut listener = Listener::start(Settings { request_timeout_ms: 200, ..fake.settings() });
    assert_eq!(listener.next().await, "connected 1.0", "nothing is said before all is well");
    assert!(fake.sockets.try_recv().is_ok());
}

#[tokio::test]
async fn stop_closes_the_socket() {
    let mut fake = FakeAri::healthy(&[]).await;
    let mut listener = Listener::start(fake.settings());
    let mut ws = socket(&mut fake).await;
    assert_eq!(listener.next().await, "connected ");
    listener.stop.cancel();
    tokio::time::timeout(DEADLINE, listener.task).await.expect("it stops").unwrap();
    assert!(matches!(ws.next().await, Some(Ok(Message::Close(_)))));
}
