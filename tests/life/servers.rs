//! Redis and PostgreSQL go away in the middle of calls: nobody on the telephone notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use vca::sim::Step;
use vca::tenancy::{CallStatus, TenantId};

use super::{GREETING, MAIN, SCRIPT, agent, env, exchange, listen, ms, program, question, understood};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::redis::Redis;
use crate::support::test_env::TestEnv;
use crate::support::{self, wait};

const OTHER: &str = "+49305550200";

/// Asks Redis in its own protocol (RESP2): a bulk string's text, an integer's digits, or the line as it is.
pub(super) fn ask(server: SocketAddr, command: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(ms(2_000))).ok()?;
    let words: String = command.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    stream.write_all(format!("*{}\r\n{words}", command.len()).as_bytes()).ok()?;
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end();
    match line.split_at_checked(1)? {
        ("$", length) => {
            let mut text = vec![0; length.parse().ok()?];
            reader.read_exact(&mut text).ok()?;
            String::from_utf8(text).ok()
        }
        (":", number) => Some(number.to_owned()),
        _ => Some(line.to_owned()),
    }
}

#[test]
fn the_loss_of_redis_is_not_heard() {
    let Some((mut env, main)) = env(agent()) else { return };
    let mut redis = Redis::start(env.asterisk.sandbox());
    let server: SocketAddr = redis.url().trim_start_matches("redis://").parse().expect("an address");
    env.set("REDIS_URL", &redis.url());
    env.open();

    let mut call =
        env.answered(MAIN, vec![listen(), question(), listen(), question(), listen(), Step::HangUp]);
    let (record, _) = env.turns(&mut call, main, 1);
    let key = |part: &str| format!("call:{}:{part}", record.id);
    for part in ["state", "turns", "started_at"] {
        let ttl = ask(server, &["TTL", &key(part)]).and_then(|ttl| ttl.parse::<i64>().ok());
        assert!(ttl.is_some_and(|ttl| (3_000..=3_600).contains(&ttl)), "{part} lives for {ttl:?} s");
    }
    let state = ask(server, &["GET", &key("state")]).unwrap_or_default();
    assert!(state.contains(GREETING), "the greeting is in the state: {state}");
    let started: Option<i64> = ask(server, &["GET", &key("started_at")]).and_then(|at| at.parse().ok());
    assert_eq!(started, Some(record.started_at.timestamp()));

    redis.kill();
    env.satisfied(call);
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 2), "{turns:?}");
    assert_eq!(turns.len(), 3, "greeting, answer, answer, and no word of trouble: {turns:?}");
    assert_eq!(env.metric("vca_redis_lost_total", &[]), Some(1.0));

    redis.restart();
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let (record, _) = env.turns(&mut call, main, 1);
    let back = || ask(server, &["EXISTS", &format!("call:{}:state", record.id)]).as_deref() == Some("1");
    env.until(&mut call, ms(10_000), "state is in Redis again", back);
    call.hang_up();
    env.last_call(main);
    let forgotten = || ask(server, &["EXISTS", &format!("call:{}:state", record.id)]).as_deref() == Some("0");
    assert!(wait::until_true(ms(5_000), forgotten), "the state of a call that is over is kept");
}

/// A database of one test on the server of the tests; dropped with it.
pub struct Database {
    server: String,
    pub name: String,
}

impl Database {
    /// `None`, after a word on stderr, where there is no server and none is demanded.
    pub fn create() -> Option<Database> {
        let Ok(server) = std::env::var("VCA_TEST_DATABASE_URL") else {
            assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_DATABASE_URL is not set");
            eprintln!("skipped: VCA_TEST_DATABASE_URL is not set");
            return None;
        };
        let database = Database { server, name: format!("vca_life_{:016x}", rand::random::<u64>()) };
        database.run(&format!("CREATE DATABASE {}", database.name));
        Some(database)
    }

    fn run(&self, statement: &str) {
        Database::run_at(&self.server, statement);
    }

