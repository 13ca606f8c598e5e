//! A PostgreSQL of a test's own that takes TLS connections alone.

use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;

use super::authority::Issued;
use super::sandbox::{Program, RunFolder, Sandbox};
use super::{ports, wait};

const SERVER: &str = "postgres";
/// Clients of the database `template1` have to show a certificate of `ca.pem`.
const ACCESS: &str = "hostssl postgres vca 127.0.0.1/32 trust\n\
    hostssl template1 vca 127.0.0.1/32 trust clientcert=verify-ca\n";

/// A running PostgreSQL; stopped, and its folder deleted, when dropped.
#[derive(Debug)]
pub struct Postgres {
    _program: Program,
    _folder: RunFolder,
    pub port: u16,
}

impl Postgres {
    /// Starts one and waits until it takes connections. Its user `vca` has no password.
    ///
    /// # Panics
    /// When it does not within 30 seconds; with its output.
    pub fn start(sandbox: &Sandbox, certificate: &Issued, client_ca: &str) -> Postgres {
        let folder = sandbox.run_folder("postgres");
        let port = ports::free();
        folder.write("ca.pem", client_ca);
        folder.write("certificate.pem", &certificate.certificate);
        folder.write("key.pem", &certificate.key);
        folder.write("access.conf", ACCESS);
        let programs = programs(sandbox);
        let inside = folder.inside.clone();
        own(sandbox, &folder);
        let data = format!("{inside}/data");
        let initdb = [
            &*format!("{programs}/initdb"),
            "-D",
            &data,
            "-U",
            "vca",
            "-N",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ];
        let made = sandbox.command_as(SERVER, &initdb).output().expect("chroot can be started");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={inside}/certificate.pem"),
            format!("ssl_key_file={inside}/key.pem"),
            format!("ssl_ca_file={inside}/ca.pem"),
            format!("hba_file={inside}/access.conf"),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        let port_text = port.to_string();
        let server = format!("{programs}/postgres");
        let mut args = vec!["-D", &data, "-p", &port_text, "-k", &inside];
        args.extend(settings.iter().flat_map(|setting| ["-c", setting.as_str()]));
        let program = sandbox.start_as(SERVER, &folder, &server, &args);
        // It listens before it lets anyone in.
        let asks = [&*format!("{programs}/pg_isready"), "-q", "-h", &inside, "-p", &port_text];
        let is_ready = || sandbox.command_as(SERVER, &asks).status().is_ok_and(|status| status.success());
        assert!(
            wait::until_true(Duration::from_secs(30), is_ready),
            "PostgreSQL did not start: {}",
            folder.read("output")
        );
        Postgres { _program: program, _folder: folder, port }
    }
}

/// The folder of the server's programs, as seen from inside; it is named for the version.
fn programs(sandbox: &Sandbox) -> String {
    let versions =
        std::fs::read_dir(sandbox.outside("/usr/lib/postgresql")).expect("the sandbox has PostgreSQL");
    let version = versions.flatten().next().expect("one version").file_name();
    format!("/usr/lib/postgresql/{}/bin", version.to_string_lossy())
}

/// Gives the folder to the server's user. Only root can, and only root has to: others run the server themselves.
fn own(sandbox: &Sandbox, folder: &RunFolder) {
    use std::os::unix::fs::PermissionsExt;
    let key = folder.path("key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("our file");
    if !geteuid().is_root() {
        return;
    }
    let user = sandbox.user_id(SERVER);
    let give = |path: &Path| chown(path, Some(user), None).expect("root can");
    give(&folder.outside);
    for name in ["ca.pem", "certificate.pem", "key.pem", "access.conf"] {
        give(&folder.path(name));
    }
}
