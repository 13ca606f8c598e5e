//! A PostgreSQL database is backed up and restored by the commands of `docs/operations.md`, and a dump that would lack
//! rows fails.

use std::process::{Command, Output};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use vca::store::{NewAnnouncement, NewKey, NewNumber, NewTenant, Settings, Store, TableSum};
use vca::tenancy::{Actor, CallId, Plan, ProviderType, Role};

use crate::support::sandbox::Sandbox;

/// A server's database, and a fresh one beside it.
struct Server {
    url: String,
    connection: PgConnection,
}

impl Server {
    async fn create(&mut self, name: &str) -> String {
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut self.connection).await.expect("a database");
        let (server, _) = self.url.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{name}")
    }

    async fn drop(&mut self, name: &str) {
        let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        sqlx::raw_sql(drop).execute(&mut self.connection).await.expect("the database goes");
    }
}

async fn open(url: &str) -> Store {
    let settings = Settings { url: SecretString::from(url.to_owned()), ..Settings::default() };
    Store::open(&settings).await.expect("the database opens")
}

/// Two tenants, each with a number, a key and a call.
async fn seed(store: &Store) {
    let actor = Actor::system();
    for n in 1..=2 {
        let new = NewTenant { name: format!("Tenant {n}"), plan: Plan::Growth, max_concurrent_calls: None };
        let tenant = store.create_tenant(&actor, new).await.expect("a tenant");
        let scope = store.scope(tenant.id);
        let did = format!("+4930123450{n}").parse().expect("a DID");
        let new = NewNumber { did, provider_type: ProviderType::Generic };
        let number = scope.create_number(&actor, new).await.expect("a number");
        let new = NewKey { name: "front office".into(), role: Role::TenantViewer, expires_at: None };
        scope.create_key(&actor, new).await.expect("a key");
        let call = NewAnnouncement {
            call: CallId::new(),
            number: number.id,
            channel: format!("1700000000.{n}"),
            caller: None,
            called: number.did,
            at: chrono::Utc::now(),
        };
        scope.announce(&call).await.expect("a call");
    }
}

/// A program of PostgreSQL, with the environment that comes before it.
fn postgres(sandbox: &Sandbox, environment: &[&str], program: &str, args: &[&str]) -> Output {
    let versions = std::fs::read_dir(sandbox.outside("/usr/lib/postgresql")).expect("PostgreSQL's programs");
    let version = versions.last().expect("a version").expect("an entry").file_name();
    let program = format!("/usr/lib/postgresql/{}/bin/{program}", version.to_string_lossy());
    let mut command: Command = sandbox.command("/usr/bin/env");
    command.args(environment).arg(program).args(args);
    command.output().expect("it runs")
}

const REACH: &str = "PGOPTIONS=-c vca.reach=all";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_dump_is_whole_and_one_that_would_lack_rows_fails() {
    let Some(sandbox) = crate::support::sandbox() else { return };
    let Ok(url) = std::env::var("VCA_TEST_DATABASE_URL") else {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_DATABASE_URL is not set");
        return eprintln!("skipped: VCA_TEST_DATABASE_URL is not set");
    };
    let connection = PgConnection::connect(&url).await.expect("the server answers");
    let mut server = Server { url, connection };
    let (source, copy) =
        (format!("vca_source_{}", Uuid::now_v7().simple()), format!("vca_copy_{}", Uuid::now_v7().simple()));
    let (source_url, copy_url) = (server.create(&source).await, server.create(&copy).await);
    let outcome = tokio::spawn(async move { round_trip(&sandbox, &source_url, &copy_url).await }).await;
    server.drop(&source).await;
    server.drop(&copy).await;
    outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
}

async fn round_trip(sandbox: &Sandbox, source_url: &str, copy_url: &str) {
    let source = open(source_url).await;
    source.migrate().await.expect("tables");
    seed(&source).await;
    let folder = sandbox.run_folder("backup");
    let dump = |name: &str| format!("--file={}/{name}", folder.inside);
    for (environment, args, told) in [
        (&[][..], vec![], "row-level security"),
        (&[][..], vec!["--enable-row-security"], "no row scope is set"),
        (&[REACH][..], vec![], "row-level security"),
    ] {
        let args = [args, vec!["--format=custom", "--no-sync"]].concat();
        let file = dump("lacking");
        let output = postgres(sandbox, environment, "pg_dump", &[&args[..], &[&file, source_url]].concat());
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(told), "{args:?}: {complaint}");
    }
    let file = dump("whole");
    let args = ["--enable-row-security", "--format=custom", "--no-sync", &file, source_url];
    succeeded(&postgres(sandbox, &[REACH], "pg_dump", &args));
    let (database, file) = (format!("--dbname={copy_url}"), format!("{}/whole", folder.inside));
    let args = ["--exit-on-error", "--no-owner", &database, &file];
    succeeded(&postgres(sandbox, &[REACH], "pg_restore", &args));

    let copy = open(copy_url).await;
    let (expected, found) = (sums(&source).await, sums(&copy).await);
    for table in ["tenants", "phone_numbers", "calls", "api_keys", "audit_log", "tenant_terms"] {
        assert!(expected.iter().any(|sum| sum.table == table && sum.rows >= 2), "{table}: {expected:?}");
    }
    assert_eq!(found, expected);
    // And it works: the steps are known, security holds, tenants can be read and changed.
    assert_eq!(copy.pending_migrations().await.expect("steps"), Vec::<String>::new());
    assert_eq!(copy.isolation().await.expect("an answer"), source.isolation().await.expect("an answer"));
    let tenants = copy.tenants().await.expect("tenants");
    assert_eq!(copy.scope(tenants[0].id).numbers().await.expect("numbers").len(), 1);
    let new = NewTenant { name: "Another".into(), plan: Plan::Starter, max_concurrent_calls: None };
    copy.create_tenant(&Actor::system(), new).await.expect("a tenant, with its terms");
    source.close().await;
    copy.close().await;
}

async fn sums(store: &Store) -> Vec<TableSum> {
    store.table_sums().await.expect("sums")
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