    fn run_at(url: &str, statement: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut server = PgConnection::connect(url).await.expect("the server of the tests");
            let statement = AssertSqlSafe(statement.to_owned());
            sqlx::raw_sql(statement).execute(&mut server).await.expect("a statement");
        });
    }

    /// All rows of all tables as text.
    pub fn text(&self) -> String {
        const TABLES: &str = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut server = PgConnection::connect(&self.url()).await.expect("the database of the test");
            let everywhere = sqlx::query("SELECT set_config('vca.reach', 'all', FALSE)");
            everywhere.execute(&mut server).await.expect("all tenants' rows");
            let tables: Vec<String> =
                sqlx::query_scalar(TABLES).fetch_all(&mut server).await.expect("tables");
            let mut text = String::new();
            for table in tables {
                let rows = format!("SELECT coalesce(string_agg(it::text, chr(10)), '') FROM {table} it");
                let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(rows)).fetch_one(&mut server);
                text.push_str(&format!("{table}: {}\n", rows.await.expect("rows")));
            }
            text
        })
    }

    pub fn url(&self) -> String {
        let (rest, _) = self.server.rsplit_once('/').expect("a URL that ends with the database's name");
        format!("{rest}/{}", self.name)
    }

    /// Creates a role of the database's name that may read and write its rows.
    pub fn create_role(&self, password: &str) {
        let role = &self.name;
        let statements = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT {role} TO CURRENT_USER; \
             GRANT USAGE ON SCHEMA public TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        );
        Database::run_at(&self.url(), &statements);
    }

    pub fn alter_role(&self, password: &str) {
        self.run(&format!("ALTER ROLE {} PASSWORD '{password}'", self.name));
    }

    /// Closes all connections of the role.
    pub fn disconnect_role(&self) {
        let role = &self.name;
        let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
        self.run(&format!("{statement} = '{role}'"));
    }

    pub fn url_of_role(&self, password: &str) -> String {
        format!("postgres://{}:{password}@{}/{}", self.name, self.address(), self.name)
    }

    /// Host and port.
    fn address(&self) -> &str {
        let (_, rest) = self.server.split_once('@').expect("a URL with a user");
        rest.split_once('/').expect("a URL with a database").0
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        self.run(&format!("DROP ROLE IF EXISTS {}", self.name));
    }
}

#[test]
fn calls_outlive_the_loss_of_the_database() {
    let Some(sandbox) = support::sandbox() else { return };
    let Some(database) = Database::create() else { return };
    let wire = FaultProxy::to(database.address().parse().expect("an address"));
    let mut env = TestEnv::build(&sandbox, program(), Some(&database.url()));
    env.set_script(SCRIPT);
    let main = env.seed.tenant("main", MAIN, None, agent());
    let other = env.seed.tenant("other", OTHER, None, agent());
    let url = database.url().replace(database.address(), &format!("127.0.0.1:{}", wire.port()));
    env.set("DATABASE_URL", &url);
    env.open();

    env.satisfied(env.place(OTHER, vec![listen(), Step::HangUp]));
    let (record, turns) = env.last_call(other);
    assert_eq!((record.status, turns.len()), (CallStatus::Completed, 1));

    let mut call = env.answered(MAIN, exchange());
    env.turns(&mut call, main, 1);
    wire.fail(Fault::Cut);
    env.satisfied(call);
    env.satisfied(env.place(OTHER, exchange()));
    assert_eq!(env.metric("vca_routing_from_cache_total", &[]), Some(1.0));
    let unknown = env.dial("+49305550300", vec![]);
    assert_eq!(unknown.status, Some(503), "a number that was never dialled cannot be looked up");
    assert!(env.metric("vca_ledger_pending", &[]).is_some_and(|entries| entries > 0.0));

    wire.mend();
    let completed = |tenant: TenantId, count: usize| {
        let calls = env.seed.calls(tenant);
        calls.len() == count
            && calls.iter().all(|(call, _)| call.status == CallStatus::Completed)
            && understood(&calls[count - 1].1) == 1
    };
    let recorded = wait::until_true(ms(15_000), || completed(main, 1) && completed(other, 2));
    assert!(recorded, "{:?}\n{:?}\n{}", env.seed.calls(main), env.seed.calls(other), env.log());
    assert_eq!(env.metric("vca_ledger_pending", &[]), Some(0.0));
}
