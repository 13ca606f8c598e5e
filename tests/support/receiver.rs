//! A receiver of webhooks on loopback: it keeps what it is sent, and answers as it is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::Value;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// 200 with the request's body.
    Echo,
    /// A status with a body of JSON.
    Json(u16, &'static str),
    /// 200, but only after this long.
    Late(Duration),
    /// The same for so many requests, and nothing for those that begin after that.
    LateAtMost(Duration, usize),
    /// 200 with a body of JSON after this long.
    LateJson(Duration, &'static str),
    /// Nothing, ever.
    Never,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub id: String,
    pub timestamp: i64,
    pub signature: String,
    pub body: String,
    /// It was answered with 200.
    pub accepted: bool,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Does one of its signatures prove that the sender knows the secret?
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let secrets = [SecretString::from(secret)];
        let expected = vca::webhooks::sign(&secrets, &self.id, self.timestamp, &self.body);
        self.signature.split(' ').any(|signature| Some(signature) == expected.as_deref())
    }
}

pub struct Receiver {
    port: u16,
    shared: Shared,
    runtime: Option<tokio::runtime::Runtime>,
}

type Shared = Arc<Mutex<Kept>>;

struct Kept {
    answer: Answer,
    requests: Vec<Request>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let shared = Shared::new(Mutex::new(Kept { answer: Answer::Status(200), requests: Vec::new() }));
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, router).await
        });
        Receiver { port, shared, runtime: Some(runtime) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How requests are answered from now on.
    pub fn answers(&self, answer: Answer) {
        lock(&self.shared).answer = answer;
    }

    /// What has come so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared).requests.clone()
    }

    /// What has come so far to a path.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let echo = body.clone();
    let request = Request {
        path: uri.path().to_owned(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().unwrap_or_default(),
        signature: header("webhook-signature"),
        body,
        accepted: false,
    };
    let (answer, index) = {
        let mut kept = lock(&shared);
        let accepted = kept.requests.iter().filter(|request| request.accepted).count();
        kept.requests.push(request);
        let answer = match kept.answer {
            Answer::LateAtMost(_, most) if accepted >= most => Answer::Never,
            answer => answer,
        };
        (answer, kept.requests.len() - 1)
    };
    let status = match answer {
        Answer::Echo => StatusCode::OK,
        Answer::Status(status) | Answer::Json(status, _) => StatusCode::from_u16(status).expect("a status"),
        Answer::Late(pause) | Answer::LateAtMost(pause, _) | Answer::LateJson(pause, _) => {
            tokio::time::sleep(pause).await;
            StatusCode::OK
        }
        Answer::Never => std::future::pending().await,
    };
    lock(&shared).requests[index].accepted = status == StatusCode::OK;
    match answer {
        Answer::Echo => echo.into_response(),
        Answer::Json(_, body) | Answer::LateJson(_, body) => {
            (status, [("content-type", "application/json")], body).into_response()
        }
        _ => status.into_response(),
    }
}
