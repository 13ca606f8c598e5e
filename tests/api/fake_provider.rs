//! Twilio's and Telnyx's published APIs, as far as numbers go, and the little of ARI that adapters ask: on loopback,
//! and with faults as they are ordered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use vca::telephony::Settings;

pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub const TOKEN: &str = "twilio-token-5f2a";
pub const TRUNK: &str = "TK0123456789abcdef0123456789abcdef";
pub const KEY: &str = "KEY-telnyx-77aa";
pub const CONNECTION: &str = "1293384261075731499";

/// Numbers of a page, far fewer than are asked for.
pub const PAGE: usize = 3;

/// What happens to a request in the place of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16),
    /// 429 with this `Retry-After`.
    Busy(&'static str),
    Stall,
    /// 200, and a body that is not JSON.
    Garbage,
    /// 200, and JSON that the API does not promise.
    Odd,
}

/// A number and where its calls go.
#[derive(Debug, Clone)]
pub struct Number {
    pub id: &'static str,
    pub number: String,
    /// A trunk or a connection.
    pub to: Option<String>,
    /// Twilio's other ways to use a number.
    pub application: Option<String>,
    pub voice_url: Option<String>,
    /// Where Telnyx forwards its calls.
    pub forwards_to: Option<String>,
}

#[derive(Debug, Default)]
pub struct FakeAccounts {
    pub twilio: Vec<Number>,
    pub telnyx: Vec<Number>,
    pub faults: VecDeque<Fault>,
    /// Method and path of each request so far.
    pub requests: Vec<String>,
    /// Is our Stasis application registered?
    pub application: bool,
    /// The state of the endpoint `vca-trunk`; there is none without.
    pub trunk: Option<&'static str>,
    /// Where Twilio says that its next page is.
    pub next_page: Option<String>,
}

#[derive(Clone)]
pub struct FakeProvider {
    pub url: String,
    accounts: Arc<Mutex<FakeAccounts>>,
}

impl FakeProvider {
    pub async fn open() -> FakeProvider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let provider = FakeProvider { url, accounts: Arc::default() };
        let router = Router::new()
            .route("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json", get(twilio_numbers))
            .route("/v1/Trunks/{trunk}/PhoneNumbers", post(twilio_joins))
            .route("/v1/Trunks/{trunk}/PhoneNumbers/{sid}", delete(twilio_leaves))
            .route("/v2/phone_numbers", get(telnyx_numbers))
            .route("/v2/phone_numbers/{id}", patch(telnyx_assigns))
            .route("/v2/phone_numbers/{id}/voice", get(telnyx_voice))
            .route("/ari/applications/vca", get(application))
            .route("/ari/endpoints/PJSIP/vca-trunk", get(trunk))
            .layer(from_fn_with_state(provider.clone(), attend))
            .with_state(provider.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        provider
    }

    /// Settings that lead here, and are impatient.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings { fake: true, ..Settings::default() };
        let requests = &mut settings.requests;
        (requests.timeout_ms, requests.budget_ms) = (300, 4_000);
        (requests.backoff_ms, requests.max_wait_ms) = (2, 1_500);
        settings.twilio.account_sid = ACCOUNT.into();
        settings.twilio.auth_token = Some(TOKEN.into());
        settings.twilio.trunk_sid = TRUNK.into();
        settings.twilio.base_url = self.url.clone();
        settings.twilio.trunking_url = format!("{}/", self.url);
        settings.telnyx.api_key = Some(KEY.into());
        settings.telnyx.connection_id = CONNECTION.into();
        settings.telnyx.base_url = format!("{}/v2", self.url);
        settings
    }

    pub fn accounts(&self) -> MutexGuard<'_, FakeAccounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests since this was last asked.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.accounts().requests)
    }
}

/// Notes the request, and serves a fault if one is due.
async fn attend(State(provider): State<FakeProvider>, request: Request, next: Next) -> Response {
    let fault = {
        let mut accounts = provider.accounts();
        accounts.requests.push(format!("{} {}", request.method(), request.uri().path()));
        accounts.faults.pop_front()
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(code)) => {
            let words = json!({ "code": 20_500, "message": format!("Told {TOKEN} and {KEY} to go away") });
            (StatusCode::from_u16(code).expect("a status"), Json(words)).into_response()
        }
        Some(Fault::Busy(after)) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", after)]).into_response(),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Garbage) => "<html>".into_response(),
        Some(Fault::Odd) => Json(json!({ "data": 7, "incoming_phone_numbers": {} })).into_response(),
    }
}

/// What the vendors say when they will not.
type Refusal = (StatusCode, Json<Value>);

fn authorized(headers: &HeaderMap) -> Result<(), Refusal> {
    use base64::Engine;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given == format!("Basic {basic}") || given == format!("Bearer {KEY}") {
        return Ok(());
    }
    let body = json!({ "code": 20_003, "message": "Authenticate", "status": 401 });
    Err((StatusCode::UNAUTHORIZED, Json(body)))
}

fn missing() -> Refusal {
    let body = json!({ "code": 20_404, "message": "The requested resource was not found", "status": 404 });
    (StatusCode::NOT_FOUND, Json(body))
}

type Asked = Query<std::collections::BTreeMap<String, String>>;

