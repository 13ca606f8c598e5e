//! TLS on the port: certificate and key from files, clients' certificates if they are asked for, and a new
//! certificate without a restart. Files that cannot be used at the start are waited for.
//!
//! It says which key of the settings is at fault and never what is in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use metrics::counter;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::signal::unix::Signal;
use tokio::time::{interval, sleep};
use tracing::{error, info, warn};

use super::TlsSettings;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why TLS cannot be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TlsError {
    /// The key of the settings, such as `admin.tls.key`.
    pub key: &'static str,
    pub problem: String,
}

/// The certificate in use, and its files.
#[derive(Clone)]
pub struct Tls {
    files: CertificateFiles,
    config: RustlsConfig,
}

/// The files of the settings.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Tls {
    /// Reads the files; `None` when TLS is not asked for.
    ///
    /// # Errors
    /// A file that cannot be read or is none of its kind, or a key that is not the certificate's.
    pub fn load(settings: &TlsSettings) -> Result<Option<Tls>, TlsError> {
        CertificateFiles::of(settings)?.map(CertificateFiles::load).transpose()
    }

    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Reloads the files, forever, when they change or on `sighup`. If new files cannot be used, the old ones
    /// stay in use.
    pub(super) async fn keep_fresh(&self, sighup: &mut Signal) {
        let mut ticks = interval(LOOK);
        let mut known = self.files.stamps();
        loop {
            let is_requested = tokio::select! {
                _ = ticks.tick() => false,
                _ = sighup.recv() => true,
            };
            let stamps = self.files.stamps();
            if is_requested || stamps != known {
                known = stamps;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match self.files.read() {
            Ok(config) => {
                self.config.reload_from_config(Arc::new(config));
                counter!("vca_tls_reloads_total", "outcome" => "taken_up").increment(1);
                info!("the admin port's certificate was read again");
            }
            // Half a pair may be there for a moment: the next change is taken up again.
            Err(error) => {
                counter!("vca_tls_reloads_total", "outcome" => "refused").increment(1);
                warn!(%error, "the admin port keeps its old certificate");
            }
        }
    }
}

impl CertificateFiles {
    /// `None` when TLS is not asked for. No file is opened.
    ///
    /// # Errors
    /// A certificate without a key, or the reverse.
    pub fn of(settings: &TlsSettings) -> Result<Option<CertificateFiles>, TlsError> {
        match (&settings.certificate, &settings.key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                Ok(Some(CertificateFiles { certificate, key, client_ca: settings.client_ca.clone() }))
            }
            (Some(_), None) => Err(fault("admin.tls.key", "the certificate's key is missing")),
            (None, Some(_)) => Err(fault("admin.tls.certificate", "the key's certificate is missing")),
        }
    }

    fn load(self) -> Result<Tls, TlsError> {
        let config = RustlsConfig::from_config(Arc::new(self.read()?));
        Ok(Tls { files: self, config })
    }

    /// Reads the files, at once and every second, until they can be used. Each new reason why not is logged.
    pub(super) async fn until_usable(self) -> Tls {
        let mut known = None;
        loop {
            match self.clone().load() {
                Ok(tls) => {
                    if known.is_some() {
                        info!("admin port open: its certificate can be used");
                    }
                    return tls;
                }
                Err(fault) if known.as_ref() == Some(&fault) => {}
                Err(fault) => {
                    error!(%fault, "admin port closed: its certificate cannot be used; calls are served meanwhile");
                    known = Some(fault);
                }
            }
            sleep(LOOK).await;
        }
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates("admin.tls.certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable("admin.tls.key", &self.key, &error))?;
        let builder = match &self.client_ca {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots(path)?)).build();
                let verifier = verifier.map_err(|error| fault("admin.tls.client_ca", error.to_string()))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| fault("admin.tls.key", format!("key and certificate do not fit: {error}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// When each file was last written.
    fn stamps(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        files.into_iter().flatten().map(written).collect()
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    const KEY: &str = "admin.tls.client_ca";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(KEY, path)? {
        roots.add(certificate).map_err(|error| fault(KEY, error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(key, path, &error))?;
    if found.is_empty() {
        return Err(fault(key, format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

fn unreadable(key: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    fault(key, format!("{} cannot be used: {error}", path.display()))
}

fn fault(key: &'static str, problem: impl Into<String>) -> TlsError {
    TlsError { key, problem: problem.into() }
}
