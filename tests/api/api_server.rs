//! The API on a port of its own, over a database of its own, and clients with keys.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::Utc;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use self::template::DatabaseCopy;
use super::documented;
use vca::admin::api::{self, ApiState, Inbound, LastUse, LimitSettings, Limits};
use vca::admin::{LiveCalls, WatchError};
use vca::analysis::{AnalysisTrials, FindModel};
use vca::ari;
use vca::billing::{Billing, Plans, Price, Prices, Terms};
use vca::call::{Feed, Unheard, View};
use vca::config::Config;
use vca::current::Current;
use vca::daemon::AgentFactory;
use vca::media::TapPoint;
use vca::names::{EngineNames, Names};
use vca::state::Memory;
use vca::store::{Announcements, Backend, NewKey, Settings, Store};
use vca::telephony::{self, Adapters, AnnouncementService, Registrar};
use vca::tenancy::{
    Actor, Call, CallId, EngineKind, LiveCommand, LiveEvent, LiveEventKind, LiveRefusal, Numbering,
    Permitted, Role, TenantEngineRules, TenantId, TenantKeys, TransferRules, UsageUnit,
};
use vca::tools::ToolServices;
use vca::webhooks::PreCallClient;

#[path = "../../src/store/tests/template.rs"]
mod template;

/// The API, served.
#[derive(Clone)]
pub struct ApiServer {
    pub store: Store,
    pub address: SocketAddr,
    pub operator: Client,
    /// The calls that are in progress.
    pub lines: Arc<Lines>,
    pub url: String,
    pub announcements: Announcements,
    pub registrar: Arc<Registrar>,
}

/// Somebody with a key, or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    key: Option<String>,
    accept: Option<&'static str>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl ApiServer {
    pub async fn open(url: String) -> ApiServer {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { url: SecretString::from(url.clone()), ..Settings::default() };
        let store = Store::open(&settings).await.expect("the database opens");
        store.migrate().await.expect("the database can be migrated");
        let lines = Arc::new(Lines::default());
        let announcements = Announcements::new(1_000);
        let settings = telephony::Settings { fake: true, ..telephony::Settings::default() };
        let api = api_state(&store, &announcements, &settings, "http://127.0.0.1:9");
        let registrar = api.registrar.clone();
        let address = serve(ApiState { live: lines.clone(), ..api }).await;
        let new = NewKey { name: "root".into(), role: Role::Operator, expires_at: None };
        let minted = store.create_operator_key(&Actor::system(), new).await.expect("a key");
        // A server that answers before it has read a body ends the connection: none is used again.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let nobody = Client { http, address, key: None, accept: None };
        let operator = nobody.with_key(minted.secret.expose_secret());
        ApiServer { store, address, operator, lines, url, announcements, registrar }
    }

    /// The same database and keys behind an API of other providers, and another Asterisk.
    pub async fn with_telephony(&self, settings: &telephony::Settings, asterisk: &str) -> ApiServer {
        let announcements = Announcements::new(1_000);
        let api = api_state(&self.store, &announcements, settings, asterisk);
        let registrar = api.registrar.clone();
        let address = serve(api).await;
        let operator = Client { address, ..self.operator.clone() };
        ApiServer { address, operator, announcements, registrar, ..self.clone() }
    }

    /// The same database and keys behind an API with other state.
    pub async fn served(&self, api: ApiState) -> ApiServer {
        let address = serve(api).await;
        ApiServer { address, operator: Client { address, ..self.operator.clone() }, ..self.clone() }
    }

    /// The same database and keys behind an API with these limits.
    pub async fn with_limits(&self, limits: &LimitSettings) -> ApiServer {
        self.served(ApiState { limits: Arc::new(Limits::new(limits)), ..plain_api_state(&self.store) }).await
    }

    /// The holder of the same key, as a client of this API.
    pub fn holder_of(&self, client: &Client) -> Client {
        Client { address: self.address, ..client.clone() }
    }

    /// Somebody without a key.
    pub fn nobody(&self) -> Client {
        Client { key: None, ..self.operator.clone() }
    }

    /// Runs statements past the store, for rows by the thousand.
    pub async fn raw(&self, sql: String) {
        let (sql, url) = (AssertSqlSafe(sql), self.url.as_str());
        let done = match self.store.backend() {
            Backend::Sqlite => {
                let mut connection = SqliteConnection::connect(url).await.expect("the file is there");
                sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
            }
            Backend::Postgres => {
                let mut connection = PgConnection::connect(url).await.expect("the server answers");
                let reach = "SELECT set_config('vca.reach', 'all', FALSE)";
                sqlx::raw_sql(reach).execute(&mut connection).await.expect("a reach");
                sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
            }
        };
        done.expect("the statements run");
    }

    /// An id as a literal of this database.
    pub fn literal(&self, id: Uuid) -> String {
        match self.store.backend() {
            Backend::Sqlite => format!("x'{}'", id.simple()),
            Backend::Postgres => format!("'{id}'"),
        }
    }

    /// Assigns a number to a tenant, so that its administrator may take it.
    pub async fn assign(&self, tenant: Uuid, did: &str) {
        let body = json!({ "did_number": did, "tenant_id": tenant });
        self.operator.post("/api/number-inventory", body).await.expect(201);
    }

    /// A tenant and its administrator.
    pub async fn tenant(&self, name: &str) -> (Uuid, Client) {
        let created = self.operator.post("/api/tenants", json!({ "name": name, "plan": "growth" })).await;
        let id = created.expect(201)["id"].as_str().expect("an id").parse().expect("a UUID");
        (id, self.client_of(id, Role::TenantAdmin).await)
    }

    /// Somebody of a tenant's with a role.
    pub async fn client_of(&self, tenant: Uuid, role: Role) -> Client {
        let scope = self.store.scope(vca::tenancy::TenantId(tenant));
        let new = NewKey { name: format!("{role}"), role, expires_at: None };
        let minted = scope.create_key(&Actor::system(), new).await.expect("a key");
        self.operator.with_key(minted.secret.expose_secret())
    }
}

