//! How many calls one core carries through the daemon's own media path.
//!
//! `cargo bench --bench media` runs the media thread on the first core and the load on the second. A
//! run counts when every packet arrives, both ways, and the 99th percentile of the sent packets'
//! pacing error, by the kernel's time stamps, is under 2 ms. The floor is the same: the same sockets,
//! wheel and packets, but a path that does nothing. The last line is JSON. With a number, both are tried with
//! that many calls, and the media path with noise suppression.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures time")]

mod load;
mod path;
mod trial;

use trial::{Kind, Outcome, run};

/// The bound that a run must keep.
const P99_MS: f64 = 2.0;

fn main() {
    // The test runner asks benchmarks for their tests; there are none here.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    trial::pin(0);
    let speech = load::speech();
    println!(
        "full-duplex G.711, VAD on every frame, {:.0} s of speech in a loop",
        speech.len() as f64 / 50.0
    );
    if let Some(calls) = std::env::args().find_map(|arg| arg.parse().ok()) {
        for kind in [Kind::Floor, Kind::Product, Kind::Suppressed] {
            attempt(kind, calls, &speech);
        }
        return;
    }
    let (floor, _) = most(Kind::Floor, &speech);
    let (calls, outcome) = most(Kind::Product, &speech);
    let ratio = calls as f64 / floor.max(1) as f64;
    println!(r#"{{"calls":{calls},"floor":{floor},"ratio":{ratio:.3},"p99_ms":{:.3}}}"#, outcome.p99_ms);
}

/// The most calls that keep the bounds: up in steps of a quarter, then halving the last step down to a fiftieth.
fn most(kind: Kind, speech: &[Vec<u8>]) -> (usize, Outcome) {
    let (mut good, mut bad) = ((0, Outcome::default()), None);
    let mut calls = 800;
    loop {
        let outcome = attempt(kind, calls, speech);
        if outcome.keeps(P99_MS) {
            good = (calls, outcome);
        } else {
            bad = Some(calls);
        }
        calls = match bad {
            None => good.0 * 5 / 4,
            Some(bad) if bad - good.0 <= good.0.max(50) / 50 => return good,
            Some(bad) => (good.0 + bad) / 2,
        };
    }
}

/// Tries of a run that fails, and of one that fails on a core that was not ours all the time, which proves nothing.
const TRIES: u32 = 2;
const TRIES_STOLEN: u32 = 6;
/// The share that may be stolen of a run that counts: pacing is judged by its worst hundredth.
const STOLEN: f64 = 0.002;

fn attempt(kind: Kind, calls: usize, speech: &[Vec<u8>]) -> Outcome {
    let (mut tries, mut fair) = (0, 0);
    loop {
        let outcome = run(kind, calls, speech);
        println!("{kind:?} {calls:>5} calls: {outcome}");
        tries += 1;
        fair += u32::from(outcome.stolen <= STOLEN);
        if outcome.keeps(P99_MS) || fair >= TRIES || tries >= TRIES_STOLEN {
            return outcome;
        }
    }
}
