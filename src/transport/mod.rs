//! Protection of connections to other servers: the place of a host, TLS with the operator's files, and logins.
//!
//! The clients of Asterisk, Redis and PostgreSQL use these rules. Opens no connections.

mod login;
mod place;
mod tls;

pub use login::LoginAttempt;
pub use place::{HostPlace, place};
pub use tls::{TlsFileError, TlsFiles, client_config};