/// What the handlers share, with no Asterisk and no providers of numbers.
pub fn plain_api_state(store: &Store) -> ApiState {
    api_state(store, &Announcements::new(10), &telephony::Settings::default(), "http://127.0.0.1:9")
}

/// What the handlers share, with limits that no test meets by accident.
pub fn api_state(
    store: &Store,
    announcements: &Announcements,
    settings: &telephony::Settings,
    asterisk: &str,
) -> ApiState {
    let many = 1_000_000.try_into().expect("more than none");
    let limits = LimitSettings {
        per_key: many,
        per_address: many,
        concurrent_per_tenant: many,
        heavy_per_tenant: many,
        heavy: many,
        commands_per_tenant: many,
    };
    let asterisk = ari::Settings { url: asterisk.to_owned(), password: "hush".into(), ..Default::default() };
    let asterisk = Arc::new(ari::Client::new(&asterisk).expect("a client"));
    let adapters = Arc::new(Adapters::new(settings, asterisk, "vca", false));
    let reception = AnnouncementService::new(store.clone(), adapters.clone(), announcements.clone());
    let tools = vca::tools::Settings { allow_private_targets: true, allow_http: true, ..Default::default() };
    let engines = Config { tenant_engines: tenant_engines(), ..Config::default() };
    let agents = Current::new(AgentFactory::new(&engines).expect("local engines"));
    let find_model: FindModel = {
        let agents = agents.clone();
        Arc::new(move |profile, own| agents.get().analyst(profile, own))
    };
    let longest = std::time::Duration::from_secs(10);
    let tools = ToolServices::new(&tools, store.clone()).expect("TLS can be set up");
    ApiState {
        tools: Arc::new(tools),
        store: store.clone(),
        limits: Arc::new(Limits::new(&limits)),
        last_use: Arc::new(LastUse::start(store.clone())),
        billing: Current::new(billing()),
        live: Arc::new(Lines::default()),
        state: Arc::new(Memory::new(&vca::state::Settings::default())),
        receivers: receivers().destinations(),
        registrar: Arc::new(Registrar::new(store.clone(), adapters)),
        inbound: Inbound::new(reception, &settings.inbound).map(Arc::new),
        numbering: Numbering::default(),
        permitted: Current::new(permitted()),
        analysis_trials: Arc::new(AnalysisTrials::new(&Default::default(), longest, find_model)),
        tenant_engines: Arc::new(agents),
        transfer: Current::new(transfer_rules()),
        pre_call: Arc::new(PreCallClient::new(&receivers()).expect("TLS can be set up")),
    }
}

