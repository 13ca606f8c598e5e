//! Requests of one tenant that occupy the database, beside another tenant's.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use vca::admin::api::LimitSettings;
use vca::tenancy::Role;

use super::api_server::{ApiServer, Client, on_postgres};

/// A connection that keeps every statement about turns waiting until it is dropped.
async fn lock_turns(api: &ApiServer) -> PgConnection {
    let mut connection = PgConnection::connect(&api.url).await.expect("the server answers");
    let lock = "BEGIN; LOCK TABLE call_turns IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut connection).await.expect("a lock");
    connection
}

async fn one_tenants_analytics_leave_room(api: ApiServer) {
    let api = api.with_limits(&LimitSettings::default()).await;
    let (tenant, _) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let (other, neighbour) = api.tenant("Butcher").await;
    let lock = lock_turns(&api).await;
    let path = format!("/api/tenants/{tenant}/analytics");
    let asking = tokio::spawn(async move {
        let asked = (0..24).map(|_| viewer.get(&path));
        let answers = join_all(asked).await;
        (viewer.clone(), path, answers)
    });
    // Until the requests above are over: no longer than a statement may take, and some waiting.
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    while !asking.is_finished() {
        for path in ["/api/whoami".to_owned(), format!("/api/tenants/{other}/calls")] {
            slowest = slowest.max(timed(&neighbour, &path).await);
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("{asked} requests of another tenant, the slowest in {slowest:?}");
    assert!(asked > 20, "{asked}: the analytics did not wait");
    let (viewer, path, answers) = asking.await.expect("answers");
    let (slow, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 503);
    assert!(!slow.is_empty() && refused.len() >= 20, "{} and {}", slow.len(), refused.len());
    for answer in slow {
        assert!(
            answer.body["detail"].as_str().is_some_and(|text| text.contains("period")),
            "{:#}",
            answer.body
        );
        assert_eq!(answer.problem(503), "too_slow");
    }
    for answer in refused {
        assert!(answer.headers.contains_key("retry-after"));
        let detail = answer.body["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("admin.limits.heavy_per_tenant = 1"), "{detail}");
        assert_eq!(answer.problem(429), "too_many_at_once");
    }
    lock.close().await.expect("it is closed");
    viewer.get(&path).await.expect(200);
}

async fn timed(client: &Client, path: &str) -> Duration {
    let began = Instant::now();
    client.get(path).await.expect(200);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenants_analytics_leave_room_for_others() {
    on_postgres(one_tenants_analytics_leave_room).await;
}

/// A path that no operation has would have no share.
#[test]
fn heavy_operations_are_operations() {
    let document = serde_json::to_value(vca::admin::api::document()).expect("JSON");
    for path in vca::admin::api::HEAVY {
        assert!(document["paths"][path]["get"].is_object(), "{path}");
    }
}
