//! TLS as a client: trusted authorities and client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;

/// PEM files for the connections to one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificates of the trusted authorities, instead of those of the system. Default: none.
    pub ca: Option<PathBuf>,
    /// The client certificate, with its intermediate certificates. Default: none.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key: PKCS #8, PKCS #1 or SEC 1. Default: none.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// Those of [`client_config`], except for the system's authorities, which are not read.
    pub fn check(&self) -> Result<(), TlsFileError> {
        let roots = self.ca.as_deref().map_or_else(|| Ok(RootCertStore::empty()), roots)?;
        identify(builder()?.with_root_certificates(roots), self).map(|_| ())
    }
}

/// A file that TLS cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tls.{key}: {problem}")]
pub struct TlsFileError {
    /// `ca`, `certificate` or `key`.
    pub key: &'static str,
    pub problem: String,
}

/// The TLS configuration of connections to one server.
///
/// # Errors
/// When a file cannot be read or is not PEM, a certificate has no key or a key no certificate, key and certificate
/// do not match, or `ca` is unset and the system has no trusted authorities.
pub fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsFileError> {
    let builder = match &files.ca {
        Some(path) => builder()?.with_root_certificates(roots(path)?),
        None => builder()?.with_platform_verifier().map_err(|error| invalid("ca", error))?,
    };
    identify(builder, files)
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsFileError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.map_err(|error| invalid("ca", error))
}

fn identify(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    files: &TlsFiles,
) -> Result<ClientConfig, TlsFileError> {
    match (&files.certificate, &files.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err(invalid("key", "the certificate's key is missing")),
        (None, Some(_)) => Err(invalid("certificate", "the key's certificate is missing")),
        (Some(certificate), Some(path)) => {
            let chain = certificates("certificate", certificate)?;
            let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable("key", path, &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| invalid("key", format!("key and certificate do not match: {error}")))
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", path)? {
        roots.add(certificate).map_err(|error| invalid("ca", format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(key, path, &error))?;
    if found.is_empty() {
        return Err(invalid(key, format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

fn unreadable(key: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> TlsFileError {
    invalid(key, format!("{} cannot be used: {error}", path.display()))
}

fn invalid(key: &'static str, problem: impl ToString) -> TlsFileError {
    TlsFileError { key, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let path = std::env::temp_dir().join(format!("vca-transport-{:016x}", rand::random::<u64>()));
            std::fs::create_dir_all(&path).expect("a folder");
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) -> Option<PathBuf> {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("a file");
            Some(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    /// The key that an unusable set of files is reported under.
    fn refused(files: TlsFiles) -> &'static str {
        client_config(&files).expect_err("unusable files").key
    }

    #[test]
    fn each_unusable_file_is_named() {
        let folder = Folder::new();
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        let ca = folder.write("ca.pem", &certificate);
        let certificate = folder.write("certificate.pem", &certificate);
        let key = folder.write("key.pem", &key);
        let other_key = folder.write("other.pem", &other_key);
        let empty = folder.write("empty.pem", "");
        let files = || TlsFiles { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() };
        assert!(client_config(&files()).is_ok());
        assert!(client_config(&TlsFiles { certificate: None, key: None, ..files() }).is_ok());
        assert_eq!(refused(TlsFiles { ca: empty.clone(), ..files() }), "ca");
        assert_eq!(refused(TlsFiles { ca: Some("/no/such/file".into()), ..files() }), "ca");
        assert_eq!(refused(TlsFiles { certificate: empty.clone(), ..files() }), "certificate");
        assert_eq!(refused(TlsFiles { certificate: None, ..files() }), "certificate");
        assert_eq!(refused(TlsFiles { key: None, ..files() }), "key");
        assert_eq!(refused(TlsFiles { key: empty, ..files() }), "key");
        assert_eq!(refused(TlsFiles { key: other_key, ..files() }), "key");
    }
}