/// The ceilings of transfer targets.
fn transfer_rules() -> TransferRules {
    TransferRules {
        number_endpoint: "PJSIP/{number}@vca-trunk".into(),
        sip_endpoint: "PJSIP/vca-trunk/{uri}".into(),
        contexts: vec!["sales".into()],
        queue_context: "queues".into(),
        sip_hosts: vec!["pbx.example.com".into()],
        prefixes: vec!["+49".into()],
        ..TransferRules::default()
    }
}

/// The engines that profiles may ask for.
fn permitted() -> Permitted {
    let local = |name, voices| EngineNames::new(name, Names::None, voices);
    let openai = |models: &[&str], voices| EngineNames::new("openai", Names::listed(models), voices);
    Permitted {
        stt: vec![local("pocketsphinx", Names::None), openai(&["whisper-1"], Names::None)],
        llm: vec![local("scripted", Names::None), openai(&["gpt-5.4-mini", "gpt-5.6-sol"], Names::None)],
        tts: vec![local("espeak", Names::Espeak), openai(&["tts-1-hd"], Names::Token)],
        tenant_engines: tenant_engines(),
        ..Permitted::default()
    }
}

/// Tenants' own engines may be servers of this machine.
fn tenant_engines() -> TenantEngineRules {
    TenantEngineRules {
        keys: TenantKeys::Allowed,
        allow_private_addresses: true,
        allow_http: true,
        ..TenantEngineRules::default()
    }
}

/// Webhooks lead to receivers on this machine.
pub fn receivers() -> vca::webhooks::Settings {
    vca::webhooks::Settings {
        allow_private_targets: true,
        allow_http: true,
        timeout_ms: 1_000,
        ..Default::default()
    }
}

/// Prices and plans: `growth`, which a api's tenants have, with a fee and a quota of ten minutes.
pub fn billing() -> Billing {
    let price =
        |kind, unit, price, per| Price { kind, engine: "openai".into(), model: "*".into(), unit, price, per };
    let engines = vec![
        price(EngineKind::Llm, UsageUnit::InputTokens, 2_500_000, 1_000_000),
        price(EngineKind::Llm, UsageUnit::OutputTokens, 10_000_000, 1_000_000),
        price(EngineKind::Stt, UsageUnit::AudioMs, 6_000, 60_000),
    ];
    let prices = Prices { call_minute: 30_000, engines, ..Prices::default() };
    let growth =
        Terms { fee: 29_000_000, included_minutes: 1, minutes_per_month: Some(10), ..Terms::default() };
    Billing { prices, plans: Plans { growth, ..Plans::default() } }
}

/// Calls in progress, without a switchboard behind them.
#[derive(Default)]
pub struct Lines {
    calls: Mutex<Vec<(Feed, View)>>,
    commands: Mutex<Vec<LiveCommand>>,
    refusal: Mutex<Option<LiveRefusal>>,
}

impl Lines {
    /// A call rings.
    pub fn ring(&self, call: &Call) {
        let feed = Feed::default();
        feed.set(call);
        feed.tell(call.started_at, LiveEventKind::Ringing { call: Box::new(call.clone()) });
        let view = feed.view();
        self.calls.lock().expect("no test has panicked").push((feed, view));
    }

    /// Something happens on the call that rang last.
    pub fn tell(&self, what: LiveEventKind) {
        let lines = self.calls.lock().expect("no test has panicked");
        lines.last().expect("a call").0.tell(Utc::now(), what);
    }

