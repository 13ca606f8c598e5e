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

pub(super) fn is_here(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The response of the resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lookup {
    took: Duration,
    is_known: bool,
}

/// `None` when there is no response within the limit.
async fn look_up(name: String) -> Option<Lookup> {
    let (done, answer) = oneshot::channel();
    // In a thread of its own, because a look-up cannot be cancelled and the program should not wait for it.
    std::thread::spawn(move || {
        let begun = Instant::now();
        let is_known = (name, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
        let _ = done.send(Lookup { took: begun.elapsed(), is_known });
    });
    timeout(LIMIT, answer).await.ok()?.ok()
}

fn verdict(name: &str, lookup: Option<Lookup>) -> Finding {
    let wait = "Asterisk looks it up while it answers, and callers wait";
    let remedy = format!("add a line to /etc/hosts: 127.0.1.1 {name}");
    match lookup {
        Some(Lookup { took, is_known: true }) if took < SLOW => {
            Finding::ok(CHECK, format!("{name} is looked up in {} ms", took.as_millis()))
        }
        Some(Lookup { took, is_known: false }) if took < SLOW => Finding::note(
            CHECK,
            format!(
                "{name} has no address, which the resolver says within {} ms: no caller waits",
                took.as_millis()
            ),
        ),
        Some(Lookup { took, .. }) => {
            Finding::warn(CHECK, format!("looking up {name} takes {} ms: {wait}", took.as_millis()), remedy)
        }
        None => {
            let problem = format!("looking up {name} takes longer than {} s: {wait}", LIMIT.as_secs());
            Finding::fail(CHECK, problem, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_slow_name_is_found_and_an_unknown_one_is_not_called_known() {
        let lookup = |ms, is_known| Some(Lookup { took: Duration::from_millis(ms), is_known });
        for is_known in [true, false] {
            let Verdict::Warn { remedy, .. } = verdict("pbx", lookup(800, is_known)).verdict else {
                panic!()
            };
            assert!(remedy.ends_with("127.0.1.1 pbx"), "{remedy}");
        }
        let Verdict::Fail { remedy, .. } = verdict("pbx", None).verdict else { panic!("it never ends") };
        assert!(remedy.ends_with("127.0.1.1 pbx"), "{remedy}");
        assert_eq!(verdict("pbx", lookup(3, true)), Finding::ok(CHECK, "pbx is looked up in 3 ms"));
        let Verdict::Note { seen } = verdict("pbx", lookup(0, false)).verdict else {
            panic!("it is unknown")
        };
        assert!(seen.contains("pbx has no address"), "{seen}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_looked_up_and_not_known() {
        // RFC 6761: no name below `invalid` exists. A resolver that cannot be reached is no response in time.
        assert!(look_up("no-such-host.invalid".into()).await.is_none_or(|lookup| !lookup.is_known));
        assert!(look_up("localhost".into()).await.is_some_and(|lookup| lookup.is_known));
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
