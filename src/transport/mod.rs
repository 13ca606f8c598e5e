//! Protecting connections to other servers: which hosts are on this machine, and TLS with files of the operator's.
//!
//! Asterisk, Redis and PostgreSQL are reached by these rules. It opens no connection.

mod place;
mod tls;

pub use place::{Place, place};
pub use tls::{TlsFileError, TlsFiles, client_config};