    /// The call that rang last has audio.
    pub fn set_audio(&self, audio: TapPoint) {
        let lines = self.calls.lock().expect("no test has panicked");
        lines.last().expect("a call").0.set_audio(audio);
    }

    /// No call is in progress any more.
    pub fn hang_up_all(&self) {
        self.calls.lock().expect("no test has panicked").clear();
    }

    /// The commands so far.
    pub fn commands(&self) -> Vec<LiveCommand> {
        self.commands.lock().expect("no test has panicked").clone()
    }

    /// Calls refuse the next command.
    pub fn refuse(&self, refusal: LiveRefusal) {
        *self.refusal.lock().expect("no test has panicked") = Some(refusal);
    }

    fn carry_out(&self, tenant: TenantId, id: CallId, command: LiveCommand) -> Result<(), LiveRefusal> {
        let call = self.find(tenant, id).and_then(|view| view.call()).ok_or(LiveRefusal::NotLive)?;
        if let Some(refusal) = self.refusal.lock().expect("no test has panicked").take() {
            return Err(refusal);
        }
        match &command {
            LiveCommand::End(_) => self.tell(LiveEventKind::Ended { call: Box::new(call) }),
            LiveCommand::Mute { .. } => self.tell(LiveEventKind::Muted),
            LiveCommand::Unmute => self.tell(LiveEventKind::Unmuted),
            _ => {}
        }
        self.commands.lock().expect("no test has panicked").push(command);
        Ok(())
    }

    fn find(&self, tenant: TenantId, id: CallId) -> Option<View> {
        let lines = self.calls.lock().expect("no test has panicked");
        let mut views = lines.iter().map(|(_, view)| view);
        let is_it = |view: &&View| view.call().is_some_and(|call| call.id == id && call.tenant_id == tenant);
        views.rfind(is_it).cloned()
    }
}

impl LiveCalls for Lines {
    fn calls(&self, tenant: Option<TenantId>) -> Vec<Call> {
        let lines = self.calls.lock().expect("no test has panicked");
        let calls = lines.iter().rev().filter_map(|(_, view)| view.call());
        calls.filter(|call| tenant.is_none_or(|tenant| call.tenant_id == tenant)).collect()
    }

    fn muted(&self, tenant: Option<TenantId>) -> Vec<CallId> {
        let calls = self.calls(tenant).into_iter();
        let is_muted = |call: &Call| self.find(call.tenant_id, call.id).is_some_and(|view| view.is_muted());
        calls.filter(is_muted).map(|call| call.id).collect()
    }

    fn command(
        &self,
        tenant: TenantId,
        id: CallId,
        command: LiveCommand,
    ) -> BoxFuture<'_, Result<(), LiveRefusal>> {
        let outcome = self.carry_out(tenant, id, command);
        Box::pin(std::future::ready(outcome))
    }

    fn events(
        &self,
        tenant: TenantId,
        id: CallId,
        after: u64,
    ) -> Result<BoxStream<'static, LiveEvent>, WatchError> {
        let view = self.find(tenant, id).ok_or(WatchError::NotLive)?;
        view.events(after).map(StreamExt::boxed).map_err(|_| WatchError::TooManyReaders)
    }

    fn audio(&self, tenant: TenantId, id: CallId) -> Result<BoxStream<'static, Bytes>, WatchError> {
        let view = self.find(tenant, id).ok_or(WatchError::NotLive)?;
        view.listen().map(StreamExt::boxed).map_err(|unheard| match unheard {
            Unheard::NoAudio => WatchError::NotLive,
            Unheard::TooManyListeners => WatchError::TooManyReaders,
        })
    }
}

