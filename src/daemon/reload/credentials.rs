//! Other credentials of Asterisk, the database and Redis, taken up while calls are live.
//!
//! Each login is tried first. While the former credentials work, others are taken only if they work too, so that a mistyped
//! password or host does no harm. Where neither works, the new ones are taken.

use secrecy::ExposeSecret;

use super::Targets;
use crate::ari::answer::Info;
use crate::ari::{self, AriError, Request};
use crate::config::Config;
use crate::state;
use crate::store::{self, Store};
use crate::transport::LoginAttempt;

/// The settings of the servers in use: those of the start, with the credentials that were taken up since.
pub struct ServersInUse {
    ari: ari::Settings,
    database: store::Settings,
    state: state::Settings,
}

/// The result of another user, password or URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialOutcome {
    Taken,
    /// The server refuses it, and the former one stays in use.
    Refused {
        problem: String,
    },
    /// It leads to another database, or Redis is added or removed, which takes a restart.
    AfterRestart,
}

/// An outcome and the keys that it is about.
pub type KeyOutcome = (&'static [&'static str], CredentialOutcome);

impl ServersInUse {
    pub fn of(config: &Config) -> ServersInUse {
        ServersInUse {
            ari: config.ari.clone(),
            database: config.database.clone(),
            state: config.state.clone(),
        }
    }

    /// Takes up the credentials of `config` where they differ from those in use.
    pub async fn take_up(&mut self, config: &Config, targets: &Targets) -> Vec<KeyOutcome> {
        let ari = self.ari(config, &targets.asterisk).await;
        let database = self.database(config, &targets.store, &targets.calls).await;
        let state = self.state(config, targets).await;
        let outcomes: [(&[&str], _); 3] = [
            (&["ari.username", "ari.password"], ari),
            (&["database.url"], database),
            (&["state.redis_url"], state),
        ];
        outcomes.into_iter().filter_map(|(keys, outcome)| Some((keys, outcome?))).collect()
    }

    /// `None` where nothing is different.
    async fn ari(&mut self, config: &Config, client: &ari::Client) -> Option<CredentialOutcome> {
        let (username, password) = (config.ari.username.clone(), config.ari.password.clone());
        let is_same =
            self.ari.username == username && self.ari.password.expose_secret() == password.expose_secret();
        if is_same {
            return None;
        }
        let new = ari::Settings { username, password, ..self.ari.clone() };
        if let Some(problem) = refusal(try_ari(&new), try_ari(&self.ari)).await {
            return Some(CredentialOutcome::Refused { problem });
        }
        Some(match client.set_login(&new) {
            Ok(()) => {
                self.ari = new;
                CredentialOutcome::Taken
            }
            Err(error) => CredentialOutcome::Refused { problem: error.to_string() },
        })
    }

    async fn database(&mut self, config: &Config, store: &Store, calls: &Store) -> Option<CredentialOutcome> {
        let new = store::Settings { url: config.database.url.clone(), ..self.database.clone() };
        if new.url.expose_secret() == self.database.url.expose_secret() {
            return None;
        }
        if !new.is_same_database(&self.database) {
            return Some(CredentialOutcome::AfterRestart);
        }
        if let Some(problem) = refusal(Store::try_login(&new), Store::try_login(&self.database)).await {
            return Some(CredentialOutcome::Refused { problem });
        }
        Some(match store.set_login(&new).and_then(|()| calls.set_login(&new)) {
            Ok(()) => {
                self.database = new;
                CredentialOutcome::Taken
            }
            Err(error) => CredentialOutcome::Refused { problem: error.to_string() },
        })
    }

    async fn state(&mut self, config: &Config, targets: &Targets) -> Option<CredentialOutcome> {
        let new = state::Settings { redis_url: config.state.redis_url.clone(), ..self.state.clone() };
        match (&self.state.redis_url, &new.redis_url) {
            (None, None) => return None,
            (Some(former), Some(new)) if former.expose_secret() == new.expose_secret() => return None,
            (Some(_), Some(_)) => {}
            _ => return Some(CredentialOutcome::AfterRestart),
        }
        if let Some(problem) = refusal(state::try_login(&new), state::try_login(&self.state)).await {
            return Some(CredentialOutcome::Refused { problem });
        }
        Some(match targets.state.set_server(&new).await {
            Ok(()) => {
                self.state = new;
                CredentialOutcome::Taken
            }
            Err(error) => CredentialOutcome::Refused { problem: error.to_string() },
        })
    }
}

/// Why the new credentials do not work. `None` where they do, or where the former ones do not work either.
async fn refusal(
    new: impl Future<Output = LoginAttempt>,
    former: impl Future<Output = LoginAttempt>,
) -> Option<String> {
    let problem = match new.await {
        LoginAttempt::Accepted => return None,
        LoginAttempt::Refused { problem } | LoginAttempt::Unanswered { problem } => problem,
    };
    (former.await == LoginAttempt::Accepted).then_some(problem)
}

async fn try_ari(settings: &ari::Settings) -> LoginAttempt {
    let client = match ari::Client::new(settings) {
        Ok(client) => client,
        Err(error) => return LoginAttempt::Refused { problem: error.to_string() },
    };
    match client.ask::<Info>(Request::info()).await {
        Ok(_) => LoginAttempt::Accepted,
        Err(error @ AriError::Status { code: 401 | 403, .. }) => {
            LoginAttempt::Refused { problem: error.to_string() }
        }
        Err(error) => LoginAttempt::Unanswered { problem: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn credentials_that_do_not_work_are_refused_while_the_former_ones_do() {
        let refused = || LoginAttempt::Refused { problem: "401".into() };
        let unanswered = || LoginAttempt::Unanswered { problem: "away".into() };
        let outcome = |new, former| refusal(ready(new), ready(former));
        assert_eq!(outcome(refused(), LoginAttempt::Accepted).await.as_deref(), Some("401"));
        assert_eq!(outcome(refused(), refused()).await, None, "neither works: the operator's latest counts");
        assert_eq!(outcome(refused(), unanswered()).await, None);
        assert_eq!(outcome(unanswered(), LoginAttempt::Accepted).await.as_deref(), Some("away"));
        assert_eq!(outcome(unanswered(), unanswered()).await, None);
        assert_eq!(outcome(LoginAttempt::Accepted, LoginAttempt::Accepted).await, None);
    }
}
