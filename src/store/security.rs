//! Whether the database itself separates tenants. PostgreSQL does, by row-level security, unless the daemon's role is
//! above it.

use super::pool::Pool;
use super::{Store, StoreError};

/// The database's own isolation of tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// SQLite has none: only this program's scopes separate tenants.
    ProgramOnly,
    /// Row-level security, forced for this role. One that owns the tables could switch it off.
    Enforced { role: String, owns_tables: bool },
    /// Row-level security that this role bypasses.
    Bypassed { role: String, why: Bypass },
}

/// Why a role bypasses row-level security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    Superuser,
    Attribute,
}

impl Isolation {
    /// The weakness, and the remedy.
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
        const SQL: &str = "SELECT r.rolname::text, r.rolsuper, r.rolbypassrls, \
            COALESCE((SELECT pg_has_role(current_user, c.relowner, 'USAGE') FROM pg_catalog.pg_class c \
            WHERE c.oid = to_regclass('calls')), FALSE) FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
        let row: (String, bool, bool, bool) = self.within(sqlx::query_as(SQL).fetch_one(pool)).await?;
        Ok(match row {
            (role, true, ..) => Isolation::Bypassed { role, why: Bypass::Superuser },
            (role, false, true, _) => Isolation::Bypassed { role, why: Bypass::Attribute },
            (role, false, false, owns_tables) => Isolation::Enforced { role, owns_tables },
        })
    }
}
