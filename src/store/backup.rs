//! Copies of an SQLite database, and the row counts and checksums that prove a copy whole.
//!
//! PostgreSQL has its own tools for copies: `docs/operations.md` has the commands. Counts and checksums serve both.

use std::path::Path;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

use super::audit::Change;
use super::migrations::steps_of;
use super::pool::Pool;
use super::tx::{Access, AllTenants, RowScope};
use super::{Store, StoreError};
use crate::tenancy::Actor;

/// How long a copy or a checksum over all rows may take.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// A table's rows, and a checksum over them that does not depend on their order. Checksums of the same rows are equal
/// within one kind of database only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSum {
    pub table: String,
    pub rows: u64,
    pub checksum: String,
}

impl Store {
    /// The rows and the checksum of every table, as of one moment.
    pub async fn table_sums(&self) -> Result<Vec<TableSum>, StoreError> {
        limited(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    let mut tx = pool.begin().await?;
                    sqlite_sums(&mut tx).await
                }
                Pool::Postgres(pool) => {
                    const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                        SET LOCAL vca.reach = 'all'; SET LOCAL TimeZone = 'UTC'";
                    let mut tx = pool.begin_with(BEGIN).await?;
                    postgres_sums(&mut tx).await
                }
            }
        })
        .await
    }

    /// Copies an SQLite database, as of one moment and beside a running daemon, into an empty file. The audit log
    /// records it first.
    ///
    /// # Errors
    /// `Invalid` for PostgreSQL.
    pub async fn copy_into(&self, actor: &Actor, file: &Path) -> Result<(), StoreError> {
        let Pool::Sqlite(pool) = &self.pool else {
            return Err(StoreError::invalid("a PostgreSQL database is copied by pg_dump"));
        };
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.audit(Change::new(actor, None, "backup", "database", file.display())).await?;
        tx.commit().await?;
        let path = file.to_str().ok_or_else(|| StoreError::invalid("the file's name is not UTF-8"))?;
        limited(async {
            let mut connection = pool.acquire().await?;
            sqlx::query("VACUUM INTO $1").bind(path).execute(&mut *connection).await.map(drop)
        })
        .await
    }
}

/// Examines a copy: its structure, its references, and whether this program can read its tables.
///
/// # Errors
/// `Invalid`, or `Schema` when it belongs to a newer program: what is wrong with it.
pub async fn examine_copy(file: &Path) -> Result<Vec<TableSum>, StoreError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let fault = |problem: &dyn std::fmt::Display| {
        StoreError::invalid(format_args!("{} is not a whole copy: {problem}", file.display()))
    };
    let mut connection = options.connect().await.map_err(|error| fault(&error))?;
    let structure: Result<String, _> =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut connection).await;
    match structure {
        Ok(verdict) if verdict == "ok" => {}
        Ok(problem) => return Err(fault(&problem)),
        Err(error) => return Err(fault(&error)),
    }
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut connection).await?;
    if broken.is_some() {
        return Err(fault(&"a row refers to a missing row"));
    }
    let tables = sqlite_sums(&mut connection).await?;
    if !tables.iter().any(|sum| sum.table == "tenants") {
        return Err(fault(&"it has no table `tenants`"));
    }
    steps_of(&mut connection).await?;
    connection.close().await?;
    Ok(tables)
}

/// Whether another program has an SQLite database open. If none has, everything is in its one file afterwards: the
/// database is taken out of WAL mode, which needs it alone. A damaged database is in use by no one.
pub async fn is_in_use(file: &Path) -> bool {
    // A process that has just closed the database may hold it for another moment.
    const LOOKS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..LOOKS {
        if !is_held(file).await {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

async fn is_held(file: &Path) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    match leave_wal_mode(file).await {
        Ok(mode) => mode != "delete",
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
            // The low byte of an extended code is the primary one.
            matches!(code.map(|code| code & 0xff), Some(BUSY | LOCKED))
        }
    }
}

async fn leave_wal_mode(file: &Path) -> Result<String, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(1));
    let mut connection = options.connect().await?;
    let mode = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(mode)
}

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(outcome) => outcome.map_err(StoreError::from),
        Err(_) => Err(StoreError::TooSlow { limit: TIMEOUT }),
    }
}

async fn sqlite_sums(connection: &mut SqliteConnection) -> Result<Vec<TableSum>, sqlx::Error> {
    const TABLES: &str = "SELECT m.name, (SELECT group_concat('quote(\"' || p.name || '\")', ' || '','' || ') \
        FROM pragma_table_info(m.name) p) FROM sqlite_master m \
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY m.name";
    let tables: Vec<(String, String)> = sqlx::query_as(TABLES).fetch_all(&mut *connection).await?;
    let mut sums = Vec::new();
    for (table, row) in tables {
        let rows = AssertSqlSafe(format!("SELECT {row} FROM \"{table}\""));
        sums.push(sum(table, sqlx::query_scalar(rows).fetch(&mut *connection)).await?);
    }
    Ok(sums)
}

async fn postgres_sums(connection: &mut PgConnection) -> Result<Vec<TableSum>, sqlx::Error> {
    const TABLES: &str = "SELECT tablename::text, quote_ident(tablename) FROM pg_tables \
        WHERE schemaname = current_schema() ORDER BY tablename";
    let tables: Vec<(String, String)> = sqlx::query_as(TABLES).fetch_all(&mut *connection).await?;
    let mut sums = Vec::new();
    for (table, quoted) in tables {
        let rows = AssertSqlSafe(format!("SELECT t::text FROM {quoted} t"));
        sums.push(sum(table, sqlx::query_scalar(rows).fetch(&mut *connection)).await?);
    }
    Ok(sums)
}

/// Adds up the hashes of the rows.
async fn sum(
    table: String,
    mut texts: impl Stream<Item = Result<String, sqlx::Error>> + Unpin,
) -> Result<TableSum, sqlx::Error> {
    let (mut rows, mut total) = (0, 0_u128);
    while let Some(text) = texts.try_next().await? {
        let hash = Sha256::digest(text.as_bytes());
        let (half, _) = hash.split_at(16);
        total = half.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte)).wrapping_add(total);
        rows += 1;
    }
    Ok(TableSum { table, rows, checksum: format!("{total:032x}") })
}
