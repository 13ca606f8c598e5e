//! Checks of `[media]`.

use reqwest::Url;

use super::zeros;
use crate::transport::{HostPlace, place};
use crate::violation::Violation;
use crate::{media, switchboard};

pub fn faults(settings: &media::Settings, calls: &switchboard::Settings) -> Vec<Violation> {
    let mut found = zeros(&[
        ("media.threads", settings.threads == 0),
        ("media.calls_per_thread", settings.calls_per_thread == 0),
    ]);
    let (low, high) = settings.ports;
    let wanted = calls.max_calls as u64;
    if (low == 0) != (high == 0) || low > high {
        found.push(Violation::with_remedy(
            "media.ports",
            format!("{low} to {high} is no range of ports"),
            "write the lowest and the highest, as in [20000, 20999], or [0, 0] to let the system choose",
        ));
    } else if low > 0 && u64::from(high - low) + 1 < wanted {
        found.push(Violation::with_remedy(
            "media.ports",
            format!("{} ports are too few for calls.max_calls = {wanted}", high - low + 1),
            "widen the range, or lower calls.max_calls",
        ));
    }
    let carried = settings.threads as u64 * settings.calls_per_thread as u64;
    if carried > 0 && carried < wanted {
        found.push(Violation::with_remedy(
            "media.calls_per_thread",
            format!("the media threads carry {carried} calls, but calls.max_calls is {wanted}"),
            "raise media.threads, or lower calls.max_calls",
        ));
    }
    if settings.public_address.unwrap_or(settings.bind_address).is_unspecified() {
        found.push(Violation::with_remedy(
            "media.public_address",
            "Asterisk cannot send to an unspecified address",
            "set it to this machine's address as Asterisk reaches it",
        ));
    }
    found
}

/// An Asterisk on another machine would send the caller's audio to itself. A name can be this machine's: then the public
/// address has to confirm it.
pub fn loopback(settings: &media::Settings, ari_url: &str) -> Option<Violation> {
    let url = Url::parse(ari_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_remote = url.host_str().is_some_and(|host| place(host) != HostPlace::ThisMachine);
    let is_loopback = settings.public_address.is_none() && settings.bind_address.is_loopback();
    (is_remote && is_loopback).then(|| {
        Violation::with_remedy(
            "media.bind_address",
            format!("{} is a loopback address, but ari.url is another machine", settings.bind_address),
            "set media.bind_address to the address at which Asterisk reaches this machine, or media.public_address \
             (127.0.0.1 if Asterisk is on this machine)",
        )
    })
}
