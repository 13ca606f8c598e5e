//! Whom a TLS connection to Asterisk trusts: the certificates that the system trusts, a site's own included.
//!
//! Requests and the event WebSocket share it.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The configuration for an `https` URL, or else one that trusts nobody: it needs no certificates on the
/// machine, and a fresh machine has none.
pub(super) fn config(secure: bool) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = if secure {
        builder.with_platform_verifier()?.with_no_client_auth()
    } else {
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    Ok(Arc::new(config))
}
