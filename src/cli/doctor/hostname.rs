//! This machine's own name: Asterisk looks it up while it answers a call, and the caller waits with it.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Finding;
use crate::ari::Settings;

const CHECK: &str = "own hostname";

/// A resolver that knows the name, or knows that there is none, says so within milliseconds.
const SLOW: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(2);

/// Nothing where Asterisk is on another machine with a resolver that cannot be tried from here.
pub async fn examine(asterisk: &Settings) -> Option<Finding> {
    if !is_here(&asterisk.url) {
        return None;
    }
    let name = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await.ok()?;
    let name = name.trim();
    Some(verdict(name, look_up(name.to_owned()).await))
}

fn is_here(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The duration of the look-up, successful or not; `None` when it exceeds the limit.
async fn look_up(name: String) -> Option<Duration> {
    let (done, answer) = oneshot::channel();
    // In a thread of its own, because a look-up cannot be cancelled and the program should not wait for it.
    std::thread::spawn(move || {
        let begun = Instant::now();
        let _ = (name, 0).to_socket_addrs();
        let _ = done.send(begun.elapsed());
    });
    timeout(LIMIT, answer).await.ok()?.ok()
}

fn verdict(name: &str, took: Option<Duration>) -> Finding {
    let told = match took {
        Some(took) if took < SLOW => {
            return Finding::ok(CHECK, format!("{name} is looked up in {} ms", took.as_millis()));
        }
        Some(took) => format!("takes {} ms", took.as_millis()),
        None => format!("takes longer than {} s", LIMIT.as_secs()),
    };
    let problem = format!("looking up {name} {told}: Asterisk does so while it answers, and callers wait");
    Finding::warn(CHECK, problem, format!("add a line to /etc/hosts: 127.0.1.1 {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_slow_name_is_warned_of() {
        let slow = [Some(Duration::from_millis(800)), None];
        for took in slow {
            let Verdict::Warn { remedy, .. } = verdict("pbx", took).verdict else { panic!("{took:?}") };
            assert!(remedy.ends_with("127.0.1.1 pbx"), "{remedy}");
        }
        let quick = verdict("pbx", Some(Duration::from_millis(3)));
        assert_eq!(quick, Finding::ok(CHECK, "pbx is looked up in 3 ms"));
    }

    #[test]
    fn only_an_asterisk_on_this_machine_shares_its_resolver() {
        for (url, here) in [
            ("http://127.0.0.1:8088", true),
            ("https://localhost:8089/pbx", true),
            ("http://[::1]:8088", true),
            ("http://192.0.2.1:8088", false),
            ("http://pbx.example:8088", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_here(url), here, "{url}");
        }
    }
}
