//! Secrets that stand in files of their own: mounted secrets, systemd credentials.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Longer than any password, key or URL, in bytes.
const LARGEST: u64 = 16 * 1024;

/// Reads a secret. One line break at the end is not part of it.
///
/// # Errors
/// The problem of the file, without its content.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    // Checked before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{shown} has more than {LARGEST} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err(format!("{shown} is empty")),
        secret => Ok(secret.to_owned()),
    }
}

/// May every user of this machine read the file?
pub(super) fn is_public(path: &Path) -> bool {
    let readable = |metadata: Metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0;
    std::fs::metadata(path).is_ok_and(readable)
}
