//! A PostgreSQL that answers and refuses: the login, a table, the database, or to write. Calls are routed by its last
//! answers, and nothing that is recorded meanwhile is lost.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::outage::{record_all, written};
use super::{Database, server, values};
use crate::store::*;

/// A database and a role of the test's own.
struct Own {
    name: String,
    role: String,
    server: String,
}

impl Own {
    async fn create(server: String) -> Own {
        let id = Uuid::now_v7().simple();
        let own = Own { name: format!("vca_refusal_{id}"), role: format!("vca_daemon_{id}"), server };
        own.run(&format!("CREATE DATABASE {}", own.name)).await;
        own.run(&format!("CREATE ROLE {0} LOGIN PASSWORD 'one'; GRANT {0} TO CURRENT_USER", own.role)).await;
        own
    }

    /// The owner's URL.
    fn url(&self) -> String {
        let (rest, _) = self.server.rsplit_once('/').expect("a URL that ends with the database's name");
        format!("{rest}/{}", self.name)
    }

    fn daemons_url(&self) -> String {
        let url = self.url();
        let (_, host) = url.split_once('@').expect("a URL with a user");
        format!("postgres://{}:one@{host}", self.role)
    }

    /// On the server, beside the database.
    async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn try_run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.server).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        connection.close().await
    }

    /// In the database, as its owner.
    async fn run_within(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("the database answers");
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("closed");
    }

    /// Ends the daemon's connections, as a fail-over does.
    async fn disconnect(&self) {
        self.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.role
        ))
        .await;
    }

    /// A database can be renamed while nothing is connected to it.
    async fn rename(&self, from: &str, to: &str) {
        for _ in 0..200 {
            self.disconnect().await;
            if self.try_run(&format!("ALTER DATABASE {from} RENAME TO {to}")).await.is_ok() {
                return;
            }
        }
        panic!("the database is always in use");
    }

    async fn remove(self) {
        self.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        self.run(&format!("DROP ROLE {}", self.role)).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    Password,
    Privileges,
    Tables,
    ReadOnly,
    NoDatabase,
}

impl Refusal {
    async fn begin(self, own: &Own) {
        let role = &own.role;
        match self {
            Refusal::Password => {
                own.run(&format!("ALTER ROLE {role} PASSWORD 'two'")).await;
                own.disconnect().await;
            }
            Refusal::Privileges => {
                own.run_within(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}")).await;
            }
            Refusal::Tables => {
                own.run_within("ALTER TABLE calls RENAME TO c; ALTER TABLE phone_numbers RENAME TO n").await;
            }
            Refusal::ReadOnly => {
                own.run(&format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
                own.disconnect().await;
            }
            Refusal::NoDatabase => own.rename(&own.name, &format!("{}_away", own.name)).await,
        }
    }

    async fn end(self, own: &Own) {
        let role = &own.role;
        match self {
            Refusal::Password => own.run(&format!("ALTER ROLE {role} PASSWORD 'one'")).await,
            Refusal::Privileges => own.run_within(&grant(role)).await,
            Refusal::Tables => {
                own.run_within("ALTER TABLE c RENAME TO calls; ALTER TABLE n RENAME TO phone_numbers").await;
            }
            Refusal::ReadOnly => {
                own.run(&format!("ALTER ROLE {role} RESET default_transaction_read_only")).await;
                own.disconnect().await;
            }
            Refusal::NoDatabase => own.rename(&format!("{}_away", own.name), &own.name).await,
        }
    }
}

fn grant(role: &str) -> String {
    format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_loses_no_records_and_no_calls() {
    let Some(url) = server("VCA_TEST_DATABASE_URL") else { return };
    let own = Own::create(url).await;
    let db = Database::new(own.url()).await;
    own.run_within(&grant(&own.role)).await;
    let route = db.tenant(1).await;
    let settings = Settings { url: own.daemons_url().into(), ..db.settings.clone() };
    let store = Store::open(&settings).await.expect("the daemon is let in").for_calls(&settings);
    let routing = Routing::new(store.clone(), &RoutingSettings::default());
    let ledger = Ledger::new(store.clone(), 1_000);
    let did = values::did(1);
    let scope = db.store.scope(route.tenant.id);
    for refusal in
        [Refusal::Password, Refusal::Privileges, Refusal::Tables, Refusal::ReadOnly, Refusal::NoDatabase]
    {
        assert!(routing.resolve(&did).await.expect("an answer").is_some());
        let before = values::call_to(&route);
        ledger.record(Entry::Begin(before.clone()));
        written(&ledger).await;
        // The owner's connections would keep the database from being renamed.
        if matches!(refusal, Refusal::NoDatabase) {
            db.store.close().await;
        }
        refusal.begin(&own).await;
        let during = values::call_to(&route);
        let (ended, turns) = record_all(&ledger, &during);
        ledger.record(Entry::End(values::completed(&before), Vec::new()));
        if !matches!(refusal, Refusal::ReadOnly) {
            let asked = store.route(&did).await.expect_err("it refuses");
            assert!(asked.is_away(), "{refusal:?}: {asked:?}");
        }
        let cached = routing.resolve(&did).await;
        assert!(matches!(cached, Ok(Some(_))), "{refusal:?}: {cached:?}");
        let unknown = routing.resolve(&values::did(9)).await;
        assert!(matches!(unknown, Ok(None) | Err(_)), "{refusal:?}: {unknown:?}");
        assert!(ledger.pending() > 0, "{refusal:?}");
        refusal.end(&own).await;
        written(&ledger).await;
        assert_eq!((ledger.dropped(), ledger.dead_letters()), (0, 0), "{refusal:?}");
        let scope =
            if matches!(refusal, Refusal::NoDatabase) { store.scope(route.tenant.id) } else { scope.clone() };
        let found = scope.call(during.id).await.expect("an answer");
        assert_eq!(found, Some((ended, turns)), "{refusal:?}");
        let (found, _) = scope.call(before.id).await.expect("an answer").expect("a call");
        assert_eq!(found, values::completed(&before), "{refusal:?}");
    }
    assert_eq!(ledger.close(std::time::Duration::from_secs(5)).await, 0);
    store.close().await;
    own.remove().await;
}
