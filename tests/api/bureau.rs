//! The API on a port of its own, over a database of its own, and clients with keys.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use vca::admin::api::{self, Desk, LimitSettings, Limits};
use vca::store::{NewKey, Settings, Store};
use vca::tenancy::{Actor, Known, Numbering, Role};

/// The API, served.
#[derive(Clone)]
pub struct Bureau {
    pub store: Store,
    pub address: SocketAddr,
    pub operator: Client,
}

/// Somebody with a key, or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    key: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Bureau {
    pub async fn open(url: String) -> Bureau {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { url: SecretString::from(url), ..Settings::default() };
        let store = Store::open(&settings).await.expect("the database opens");
        store.migrate().await.expect("the database can be migrated");
        let (router, _) = api::router(desk(&store));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("the port's number");
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let new = NewKey { name: "root".into(), role: Role::Operator, expires_at: None };
        let minted = store.create_operator_key(&Actor::system(), new).await.expect("a key");
        let nobody = Client { http: reqwest::Client::new(), address, key: None };
        let operator = nobody.with_key(minted.secret.expose_secret());
        Bureau { store, address, operator }
    }

    /// Somebody without a key.
    pub fn nobody(&self) -> Client {
        Client { key: None, ..self.operator.clone() }
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

/// What the handlers share, with limits that no test meets by accident.
pub fn desk(store: &Store) -> Desk {
    let many = 1_000_000.try_into().expect("more than none");
    let limits = LimitSettings { per_key: many, per_address: many };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let known = Known {
        stt: names(&["pocketsphinx", "openai"]),
        llm: names(&["scripted", "openai"]),
        tts: names(&["espeak", "openai"]),
        ..Known::default()
    };
    Desk {
        store: store.clone(),
        limits: Arc::new(Limits::new(&limits)),
        numbering: Numbering::default(),
        known: Arc::new(known),
    }
}

impl Client {
    pub fn with_key(&self, key: &str) -> Client {
        Client { key: Some(key.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// With whatever bytes for a body.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
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
pub async fn on_sqlite<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Bureau) -> F) {
    let folder = std::env::temp_dir().join(format!("vca-api-{}", Uuid::now_v7()));
    let bureau = Bureau::open(format!("sqlite:{}", folder.join("vca.db").display())).await;
    let outcome = tokio::spawn(test(bureau)).await;
    std::fs::remove_dir_all(&folder).expect("the store has made the folder");
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// Runs a test in a schema of its own of the server that `VCA_TEST_DATABASE_URL` names.
pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Bureau) -> F) {
    let Some((mut connection, schema, url)) = schema().await else { return };
    let outcome = tokio::spawn(test(Bureau::open(url).await)).await;
    let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(drop).execute(&mut connection).await.expect("the schema goes");
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// A schema, who drops it again, and the URL that leads to it; `None` where no server is named and none demanded.
pub async fn schema() -> Option<(PgConnection, String, String)> {
    let Ok(url) = std::env::var("VCA_TEST_DATABASE_URL") else {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_DATABASE_URL is not set");
        eprintln!("skipped: VCA_TEST_DATABASE_URL is not set");
        return None;
    };
    let schema = format!("vca_api_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&url).await.expect("the server answers");
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::raw_sql(create).execute(&mut connection).await.expect("a schema");
    let joint = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{joint}options[search_path]={schema}");
    Some((connection, schema, url))
}
