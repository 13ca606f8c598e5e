//! Databases of tests on a PostgreSQL server: copies of a template with all migrations, which the first test makes. The name
//! of the template has the digest of the migrations, so that another build uses another one. Integration tests and
//! benchmarks include this file, too.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// A database of one test.
pub struct DatabaseCopy {
    server: PgConnection,
    name: String,
    pub url: String,
}

impl DatabaseCopy {
    /// Copies the template on the server of a URL. `migrate` takes all migrations in the database of a URL, and leaves no
    /// connection open.
    ///
    /// # Panics
    /// When the server does not respond, or its user may not create databases.
    pub async fn make<F: Future<Output = ()>>(url: &str, migrate: impl FnOnce(String) -> F) -> DatabaseCopy {
        let mut server =
            PgConnection::connect(url).await.expect("the server of VCA_TEST_DATABASE_URL responds");
        let digest = digest_of_migrations();
        let template = format!("vca_template_{digest:016x}");
        if !exists(&mut server, &template).await {
            let lock = digest.cast_signed();
            run(&mut server, format!("SELECT pg_advisory_lock({lock})")).await;
            // Another test may have made it meanwhile.
            if !exists(&mut server, &template).await {
                make_template(&mut server, url, &template, migrate).await;
            }
            run(&mut server, format!("SELECT pg_advisory_unlock({lock})")).await;
        }
        let name = format!("vca_test_{}", Uuid::now_v7().simple());
        run(&mut server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        DatabaseCopy { url: url_of(url, &name), server, name }
    }

    /// Deletes it, and ends the connections that the test has left open.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn delete(mut self) {
        run(&mut self.server, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// A template has its name once it is whole.
async fn make_template<F: Future<Output = ()>>(
    server: &mut PgConnection,
    url: &str,
    template: &str,
    migrate: impl FnOnce(String) -> F,
) {
    let unfinished = format!("{template}_unfinished");
    run(server, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
    run(server, format!("CREATE DATABASE {unfinished}")).await;
    migrate(url_of(url, &unfinished)).await;
    run(server, format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await;
}

async fn exists(server: &mut PgConnection, database: &str) -> bool {
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)");
    exists.bind(database).fetch_one(server).await.expect("the names of databases")
}

async fn run(server: &mut PgConnection, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(server).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The URL of another database on the same server.
fn url_of(url: &str, database: &str) -> String {
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let (host, _) = path.rsplit_once('/').expect("a URL with the name of a database");
    format!("{host}/{database}{query}")
}

/// The beginning of the digest of all files.
fn digest_of_migrations() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let files = std::fs::read_dir(folder).expect("the folder of migrations");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let mut digest = Sha256::new();
    for path in paths {
        digest.update(path.file_name().expect("a name").as_encoded_bytes());
        digest.update(std::fs::read(&path).expect("a migration"));
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
