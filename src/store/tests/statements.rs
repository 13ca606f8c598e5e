//! A statement is a draft until it is issued, by the plan of its month, and stays as it was issued.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AssertSqlSafe;

use super::{Database, on_both, values};
use crate::billing::{Billing, Plans, Price, Prices, Statement, Terms};
use crate::store::counting::EndedCall;
use crate::store::pool::Pool;
use crate::store::statement::sql;
use crate::store::tx::{Access, AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_statement_is_issued_an_hour_after_the_month_and_does_not_change,
    an_issued_month_has_the_same_figures_everywhere,
    the_plan_at_the_months_end_counts,
    every_change_of_plan_or_status_is_kept,
    a_fee_is_due_for_a_month_with_an_active_moment,
    a_call_recorded_late_counts_in_the_present_month,
    a_call_counted_while_statements_are_issued_is_on_exactly_one,
    use_without_a_price_holds_the_statement_back,
    a_held_statement_is_not_forgotten_with_its_month,
    months_that_a_daemon_missed_are_issued,
    one_unreadable_tenant_stops_no_other,
    a_dry_run_issues_nothing,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

fn october() -> Month {
    "2026-10".parse().expect("a month")
}

fn prices(call_minute: u64) -> Billing {
    Billing { prices: Prices { call_minute, ..Prices::default() }, ..Billing::default() }
}

/// Fees of 5 and 7 for `starter` and `growth`.
fn fees() -> Billing {
    let fee = |fee| Terms { fee, ..Terms::default() };
    Billing { plans: Plans { starter: fee(5), growth: fee(7), ..Plans::default() }, ..prices(1) }
}

fn due() -> IssueRequest {
    IssueRequest { month: None, tenant: None, accept_unpriced: false, dry_run: false }
}

impl Database {
    async fn issue(&self, billing: &Billing, now: &str) -> IssueOutcome {
        let outcome = self.store.issue_statements(billing, &due(), &Actor::system(), at(now)).await;
        outcome.expect("statements are issued")
    }

    /// Replaces the history of a tenant's plan and status.
    async fn terms(&self, tenant: TenantId, history: &[(&str, Plan, TenantStatus)]) {
        let id = self.literal(tenant.0);
        self.raw(format!("DELETE FROM tenant_terms WHERE tenant_id = {id}")).await.expect("no history");
        for (moment, plan, status) in history {
            let row = format!("({id}, '{moment}', '{plan}', '{status}')");
            let insert = "INSERT INTO tenant_terms (tenant_id, at, plan, status) VALUES";
            self.raw(format!("{insert} {row}")).await.expect("a row of history");
        }
    }

    /// Gives the engine of a tenant's month a unit that this program does not know, past the database's checks.
    async fn spoil(&self, tenant: TenantId) {
        let check = match self.store.backend() {
            Backend::Sqlite => "DROP TRIGGER IF EXISTS usage_month_engines_update",
            Backend::Postgres => {
                "ALTER TABLE usage_month_engines DROP CONSTRAINT IF EXISTS usage_month_engines_unit"
            }
        };
        self.raw(check.to_owned()).await.expect("no check");
        let id = self.literal(tenant.0);
        self.raw(format!("UPDATE usage_month_engines SET unit = 'images' WHERE tenant_id = {id}"))
            .await
            .expect("an unknown unit");
    }
}

fn engine(model: &str, quantity: u64) -> EngineUse {
    EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: model.into(),
        unit: UsageUnit::Characters,
        quantity,
    }
}

fn call_of_a_minute(route: &Route, answered_at: &str) -> Call {
    let answered_at = at(answered_at);
    Call {
        started_at: answered_at,
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::seconds(60)),
        ..values::completed(&values::call_to(route))
    }
}

/// A tenant that talked a minute in October.
async fn talked(db: &Database, n: u32) -> Route {
    let route = db.tenant(n).await;
    db.began(route.tenant.id, "2026-10-01T00:00:00+00:00").await;
    let call = call_of_a_minute(&route, "2026-10-05T10:00:00Z");
    let scope = db.store.scope(route.tenant.id);
    scope.end_call(&call, &[engine("local", u64::from(n))]).await.expect("it ends");
    route
}

