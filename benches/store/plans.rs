//! How the database went about the queries that were used most.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use vca::store::LIST_PLAN;

use super::crowd::Crowd;

/// Forgets what was asked so far.
pub async fn forget(connection: &mut PgConnection) {
    let done = sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(connection).await;
    done.expect("the extension pg_stat_statements, with the right to reset it");
}

/// Prints the plans; false when one goes through all calls.
pub async fn judge(connection: &mut PgConnection, url: &str, crowd: &Crowd) -> bool {
    const MOST_USED: &str = "SELECT query, calls::bigint, mean_exec_time FROM pg_stat_statements \
        WHERE query ILIKE 'select%from%' AND query NOT ILIKE '%pg_%' ORDER BY calls DESC LIMIT 20";
    let used: Vec<(String, i64, f64)> =
        sqlx::query_as(MOST_USED).fetch_all(connection).await.expect("statistics");
    let mut session = PgConnection::connect(url).await.expect("the database answers");
    let mut good = true;
    println!("\nthe queries that were used most, and their plans");
    for (query, calls, mean_ms) in used {
        let plan = explain(&mut session, &query, crowd).await;
        println!("\n{calls} times, {mean_ms:.2} ms each: {query}");
        plan.iter().for_each(|line| println!("    {line}"));
        good &= !plan.iter().any(|line| line.starts_with("no plan"));
        let scans =
            |line: &&String| line.contains("Seq Scan on calls") || line.contains("Seq Scan on call_turns");
        if let Some(scan) = plan.iter().find(scans) {
            println!("    ^ goes through everybody's: {}", scan.trim());
            good = false;
        }
    }
    good
}

/// The plan for the large tenant: its own ids, a month of its calls, and some value for everything else.
async fn explain(session: &mut PgConnection, query: &str, crowd: &Crowd) -> Vec<String> {
    let reach = if query.contains("tenant_id = $1") {
        format!("SET vca.reach = ''; SET vca.tenant = '{}'", crowd.big)
    } else {
        "SET vca.reach = 'all'".to_owned()
    };
    let prepare = format!("{reach}; {}; PREPARE plan AS {query}", LIST_PLAN.replace("LOCAL", ""));
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await {
        return vec![format!("no plan: {error}")];
    }
    const TYPES: &str =
        "SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = 'plan'";
    let types: Vec<String> = sqlx::query_scalar(TYPES).fetch_all(&mut *session).await.expect("types");
    let values: Vec<String> = (1..).zip(&types).map(|(n, kind)| value(query, n, kind, crowd)).collect();
    let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let sql = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE plan {arguments}"));
    let rows: Result<Vec<String>, _> = sqlx::raw_sql(sql)
        .fetch_all(&mut *session)
        .await
        .map(|rows| rows.iter().map(|row| sqlx::Row::get(row, 0)).collect());
    sqlx::raw_sql("DEALLOCATE plan").execute(session).await.expect("it was prepared");
    rows.unwrap_or_else(|error| vec![format!("no plan: {error}")])
}

/// What stands for the n-th parameter, by its type and by what is said of it.
fn value(query: &str, n: usize, kind: &str, crowd: &Crowd) -> String {
    let is = |written: &str| {
        let placed = format!("{written} ${n}");
        query.match_indices(&placed).any(|(at, _)| !query[at + placed.len()..].starts_with(char::is_numeric))
    };
    match kind {
        "uuid" if is("tenant_id =") => format!("'{}'", crowd.big),
        "uuid" if is("id <") => "'ffffffff-ffff-ffff-ffff-ffffffffffff'".to_owned(),
        "uuid" if is("id >") => "'00000000-0000-0000-0000-000000000000'".to_owned(),
        "uuid" => format!("'{}'", crowd.call),
        "timestamp with time zone" if is("<") => "'2026-04-01'".to_owned(),
        "timestamp with time zone" => "'2026-03-01'".to_owned(),
        "text" if is("ESCAPE") => "'!'".to_owned(),
        "text" if is("did =") => "'493010000001'".to_owned(),
        "text" if query.contains(&format!("OR ${n} IS NULL")) => "NULL".to_owned(),
        "text" => "'failed'".to_owned(),
        "bytea" => "'\\x00'".to_owned(),
        "boolean" => "NULL".to_owned(),
        // Turns after the greeting.
        _ if is(">") => "0".to_owned(),
        // Pages, and thousands to divide by.
        _ => "51".to_owned(),
    }
}
