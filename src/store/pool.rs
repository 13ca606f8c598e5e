//! The connections to one database of either kind.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgPool, SqlitePool};

use super::connect::{create_sqlite_file, postgres_options};
use super::{Settings, StoreError};

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// How many connections a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    pub in_use: u32,
    pub idle: u32,
    pub max: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// How PostgreSQL plans a list. For the values at hand, because tenants differ in size a thousandfold; with the cost of
/// a random page on an SSD (the default of 4 is a spinning disk's); and without parallel workers, which take longer to
/// start than a page takes to read.
pub const LIST_PLAN: &str = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL random_page_cost = 1.1; \
    SET LOCAL max_parallel_workers_per_gather = 0";

impl Pool {
    pub(super) async fn open(settings: &Settings) -> Result<Pool, StoreError> {
        let url = settings.url.expose_secret();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => open_sqlite(url, settings).await.map(Pool::Sqlite),
            Some("postgres" | "postgresql") => open_postgres(settings).await.map(Pool::Postgres),
            _ => Err(StoreError::invalid(
                "the database URL has to begin with `sqlite:` or `postgres:`, \
                 as in sqlite:/var/lib/vca/vca.db or postgres://vca:PASSWORD@localhost/vca",
            )),
        }
    }

    /// Another pool to the same database, with connections that are opened ahead and stay open: on a busy machine
    /// opening one takes longer than a call may wait.
    pub(super) fn sized(&self, settings: &Settings, connections: u32) -> Pool {
        match self {
            Pool::Sqlite(pool) => Pool::Sqlite(sqlite_pool(
                (*pool.connect_options()).clone(),
                settings,
                connections..=connections,
            )),
            Pool::Postgres(pool) => Pool::Postgres(postgres_pool(
                (*pool.connect_options()).clone(),
                settings,
                connections..=connections,
            )),
        }
    }

    pub(super) fn connections(&self) -> Connections {
        let (size, idle, max) = match self {
            Pool::Sqlite(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            Pool::Postgres(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        Connections { in_use: size.saturating_sub(idle), idle, max }
    }

    pub(super) fn backend(&self) -> Backend {
        match self {
            Pool::Sqlite(_) => Backend::Sqlite,
            Pool::Postgres(_) => Backend::Postgres,
        }
    }
}

async fn open_sqlite(url: &str, settings: &Settings) -> Result<SqlitePool, StoreError> {
    let mut options = SqliteConnectOptions::from_str(url).map_err(|error| {
        StoreError::invalid(format_args!("the SQLite URL cannot be understood ({error}); write sqlite:PATH"))
    })?;
    if !url.contains("mode=") {
        options = options.create_if_missing(true);
    }
    // In WAL mode NORMAL loses nothing when the process dies; after a power cut, at most the last commits.
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms));
    let path = options.get_filename().to_owned();
    if creates_file(url) && !path.as_os_str().is_empty() {
        create_sqlite_file(&path).await?;
    }
    let connected = options.connect().await;
    let connected = connected.map_err(|error| StoreError::Unavailable {
        what: format!("cannot open {} ({error}); is its folder there and writable?", path.display()),
    })?;
    // A failed close is harmless: the database has answered.
    let _ = connected.close().await;
    Ok(sqlite_pool(options, settings, 0..=settings.max_connections))
}

fn sqlite_pool(
    options: SqliteConnectOptions,
    settings: &Settings,
    connections: RangeInclusive<u32>,
) -> SqlitePool {
    sqlite_pool_options(settings, connections).connect_lazy_with(options)
}

pub(super) fn sqlite_pool_options(
    settings: &Settings,
    connections: RangeInclusive<u32>,
) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(*connections.start())
        .max_connections(*connections.end())
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        // After a full disk or an I/O error SQLite rolls back by itself, and sqlx still counts a transaction: such a
        // connection refuses every further BEGIN, so it is closed.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.lock_handle().await?.remove_progress_handler();
                Ok(!connection.is_in_transaction())
            })
        })
}

fn postgres_pool(options: PgConnectOptions, settings: &Settings, connections: RangeInclusive<u32>) -> PgPool {
    PgPoolOptions::new()
        .min_connections(*connections.start())
        .max_connections(*connections.end())
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        .connect_lazy_with(options)
}

/// May the file of this URL be created? One in memory has none.
fn creates_file(url: &str) -> bool {
    !url.contains(":memory:") && (!url.contains("mode=") || url.contains("mode=rwc"))
}

async fn open_postgres(settings: &Settings) -> Result<PgPool, StoreError> {
    let options = postgres_options(settings)?;
    // The pool would hide a refusal behind a timeout, so one connection is opened directly.
    let limit = Duration::from_millis(settings.acquire_timeout_ms);
    let connected = match tokio::time::timeout(limit, options.connect()).await {
        Ok(connected) => connected.map_err(|error| unreachable_postgres(&options, &error))?,
        Err(_) => return Err(StoreError::no_answer(limit)),
    };
    let _ = connected.close().await;
    Ok(postgres_pool(options, settings, 0..=settings.max_connections))
}

fn unreachable_postgres(options: &PgConnectOptions, error: &sqlx::Error) -> StoreError {
    let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
    let name = options.get_database().unwrap_or(user);
    let code = error.as_database_error().and_then(|reported| reported.code()).unwrap_or_default();
    let remedy = match &*code {
        "28P01" | "28000" => "check the user and password of the database URL, and the server's pg_hba.conf",
        "3D000" => "create the database, for example with createdb",
        _ if is_about_tls(error) => {
            "the server has to offer TLS, with a certificate for this host from an authority that database.tls.ca \
             names; where it asks for one, set database.tls.certificate and database.tls.key"
        }
        _ => "is the server running, and are host and port right?",
    };
    StoreError::Unavailable { what: format!("{user}@{host}:{port}/{name}: {error}; {remedy}") }
}

/// A failed handshake is an error of TLS, or of input and output with invalid data.
fn is_about_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}
