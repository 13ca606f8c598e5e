//! Media packets from another address than Asterisk's: the record, the log and the counter name it.

use std::net::UdpSocket;

use vca::sim::Step;
use vca::tenancy::CallStatus;

use super::{MAIN, agent, env, listen, ms};

/// Asterisk sends to an address at which nothing listens, as behind a translation of addresses; packets arrive from a third.
#[test]
fn a_call_whose_packets_arrive_from_another_address_names_it() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.set("VCA__MEDIA__PUBLIC_ADDRESS", "127.0.0.9");
    env.set("VCA__MEDIA__NO_MEDIA_MS", "2000");
    env.open();
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let channels = env.asterisk.channels();
    let port = channels.iter().find_map(|name| name.strip_prefix("UnicastRTP/127.0.0.9:")?.split('-').next());
    let port: u16 = port.expect("the call's external-media channel").parse().expect("a port");
    let other = UdpSocket::bind("127.0.0.7:0").expect("a port of our own");
    let from = other.local_addr().expect("bound");
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.resize(172, 0xff);
    let is_named = || {
        let _ = other.send_to(&packet, ("127.0.0.1", port));
        env.log().contains(&format!("packets from {from} were dropped"))
    };
    env.until(&mut call, ms(10_000), "the address in the log", is_named);
    let counted = env.metric("vca_calls_without_media_total", &["cause=\"other_address\""]);
    assert_eq!(counted, Some(1.0), "{}", env.log());
    call.hang_up();
    let (record, _) = env.last_call(main);
    assert_eq!((record.status, record.disposition.as_deref()), (CallStatus::Failed, Some("no_media")));
    assert_eq!(record.failure_reason.as_deref(), Some("no media: other_address"));
    let media = record.media.expect("a media report");
    assert!(media["unexpected"].as_u64() > Some(0), "{media}");
}
