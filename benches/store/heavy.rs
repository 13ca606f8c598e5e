//! One tenant with a million calls and six million turns within 400 days: how long analytics of all of them take, and what
//! they do to other tenants' calls and requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use vca::admin::api::LimitSettings;
use vca::store::{Routing, RoutingSettings, Settings, Store};
use vca::tenancy::{Did, Role};

use super::api_server::{ApiServer, Client};

const FROM_TO: &str = "from=2025-01-01T00:00:00Z&to=2026-02-04T12:00:00Z";
/// The analytics of one tenant's viewer that run at once.
const LOOPS: usize = 24;
const CALLS: u32 = 400;
const REQUESTS: usize = 300;
/// Between two requests of the other tenant.
const PAUSE: Duration = Duration::from_millis(150);

/// Fills the database, then prints figures; false when a call was refused, an answer failed or others waited too long.
pub async fn measure(api: &ApiServer) -> bool {
    let (tenant, _) = api.tenant("Heavy").await;
    let (neighbour, _) = api.tenant("Neighbour").await;
    number(api, neighbour).await;
    fill(&api.url, tenant).await;
    let api = &api.with_limits(&LimitSettings::default()).await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let path = format!("/api/tenants/{tenant}/analytics?{FROM_TO}");
    sum_up(api).await;
    let mut fast = true;
    for attempt in 1..=3 {
        let began = Instant::now();
        let answer = viewer.get(&path).await;
        let took = began.elapsed();
        println!(
            "analytics of 1,000,000 calls and 6,000,000 turns, {attempt}: {} in {took:.2?}",
            answer.status
        );
        fast &= answer.status.is_success();
    }
    let other = api.client_of(neighbour, Role::TenantViewer).await;
    let idle = requests(&other, neighbour).await;
    let refused_idle = calls(api, 0).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let loops: Vec<_> = (0..LOOPS)
        .map(|_| tokio::spawn(ask_on(viewer.clone(), path.clone(), stop.clone(), answered.clone())))
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (busy, refused_busy) = tokio::join!(requests(&other, neighbour), calls(api, CALLS));
    stop.store(true, Relaxed);
    join_all(loops).await;
    let limit = idle.p99.saturating_mul(3).max(Duration::from_millis(50));
    let ok = fast && refused_busy == 0 && busy.p99 <= limit;
    let millis = |time: Duration| (time < Duration::MAX).then_some(time.as_secs_f64() * 1_000.0);
    let figures = json!({
        "benchmark": "heavy",
        "analytics_loops": LOOPS,
        "analytics_answered": answered[0].load(Relaxed),
        "analytics_put_off": answered[1].load(Relaxed),
        "calls": CALLS,
        "calls_refused_idle": refused_idle,
        "calls_refused_busy": refused_busy,
        "requests": REQUESTS,
        "requests_put_off_idle": idle.put_off,
        "requests_put_off_busy": busy.put_off,
        "p99_idle_ms": millis(idle.p99),
        "p99_busy_ms": millis(busy.p99),
        "p99_limit_ms": millis(limit),
        "ok": ok,
    });
    println!("{figures}");
    ok
}

/// A thousand numbers of another tenant's.
async fn number(api: &ApiServer, tenant: Uuid) {
    let numbers = format!(
        "INSERT INTO phone_numbers (id, tenant_id, did, provider_type, is_active, created_at) \
         SELECT gen_random_uuid(), '{tenant}', '49891' || lpad(n::text, 7, '0'), 'generic', TRUE, now() \
         FROM generate_series(0, 999) n"
    );
    api.raw(numbers).await;
}

