//! How the database went about the queries that were used most.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::crowd::Crowd;

/// Forgets what was asked so far.
pub async fn forget(connection: &mut PgConnection) {
    let done = sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(connection).await;
    done.expect("the extension pg_stat_statements, with the right to reset it");
}

/// Prints the plans; false when one goes through all calls.
pub async fn judge(connection: &mut PgConnection, url: &str, crowd: &Crowd) -> bool {
    const MOST_USED: &str = "SELECT query, calls::bigint, mean_exec_time FROM pg_stat_statements \
        WHERE query ILIKE 'select%from%' AND query NOT ILIKE '%pg_%' ORDER BY calls DESC LIMIT 16";
    let used: Vec<(String, i64, f64)> =
        sqlx::query_as(MOST_USED).fetch_all(connection).await.expect("statistics");
    let mut session = PgConnection::connect(url).await.expect("the database answers");
    let mut good = true;
    println!("\nthe queries that were used most, and their plans");
    for (query, calls, mean_ms) in used {
        let plan = explain(&mut session, &query, crowd).await;
        println!("\n{calls} times, {mean_ms:.2} ms each: {query}");
        plan.iter().for_each(|line| println!("    {line}"));
        let scans =
            |line: &&String| line.contains("Seq Scan on calls") || line.contains("Seq Scan on call_turns");
        if let Some(scan) = plan.iter().find(scans) {
            println!("    ^ goes through everybody's: {}", scan.trim());
            good = false;
        }
    }
    good
}

/// The plan that serves any value of the parameters, under the scope of one tenant where the query has one.
async fn explain(session: &mut PgConnection, query: &str, crowd: &Crowd) -> Vec<String> {
    let reach = if query.contains("tenant_id = $1") {
        format!("SET vca.reach = ''; SET vca.tenant = '{}'", crowd.big)
    } else {
        "SET vca.reach = 'all'".to_owned()
    };
    sqlx::raw_sql(AssertSqlSafe(reach)).execute(&mut *session).await.expect("a reach");
    let sql = AssertSqlSafe(format!("EXPLAIN (GENERIC_PLAN, COSTS OFF) {query}"));
    let rows: Result<Vec<String>, _> = sqlx::raw_sql(sql)
        .fetch_all(&mut *session)
        .await
        .map(|rows| rows.iter().map(|row| sqlx::Row::get(row, 0)).collect());
    rows.unwrap_or_else(|error| vec![format!("no plan: {error}")])
}
