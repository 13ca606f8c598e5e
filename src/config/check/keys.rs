//! Certificates and keys: files that TLS uses, and keys that seal.

use crate::sealing::Settings;
use crate::transport::{TlsFileError, TlsFiles};
use crate::violation::Violation;

/// Complains of files that TLS to a server cannot use.
pub(super) fn files(section: &str, files: &TlsFiles) -> Option<Violation> {
    let TlsFileError { key, problem } = files.check().err()?;
    let remedy =
        "name PEM files that this user can read: a CA's certificates, a certificate with its chain, its key";
    Some(Violation::with_remedy(format!("{section}.tls.{key}"), problem, remedy))
}

/// Complains of files for a connection that does not use TLS.
pub(super) fn unused(section: &str, files: &TlsFiles, uses_tls: bool, scheme: &str) -> Option<Violation> {
    let key = [("ca", &files.ca), ("certificate", &files.certificate), ("key", &files.key)];
    let (key, _) = key.into_iter().find(|(_, file)| file.is_some()).filter(|_| !uses_tls)?;
    let problem = "the URL of this section does not use TLS";
    Some(Violation::with_remedy(
        format!("{section}.tls.{key}"),
        problem,
        format!("use a URL with {scheme}, or remove it"),
    ))
}

/// Complains of a text that is no key.
pub(super) fn seal(settings: &Settings) -> Option<Violation> {
    let (key, error) = settings.keyring().err()?;
    Some(Violation::with_remedy(
        format!("seal.{key}"),
        error.to_string(),
        "make one with `openssl rand -base64 32`",
    ))
}