/// The filter takes parts of numbers, too.
async fn twilio_numbers(
    State(provider): State<FakeProvider>,
    Path(account): Path<String>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    authorized(&headers)?;
    if account != ACCOUNT {
        return Err(missing());
    }
    let wanted = query.get("PhoneNumber").cloned().unwrap_or_default();
    let listed = provider
        .accounts()
        .twilio
        .iter()
        .filter(|it| it.number.contains(&wanted))
        .map(twilio)
        .collect::<Vec<_>>();
    let page = query.get("Page").and_then(|page| page.parse().ok()).unwrap_or(0_usize);
    let rest = listed.len().saturating_sub((page + 1) * PAGE);
    let next = (rest > 0).then(|| {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json");
        provider.accounts().next_page.clone().unwrap_or(format!("{path}?PageSize={PAGE}&Page={}", page + 1))
    });
    let listed: Vec<_> = listed.into_iter().skip(page * PAGE).take(PAGE).collect();
    Ok(Json(
        json!({ "incoming_phone_numbers": listed, "page": page, "page_size": PAGE, "next_page_uri": next }),
    ))
}

fn twilio(number: &Number) -> Value {
    json!({
        "sid": number.id, "account_sid": ACCOUNT, "phone_number": number.number,
        "trunk_sid": number.to, "voice_application_sid": number.application.clone().unwrap_or_default(),
        "voice_url": number.voice_url, "voice_receive_mode": "voice",
    })
}

async fn twilio_joins(
    State(provider): State<FakeProvider>,
    Path(trunk): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Refusal, Refusal> {
    authorized(&headers)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let sid = body.strip_prefix("PhoneNumberSid=").unwrap_or_default();
    let mut accounts = provider.accounts();
    let number = accounts.twilio.iter_mut().find(|it| it.id == sid && trunk == TRUNK).ok_or_else(missing)?;
    // Twilio would silently take it from whatever it serves.
    let is_free = number.to.is_none() && number.application.is_none();
    let answers = number.voice_url.as_deref().filter(|url| !url.starts_with("https://demo.twilio.com/"));
    assert!(is_free && answers.is_none(), "{number:?} serves something else");
    number.to = Some(trunk);
    Ok((StatusCode::CREATED, Json(twilio(number))))
}

async fn twilio_leaves(
    State(provider): State<FakeProvider>,
    Path((trunk, sid)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    authorized(&headers)?;
    let mut accounts = provider.accounts();
    let member = |it: &&mut Number| it.id == sid && it.to.as_deref() == Some(&*trunk);
    accounts.twilio.iter_mut().find(member).ok_or_else(missing)?.to = None;
    Ok(StatusCode::NO_CONTENT)
}

/// "Requires at least three digits. Non-numerical characters will result in no values being returned."
async fn telnyx_numbers(
    State(provider): State<FakeProvider>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    authorized(&headers)?;
    let wanted = query.get("filter[phone_number]").cloned().unwrap_or_default();
    let fits = |it: &&Number| wanted.bytes().all(|b| b.is_ascii_digit()) && it.number.contains(&wanted);
    let listed = provider.accounts().telnyx.iter().filter(fits).map(telnyx).collect::<Vec<_>>();
    let page = query.get("page[number]").and_then(|page| page.parse().ok()).unwrap_or(1_usize);
    let pages = listed.len().div_ceil(PAGE);
    let listed: Vec<_> = listed.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
    Ok(Json(
        json!({ "data": listed, "meta": { "page_number": page, "page_size": PAGE, "total_pages": pages } }),
    ))
}

async fn telnyx_voice(
    State(provider): State<FakeProvider>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    authorized(&headers)?;
    let accounts = provider.accounts();
    let number = accounts.telnyx.iter().find(|it| it.id == id).ok_or_else(missing)?;
    let kind = number.forwards_to.as_ref().map(|_| "always");
    let forwarding = json!({
        "call_forwarding_enabled": true, "forwards_to": number.forwards_to.clone().unwrap_or_default(),
        "forwarding_type": kind,
    });
    Ok(Json(json!({ "data": { "id": id, "record_type": "voice_settings", "call_forwarding": forwarding } })))
}

fn telnyx(number: &Number) -> Value {
    json!({
        "id": number.id, "record_type": "phone_number", "phone_number": number.number, "status": "active",
        "connection_id": number.to.clone().unwrap_or_default(),
    })
}

async fn telnyx_assigns(
    State(provider): State<FakeProvider>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    authorized(request.headers())?;
    assert_eq!(request.method(), Method::PATCH);
    let body = to_bytes(request.into_body(), 10_000).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let to = body["connection_id"].as_str().expect("a connection").to_owned();
    let mut accounts = provider.accounts();
    let number = accounts.telnyx.iter_mut().find(|it| it.id == id).ok_or_else(missing)?;
    let is_ours = number.to.as_deref().is_none_or(|to| to == CONNECTION);
    assert!(is_ours && number.forwards_to.is_none(), "{number:?} serves something else");
    number.to = Some(to).filter(|to| !to.is_empty());
    Ok(Json(json!({ "data": telnyx(number) })))
}

async fn application(State(provider): State<FakeProvider>) -> Response {
    match provider.accounts().application {
        true => Json(json!({ "name": "vca", "channel_ids": [], "bridge_ids": [] })).into_response(),
        false => (StatusCode::NOT_FOUND, Json(json!({ "message": "Application not found" }))).into_response(),
    }
}

async fn trunk(State(provider): State<FakeProvider>) -> Response {
    match provider.accounts().trunk {
        Some(state) => {
            let name = "vca-trunk";
            Json(json!({ "technology": "PJSIP", "resource": name, "state": state, "channel_ids": [] }))
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "message": "Endpoint not found" }))).into_response(),
    }
}
