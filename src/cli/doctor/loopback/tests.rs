use std::net::SocketAddr;

use super::*;
use crate::ari::AriError;
use crate::cli::doctor::Verdict;

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// An end that hears everything, 7 ms late.
fn well(n: u16) -> EndReport {
    let delay = Some(Duration::from_millis(7));
    let (ours, theirs) = (address(4_000 + n), address(5_000 + n));
    EndReport { ours, theirs, rtp: true, unexpected: false, frames: FRAMES, delay }
}

fn silent(n: u16) -> EndReport {
    EndReport { frames: 0, delay: None, ..well(n) }
}

fn deaf(n: u16) -> EndReport {
    EndReport { rtp: false, ..silent(n) }
}

fn found(a: EndReport, b: EndReport) -> String {
    match judge(&[a, b]) {
        Ok(proof) => format!("{proof:?}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn both_directions_are_proven() {
    let proof = judge(&[well(0), well(1)]).expect("a proof");
    assert_eq!(proof, Proof { round_trip: Duration::from_millis(14), lost: 0 });
    let Verdict::Ok { seen } = proof.finding(&[]).verdict else { panic!("it is well") };
    assert_eq!(seen, "heard both ways, there and back in 14 ms, nothing lost");
}

#[test]
fn loss_and_leftovers_are_warned_of() {
    let proof = judge(&[EndReport { frames: FRAMES - 3, ..well(0) }, well(1)]).expect("a proof");
    let Verdict::Warn { problem, .. } = proof.finding(&[]).verdict else { panic!("three were lost") };
    assert!(problem.ends_with("3 of 50 packets were lost"), "{problem}");
    let Verdict::Warn { problem, .. } = proof.finding(&["vca-doctor-1-a".into()]).verdict else {
        panic!("something is left")
    };
    assert!(problem.ends_with("did not delete vca-doctor-1-a"), "{problem}");
}

#[test]
fn failures_are_told_apart() {
    let stranger = |n| EndReport { unexpected: true, ..deaf(n) };
    assert!(found(deaf(0), deaf(1)).starts_with("no RTP comes back at all"));
    assert!(found(stranger(0), deaf(1)).starts_with("packets come to 192.0.2.1:4000, but not from"));
    assert!(found(well(0), stranger(1)).starts_with("packets come to 192.0.2.1:4001, but not from"));
    assert!(found(silent(0), silent(1)).contains("the sound is not in it"));
    let one_way = found(well(0), deaf(1));
    assert!(one_way.ends_with("nothing comes to 192.0.2.1:4001 from 192.0.2.1:5001"), "{one_way}");
    assert_eq!(found(silent(1), well(0)), one_way);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_found_before_asterisk_is_asked() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let media = media::Settings { bind_address: [192, 0, 2, 1].into(), ..Default::default() };
    let Verdict::Fail { problem, remedy } = examine(&ari::Settings::default(), &media).await.verdict else {
        panic!("192.0.2.1 is nobody's (RFC 5737)")
    };
    assert!(problem.contains("192.0.2.1"), "{problem}");
    assert!(remedy.contains("media.bind_address"), "{remedy}");
}

#[test]
fn an_address_to_which_asterisk_has_no_route_is_named() {
    let error = AriError::Status { code: 500, message: "Internal Server Error".into() };
    let media = media::Settings { public_address: Some([192, 0, 2, 9].into()), ..Default::default() };
    let remedy = LoopbackFault::NoChannel(error).remedy(&ari::Settings::default(), &media);
    assert!(remedy.contains("has Asterisk's machine a route to 192.0.2.9?"), "{remedy}");
}
