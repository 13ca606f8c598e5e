//! Does the database itself keep tenants apart? PostgreSQL does, by row-level security, unless the daemon's role is
//! above it.

use super::pool::Pool;
use super::{Store, StoreError};

/// What holds tenants apart below this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// SQLite has no such thing: this program's own scopes have to do.
    ProgramOnly,
    /// Row-level security, forced for this role.
    Enforced,
    /// Row-level security that this role is above.
    Bypassed { role: String, why: Bypass },
}

/// Why a role is above row-level security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    Superuser,
    Attribute,
}

impl Isolation {
    /// What is wrong, and what to do about it.
    pub fn weakness(&self) -> Option<String> {
        let Isolation::Bypassed { role, why } = self else { return None };
        let why = match why {
            Bypass::Superuser => "is a superuser",
            Bypass::Attribute => "has BYPASSRLS",
        };
        Some(format!(
            "the role {role} {why}; make one that is neither (create role vca login nosuperuser nobypassrls), give it \
             the database's tables, and name it in database.url"
        ))
    }
}

impl Store {
    pub async fn isolation(&self) -> Result<Isolation, StoreError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(Isolation::ProgramOnly) };
        const SQL: &str = "SELECT rolname::text, rolsuper, rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let row: (String, bool, bool) = self.within(sqlx::query_as(SQL).fetch_one(pool)).await?;
        Ok(match row {
            (role, true, _) => Isolation::Bypassed { role, why: Bypass::Superuser },
            (role, false, true) => Isolation::Bypassed { role, why: Bypass::Attribute },
            (_, false, false) => Isolation::Enforced,
        })
    }
}
