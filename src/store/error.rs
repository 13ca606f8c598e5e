//! How the database can fail, sorted by what a caller does about it.
//!
//! Sorted by codes alone: SQLSTATE for PostgreSQL (<https://www.postgresql.org/docs/current/errcodes-appendix.html>),
//! result codes for SQLite (<https://www.sqlite.org/rescode.html>), never by the text of a message.

use std::fmt;
use std::time::Duration;

use sqlx::error::{DatabaseError, ErrorKind};
use uuid::Uuid;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row, or it is another tenant's: the two are not told apart.
    #[error("not found")]
    NotFound,
    /// It would be the second of something that can be there once.
    #[error("{what}")]
    Conflict { what: Duplicate },
    /// The value breaks a rule of the data or of the settings.
    #[error("{what}")]
    Invalid { what: String },
    /// The database does not answer, or not now: worth a retry.
    #[error("the database is unavailable: {what}")]
    Unavailable { what: String },
    /// The tables and this program do not fit each other.
    #[error("{what}")]
    Schema { what: String },
    /// Anything else: a bug or a broken database.
    #[error("the database failed: {0}")]
    Other(String),
}

/// What there can be only one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// The number is in use, whoever's it is.
    Number,
    /// The tenant has a default profile already.
    DefaultProfile,
    /// The key is taken.
    Key,
    /// The API key has this one as its successor already.
    Successor(Uuid),
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duplicate::Number => f.write_str("this number is in use already"),
            Duplicate::DefaultProfile => f.write_str("the tenant has a default profile already"),
            Duplicate::Key => f.write_str("there is such a row already"),
            Duplicate::Successor(key) => write!(f, "this key was rotated already: its successor is {key}"),
        }
    }
}

impl StoreError {
    pub fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }

    pub(super) fn slow(limit: Duration) -> StoreError {
        StoreError::Unavailable { what: format!("no answer within {} ms", limit.as_millis()) }
    }

    pub(super) fn invalid(what: impl fmt::Display) -> StoreError {
        StoreError::Invalid { what: what.to_string() }
    }

    /// A row that does not read as what was written.
    pub(super) fn corrupt(what: impl fmt::Display) -> StoreError {
        StoreError::Other(format!("a row cannot be read: {what}"))
    }

    /// Says which row is in the way, where a statement can meet one only. (SQLite does not report the
    /// name of a violated constraint, so the statement has to know.)
    pub(super) fn duplicate(self, what: Duplicate) -> StoreError {
        match self {
            StoreError::Conflict { .. } => StoreError::Conflict { what },
            other => other,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        use sqlx::Error::*;
        match &error {
            RowNotFound => StoreError::NotFound,
            Database(reported) => from_database(reported.as_ref()),
            Io(_) | Tls(_) | PoolTimedOut | PoolClosed | WorkerCrashed | Protocol(_) | BeginFailed => {
                StoreError::Unavailable { what: error.to_string() }
            }
            _ => StoreError::Other(error.to_string()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    match error.kind() {
        ErrorKind::UniqueViolation => StoreError::Conflict { what: Duplicate::Key },
        ErrorKind::ForeignKeyViolation => {
            StoreError::invalid("it refers to something that is not there, or not this tenant's")
        }
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
            StoreError::invalid(format_args!("the data's rules forbid it: {}", error.message()))
        }
        _ if is_bad_value(error) => StoreError::invalid("the database cannot keep such a value"),
        _ if is_passing(error) => StoreError::Unavailable { what: error.to_string() },
        _ => StoreError::Other(error.to_string()),
    }
}

/// Is it a state of the database that will pass, rather than a fault of what it was asked?
fn is_passing(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        sqlite_passes(&code)
    } else {
        postgres_passes(&code)
    }
}

/// PostgreSQL's class 22, data exception: a NUL in a text, a year beyond its calendar.
fn is_bad_value(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some_and(|error| error.code().starts_with("22"))
}

fn sqlite_passes(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    // The low byte of an extended code is the primary one.
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN))
}

fn postgres_passes(code: &str) -> bool {
    // Connection, rolled back by a conflict, resources, operator intervention (shutdown, start-up),
    // system error; 25006: a server that was demoted to a replica; 55P03: lock not available.
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "25006" | "55P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_states_are_worth_a_retry() {
        for code in ["5", "517", "6", "10", "522", "13", "14"] {
            assert!(sqlite_passes(code), "SQLite {code}");
        }
        for code in ["1", "787", "2067", "11", "", "x"] {
            assert!(!sqlite_passes(code), "SQLite {code}");
        }
        for code in ["08006", "57P01", "57P03", "40P01", "53300", "25006"] {
            assert!(postgres_passes(code), "PostgreSQL {code}");
        }
        for code in ["23505", "42P01", "28P01", "", "0"] {
            assert!(!postgres_passes(code), "PostgreSQL {code}");
        }
    }
}
