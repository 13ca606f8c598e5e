//! Roles, API keys, and the actors of changes.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TenantId;
use super::kinds::{id, words};

id!(
    /// An API key.
    KeyId
);

words!(
    /// `operator`: everything, for every tenant. `tenant_admin`: everything within one tenant except its status, its plan
    /// and its limits. `tenant_viewer`: reads within one tenant.
    Role {
        /// Everything, for every tenant.
        Operator = "operator",
        /// Everything for one tenant except the operator's decisions: its status, its plan, the roles of its keys.
        TenantAdmin = "tenant_admin",
        /// Reads the data of one tenant.
        TenantViewer = "tenant_viewer",
    }
);

/// Who makes a change. The audit log records it with the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Such as `key front-office (vca_1a2b3c4d)`, `cli root (uid 0, login ann)` or `system`.
    pub name: String,
    pub key: Option<KeyId>,
    /// The tenant of the key; absent for the operator and the daemon itself, which have no limit of changes.
    pub tenant: Option<TenantId>,
    /// The client's address.
    pub address: Option<IpAddr>,
    pub request: Option<String>,
    /// The attempt at a request with an `Idempotency-Key`, which is recorded with the change.
    pub attempt: Option<RequestAttempt>,
}

/// One attempt to carry out a request with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestAttempt {
    /// The record of the request.
    pub request: Uuid,
    pub id: Uuid,
}

impl Actor {
    /// The daemon itself.
    pub fn system() -> Actor {
        Actor {
            name: "system".to_owned(),
            key: None,
            tenant: None,
            address: None,
            request: None,
            attempt: None,
        }
    }

    /// The user who runs a command of this program on the machine.
    pub fn cli(user: &str) -> Actor {
        Actor { name: format!("cli {user}"), ..Actor::system() }
    }

    /// The holder of a key.
    pub fn key(key: &ApiKey) -> Actor {
        let name = format!("key {} ({})", key.name, key.prefix);
        Actor { name, key: Some(key.id), tenant: key.tenant_id, ..Actor::system() }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An API key without its secret; only a hash of the secret is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    pub id: KeyId,
    /// `null` for an operator's key.
    pub tenant_id: Option<TenantId>,
    pub role: Role,
    pub name: String,
    /// The first characters of the secret, to distinguish keys.
    pub prefix: String,
    /// Who created it, such as `cli root` or `key front-office (vca_1a2b3c4d)`.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// `null`: it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// Accurate to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether the key is valid at `now`.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
