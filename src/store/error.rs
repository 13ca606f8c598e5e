//! How the database can fail, by what a caller can do about it.
//!
//! A failure is either the fault of the data that a statement writes, or it has nothing to do with them: the database is
//! away, refuses the login, lacks a table, is being restored. Only the first is worth no retry.
//! Decided by codes alone: SQLSTATE for PostgreSQL (<https://www.postgresql.org/docs/current/errcodes-appendix.html>),
//! result codes for SQLite (<https://www.sqlite.org/rescode.html>), never by the text of a message.

use std::fmt;
use std::time::Duration;

use sqlx::error::{DatabaseError, ErrorKind};
use uuid::Uuid;

use super::number_rules::NumberRefusal;
use crate::tenancy::LimitReached;

/// Why a request to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row does not exist, or belongs to another tenant; the error is the same.
    #[error("not found")]
    NotFound,
    /// It would duplicate something unique.
    #[error("{what}")]
    Conflict { what: Duplicate },
    #[error(transparent)]
    Number(#[from] NumberRefusal),
    /// The tenant has as many as it may have.
    #[error("{0}")]
    LimitReached(LimitReached),
    /// The state of the resource does not allow it; `code` names the reason for programs.
    #[error("{what}")]
    Refused { code: &'static str, what: String },
    /// The value breaks a rule of the data or of the settings.
    #[error("{what}")]
    Invalid { what: String },
    /// The database does not answer, or cannot serve any statement of this kind now: worth a retry.
    #[error("the database is unavailable: {what}")]
    Unavailable { what: String },
    /// The database was at work for longer than a statement may take.
    #[error("the database needs more than {} ms for this", limit.as_millis())]
    TooSlow { limit: Duration },
    /// The tables and this program do not fit each other.
    #[error("{what}")]
    Schema { what: String },
    /// Anything else: a bug or a broken database.
    #[error("the database failed: {0}")]
    Other(String),
}

/// Objects that have to be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// The number is in use, by any tenant.
    Number,
    /// The tenant has a default profile already.
    DefaultProfile,
    /// The key is taken.
    Key,
    /// The number is in the inventory already.
    InventoryNumber,
    /// The tenant has a transfer target of this name already.
    TargetName,
    /// The API key has this one as its successor already.
    Successor(Uuid),
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duplicate::Number => f.write_str("this number is in use already"),
            Duplicate::DefaultProfile => f.write_str("the tenant has a default profile already"),
            Duplicate::InventoryNumber => f.write_str("this number is in the inventory already"),
            Duplicate::TargetName => f.write_str("the tenant has a transfer target of this name already"),
            Duplicate::Key => f.write_str("there is such a row already"),
            Duplicate::Successor(key) => write!(f, "this key was rotated already: its successor is {key}"),
        }
    }
}

impl StoreError {
    /// Whether the error is a state of the database rather than a fault of the statement.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            StoreError::Unavailable { .. } | StoreError::TooSlow { .. } | StoreError::Schema { .. }
        )
    }

    pub(super) fn no_answer(limit: Duration) -> StoreError {
        StoreError::Unavailable { what: format!("no response within {} ms", limit.as_millis()) }
    }

    pub(super) fn invalid(what: impl fmt::Display) -> StoreError {
        StoreError::Invalid { what: what.to_string() }
    }

    pub(crate) fn refused(code: &'static str, what: impl fmt::Display) -> StoreError {
        StoreError::Refused { code, what: what.to_string() }
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
            // The last one is an error of a connection that the database has closed during a transaction.
            Io(_)
            | Tls(_)
            | PoolTimedOut
            | PoolClosed
            | WorkerCrashed
            | Protocol(_)
            | BeginFailed
            | InvalidSavePointStatement => StoreError::Unavailable { what: error.to_string() },
            _ => StoreError::Other(error.to_string()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> StoreError {
    match error.kind() {
        ErrorKind::UniqueViolation => StoreError::Conflict { what: Duplicate::Key },
        ErrorKind::ForeignKeyViolation => {
            StoreError::invalid("it refers to a row that does not exist or belongs to another tenant")
        }
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
            tracing::info!(message = error.message(), "a value breaks a rule of the database");
            StoreError::invalid("a value breaks a rule of the data: it is empty, too long or out of range")
        }
        _ => match class(error) {
            Class::BadValue => StoreError::invalid("the database cannot keep such a value"),
            Class::Slow => StoreError::TooSlow { limit: Duration::ZERO },
            Class::Away => StoreError::Unavailable { what: error.to_string() },
        },
    }
}

/// A failure that is no violated constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The fault of the data: a NUL in a text, a year beyond the calendar, a value that is too big.
    BadValue,
    /// The statement was cancelled because it took too long.
    Slow,
    /// Anything else, unknown codes included.
    Away,
}

fn class(error: &dyn DatabaseError) -> Class {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        sqlite_class(&code)
    } else {
        postgres_class(&code)
    }
}

fn sqlite_class(code: &str) -> Class {
    const INTERRUPT: u32 = 9;
    const TOOBIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    const RANGE: u32 = 25;
    // The low byte of an extended code is the primary one.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(TOOBIG | CONSTRAINT | MISMATCH | RANGE) => Class::BadValue,
        Ok(INTERRUPT) => Class::Slow,
        _ => Class::Away,
    }
}

fn postgres_class(code: &str) -> Class {
    const QUERY_CANCELED: &str = "57014";
    match code.get(..2) {
        // Data exception, integrity constraint violation.
        Some("22" | "23") => Class::BadValue,
        _ if code == QUERY_CANCELED => Class::Slow,
        _ => Class::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_data_of_a_statement_are_its_own_fault() {
        for code in ["18", "19", "3091", "20", "25"] {
            assert_eq!(sqlite_class(code), Class::BadValue, "SQLite {code}");
        }
        for code in ["1", "3", "5", "517", "6", "8", "10", "522", "11", "13", "14", "23", "26", "", "x"] {
            assert_eq!(sqlite_class(code), Class::Away, "SQLite {code}");
        }
        for code in ["22021", "22P02", "23514", "23P01"] {
            assert_eq!(postgres_class(code), Class::BadValue, "PostgreSQL {code}");
        }
        for class in
            ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX", "P0", "ZZ"]
        {
            assert_eq!(postgres_class(&format!("{class}000")), Class::Away, "PostgreSQL {class}");
        }
        for code in ["57P01", "42501", "42P01", "28P01", "25006", "", "0"] {
            assert_eq!(postgres_class(code), Class::Away, "PostgreSQL {code}");
        }
        assert_eq!((sqlite_class("9"), postgres_class("57014")), (Class::Slow, Class::Slow));
    }
}