async fn fill(url: &str, tenant: Uuid) {
    let mut connection = PgConnection::connect(url).await.expect("the database answers");
    let uuid7 = "(lpad(to_hex((1735689600000 + n * 34560)::bigint), 12, '0') || '7' || \
        substr(md5(('h' || n)::text), 1, 3) || '8' || substr(md5(('h' || n)::text), 4, 15))::uuid";
    let number = Uuid::now_v7();
    let steps = [
        "SELECT set_config('vca.reach', 'all', FALSE)".to_owned(),
        format!(
            "INSERT INTO phone_numbers (id, tenant_id, did, provider_type, is_active, created_at) \
             VALUES ('{number}', '{tenant}', '498912345678', 'generic', TRUE, now())"
        ),
        format!(
            "INSERT INTO calls (id, tenant_id, phone_number_id, asterisk_channel_id, direction, called_number, \
             status, ended_by, disposition, started_at, answered_at, ended_at, billed_seconds, billed_turns) \
             SELECT {uuid7}, '{tenant}', '{number}', 'h' || n, 'inbound', '498912345678', 'completed', 'caller', \
             'caller_hung_up', at, at + interval '1 second', at + interval '1 second' * (10 + n % 290), 60, 6 \
             FROM (SELECT n, TIMESTAMPTZ '2025-01-01' + interval '34.56 seconds' * n AS at \
             FROM generate_series(0::bigint, 999999) n) c"
        ),
        format!(
            "INSERT INTO call_turns (tenant_id, call_id, turn, caller_text, agent_text, interrupted, transcript_ms, \
             reply_ms, commit_ms, audio_ms, at) SELECT tenant_id, id, t, 'When?', 'From nine to five.', t = 2, \
             200 + (hashtext(id::text || t) & 511), 400 + (hashtext(t || id::text) & 1023), 500, \
             600 + (hashtext(id::text || 'a' || t) & 2047), started_at \
             FROM calls, generate_series(0, 5) t WHERE tenant_id = '{tenant}'"
        ),
        "VACUUM ANALYZE".to_owned(),
    ];
    for (number, step) in steps.iter().enumerate() {
        eprintln!("filling the database for one tenant: step {} of {}", number + 1, steps.len());
        let done = sqlx::raw_sql(AssertSqlSafe(step.clone())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
}

/// Adds all calls to the sums, as the daemon does after an upgrade.
async fn sum_up(api: &ApiServer) {
    let (began, mut calls) = (Instant::now(), 0);
    loop {
        let added = api.store.roll_up_calls(500).await.expect("calls are added");
        calls += added;
        if added == 0 {
            break;
        }
    }
    let rate = calls as f64 / began.elapsed().as_secs_f64();
    println!("{calls} earlier calls added to the sums in {:.0?}: {rate:.0} a second", began.elapsed());
}

async fn ask_on(client: Client, path: String, stop: Arc<AtomicBool>, answered: Arc<[AtomicU64; 2]>) {
    while !stop.load(Relaxed) {
        let answer = client.get(&path).await;
        answered[usize::from(!answer.status.is_success())].fetch_add(1, Relaxed);
    }
}

/// Another tenant's requests.
#[derive(Clone, Copy)]
struct Latency {
    /// The 99th percentile. A request that was put off counts as one that took for ever.
    p99: Duration,
    /// Answers of 429 or 503.
    put_off: usize,
}

/// Sends a tenant's requests one after another, within its key's rate: its key, and a list from the database.
async fn requests(client: &Client, tenant: Uuid) -> Latency {
    let paths = ["/api/whoami".to_owned(), format!("/api/tenants/{tenant}/phone-numbers?limit=50")];
    let (mut took, mut put_off) = (Vec::new(), 0);
    for path in paths.iter().cycle().take(REQUESTS) {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        match client.get(path).await.status.as_u16() {
            200 => took.push(began.elapsed()),
            429 | 503 => {
                put_off += 1;
                took.push(Duration::MAX);
            }
            status => panic!("{path}: {status}"),
        }
    }
    took.sort();
    Latency { p99: took[REQUESTS * 99 / 100], put_off }
}

/// Routes calls to numbers that were not called before, ten at once, and counts those that cannot be routed.
async fn calls(api: &ApiServer, first: u32) -> usize {
    let settings = Settings { url: SecretString::from(api.url.clone()), ..Settings::default() };
    let store: Store = api.store.for_calls(&settings);
    let routing = Routing::new(store, &RoutingSettings::default());
    let routing = &routing;
    let callers = (0..10).map(|caller| async move {
        let mut refused = 0;
        for n in (0..CALLS).filter(|n| n % 10 == caller) {
            let did: Did = format!("49891{:07}", first + n).parse().expect("a number");
            refused += usize::from(!matches!(routing.resolve(&did).await, Ok(Some(_))));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        refused
    });
    join_all(callers).await.into_iter().sum()
}
