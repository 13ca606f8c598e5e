//! The operator: the user of a command, as the audit log names them.
//!
//! The user and the login are those of the kernel. `SUDO_USER` is a variable that anyone can set, so it is only
//! quoted beside them.

use std::fs::read_to_string;

use crate::tenancy::Actor;

/// The kernel's value for a process that was not started by a login, such as a service.
const NO_LOGIN: u32 = u32::MAX;

/// Whoever runs the command: their user, their id, and the login that it began with.
pub fn actor() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    let login = read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse().ok());
    let users = read_to_string("/etc/passwd").unwrap_or_default();
    let sudo = std::env::var("SUDO_USER").ok();
    Actor::cli(&describe(uid, login, sudo.as_deref(), &users))
}

/// Such as `root (uid 0, login ann)`. `users` is a text like `/etc/passwd`.
fn describe(uid: u32, login: Option<u32>, sudo: Option<&str>, users: &str) -> String {
    let name = |id: u32| user(id, users).unwrap_or_else(|| id.to_string());
    let mut facts = vec![format!("uid {uid}")];
    let login = login.filter(|login| *login != NO_LOGIN).map(name);
    facts.extend(login.as_ref().map(|login| format!("login {login}")));
    let sudo = sudo.filter(|sudo| login.as_deref() != Some(*sudo)).map(printable);
    facts.extend(sudo.map(|sudo| format!("SUDO_USER {sudo}")));
    format!("{} ({})", name(uid), facts.join(", "))
}

fn user(id: u32, users: &str) -> Option<String> {
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut fields = fields.filter(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(id));
    fields.next().map(|fields| fields[0].to_owned())
}

/// A name that someone chose, short and without characters that would disturb a table.
fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";

    #[test]
    fn the_user_and_the_login_are_the_kernels() {
        let told = |uid, login, sudo| describe(uid, login, sudo, USERS);
        assert_eq!(told(0, Some(1000), Some("ann")), "root (uid 0, login ann)");
        assert_eq!(told(0, Some(1000), Some("bob")), "root (uid 0, login ann, SUDO_USER bob)");
        assert_eq!(told(1000, Some(NO_LOGIN), None), "ann (uid 1000)");
        assert_eq!(told(0, None, Some("b\nob")), "root (uid 0, SUDO_USER bob)");
        assert_eq!(told(77, Some(78), None), "77 (uid 77, login 78)");
    }
}
