//! SavedConversation state against real Redis servers: one that is there (`VCA_TEST_REDIS_URL`), and one of the
//! test's own that is killed and started again (`VCA_TEST_REDIS_SERVER`, a command; default `redis-server`).
//! With `VCA_TEST_REQUIRE=1` the absence of either is a failure.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Config;
use secrecy::SecretString;
use serde_json::json;

use super::*;

fn required() -> bool {
    std::env::var("VCA_TEST_REQUIRE").is_ok_and(|value| value == "1")
}

fn redis_url() -> Option<String> {
    let url = std::env::var("VCA_TEST_REDIS_URL").ok();
    assert!(url.is_some() || !required(), "VCA_TEST_REQUIRE=1, but VCA_TEST_REDIS_URL is not set");
    if url.is_none() {
        eprintln!("skipped: VCA_TEST_REDIS_URL is not set");
    }
    url
}

fn settings(url: &str) -> Settings {
    Settings { redis_url: Some(SecretString::from(url)), ..Settings::default() }
}

/// A client of the test's own, to see what is in Redis.
async fn look(url: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(Config::from_url(url).expect("a Redis URL"), None, None, None);
    client.init().await.expect("Redis answers");
    client
}

fn start() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(0)
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !condition().await {
        assert!(Instant::now() < deadline, "in vain: waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_conversation_is_three_keys_that_expire() {
    let Some(url) = redis_url() else { return };
    let client = look(&url).await;
    let state = connect(&settings(&url)).await.expect("a good URL");
    state.ping().await.expect("it answers");
    let (call, started_at) = (CallId::new(), start());
    let key = |part: &str| format!("call:{call}:{part}");
    state.begin(call, started_at).await;
    state.save(call, 1, &json!({"history": []})).await;
    state.save(call, 2, &json!({"history": ["hello"]})).await;
    let found = ["state", "turns", "started_at"].map(key);
    let values: Vec<String> = client.mget(found.to_vec()).await.expect("all three");
    let expected =
        [r#"{"history":["hello"]}"#.to_owned(), "2".to_owned(), started_at.timestamp().to_string()];
    assert_eq!(values, expected);
    for key in found {
        let ttl: i64 = client.ttl(&key).await.expect("an answer");
        assert!((3_590..=3_600).contains(&ttl), "{key} expires in {ttl} s");
    }
    state.end(call).await;
    let left: i64 =
        client.exists(["state", "turns", "started_at"].map(key).to_vec()).await.expect("an answer");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn another_process_finds_the_conversation() {
    let Some(url) = redis_url() else { return };
    let (one, two) = (connect(&settings(&url)).await, connect(&settings(&url)).await);
    let (one, two) = (one.expect("a good URL"), two.expect("a good URL"));
    let (call, started_at) = (CallId::new(), start());
    assert_eq!(two.load(call).await, None);
    one.begin(call, started_at).await;
    one.save(call, 7, &json!(["so far"])).await;
    let expected = SavedConversation { started_at, turns: 7, state: json!(["so far"]) };
    assert_eq!(two.load(call).await, Some(expected));
    two.save(call, 8, &json!(["further"])).await;
    two.end(call).await;
    assert_eq!(two.load(call).await, None);
}

/// A Redis server of a test's own, without a disk: killed, it forgets everything.
struct Server {
    command: String,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Not running yet; `None` when there is no such program here.
    fn new() -> Option<Server> {
        let command = std::env::var("VCA_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let found = Server::program(&command).arg("--version").stdout(Stdio::null()).status().is_ok();
        assert!(found || !required(), "VCA_TEST_REQUIRE=1, but {command:?} cannot be run");
        if !found {
            eprintln!("skipped: {command:?} cannot be run");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        Some(Server { command, port, child: None })
    }

    fn program(command: &str) -> Command {
        let mut words = command.split_whitespace();
        let mut program = Command::new(words.next().unwrap_or_default());
        program.args(words);
        program
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    async fn start(&mut self) {
        let mut program = Server::program(&self.command);
        program.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        let child = program.args(["--appendonly", "no", "--dir", "/tmp"]).stdout(Stdio::null()).spawn();
        self.child = Some(child.expect("it could be run a moment ago"));
        let port = self.port;
        until("Redis to listen", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a call may wait in all for a number of writes while Redis is away: one timeout, and some slack.
async fn quickly<T>(what: &str, steps: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = steps.await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(400), "{what} took {took:?}");
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_costs_little_and_is_made_good() {
    let Some(mut server) = Server::new() else { return };
    server.start().await;
    let state = connect(&settings(&server.url())).await.expect("a good URL");
    let (old, new, ended) = (CallId::new(), CallId::new(), CallId::new());
    let started_at = start();
    for call in [old, ended] {
        state.begin(call, started_at).await;
        state.save(call, 1, &json!("before")).await;
    }

    server.kill();
    quickly("going on without Redis", async {
        state.begin(new, started_at).await;
        for turn in 2..50 {
            state.save(old, turn, &json!({"turn": turn})).await;
        }
        state.save(new, 1, &json!("during")).await;
        state.end(ended).await;
    })
    .await;
    let during = state.load(old).await.expect("memory has it");
    assert_eq!((during.turns, during.state), (49, json!({"turn": 49})));
    assert_eq!(state.load(ended).await, None);
    assert!(matches!(state.ping().await, Err(StateError::Unavailable(_))));

    server.start().await;
    let client = look(&server.url()).await;
    let turns = |call: CallId| {
        let client = client.clone();
        async move { client.get::<Option<u32>, _>(format!("call:{call}:turns")).await.expect("an answer") }
    };
    until("Redis to be made good", || async { turns(old).await == Some(49) && turns(new).await == Some(1) })
        .await;
    assert_eq!(turns(ended).await, None);
    until("a sign of life", || async { state.ping().await.is_ok() }).await;
    state.save(new, 2, &json!("after")).await;
    until("the mirror to work as before", || async { turns(new).await == Some(2) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_late_is_used_when_it_comes() {
    let Some(mut server) = Server::new() else { return };
    let state =
        quickly("starting without Redis", connect(&settings(&server.url()))).await.expect("a good URL");
    let call = CallId::new();
    quickly("beginning without Redis", state.begin(call, start())).await;
    state.save(call, 3, &json!(null)).await;
    server.start().await;
    let client = look(&server.url()).await;
    let key = format!("call:{call}:turns");
    until("the call to be in Redis", || async { client.get::<Option<u32>, _>(&key).await == Ok(Some(3)) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_a_redis_that_is_lost() {
    let Some(mut server) = Server::new() else { return };
    server.start().await;
    let state = connect(&settings(&server.url())).await.expect("a good URL");
    let call = CallId::new();
    state.begin(call, start()).await;
    let process = rustix::process::Pid::from_child(server.child.as_ref().expect("it runs"));
    let signal = |signal| rustix::process::kill_process(process, signal).expect("it is ours");
    signal(rustix::process::Signal::STOP);
    quickly("going on while Redis hangs", async {
        for turn in 1..20 {
            state.save(call, turn, &json!(turn)).await;
        }
    })
    .await;
    // Longer than the client waits before it gives up the connection.
    tokio::time::sleep(Duration::from_millis(2_600)).await;
    signal(rustix::process::Signal::CONT);
    let client = look(&server.url()).await;
    let key = format!("call:{call}:turns");
    until("the last turn to be in Redis", || async {
        client.get::<Option<u32>, _>(&key).await == Ok(Some(19))
    })
    .await;
    until("a sign of life", || async { state.ping().await.is_ok() }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.get::<Option<u32>, _>(&key).await, Ok(Some(19)), "no older state comes after it");
}
