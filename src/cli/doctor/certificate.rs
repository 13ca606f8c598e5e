//! The certificate of the admin port: without it the port is closed, while calls are served.

use super::Finding;
use super::daemon::Daemon;
use crate::admin::{Settings, Tls};

const REMEDY: &str = "put certificate and key in their places, readable by the daemon's group (docs/operations.md, TLS files): \
    they are taken up within a second, and calls are served meanwhile";

/// The reason for a port that closes its connections, where it is the certificate.
pub fn closed_port(settings: &Settings) -> Option<Daemon> {
    let fault = Tls::load(&settings.tls).err()?;
    let problem =
        format!("the admin port {} is closed until its certificate can be used: {fault}", settings.bind);
    Some(Daemon::Unknown { problem, remedy: REMEDY.into() })
}

/// The fault of a certificate that the daemon will need.
pub fn fault(settings: &Settings) -> Option<Finding> {
    let fault = Tls::load(&settings.tls).err()?;
    Some(Finding::fail("admin certificate", fault, REMEDY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::TlsSettings;

    #[test]
    fn a_certificate_that_is_not_there_is_named() {
        let tls = TlsSettings {
            certificate: Some("/no/such/file".into()),
            key: Some("/no/such/key".into()),
            ..TlsSettings::default()
        };
        let missing = Settings { tls, ..Settings::default() };
        let finding = fault(&missing);
        assert!(format!("{finding:?}").contains("/no/such/file"), "{finding:?}");
        let daemon = closed_port(&missing);
        assert!(format!("{daemon:?}").contains("is closed until its certificate can be used"), "{daemon:?}");
        assert!(fault(&Settings::default()).is_none() && closed_port(&Settings::default()).is_none());
    }
}