async fn a_statement_is_issued_an_hour_after_the_month_and_does_not_change(db: Database) {
    let (tenant, other) = (talked(&db, 1).await.tenant, talked(&db, 2).await.tenant);
    let scope = db.store.scope(tenant.id);
    let of = async |billing: &Billing| {
        let statement = scope.statement(billing, october()).await.expect("a statement");
        (statement.is_final, statement.bill.total_micros, statement.bill.lines.len())
    };
    let (cheap, dear) = (prices(10), prices(99));
    assert_eq!((of(&cheap).await, of(&dear).await), ((false, 10, 2), (false, 99, 2)));
    for (now, issued) in
        [("2026-11-01T00:59:59Z", 0), ("2026-11-01T01:00:00Z", 2), ("2026-11-01T02:00:00Z", 0)]
    {
        assert_eq!(db.issue(&cheap, now).await.issued.len(), issued, "{now}");
    }
    assert_eq!(of(&dear).await, (true, 10, 2), "tomorrow's prices are not yesterday's");
    let theirs = db.store.scope(other.id).statement(&dear, october()).await.expect("a statement");
    assert_eq!((theirs.tenant_id, theirs.bill.lines[1].quantity), (other.id, 2));
    let again = db.issue(&dear, "2026-12-01T01:00:00Z").await.issued.len();
    assert_eq!((again, of(&dear).await.1), (2, 10), "November's, and October's stays");
    let nobody = db.store.scope(TenantId::new()).statement(&dear, october()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)), "{nobody:?}");
}

async fn an_issued_month_has_the_same_figures_everywhere(db: Database) {
    let tenant = talked(&db, 1).await.tenant;
    let scope = db.store.scope(tenant.id);
    let quota = Terms { minutes_per_month: Some(10), ..Terms::default() };
    let billing = Billing { plans: Plans { growth: quota, ..Plans::default() }, ..prices(10) };
    let listed = async |billing: &Billing| {
        let read = db.store.month_reports(billing, october(), Window::first(9)).await.expect("a list");
        assert_eq!(read.unreadable, []);
        read.page.items
    };
    let draft = scope.statement(&billing, october()).await.expect("a draft");
    assert_eq!(listed(&billing).await, [draft.clone().into_report()]);
    db.issue(&billing, "2026-11-01T01:00:00Z").await;
    let changes = TenantChanges { plan: Some(Plan::Custom), ..TenantChanges::default() };
    db.store.update_tenant(&Actor::system(), tenant.id, changes).await.expect("another plan");
    let issued = scope.statement(&prices(99), october()).await.expect("a statement");
    assert_eq!(issued, Statement { is_final: true, ..draft });
    assert_eq!(listed(&prices(99)).await, [issued.into_report()]);
}

async fn the_plan_at_the_months_end_counts(db: Database) {
    let tenant = talked(&db, 1).await.tenant;
    let active = |moment, plan| (moment, plan, TenantStatus::Active);
    let plan = async |history: &[(&str, Plan, TenantStatus)]| {
        db.terms(tenant.id, history).await;
        let statement = db.store.scope(tenant.id).statement(&fees(), october()).await.expect("a draft");
        (statement.plan, statement.bill.lines[0].amount_micros)
    };
    let begun = active("2026-10-01T00:00:00+00:00", Plan::Starter);
    let late = active("2026-10-31T23:59:59.999999+00:00", Plan::Growth);
    let too_late = active("2026-11-01T00:00:00+00:00", Plan::Growth);
    assert_eq!(plan(&[begun, too_late]).await, (Plan::Starter, 5), "changed half an hour after the month");
    assert_eq!(plan(&[begun, late]).await, (Plan::Growth, 7));
    assert_eq!(plan(&[begun, late, too_late]).await, (Plan::Growth, 7));
    assert_eq!(plan(&[too_late]).await, (Plan::Growth, 7), "before the first row holds what it says");
}

