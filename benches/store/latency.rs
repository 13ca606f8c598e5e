//! How long readers wait.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use vca::tenancy::Did;

use super::api_server::{ApiServer, Client};
use super::crowd::{Crowd, NUMBERS};

/// Readers at once, and how often each asks.
const READERS: usize = 8;
const ROUNDS: usize = 100;

pub async fn measure(api: &ApiServer, crowd: &Crowd) {
    println!("{READERS} readers at once, {ROUNDS} requests each; the ratio is to the baseline's p50 and p99");
    println!("{:<46} {:>9} {:>9} {:>7} {:>7}", "request", "p50 ms", "p99 ms", "ratio", "ratio");
    let base = ask(&api.operator, |_| "/openapi.json".replace("openapi.json", "nowhere")).await;
    row("baseline: an answer without the database", &base, &base);
    let big = format!("/api/tenants/{}", crowd.big);
    let period = "from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z";
    let requests = [
        ("tenants, a page of 50", "/api/tenants?limit=50".to_owned()),
        ("tenants by status", "/api/tenants?status=suspended&limit=50".to_owned()),
        ("one tenant", big.clone()),
        ("its numbers", format!("{big}/phone-numbers")),
        ("its profiles", format!("{big}/ai-profiles")),
        ("its calls, a page of 50", format!("{big}/calls?limit=50")),
        ("its calls of a month that failed", format!("{big}/calls?status=failed&{period}&limit=50")),
        ("one call", format!("{big}/calls/{}", crowd.call)),
        ("its transcript", format!("{big}/calls/{}/transcript", crowd.call)),
        ("its usage of a month", format!("{big}/usage?month=2026-03")),
        ("its webhooks", format!("{big}/webhooks")),
        ("its audit log", format!("{big}/audit?limit=50")),
        ("analytics of a month (8,900 calls)", format!("{big}/analytics?{period}")),
    ];
    for (name, path) in requests {
        row(name, &ask(&api.operator, |_| path.clone()).await, &base);
    }
    let small =
        ask(&api.operator, |n| format!("/api/tenants/{}/calls?limit=50", crowd.small[n % crowd.small.len()]));
    row("calls of 100 smaller tenants in turn", &small.await, &base);
    row("a called number, as a call looks it up", &look_up(api).await, &base);
}

/// Latencies, sorted.
async fn ask(client: &Client, path: impl Fn(usize) -> String) -> Vec<Duration> {
    let path = &path;
    let readers = (0..READERS).map(|reader| async move {
        let mut took = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            let path = path(reader * ROUNDS + round);
            let began = Instant::now();
            let answer = client.get(&path).await;
            took.push(began.elapsed());
            let expected = if path == "/nowhere" { 404 } else { 200 };
            assert_eq!(answer.status.as_u16(), expected, "{path}: {:#}", answer.body);
        }
        took
    });
    sorted(join_all(readers).await.concat())
}

async fn look_up(api: &ApiServer) -> Vec<Duration> {
    let readers = (0..READERS).map(|reader| async move {
        let mut took = Vec::with_capacity(5 * ROUNDS);
        for round in 0..5 * ROUNDS {
            let number = 1 + (reader * 5 * ROUNDS + round) * 7_919 % NUMBERS as usize;
            let did: Did = format!("49301{number:07}").parse().expect("a number");
            let began = Instant::now();
            let route = api.store.route(&did).await.expect("an answer");
            took.push(began.elapsed());
            assert!(route.is_some(), "{number}");
        }
        took
    });
    sorted(join_all(readers).await.concat())
}

fn sorted(mut took: Vec<Duration>) -> Vec<Duration> {
    took.sort();
    took
}

fn row(name: &str, took: &[Duration], base: &[Duration]) {
    let at = |sorted: &[Duration], part: usize| sorted[(sorted.len() * part / 100).min(sorted.len() - 1)];
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    let ratio = |part: usize| millis(at(took, part)) / millis(at(base, part)).max(1e-6);
    let (p50, p99) = (millis(at(took, 50)), millis(at(took, 99)));
    println!("{name:<46} {p50:>9.2} {p99:>9.2} {:>6.1}x {:>6.1}x", ratio(50), ratio(99));
}
