//! How fast the API reads from a PostgreSQL that is full (10,000 tenants, 50,000 numbers, 1,000,000 calls), how fast the
//! ledger writes to it, and what a tenant with a million calls of its own does to others.
//!
//! Arguments choose among `ledger`, `heavy` and `latency`; without any, all are measured.
//!
//! `./dev bench store` starts the server, fills it, asks the API over HTTP and prints the latencies as ratios to
//! an answer that needs no database, in the same run; then the plans of the queries that were used most. It fails
//! when a plan scans all calls. `VCA_TEST_DATABASE_URL` names the database, which needs `pg_stat_statements`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures time")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/api/api_server.rs"]
mod api_server;
mod crowd;
#[allow(dead_code, reason = "each program uses its part")]
#[path = "../../tests/api/documented.rs"]
mod documented;
mod heavy;
mod latency;
mod ledger;
mod plans;

use api_server::ApiServer;
use crowd::Crowd;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

fn main() {
    // The test runner asks benchmarks for their tests; there are none here.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ok = runtime.block_on(async {
        let Some((mut connection, url)) = schema().await else {
            eprintln!("it needs a PostgreSQL: ./dev bench store");
            return false;
        };
        let api = ApiServer::open(url.clone()).await;
        let mut ok = !wants("ledger") || ledger::measure(&api).await;
        if wants("latency") {
            let crowd = Crowd::settle(&url).await;
            plans::forget(&mut connection).await;
            latency::measure(&api, &crowd).await;
            ok &= plans::judge(&mut connection, &url, &crowd).await;
        }
        ok &= !wants("heavy") || heavy::measure(&api).await;
        ok
    });
    std::process::exit(i32::from(!ok));
}

/// A schema in the database that has the statistics of statements, and the URL that leads to it. `None` where no server is named.
async fn schema() -> Option<(PgConnection, String)> {
    let url = std::env::var("VCA_TEST_DATABASE_URL").ok()?;
    let schema = format!("vca_bench_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&url).await.expect("the server responds");
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::raw_sql(create).execute(&mut connection).await.expect("a schema");
    let separator = if url.contains('?') { '&' } else { '?' };
    Some((connection, format!("{url}{separator}options[search_path]={schema}")))
}

/// Is a part to be measured?
fn wants(part: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    parts.peek().is_none() || parts.any(|arg| arg == part)
}