async fn every_change_of_plan_or_status_is_kept(db: Database) {
    let tenant = db.tenant(1).await.tenant;
    let change = async |plan, status| {
        let changes = TenantChanges { plan, status, ..TenantChanges::default() };
        db.store.update_tenant(&Actor::system(), tenant.id, changes).await.expect("a change");
    };
    change(Some(Plan::Starter), None).await;
    change(Some(Plan::Starter), Some(TenantStatus::Active)).await;
    change(None, Some(TenantStatus::Suspended)).await;
    let history = sql("SELECT plan, status, at FROM tenant_terms WHERE tenant_id = $1 ORDER BY seq");
    let scope = db.store.scope(tenant.id);
    let rows: Vec<(String, String, DateTime<Utc>)> =
        scope.all(history.bind(tenant.id.0)).await.expect("history");
    let kept: Vec<_> = rows.iter().map(|(plan, status, _)| (plan.as_str(), status.as_str())).collect();
    assert_eq!(kept, [("growth", "active"), ("starter", "active"), ("starter", "suspended")]);
    assert_eq!(rows[0].2, tenant.created_at);
    assert!((Utc::now() - rows[2].2).abs() < TimeDelta::minutes(1), "{rows:?}");
}

async fn a_fee_is_due_for_a_month_with_an_active_moment(db: Database) {
    use TenantStatus::{Active, Deleted, Suspended};
    let start = "2026-09-01T00:00:00+00:00";
    for (n, (history, with_call, total)) in [
        (vec![(start, Active)], true, Some(5 + 1)),
        (vec![(start, Active)], false, Some(5)),
        (vec![(start, Suspended)], false, Some(5)),
        (vec![(start, Active), ("2026-10-01T00:00:01+00:00", Deleted)], false, Some(5)),
        (vec![(start, Active), ("2026-10-30T00:00:00+00:00", Deleted)], true, Some(5 + 1)),
        (vec![(start, Active), ("2026-10-01T00:00:00+00:00", Deleted)], false, None),
        (vec![(start, Active), ("2026-09-30T00:00:00+00:00", Deleted)], true, Some(1)),
        (vec![(start, Deleted), ("2026-10-03T00:00:00+00:00", Active)], false, Some(5)),
    ]
    .into_iter()
    .enumerate()
    {
        let route = if with_call { talked(&db, n as u32).await } else { db.tenant(n as u32).await };
        db.began(route.tenant.id, start).await;
        let history: Vec<_> =
            history.iter().map(|(moment, status)| (*moment, Plan::Starter, *status)).collect();
        db.terms(route.tenant.id, &history).await;
        let outcome = db.issue(&fees(), "2026-11-01T05:00:00Z").await;
        let totals: Vec<_> = outcome.issued.iter().map(|statement| statement.total_micros).collect();
        assert_eq!(totals, Vec::from_iter(total), "case {n}");
    }
    let late = db.tenant(20).await.tenant;
    db.began(late.id, "2026-11-01T00:00:00+00:00").await;
    assert_eq!(db.issue(&fees(), "2026-11-01T05:00:00Z").await.issued, [], "it began after the month");
}

