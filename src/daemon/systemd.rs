//! Notifications to systemd: state, drain and watchdog.

use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::switchboard::Switchboard;

/// Reports to systemd's watchdog that the runtime and the media threads run, twice as often as it requires.
pub async fn keep_watchdog_quiet(switchboard: Switchboard) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    let mut before = Vec::new();
    loop {
        ticks.tick().await;
        let beats = switchboard.media_beats();
        if beats.iter().zip(&before).all(|(now, then)| now != then) {
            notify(&[NotifyState::Watchdog]);
        } else {
            error!("a media thread hangs: no keep-alive is sent to systemd's watchdog");
        }
        before = beats;
    }
}

pub fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be notified");
    }
}
