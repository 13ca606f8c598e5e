//! TLS to Asterisk. Requests and the event WebSocket share it.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::Settings;
use crate::transport::{TlsFileError, client_config};

/// The configuration for an `https` URL. For `http` it trusts no authority: the HTTP client wants a configuration in any
/// case, and a fresh machine has no certificates to trust.
pub(super) fn config(settings: &Settings, secure: bool) -> Result<Arc<ClientConfig>, TlsFileError> {
    if secure {
        return client_config(&settings.tls).map(Arc::new);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFileError { key: "ca", problem: error.to_string() })?;
    Ok(Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}
