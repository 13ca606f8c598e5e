//! Requests over the loopback network.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Key, Level, Metadata, Recorder};

use super::*;

/// Answers with these parts, or never; and counts how often it is asked.
#[derive(Default)]
struct Told {
    parts: Option<Vec<Part>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(parts: Vec<Part>) -> Arc<Told> {
        Arc::new(Told { parts: Some(parts), ..Told::default() })
    }
}

impl Health for Told {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            match &self.parts {
                Some(parts) => parts.clone(),
                None => std::future::pending().await,
            }
        })
    }

    fn measure(&self) {}
}

fn part(ok: bool, needed: bool) -> Part {
    Part { name: "ari", ok, needed, problem: (!ok).then(|| "away".to_owned()) }
}

/// Asks for each path in turn: the statuses and bodies.
async fn answers(health: Arc<Told>, paths: &[&str]) -> Vec<(u16, String)> {
    let recorder = builder().unwrap().build_recorder();
    let histogram = recorder
        .register_histogram(&Key::from_name("vca_turn_seconds"), &Metadata::new("vca", Level::INFO, None));
    histogram.record(0.3);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, health, recorder.handle(), Router::new()).await.unwrap();
    let (base, stop) =
        (format!("http://{}", server.listener.local_addr().unwrap()), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    for path in paths {
        let answer = client.get(format!("{base}{path}")).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    stop.cancel();
    serving.await.unwrap();
    answers
}

#[tokio::test]
async fn it_is_alive_whatever_is_away() {
    let health = Told::new(vec![part(false, true)]);
    let answers = answers(health, &["/healthz", "/", "/nothing"]).await;
    assert_eq!(answers[0], (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(answers[1].1, format!(r#"{{"name":"vca","version":"{}"}}"#, env!("CARGO_PKG_VERSION")));
    assert_eq!(answers[2].0, 404);
}

#[tokio::test]
async fn it_is_ready_when_all_that_is_needed_is_there() {
    let health = Told::new(vec![part(true, true), part(false, false)]);
    assert_eq!(answers(health, &["/readyz"]).await[0].0, 200);
    let away = answers(Told::new(vec![part(false, true)]), &["/readyz"]).await;
    let expected = r#"{"parts":[{"name":"ari","needed":true,"ok":false,"problem":"away"}],"ready":false}"#;
    assert_eq!(away[0], (503, expected.to_owned()));
}

#[tokio::test]
async fn many_who_ask_make_no_work() {
    let health = Told::new(vec![part(true, true)]);
    answers(health.clone(), &["/readyz"; 5]).await;
    // The five requests may, on a very slow machine, take longer than an answer stays fresh.
    assert!(health.asked.load(Ordering::Relaxed) < 5);
}

#[tokio::test]
async fn checks_that_do_not_end_are_not_waited_for() {
    let (status, body) = answers(Arc::default(), &["/readyz"]).await.remove(0);
    assert_eq!((status, &*body), (503, r#"{"problem":"the checks did not end in time","ready":false}"#));
}

#[tokio::test]
async fn times_are_counted_in_buckets() {
    let (status, body) = answers(Told::new(vec![]), &["/metrics"]).await.remove(0);
    assert_eq!(status, 200);
    assert!(body.contains(r#"vca_turn_seconds_bucket{le="0.2"} 0"#), "{body}");
    assert!(body.contains(r#"vca_turn_seconds_bucket{le="0.3"} 1"#), "{body}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let handle = builder().unwrap().build_recorder().handle();
    let Err(error) = Server::bind(address, Told::new(vec![]), handle, Router::new()).await else {
        panic!("it is taken")
    };
    let text = format!("{error:#}");
    assert!(text.contains(&address.to_string()) && text.contains("admin.bind"), "{text}");
}
