//! Clocks: that of this machine against those of Asterisk and of the engines' servers, by the `Date` of their responses.
//!
//! With a wrong clock records and bills have wrong times, and certificates and signatures of webhooks are refused.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::DATE;

use super::Finding;
use crate::config::Config;

/// A response has whole seconds and was in progress for a while.
const TOLERANCE: TimeDelta = TimeDelta::seconds(10);
/// Signatures of webhooks and time-limited tokens are refused beyond this.
const LIMIT: TimeDelta = TimeDelta::minutes(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Compares this machine's clock with those of the servers that are used. No key or password is sent.
pub async fn examine(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let Some(client) = client() else { return Vec::new() };
    let engines = servers(config).into_iter().map(|url| (url.clone(), url));
    let asterisk = ("Asterisk".to_owned(), config.ari.url.clone());
    let mut compared = Vec::new();
    let mut findings = Vec::new();
    for (name, url) in std::iter::once(asterisk).chain(engines) {
        let Some(skew) = skew(&client, &url).await else { continue };
        match judge(CHECK, &format!("this machine's clock is {} that of {name}", apart(-skew)), skew) {
            Some(finding) => findings.push(finding),
            None => compared.push(name),
        }
    }
    if findings.is_empty() && !compared.is_empty() {
        findings.push(Finding::ok(CHECK, format!("agrees with that of {}", compared.join(", "))));
    }
    findings
}

/// The daemon's clock against this program's: they differ where one runs under a faked time or on another machine.
pub fn daemon(skew: TimeDelta) -> Option<Finding> {
    judge("daemon's clock", &format!("it is {} this program's", apart(skew)), skew)
}

fn judge(check: &str, problem: &str, skew: TimeDelta) -> Option<Finding> {
    const REMEDY: &str = "synchronise the clocks: timedatectl set-ntp true; timedatectl timesync-status";
    match skew.abs() {
        skew if skew <= TOLERANCE => None,
        skew if skew <= LIMIT => Some(Finding::warn(check, problem, REMEDY)),
        _ => Some(Finding::fail(check, problem, REMEDY)),
    }
}

/// Such as `40 d ahead of` or `12 s behind`.
fn apart(skew: TimeDelta) -> String {
    let side = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    match skew.abs() {
        skew if skew.num_days() > 1 => format!("{} d {side}", skew.num_days()),
        skew if skew.num_minutes() > 1 => format!("{} min {side}", skew.num_minutes()),
        skew => format!("{} s {side}", skew.num_seconds()),
    }
}

/// Certificates are not verified: a wrong clock is a reason for that to fail, and nothing secret is sent.
fn client() -> Option<reqwest::Client> {
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).timeout(REQUEST_TIMEOUT);
    builder.no_proxy().redirect(reqwest::redirect::Policy::none()).build().ok()
}

/// The servers of all engines.
fn servers(config: &Config) -> BTreeSet<String> {
    let engines = config.engines();
    let (stt, llm, tts) = (engines.stt_entries(), engines.llm_entries(), engines.tts_entries());
    let servers = stt.iter().map(|entry| entry.server());
    let servers =
        servers.chain(llm.iter().map(|entry| entry.server())).chain(tts.iter().map(|entry| entry.server()));
    servers.flatten().filter(|server| server.is_complete()).map(|server| server.base_url.clone()).collect()
}

/// How far another machine's clock is ahead of ours; `None` where it does not say.
async fn skew(client: &reqwest::Client, url: &str) -> Option<TimeDelta> {
    let asked_at = Utc::now();
    let response = client.head(url).send().await.ok()?;
    let here = asked_at + (Utc::now() - asked_at) / 2;
    let date = response.headers().get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc() - here)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn clocks_that_differ_are_named_by_how_much() {
        assert_eq!(daemon(TimeDelta::seconds(9)), None);
        let found = |skew| format!("{:?}", daemon(skew));
        assert!(found(TimeDelta::seconds(-90)).contains("90 s behind"));
        assert!(found(TimeDelta::days(40)).contains("40 d ahead of"));
        let verdict = |skew| daemon(skew).map(|finding| finding.verdict);
        assert!(matches!(verdict(TimeDelta::minutes(4)), Some(Verdict::Warn { .. })));
        assert!(matches!(verdict(TimeDelta::minutes(-6)), Some(Verdict::Fail { .. })));
    }

    #[tokio::test]
    async fn a_server_with_another_date_is_found() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = server.accept().await {
                let mut request = [0; 1_024];
                let _ = peer.read(&mut request).await;
                let date = (Utc::now() - TimeDelta::days(40)).format("%a, %d %b %Y %H:%M:%S GMT");
                let response = format!(
                    "HTTP/1.1 401 Unauthorized\r\nDate: {date}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                );
                let _ = peer.write_all(response.as_bytes()).await;
            }
        });
        let mut config = Config::default();
        config.ari.url = format!("http://{address}");
        let findings = examine(&config).await;
        assert!(format!("{findings:?}").contains("40 d ahead of that of Asterisk"), "{findings:?}");
        config.ari.url = "http://127.0.0.1:9".into();
        config.openai.base_url = format!("http://{address}/v1");
        let findings = examine(&config).await;
        assert!(
            format!("{findings:?}").contains(&format!("ahead of that of http://{address}/v1")),
            "{findings:?}"
        );
    }
}
