//! The certificate of the admin port: without it the port is closed, while calls are served.

use super::Finding;
use super::daemon::Daemon;
use crate::admin::{Settings, Tls};

const REMEDY: &str = "put certificate and key in their places, readable by the daemon's group (docs/operations.md, TLS files): \
    they are taken up within a second, and calls are served meanwhile";

/// A closed port is the reason for a daemon that does not report. Where one reports, it has a certificate that may not be
/// readable by this user.
pub fn examine(daemon: Daemon, settings: &Settings) -> (Daemon, Option<Finding>) {
    match (daemon, Tls::load(&settings.tls)) {
        (Daemon::Unknown { .. }, Err(fault)) => {
            let port = settings.bind;
            let problem =
                format!("the admin port {port} is closed until its certificate can be used: {fault}");
            (Daemon::Unknown { problem, remedy: REMEDY.into() }, None)
        }
        (Daemon::Absent, Err(fault)) => {
            (Daemon::Absent, Some(Finding::fail("admin certificate", fault, REMEDY)))
        }
        (daemon, _) => (daemon, None),
    }
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
        let (_, finding) = examine(Daemon::Absent, &missing);
        assert!(format!("{finding:?}").contains("/no/such/file"), "{finding:?}");
        let refused = || Daemon::Unknown { problem: "reset".into(), remedy: String::new() };
        let (daemon, _) = examine(refused(), &missing);
        assert!(format!("{daemon:?}").contains("is closed until its certificate can be used"), "{daemon:?}");
        let (daemon, finding) = examine(refused(), &Settings::default());
        assert!(finding.is_none() && format!("{daemon:?}").contains("reset"), "{daemon:?}");
    }
}
