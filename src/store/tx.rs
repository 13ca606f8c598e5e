//! Transactions on either database.
//!
//! ```text
//! let mut tx = scope.begin(Access::Write).await?;     // BEGIN, with row scope and time limit
//! tx.execute(sql("UPDATE …").bind(id)).await?;
//! tx.commit().await?;                                  // dropped without it: rolled back
//! ```
//!
//! A transaction has one deadline for everything from waiting for a connection to its commit. The
//! database enforces it for each statement too (PostgreSQL by `statement_timeout`, SQLite by a progress handler), so that
//! the statement of a caller that has gone does not hold its connection.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, FromRow, Postgres, Sqlite, Transaction, Type};
use tokio::time::Instant;

use super::pool::{LIST_PLAN, Pool};
use super::statement::Statement;
use super::{Backend, Scope, Store, StoreError};
use crate::tenancy::{LimitReached, TenantLimits};

/// SQLite looks at the clock once in so many steps of its virtual machine: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 2_000;

/// How a transaction reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Reads lists or sums: PostgreSQL plans for the values at hand ([`LIST_PLAN`]).
    List,
    /// Reads with several statements as of one moment.
    Snapshot,
    /// Takes SQLite's write lock at once: a transaction that reads before it writes would otherwise fail with
    /// `SQLITE_BUSY` as soon as another writer commits in between.
    Write,
}

/// The rows that a transaction may see. PostgreSQL holds it to them by row-level security; SQLite has no such thing.
pub(super) trait RowScope: Sync {
    fn store(&self) -> &Store;

    /// The setting that row-level security reads, as a statement; empty for tables that belong to no tenant.
    fn row_scope(&self) -> String;

    /// Begins a transaction on the scope's rows.
    fn begin(&self, access: Access) -> impl Future<Output = Result<Tx, StoreError>> + Send {
        Tx::begin(self.store(), self.row_scope(), access)
    }

    /// Runs one statement in a transaction of its own and returns how many rows it wrote.
    fn execute(&self, statement: Statement) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async move {
            let mut tx = self.begin(Access::Write).await?;
            let written = tx.execute(statement).await?;
            tx.commit().await?;
            Ok(written)
        }
    }

    /// Reads all rows of one statement.
    fn all<R: Row>(&self, statement: Statement) -> impl Future<Output = Result<Vec<R>, StoreError>> + Send {
        async move {
            let mut tx = self.begin(Access::List).await?;
            let rows = tx.all(statement).await?;
            tx.commit().await?;
            Ok(rows)
        }
    }

    /// Reads the row of one statement, if there is one.
    fn optional<R: Row>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Option<R>, StoreError>> + Send {
        async move {
            let mut tx = self.begin(Access::Read).await?;
            let row = tx.optional(statement).await?;
            tx.commit().await?;
            Ok(row)
        }
    }

    /// Reads the row of one statement; `NotFound` when there is none.
    fn one<R: Row>(&self, statement: Statement) -> impl Future<Output = Result<R, StoreError>> + Send {
        async move { self.optional(statement).await?.ok_or(StoreError::NotFound) }
    }
}

/// Tables that belong to no tenant.
impl RowScope for Store {
    fn store(&self) -> &Store {
        self
    }

    fn row_scope(&self) -> String {
        String::new()
    }
}

/// One tenant's rows.
impl RowScope for Scope {
    fn store(&self) -> &Store {
        &self.store
    }

    fn row_scope(&self) -> String {
        // A UUID is written with hexadecimal digits and dashes only.
        format!("SET LOCAL vca.tenant = '{}'", self.tenant.0)
    }
}

/// Every tenant's rows: for a called number, an API key, the outbox and the operator's lists.
pub(super) struct AllTenants<'a>(pub &'a Store);

impl RowScope for AllTenants<'_> {
    fn store(&self) -> &Store {
        self.0
    }

    fn row_scope(&self) -> String {
        "SET LOCAL vca.reach = 'all'".to_owned()
    }
}

