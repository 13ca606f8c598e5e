//! Another user or password for the same database, from a moment at which connections are open.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::connect::postgres_options;
use super::pool::Pool;
use super::{Settings, Store, StoreError};
use crate::transport::LoginAttempt;

impl Settings {
    /// Whether both URLs lead to the same database, with whatever user and password.
    pub fn is_same_database(&self, other: &Settings) -> bool {
        let (url, other_url) = (self.url.expose_secret(), other.url.expose_secret());
        if !(url.starts_with("postgres") && other_url.starts_with("postgres")) {
            return url == other_url;
        }
        let options = |settings: &Settings| postgres_options(settings).ok();
        options(self).zip(options(other)).is_some_and(|(one, two)| address(&one) == address(&two))
    }
}

/// Host, port, socket and name.
fn address(options: &PgConnectOptions) -> (String, u16, Option<PathBuf>, String) {
    let name = options.get_database().unwrap_or(options.get_username());
    (options.get_host().to_owned(), options.get_port(), options.get_socket().cloned(), name.to_owned())
}

impl Store {
    /// Logs in with the user and password of `settings`, on a connection of its own. An SQLite file needs no login.
    pub async fn try_login(settings: &Settings) -> LoginAttempt {
        if !settings.url.expose_secret().starts_with("postgres") {
            return LoginAttempt::Accepted;
        }
        let options = match postgres_options(settings) {
            Ok(options) => options,
            Err(error) => return LoginAttempt::Unanswered { problem: error.to_string() },
        };
        let limit = Duration::from_millis(settings.acquire_timeout_ms);
        match tokio::time::timeout(limit, options.connect()).await {
            Ok(Ok(connection)) => {
                // The login was accepted; a failure to close changes nothing.
                let _ = connection.close().await;
                LoginAttempt::Accepted
            }
            Ok(Err(error)) if is_refusal(&error) => LoginAttempt::Refused { problem: error.to_string() },
            Ok(Err(error)) => LoginAttempt::Unanswered { problem: error.to_string() },
            Err(_) => LoginAttempt::Unanswered { problem: StoreError::no_answer(limit).to_string() },
        }
    }

    /// Uses the user and password of `settings` for connections that are opened from now on. Open ones stay in use.
    ///
    /// # Errors
    /// `Invalid` for a URL that cannot be understood, or of another kind of database.
    pub fn set_login(&self, settings: &Settings) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Postgres(pool) => {
                pool.set_connect_options(postgres_options(settings)?);
                Ok(())
            }
            Pool::Sqlite(_) => Err(StoreError::invalid("an SQLite file has no login")),
        }
    }
}

/// Invalid authorization specification, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|reported| reported.code()).unwrap_or_default();
    code.starts_with("28")
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn at(url: &str) -> Settings {
        Settings { url: SecretString::from(url), ..Settings::default() }
    }

    #[test]
    fn a_database_is_the_same_whoever_logs_in() {
        let is_same = |one: &str, two: &str| at(one).is_same_database(&at(two));
        assert!(is_same("postgres://a:x@db:5432/vca", "postgresql://b:y@db/vca?sslmode=require"));
        assert!(is_same("sqlite:vca.db", "sqlite:vca.db"));
        for (one, two) in [
            ("postgres://a:x@db/vca", "postgres://a:x@db/other"),
            ("postgres://a:x@db/vca", "postgres://a:x@other/vca"),
            ("postgres://a:x@db/vca", "postgres://a:x@db:5433/vca"),
            ("postgres://a:x@db", "postgres://b:x@db"),
            ("postgres://a:x@db/vca", "sqlite:vca.db"),
            ("sqlite:vca.db", "sqlite:other.db"),
        ] {
            assert!(!is_same(one, two), "{one} and {two}");
        }
    }
}
