//! Protection of connections to other servers: the place of a host, and TLS with the operator's files.
//!
//! The clients of Asterisk, Redis and PostgreSQL use these rules. Opens no connections.

mod place;
mod tls;

pub use place::{HostPlace, place};
pub use tls::{TlsFileError, TlsFiles, client_config};
