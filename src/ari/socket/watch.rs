//! Probes Asterisk while events flow: at intervals, and at once after a request failed.

use std::time::Duration;

use metrics::gauge;
use tokio::time::sleep;
use tracing::warn;

use crate::ari::client::Client;
use crate::ari::probe::{AppRegistration, Trouble, probe};
use crate::ari::settings::Settings;

/// Probes without an answer, one after the other, that count as trouble.
const UNANSWERED: u32 = 3;
/// Pause between two probes, however many requests fail.
const PAUSE: Duration = Duration::from_millis(500);

/// Ends when requests have failed and are carried out again: then calls may have given up channels and bridges.
///
/// # Errors
/// The first refusal, or the third probe in a row without an answer.
pub(super) async fn watch(client: &Client, settings: &Settings) -> Result<(), Trouble> {
    let interval = Duration::from_millis(settings.probe_interval_ms);
    let health = client.health();
    let mut unanswered = 0;
    loop {
        sleep(PAUSE).await;
        if unanswered == 0 {
            tokio::select! {
                () = sleep(interval.saturating_sub(PAUSE)) => {}
                () = health.doubted() => {}
            }
        }
        let probed = probe(client, &settings.app, AppRegistration::Required).await;
        note(client, probed.as_ref().err());
        match probed {
            Ok(()) if health.is_settled() => return Ok(()),
            Ok(()) => unanswered = 0,
            Err(trouble @ Trouble::Unanswered { .. }) => {
                unanswered += 1;
                if unanswered >= UNANSWERED {
                    return Err(trouble);
                }
                warn!(%trouble, unanswered, "probe failed");
            }
            Err(refused) => return Err(refused),
        }
    }
}

/// Waits until a probe succeeds, at intervals of `pause`, and at once when there is another user or password.
pub(super) async fn until_carried_out(
    client: &Client,
    settings: &Settings,
    mut pause: impl FnMut() -> Duration,
) {
    loop {
        let probed = probe(client, &settings.app, AppRegistration::Optional).await;
        note(client, probed.as_ref().err());
        if probed.is_ok() {
            return;
        }
        tokio::select! {
            () = sleep(pause()) => {}
            () = client.new_login() => {}
        }
    }
}

/// Notes that requests are carried out.
pub(super) fn carried_out(client: &Client) {
    note(client, None);
}

fn note(client: &Client, trouble: Option<&Trouble>) {
    gauge!("vca_ari_answering").set(if trouble.is_some() { 0.0 } else { 1.0 });
    client.health().set_trouble(trouble.cloned());
}
