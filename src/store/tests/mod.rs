//! Each test runs on SQLite, and on PostgreSQL when `VCA_TEST_DATABASE_URL` leads to a server. With
//! `VCA_TEST_REQUIRE=1` its absence is a failure, so that nothing passes for want of a server.

pub mod analyses;
mod announced;
mod backup;
mod batches;
mod data;
mod idempotency;
mod imports;
mod inventory;
mod isolation;
mod leg_spend;
mod limits;
mod mutation;
mod opening;
mod outage;
mod profile_targets;
mod refusal;
mod registrations;
mod rollups;
mod routing_versions;
mod schema;
mod sealing;
mod security;
mod slow;
mod statements;
mod template;
mod transfer;
mod unmatched;
mod usage;
pub mod values;
mod webhooks;

use secrecy::{ExposeSecret, SecretString};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use self::template::DatabaseCopy;
use super::{Backend, NewNumber, NewTenant, Pool, Settings, Store};
use crate::tenancy::{Actor, EventType, Plan, ProviderType, Route, TenantId};

/// A database of a test's own, migrated.
#[derive(Clone)]
pub struct Database {
    pub settings: Settings,
    pub store: Store,
}

impl Database {
    async fn new(url: String) -> Database {
        let settings = Settings { url: SecretString::from(url), ..Settings::default() };
        let store = Store::open(&settings).await.expect("the database opens");
        store.migrate().await.expect("the database can be migrated");
        Database { settings, store }
    }

    /// Another pool on the same database, impatient, of one connection.
    pub async fn impatient(&self) -> Store {
        let settings = Settings {
            max_connections: 1,
            acquire_timeout_ms: 250,
            query_timeout_ms: 500,
            ..self.settings.clone()
        };
        Store::open(&settings).await.expect("the database answers")
    }

    /// A tenant with the number `did(n)` and a default profile.
    pub async fn tenant(&self, n: u32) -> Route {
        let new =
            NewTenant { name: format!("Tenant {n}"), plan: Plan::Growth, max_concurrent_calls: Some(n) };
        let tenant = self.store.create_tenant(&Actor::system(), new).await.expect("a tenant");
        let scope = self.store.scope(tenant.id);
        let new = NewNumber { did: values::did(n), provider_type: ProviderType::Generic };
        let number = scope.create_number(&Actor::system(), new).await.expect("a number");
        let profile = scope
            .create_profile(&Actor::system(), values::profile("Front desk", true))
            .await
            .expect("a profile");
        Route { profile: Some(profile), number, tenant, ..values::route() }
    }

    /// A webhook of a tenant's that subscribes to a type of event.
    pub async fn subscribe(&self, tenant: TenantId, kind: EventType) {
        let statement = format!(
            "INSERT INTO webhooks (id, tenant_id, url, events, secret, is_active, created_at) \
             VALUES ({}, {}, 'https://example.com', ',{kind},', 's', {}, '2026-11-01T00:00:00+00:00')",
            self.literal(Uuid::now_v7()),
            self.literal(tenant.0),
            if self.store.backend() == Backend::Sqlite { "1" } else { "TRUE" },
        );
        self.raw(statement).await.expect("a webhook");
    }

    /// Moves a tenant's beginning.
    pub async fn began(&self, tenant: TenantId, moment: &str) {
        let id = self.literal(tenant.0);
        self.raw(format!("UPDATE tenants SET created_at = '{moment}' WHERE id = {id}"))
            .await
            .expect("a tenant");
    }

    /// Runs a statement that the store would never send, with every tenant in reach: statements that are sent
    /// together are one transaction.
    pub async fn raw(&self, sql: String) -> Result<(), sqlx::Error> {
        let sql = match &self.store.pool {
            Pool::Sqlite(_) => sql,
            Pool::Postgres(_) => format!("SELECT set_config('vca.reach', 'all', TRUE); {sql}"),
        };
        match &self.store.pool {
            Pool::Sqlite(pool) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop),
            Pool::Postgres(pool) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop),
        }
    }

    /// Leaves nothing, whatever refers to what.
    pub async fn drop_all_tables(&self) {
        match &self.store.pool {
            Pool::Sqlite(pool) => {
                let mut held = pool.acquire().await.expect("a connection");
                const TABLES: &str =
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
                let names: Vec<String> =
                    sqlx::query_scalar(TABLES).fetch_all(&mut *held).await.expect("the tables' names");
                let drops: String = names.iter().map(|name| format!("DROP TABLE {name};")).collect();
                let sql = format!("PRAGMA foreign_keys = OFF; {drops} PRAGMA foreign_keys = ON;");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *held).await.expect("an empty database");
            }
            Pool::Postgres(pool) => {
                const SQL: &str = "DO $$ BEGIN \
                    EXECUTE format('DROP SCHEMA %1$I CASCADE', current_schema()); END $$";
                let schema: String =
                    sqlx::query_scalar("SELECT current_schema()").fetch_one(pool).await.expect("a schema");
                sqlx::raw_sql(SQL).execute(pool).await.expect("an empty database");
                let again = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
                sqlx::raw_sql(again).execute(pool).await.expect("the schema again");
            }
        }
    }

    /// An id as a literal of this database.
    pub fn literal(&self, id: Uuid) -> String {
        match &self.store.pool {
            Pool::Sqlite(_) => format!("x'{}'", id.simple()),
            Pool::Postgres(_) => format!("'{id}'"),
        }
    }
}

/// Runs a test in a folder of its own.
pub async fn on_sqlite<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Database) -> F) {
    let folder = std::env::temp_dir().join(format!("vca-store-{}", Uuid::now_v7()));
    let url = format!("sqlite:{}", folder.join("deep/vca.db").display());
    let outcome = tokio::spawn(test(Database::new(url).await)).await;
    std::fs::remove_dir_all(&folder).expect("the store has made the folder");
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// Runs a test in a database of its own, if there is a server.
pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Database) -> F) {
    let Some(url) = server("VCA_TEST_DATABASE_URL") else { return };
    let migrate = |url| async move { Database::new(url).await.store.close().await };
    let copy = DatabaseCopy::make(&url, migrate).await;
    let outcome = tokio::spawn(test(Database::new(copy.url.clone()).await)).await;
    copy.delete().await;
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

/// The URL of a server to test with.
pub fn server(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    let required = std::env::var("VCA_TEST_REQUIRE").is_ok_and(|value| value == "1");
    assert!(url.is_some() || !required, "VCA_TEST_REQUIRE=1, but {variable} is not set");
    if url.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    url
}

/// Makes a test for each kind of database of each function.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::store::tests::on_sqlite(super::$test).await })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::store::tests::on_postgres(super::$test).await })+
        }
    };
}
pub(crate) use on_both;

/// The URL, for tests that go another way to the same database.
pub fn url(settings: &Settings) -> String {
    settings.url.expose_secret().to_owned()
}
