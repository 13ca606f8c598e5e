//! Whether an output of this process is the systemd journal's.

use std::os::fd::AsFd;

/// By `JOURNAL_STREAM`, which has the device and inode of the output that systemd connected (systemd.exec(5)).
pub fn is_journal(output: impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(output) else { return false };
    is_stream(&stream, stat.st_dev, stat.st_ino)
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let Some((first, second)) = stream.split_once(':') else { return false };
    first.parse() == Ok(device) && second.parse() == Ok(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_named_by_device_and_inode() {
        assert!(is_stream("9:12345", 9, 12_345));
        for other in ["9:1", "8:12345", "9", "", "x:y", "9:12345:1"] {
            assert!(!is_stream(other, 9, 12_345), "{other}");
        }
    }
}
