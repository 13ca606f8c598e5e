//! The tenants, numbers and calls of a busy year, made by the database itself from a fixed seed.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

pub const NUMBERS: u32 = 50_000;

/// Who lives in the database.
pub struct Crowd {
    /// A tenant with a tenth of all calls.
    pub big: Uuid,
    /// Some of the others.
    pub small: Vec<Uuid>,
    /// A call of the big tenant's.
    pub call: Uuid,
}

/// A UUID of version 7 of `$moment` (milliseconds) and a number, as text of SQL.
macro_rules! uuid7 {
    ($moment:literal, $salt:literal) => {
        concat!(
            "(lpad(to_hex((",
            $moment,
            ")::bigint), 12, '0') || '7' || substr(md5((",
            $salt,
            ")::text), 1, 3) || '8' || substr(md5((",
            $salt,
            ")::text), 4, 15))::uuid"
        )
    };
}

/// Milliseconds since 1970 of 2026-01-01, and half a minute between two calls: a million are most of a year.
const STEPS: [&str; 9] = [
    concat!(
        "INSERT INTO tenants (id, name, status, plan, created_at) SELECT ",
        uuid7!("1767225600000 + n", "'t' || n"),
        ", 'Tenant ' || n, CASE WHEN n % 50 = 0 THEN 'suspended' ELSE 'active' END, ",
        "(ARRAY['starter', 'growth', 'custom'])[1 + n % 3], TIMESTAMPTZ '2026-01-01' FROM generate_series(1, 10000) n"
    ),
    "CREATE TEMPORARY TABLE who AS SELECT row_number() OVER (ORDER BY id) AS n, id FROM tenants",
    "CREATE UNIQUE INDEX ON who (n)",
    concat!(
        "INSERT INTO ai_profiles (id, tenant_id, name, role, system_prompt, is_default, settings, created_at) SELECT ",
        uuid7!("1767225700000 + n", "'p' || n"),
        ", id, 'Front desk', 'receptionist', 'You answer the phone.', TRUE, '{}', TIMESTAMPTZ '2026-01-01' FROM who"
    ),
    concat!(
        "INSERT INTO phone_numbers (id, tenant_id, did, provider_type, is_active, created_at) SELECT ",
        uuid7!("1767225800000 + n", "'d' || n"),
        ", (SELECT id FROM who WHERE who.n = 1 + series.n % 10000), '49301' || lpad(series.n::text, 7, '0'), ",
        "'generic', TRUE, TIMESTAMPTZ '2026-01-01' FROM generate_series(1, 50000) AS series (n)"
    ),
    "CREATE TEMPORARY TABLE line AS SELECT DISTINCT ON (d.tenant_id) who.n, d.tenant_id, d.id, d.did, p.id AS profile \
     FROM phone_numbers d JOIN who ON who.id = d.tenant_id JOIN ai_profiles p ON p.tenant_id = d.tenant_id \
     ORDER BY d.tenant_id, d.id",
    "CREATE UNIQUE INDEX ON line (n)",
    concat!(
        "INSERT INTO calls (id, tenant_id, phone_number_id, ai_profile_id, asterisk_channel_id, direction, ",
        "caller_number, called_number, status, ended_by, disposition, hangup_cause, started_at, answered_at, ended_at, codec) ",
        "SELECT ",
        uuid7!("1767225600000 + c.n::bigint * 30000", "'c' || c.n"),
        ", line.tenant_id, line.id, line.profile, '1767225600.' || c.n, 'inbound', '+4917' || lpad((c.n % 99991)::text, 7, '0'), ",
        "line.did, CASE WHEN c.n % 20 = 0 THEN 'refused' WHEN c.n % 33 = 0 THEN 'failed' ELSE 'completed' END, 'caller', ",
        "CASE WHEN c.n % 20 = 0 THEN 'refused_tenant_busy' WHEN c.n % 33 = 0 THEN 'failed' ELSE 'completed' END, 16, ",
        "at, at + interval '1 second', at + interval '1 second' * (10 + c.n % 290), 'ulaw' ",
        "FROM (SELECT n, TIMESTAMPTZ '2026-01-01' + interval '30 seconds' * n AS at, ",
        "CASE WHEN n % 10 = 0 THEN 1 ELSE 1 + (n::bigint * 7919) % 10000 END AS owner FROM generate_series(1, 1000000) n) c ",
        "JOIN line ON line.n = c.owner"
    ),
    "INSERT INTO call_turns (tenant_id, call_id, turn, caller_text, agent_text, interrupted, transcript_ms, reply_ms, \
     commit_ms, audio_ms, at) SELECT tenant_id, id, t, 'When are you open?', 'From nine to five.', t = 2, 300, 500, 500, \
     400 + (hashtext(id::text) & 255), started_at FROM calls, generate_series(0, 2) t WHERE status = 'completed'",
];

impl Crowd {
    /// Fills an empty, migrated database.
    pub async fn settle(url: &str) -> Crowd {
        let mut connection = PgConnection::connect(url).await.expect("the database answers");
        run(&mut connection, "SELECT set_config('vca.reach', 'all', FALSE)").await;
        for (number, step) in STEPS.iter().enumerate() {
            eprintln!("filling the database: step {} of {}", number + 1, STEPS.len());
            run(&mut connection, step).await;
        }
        // As autovacuum leaves it.
        run(&mut connection, "VACUUM ANALYZE").await;
        let ids = "SELECT id FROM who WHERE n <= 101 ORDER BY n";
        let mut ids: Vec<Uuid> = sqlx::query_scalar(ids).fetch_all(&mut connection).await.expect("tenants");
        let big = ids.remove(0);
        let call =
            "SELECT id FROM calls WHERE tenant_id = $1 AND status = 'completed' ORDER BY id DESC LIMIT 1";
        let call = sqlx::query_scalar(call).bind(big).fetch_one(&mut connection).await.expect("a call");
        Crowd { big, small: ids, call }
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