async fn a_call_recorded_late_counts_in_the_present_month(db: Database) {
    let route = talked(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    db.issue(&prices(1), "2026-11-01T01:00:00Z").await;
    let late = call_of_a_minute(&route, "2026-10-31T23:00:00Z");
    scope.end_call(&late, &[]).await.expect("it ends");
    let seconds = async |month| scope.usage_of_month(month).await.expect("an answer").sums.seconds;
    assert_eq!((seconds(october()).await, seconds(Month::of(Utc::now())).await), (60, 60));
}

/// A call is counted and not committed yet when its month's statements are issued: they wait for it.
async fn a_call_counted_while_statements_are_issued_is_on_exactly_one(db: Database) {
    let route = talked(&db, 1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = call_of_a_minute(&route, "2026-10-31T23:58:59Z");
    scope
        .begin_call(&Call { ended_at: None, status: CallStatus::Answered, ..call.clone() })
        .await
        .expect("it");
    let mut counting = AllTenants(&db.store).begin(Access::Write).await.expect("a transaction");
    let end = sql("UPDATE calls SET ended_at = $1, status = 'completed' WHERE id = $2");
    counting.execute(end.bind(call.ended_at).bind(call.id.0)).await.expect("its end");
    let ended = EndedCall::of(&call, None, &[]).into_iter().collect();
    counting.count_calls(&Plans::default(), ended).await.expect("it is counted");
    let issuing = tokio::spawn({
        let db = db.clone();
        async move { db.issue(&prices(1), "2026-11-01T01:00:00Z").await }
    });
    db.wait_for_a_waiting_lock().await;
    counting.commit().await.expect("it is committed");
    assert_eq!(issuing.await.expect("no panic").issued.len(), 1);
    let issued = scope.statement(&prices(1), october()).await.expect("a statement");
    assert_eq!((issued.is_final, issued.sums.seconds), (true, 120));
    assert_eq!(scope.usage_of_month(october()).await.expect("an answer").sums.seconds, 120);
}

impl Database {
    /// Waits until a transaction waits for another one's lock. SQLite has one writer at a time: whoever comes second
    /// waits in any case.
    async fn wait_for_a_waiting_lock(&self) {
        let Pool::Postgres(pool) = &self.store.pool else { return };
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
            AND classid = 1987 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(4);
        loop {
            let found: bool = sqlx::query_scalar(AssertSqlSafe(waits)).fetch_one(pool).await.expect("locks");
            if found {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "statements are issued beside a call being counted"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// A price list that has a price for `tts espeak good` only.
fn one_price() -> Billing {
    let price = Price {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "good".into(),
        unit: UsageUnit::Characters,
        price: 3,
        per: 1,
    };
    Billing { prices: Prices { engines: vec![price], ..Prices::default() }, ..Billing::default() }
}

fn with_prices(models: [&str; 2]) -> Billing {
    let mut billing = one_price();
    let one = billing.prices.engines[0].clone();
    billing.prices.engines = models.map(|model| Price { model: model.to_owned(), ..one.clone() }).to_vec();
    billing
}

/// A tenant that used a model without a price in October, and one that did not.
async fn unpriced(db: &Database) -> (Route, Route) {
    let (dear, fair) = (talked(db, 1).await, talked(db, 2).await);
    for (route, model) in [(&dear, "dear"), (&fair, "good")] {
        let call = call_of_a_minute(route, "2026-10-06T10:00:00Z");
        let scope = db.store.scope(route.tenant.id);
        scope.end_call(&call, &[engine(model, 5_000_000)]).await.expect("it ends");
    }
    (dear, fair)
}

async fn use_without_a_price_holds_the_statement_back(db: Database) {
    let (dear, fair) = unpriced(&db).await;
    let scope = db.store.scope(dear.tenant.id);
    for _ in 0..2 {
        let outcome = db.issue(&one_price(), "2026-11-01T01:00:00Z").await;
        let held = HeldStatement {
            tenant_id: dear.tenant.id,
            tenant_name: dear.tenant.name.clone(),
            month: october(),
            reason: HoldReason::Unpriced,
            detail: "tts espeak dear".into(),
        };
        assert_eq!(outcome.held, [held]);
        assert!(outcome.issued.iter().all(|issued| issued.tenant_id == fair.tenant.id), "{outcome:?}");
    }
    let draft = scope.statement(&one_price(), october()).await.expect("a draft");
    let marks: Vec<_> = draft.bill.lines.iter().map(|line| line.unpriced).collect();
    assert_eq!((draft.is_final, marks), (false, vec![false, true, false]));
    // The month stays open.
    scope.end_call(&call_of_a_minute(&dear, "2026-10-07T10:00:00Z"), &[]).await.expect("it ends");
    let accepted = IssueRequest { accept_unpriced: true, tenant: Some(dear.tenant.id), ..due() };
    let (cli, now) = (Actor::cli("ann"), at("2026-11-03T00:00:00Z"));
    let outcome = db.store.issue_statements(&one_price(), &accepted, &cli, now).await.expect("issued");
    assert_eq!(
        (outcome.issued[0].unpriced.as_slice(), outcome.held.len()),
        (&["tts espeak dear".into()][..], 0)
    );
    let issued = scope.statement(&one_price(), october()).await.expect("a statement");
    assert_eq!((issued.is_final, issued.sums.seconds), (true, 180));
    let filter = AuditFilter { action: Some("issue".into()), ..AuditFilter::default() };
    let entries = scope.audit(&filter, Window::first(9)).await.expect("entries").items;
    assert_eq!((entries.len(), entries[0].actor.as_str()), (1, "cli ann"));
    assert_eq!(db.issue(&one_price(), "2026-11-04T01:00:00Z").await, IssueOutcome::default());
}

async fn a_held_statement_is_not_forgotten_with_its_month(db: Database) {
    let (dear, _) = unpriced(&db).await;
    db.issue(&one_price(), "2026-11-01T01:00:00Z").await;
    let later = db.issue(&one_price(), "2027-03-01T01:00:00Z").await;
    let held: Vec<_> = later.held.iter().map(|held| (held.tenant_id, held.month)).collect();
    assert_eq!(held, [(dear.tenant.id, october())], "and the months since are issued");
    let months = |outcome: &IssueOutcome| {
        outcome.issued.iter().map(|issued| issued.month.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(months(&later).len(), 8, "{later:?}");
    let priced = db.issue(&with_prices(["good", "dear"]), "2027-03-02T01:00:00Z").await;
    assert_eq!((months(&priced), priced.held.len()), (vec!["2026-10".to_owned()], 0));
}

async fn months_that_a_daemon_missed_are_issued(db: Database) {
    talked(&db, 1).await;
    let months = |outcome: &IssueOutcome| {
        outcome.issued.iter().map(|issued| issued.month.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(months(&db.issue(&prices(1), "2026-11-01T01:00:00Z").await), ["2026-10"]);
    let after_a_pause = db.issue(&prices(1), "2027-02-02T00:00:00Z").await;
    assert_eq!(months(&after_a_pause), ["2026-11", "2026-12", "2027-01"]);
    let asked = IssueRequest { month: Some("2027-02".parse().expect("a month")), ..due() };
    let early =
        db.store.issue_statements(&prices(1), &asked, &Actor::system(), at("2027-03-01T00:30:00Z")).await;
    assert!(matches!(&early, Err(StoreError::Invalid { what }) if what.contains("2027-02")), "{early:?}");
}

async fn one_unreadable_tenant_stops_no_other(db: Database) {
    let (first, bad, last) = (talked(&db, 1).await, talked(&db, 2).await, talked(&db, 3).await);
    db.spoil(bad.tenant.id).await;
    let read = db.store.month_reports(&prices(1), october(), Window::first(9)).await.expect("a list");
    let listed: Vec<_> = read.page.items.iter().map(|report| report.tenant_id).collect();
    assert_eq!(listed, [first.tenant.id, last.tenant.id]);
    assert!(read.unreadable[0].problem.contains("images"), "{read:?}");
    let outcome = db.issue(&prices(1), "2026-11-01T01:00:00Z").await;
    let issued: Vec<_> = outcome.issued.iter().map(|issued| issued.tenant_id).collect();
    assert_eq!(issued, listed);
    let held: Vec<_> = outcome.held.iter().map(|held| (held.tenant_id, held.reason)).collect();
    assert_eq!(held, [(bad.tenant.id, HoldReason::Unreadable)]);
}

async fn a_dry_run_issues_nothing(db: Database) {
    let (dear, fair) = unpriced(&db).await;
    let dry = IssueRequest { dry_run: true, ..due() };
    for _ in 0..2 {
        let now = at("2026-11-01T01:00:00Z");
        let outcome =
            db.store.issue_statements(&one_price(), &dry, &Actor::system(), now).await.expect("told");
        assert_eq!(outcome.issued[0].tenant_id, fair.tenant.id);
        assert_eq!(outcome.held[0].tenant_id, dear.tenant.id);
    }
    let draft = db.store.scope(fair.tenant.id).statement(&one_price(), october()).await.expect("a draft");
    assert!(!draft.is_final);
}
