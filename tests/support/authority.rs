//! A certificate authority of a test's own.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use uuid::Uuid;

/// An authority and a folder for its certificates, `ca.pem` first; the folder is deleted when dropped.
#[derive(Debug)]
pub struct Authority {
    pub folder: PathBuf,
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let folder = std::env::temp_dir().join(format!("vca-tls-{}", Uuid::now_v7()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        // OpenSSL takes a certificate with the name of its issuer for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", Uuid::now_v7()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.join("ca.pem"), &pem).expect("a file");
        Authority { folder, pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host name or an address.
    pub fn issue(&self, host: &str) -> Issued {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, host);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The file of the authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Writes a new certificate and its key to the folder: their paths.
    pub fn install(&self, host: &str) -> (PathBuf, PathBuf) {
        let Issued { certificate, key } = self.issue(host);
        let paths = (self.folder.join("certificate.pem"), self.folder.join("key.pem"));
        fs::write(&paths.1, key).expect("a file");
        fs::write(&paths.0, certificate).expect("a file");
        paths
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
