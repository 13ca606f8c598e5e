//! Namespaces of the kernel, in which a test mounts file systems that nothing else sees.

use std::process::{Command, Stdio};

/// The option of `unshare` for a mount namespace, with a user namespace where this user may not mount otherwise. `None`,
/// after a message on standard error, where neither is permitted and nothing is required.
pub fn mount_namespace() -> Option<&'static str> {
    let is_permitted = |option: &&str| {
        let mut command = Command::new("unshare");
        command.args([option, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["-m", "-rm"].into_iter().find(is_permitted);
    if found.is_none() {
        let problem = "neither `unshare -m` nor `unshare -rm` can mount a tmpfs here: run as root, or permit \
            unprivileged user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0)";
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "{problem}");
        eprintln!("skipped: {problem}");
    }
    found
}