async fn serve(api: ApiState) -> SocketAddr {
    let (router, _) = api::router(api);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("the port's number");
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

impl Client {
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub fn with_key(&self, key: &str) -> Client {
        Client { key: Some(key.to_owned()), ..self.clone() }
    }

    /// One that asks for a kind of answer.
    pub fn accepting(&self, kind: &'static str) -> Client {
        Client { accept: Some(kind), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    /// A POST of another media type than JSON's.
    pub async fn post_as(&self, kind: &'static str, path: &str, body: &str) -> Answer {
        let headers = vec![("content-type", kind.to_owned())];
        self.send_with(Method::POST, path, headers, Some(body.to_owned())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string())).await
    }

    /// A PATCH of a resource that has this entity tag.
    pub async fn patch_if(&self, tag: &str, path: &str, body: Value) -> Answer {
        let headers =
            vec![("content-type", "application/merge-patch+json".to_owned()), ("if-match", tag.to_owned())];
        self.send_with(Method::PATCH, path, headers, Some(body.to_string())).await
    }

    /// A POST with this `Idempotency-Key`.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Answer {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("idempotency-key", key.to_owned())];
        self.send_with(Method::POST, path, headers, Some(body.to_string())).await
    }

    /// A PUT of a resource that has this entity tag.
    pub async fn put_if(&self, tag: &str, path: &str, body: Value) -> Answer {
        let headers = vec![("content-type", "application/json".to_owned()), ("if-match", tag.to_owned())];
        self.send_with(Method::PUT, path, headers, Some(body.to_string())).await
    }

    /// A DELETE of a resource that has this entity tag.
    pub async fn delete_if(&self, tag: &str, path: &str) -> Answer {
        self.send_with(Method::DELETE, path, vec![("if-match", tag.to_owned())], None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A GET whose answer is read by the caller.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.http.get(format!("http://{}{path}", self.address));
        request = request.bearer_auth(self.key.as_deref().unwrap_or_default());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("the API answers")
    }

    /// With whatever bytes for a body.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let json = body.is_some().then(|| ("content-type", "application/json".to_owned()));
        self.send_with(method, path, json.into_iter().collect(), body).await
    }

    /// With these headers besides the key.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Option<String>,
    ) -> Answer {
        let mut request = self.http.request(method.clone(), format!("http://{}{path}", self.address));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(kind) = self.accept {
            request = request.header("accept", kind);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.expect("the API answers");
        // Without the dots that a client resolves.
        let path = response.url().path().to_owned();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        documented::check_answer(&method, &path, status, &headers, &body);
        Answer { status, headers, body }
    }
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }

    /// The code of a problem with this status.
    #[track_caller]
    pub fn problem(self, status: u16) -> String {
        let kind =
            self.headers.get("content-type").map(|value| value.to_str().unwrap_or_default().to_owned());
        let body = self.expect(status);
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{body:#}");
        assert!(body["request_id"].is_string(), "{body:#}");
        body["code"].as_str().expect("a code").to_owned()
    }
}

/// Runs a test over an SQLite file of its own.
pub async fn on_sqlite<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(ApiServer) -> F) {
    let folder = std::env::temp_dir().join(format!("vca-api-{}", Uuid::now_v7()));
    let api = ApiServer::open(format!("sqlite:{}", folder.join("vca.db").display())).await;
    let outcome = tokio::spawn(test(api)).await;
    std::fs::remove_dir_all(&folder).expect("the store has made the folder");
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// Runs a test in a database of its own of the server that `VCA_TEST_DATABASE_URL` names.
pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(ApiServer) -> F) {
    let Some(copy) = database().await else { return };
    let outcome = tokio::spawn(test(ApiServer::open(copy.url.clone()).await)).await;
    copy.delete().await;
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// A database with all migrations; `None` where no server is named and none demanded.
pub async fn database() -> Option<DatabaseCopy> {
    let Ok(url) = std::env::var("VCA_TEST_DATABASE_URL") else {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_DATABASE_URL is not set");
        eprintln!("skipped: VCA_TEST_DATABASE_URL is not set");
        return None;
    };
    Some(DatabaseCopy::make(&url, migrate).await)
}

async fn migrate(url: String) {
    let settings = Settings { url: SecretString::from(url), ..Settings::default() };
    let store = Store::open(&settings).await.expect("the database opens");
    store.migrate().await.expect("the database can be migrated");
    store.close().await;
}
