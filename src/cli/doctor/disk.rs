//! Free space where the SQLite database is. Without it, records of calls wait in memory and are lost in the end.

use std::path::Path;

use super::Finding;
use crate::store::Settings;

const MIB: u64 = 1024 * 1024;
/// About 6 kB a call: 150,000 calls.
const ENOUGH: u64 = 1024 * MIB;
/// SQLite needs room for its write-ahead log.
const LEAST: u64 = 64 * MIB;

/// Nothing where the database is a server: its disk cannot be examined from here.
pub fn examine(settings: &Settings) -> Option<Finding> {
    let file = settings.file()?;
    let file = std::path::absolute(file).ok()?;
    let folder = file.parent()?;
    Some(match free(folder) {
        Ok(free) => verdict(folder, free),
        Err(error) => Finding::warn(CHECK, format!("{}: {error}", folder.display()), "create the folder"),
    })
}

const CHECK: &str = "disk space";

/// The bytes of this file system that are free for programs other than root's.
fn free(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn verdict(folder: &Path, free: u64) -> Finding {
    let seen = format!("{} MiB are free in {}", free / MIB, folder.display());
    let remedy = "free space, or move the database; records of calls wait in memory meanwhile, and are lost beyond 20,000";
    match free {
        LEAST.. if free >= ENOUGH => Finding::ok(CHECK, seen),
        LEAST.. => Finding::warn(CHECK, seen, remedy),
        _ => Finding::fail(CHECK, seen, remedy),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let verdict = |free| verdict(Path::new("/var/lib/vca"), free).verdict;
        assert!(matches!(verdict(2_048 * MIB), Verdict::Ok { .. }));
        assert!(matches!(verdict(500 * MIB), Verdict::Warn { .. }));
        let Verdict::Fail { problem, .. } = verdict(3 * MIB) else { panic!("a full disk") };
        assert_eq!(problem, "3 MiB are free in /var/lib/vca");
    }

    #[test]
    fn the_folder_of_an_sqlite_file_is_looked_at() {
        let at = |url: &str| examine(&Settings { url: SecretString::from(url), ..Settings::default() });
        assert!(format!("{:?}", at("sqlite:/proc/x.db")).contains("in /proc"));
        assert!(format!("{:?}", at("sqlite:/no/such/folder/x.db")).contains("create the folder"));
        assert_eq!(at("postgres://localhost/vca"), None);
    }
}