/// A row that either database can return.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A row with columns that are known at run time only.
pub(super) enum AnyRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl AnyRow {
    /// The value of a column.
    pub fn get<T>(&self, column: usize) -> Result<T, StoreError>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
        usize: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        Ok(match self {
            AnyRow::Sqlite(row) => sqlx::Row::try_get(row, column)?,
            AnyRow::Postgres(row) => sqlx::Row::try_get(row, column)?,
        })
    }
}

/// A transaction in progress. Dropping it rolls it back.
pub(super) struct Tx {
    connection: TxConnection,
    deadline: Instant,
    limit: Duration,
    /// How much one tenant may store.
    pub(super) limits: TenantLimits,
}

enum TxConnection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub fn backend(&self) -> Backend {
        match &self.connection {
            TxConnection::Sqlite(_) => Backend::Sqlite,
            TxConnection::Postgres(_) => Backend::Postgres,
        }
    }

    async fn begin(store: &Store, row_scope: String, access: Access) -> Result<Tx, StoreError> {
        let limit = store.timeout;
        let begun = Instant::now();
        let deadline = begun + limit;
        let connection = within(deadline, limit, async {
            Ok(match &store.pool {
                Pool::Sqlite(pool) => TxConnection::Sqlite(pool.begin_with(begin_sqlite(access)).await?),
                Pool::Postgres(pool) => {
                    let begin = begin_postgres(access, limit, &row_scope);
                    TxConnection::Postgres(pool.begin_with(sqlx::AssertSqlSafe(begin)).await?)
                }
            })
        });
        // Nothing was at work yet: it is the answer that is missing.
        let connection = connection.await.map_err(|error| match error {
            StoreError::TooSlow { limit } => StoreError::no_answer(limit),
            error => error,
        })?;
        metrics::histogram!("vca_database_wait_seconds", "pool" => store.pool_label).record(begun.elapsed());
        let mut tx = Tx { connection, deadline, limit, limits: *store.limits.get() };
        tx.limit_sqlite().await?;
        Ok(tx)
    }

    /// Has SQLite end a statement at the deadline: it runs on a thread of its own, and would go on for nothing when the
    /// task that waits for it has gone. It is ended once, so that the rollback is not.
    async fn limit_sqlite(&mut self) -> Result<(), StoreError> {
        let (deadline, limit) = (self.deadline, self.limit);
        let TxConnection::Sqlite(tx) = &mut self.connection else { return Ok(()) };
        within(deadline, limit, async {
            let mut is_ended = false;
            tx.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_LOOKS, move || {
                let ends = !is_ended && std::time::Instant::now() >= deadline.into_std();
                is_ended |= ends;
                !ends
            });
            Ok(())
        })
        .await
    }

    /// Runs a statement and returns how many rows it wrote.
    pub async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        within(self.deadline, self.limit, async {
            Ok(match &mut self.connection {
                TxConnection::Sqlite(tx) => {
                    let (text, arguments) = statement.arguments::<Sqlite>()?;
                    sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
                }
                TxConnection::Postgres(tx) => {
                    let (text, arguments) = statement.arguments::<Postgres>()?;
                    sqlx::query_with(text, arguments).execute(&mut **tx).await?.rows_affected()
                }
            })
        })
        .await
    }

    /// Counts with a statement that returns one number, and refuses one more when it has reached `at_most`. The
    /// counted rows have to be locked, so that no other transaction adds to them meanwhile.
    ///
    /// # Errors
    /// `LimitReached`, with `limit` as its name.
    pub async fn admit(
        &mut self,
        limit: &'static str,
        at_most: u64,
        count: Statement,
    ) -> Result<(), StoreError> {
        let (count,) = self.one::<(i64,)>(count).await?;
        if count.unsigned_abs() < at_most {
            return Ok(());
        }
        Err(StoreError::LimitReached(LimitReached { limit, at_most }))
    }

    /// All rows of a statement.
    pub async fn all<R: Row>(&mut self, statement: Statement) -> Result<Vec<R>, StoreError> {
        within(self.deadline, self.limit, async {
            match &mut self.connection {
                TxConnection::Sqlite(tx) => {
                    let (text, arguments) = statement.arguments::<Sqlite>()?;
                    sqlx::query_as_with::<Sqlite, R, _>(text, arguments).fetch_all(&mut **tx).await
                }
                TxConnection::Postgres(tx) => {
                    let (text, arguments) = statement.arguments::<Postgres>()?;
                    sqlx::query_as_with::<Postgres, R, _>(text, arguments).fetch_all(&mut **tx).await
                }
            }
        })
        .await
    }

    /// Runs statements and returns how many rows they wrote.
    pub async fn execute_all(&mut self, statements: Vec<Statement>) -> Result<u64, StoreError> {
        let mut written = 0;
        for statement in statements {
            written += self.execute(statement).await?;
        }
        Ok(written)
    }

    /// All rows of several statements.
    pub async fn all_of<R: Row>(&mut self, statements: Vec<Statement>) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        for statement in statements {
            rows.extend(self.all(statement).await?);
        }
        Ok(rows)
    }

    /// The row of a statement, if there is one.
    pub async fn optional<R: Row>(&mut self, statement: Statement) -> Result<Option<R>, StoreError> {
        Ok(self.all(statement).await?.into_iter().next())
    }

    /// The row of a statement; `NotFound` when there is none.
    pub async fn one<R: Row>(&mut self, statement: Statement) -> Result<R, StoreError> {
        self.optional(statement).await?.ok_or(StoreError::NotFound)
    }

    /// All rows of a statement with columns that are known at run time only.
    pub async fn any(&mut self, statement: Statement) -> Result<Vec<AnyRow>, StoreError> {
        within(self.deadline, self.limit, async {
            Ok(match &mut self.connection {
                TxConnection::Sqlite(tx) => {
                    let (text, arguments) = statement.arguments::<Sqlite>()?;
                    let rows = sqlx::query_with(text, arguments).fetch_all(&mut **tx).await?;
                    rows.into_iter().map(AnyRow::Sqlite).collect()
                }
                TxConnection::Postgres(tx) => {
                    let (text, arguments) = statement.arguments::<Postgres>()?;
                    let rows = sqlx::query_with(text, arguments).fetch_all(&mut **tx).await?;
                    rows.into_iter().map(AnyRow::Postgres).collect()
                }
            })
        })
        .await
    }

    /// Commits the changes.
    ///
    /// # Errors
    /// `Unavailable` when the answer does not arrive: the changes may or may not have been made.
    pub async fn commit(self) -> Result<(), StoreError> {
        within(self.deadline, self.limit, async {
            match self.connection {
                TxConnection::Sqlite(tx) => tx.commit().await,
                TxConnection::Postgres(tx) => tx.commit().await,
            }
        })
        .await
    }
}

async fn within<T>(
    deadline: Instant,
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout_at(deadline, work).await {
        Ok(done) => done.map_err(|error| match StoreError::from(error) {
            StoreError::TooSlow { .. } => StoreError::TooSlow { limit },
            error => error,
        }),
        Err(_) => Err(StoreError::TooSlow { limit }),
    }
}

fn begin_sqlite(access: Access) -> &'static str {
    match access {
        Access::Read | Access::List | Access::Snapshot => "BEGIN",
        Access::Write => "BEGIN IMMEDIATE",
    }
}

fn begin_postgres(access: Access, limit: Duration, row_scope: &str) -> String {
    let begin = match access {
        Access::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Access::Read | Access::List | Access::Write => "BEGIN",
    };
    let plan = if access == Access::List { LIST_PLAN } else { "" };
    let limit = limit.as_millis();
    [begin, &format!("SET LOCAL statement_timeout = {limit}"), row_scope, plan]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
