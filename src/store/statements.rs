//! Statements: a draft while a month lasts, issued once it is over, and never changed after.
//!
//! [`figures`] alone decides which figures a month has: those of its issued statement, or those of a draft by the plan
//! in force at the month's end. Calls are counted and statements issued under one lock ([`MonthLock`]), so that each
//! call is on one statement.

mod outcome;

use std::collections::BTreeSet;

use chrono::{DateTime, Months, TimeDelta, Utc};
use uuid::Uuid;

pub use self::outcome::{
    HeldStatement, HoldReason, IssueOutcome, IssueRequest, IssuedStatement, MonthReports, UnreadableTenant,
};
use super::audit::Change;
use super::statement::{Statement as Sql, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::usage::{EngineRow, MonthLock, SumsRow, usage};
use super::{Page, Scope, Store, StoreError, Window};
use crate::billing::{Account, Billing, Statement};
use crate::tenancy::{Actor, Month, TenantId};

/// How long after a month its statements are issued: by then its last calls are recorded, even after an outage.
const DELAY: TimeDelta = TimeDelta::hours(1);
/// Statements of one transaction.
const BATCH: i64 = 100;
/// How many months back statements that were missed are issued, after a daemon was down for so long.
const MOST_MONTHS: Months = Months::new(24);

/// Each tenant with the month `$1`, which begins at `$2` and ends before `$3`: its sums, its issued statement, the plan
/// at the month's last moment, and whether it was not deleted at some moment of the month.
const ACCOUNTS: &str = "SELECT t.id, t.name, t.created_at, COALESCE(m.calls, 0) AS calls, \
    COALESCE(m.seconds, 0) AS seconds, COALESCE(m.turns, 0) AS turns, s.statement AS issued, \
    COALESCE((SELECT h.plan FROM tenant_terms h WHERE h.tenant_id = t.id AND h.at < $3 ORDER BY h.seq DESC LIMIT 1), \
        (SELECT h.plan FROM tenant_terms h WHERE h.tenant_id = t.id ORDER BY h.seq LIMIT 1), t.plan) AS plan, \
    (COALESCE((SELECT h.status FROM tenant_terms h WHERE h.tenant_id = t.id AND h.at <= $2 ORDER BY h.seq DESC LIMIT 1), \
        (SELECT h.status FROM tenant_terms h WHERE h.tenant_id = t.id ORDER BY h.seq LIMIT 1), t.status) <> 'deleted' \
        OR EXISTS (SELECT 1 FROM tenant_terms h WHERE h.tenant_id = t.id AND h.at > $2 AND h.at < $3 \
        AND h.status <> 'deleted')) AS is_present \
    FROM tenants t LEFT JOIN usage_months m ON m.tenant_id = t.id AND m.month = $1 \
    LEFT JOIN statements s ON s.tenant_id = t.id AND s.month = $1";

impl Scope {
    /// The tenant's statement of a month: as it was issued, or a draft.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not exist.
    pub async fn statement(&self, billing: &Billing, month: Month) -> Result<Statement, StoreError> {
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE tenant_id = $1 AND month = $2";
        let mut tx = self.begin(Access::Snapshot).await?;
        let account = accounts(month, " WHERE t.id = $4").bind(self.tenant.0);
        let account = tx.one::<AccountRow>(account).await?;
        let engines = tx.all(sql(ENGINES).bind(self.tenant.0).bind(month.to_string())).await?;
        tx.commit().await?;
        figures(billing, month, &account, engines)
    }
}

impl Store {
    /// The month of each tenant of a page, oldest tenant first, with the figures of its statement. Tenants with
    /// rows that cannot be read are listed separately.
    pub async fn month_reports(
        &self,
        billing: &Billing,
        month: Month,
        window: Window,
    ) -> Result<MonthReports, StoreError> {
        let mut tx = AllTenants(self).begin(Access::Snapshot).await?;
        let rows = accounts(month, " WHERE t.id > $4 ORDER BY t.id LIMIT $5");
        let rows = tx.all::<AccountRow>(rows.bind(window.above()).bind(window.rows())).await?;
        let page = window.page(rows, |row| row.id);
        let mut engines = tx.engines_of(month, &page.items).await?;
        tx.commit().await?;
        let (mut items, mut unreadable) = (Vec::new(), Vec::new());
        for row in &page.items {
            match figures(billing, month, row, take_of(&mut engines, row.id)) {
                Ok(statement) => items.push(statement.into_report()),
                Err(error) => unreadable.push(row.unreadable(&error)),
            }
        }
        Ok(MonthReports { page: Page { items, next: page.next }, unreadable })
    }

    /// Issues the statements that are due at `now`: those of months that ended an hour ago or more. Statements that
    /// cannot be read, and those with use that has no price unless it is accepted, are held back and recorded as held;
    /// the others are issued. Several daemons may do this at once.
    ///
    /// # Errors
    /// `Invalid` when a month is asked for that is not over.
    pub async fn issue_statements(
        &self,
        billing: &Billing,
        request: &IssueRequest,
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<IssueOutcome, StoreError> {
        let mut outcome = IssueOutcome::default();
        for due in self.due_months(request.month, now).await? {
            let mut after = Uuid::nil();
            while let Some(last) =
                self.issue_batch(billing, request, actor, (due, after), &mut outcome).await?
            {
                after = last;
            }
        }
        Ok(outcome)
    }

    /// The months to look at, oldest first: the one that ended last, those that were missed since a statement was last
    /// issued, and those with statements that are held back.
    async fn due_months(&self, wanted: Option<Month>, now: DateTime<Utc>) -> Result<Vec<Due>, StoreError> {
        let newest = Month::of(now - DELAY).before();
        if let Some(month) = wanted {
            if month > newest {
                let problem =
                    format_args!("{month} is not over: its statements are due an hour after its end");
                return Err(StoreError::invalid(problem));
            }
            return Ok(vec![Due { month, held_only: false }]);
        }
        let mut tx = AllTenants(self).begin(Access::Read).await?;
        let (last,) = tx.one::<(Option<String>,)>(sql("SELECT MAX(month) FROM statements")).await?;
        let held = tx.all::<(String,)>(sql("SELECT DISTINCT month FROM statement_holds")).await?;
        tx.commit().await?;
        let earliest = newest.first_day().checked_sub_months(MOST_MONTHS).map_or(newest, Month::around);
        let last = last.and_then(|text| text.parse().ok()).unwrap_or(newest);
        let mut month = last.clamp(earliest, newest);
        let mut missed = BTreeSet::new();
        while month <= newest {
            missed.insert(month);
            month = month.after();
        }
        let held: BTreeSet<Month> = held.iter().filter_map(|(text,)| text.parse().ok()).collect();
        let due = held.union(&missed).map(|month| Due { month: *month, held_only: !missed.contains(month) });
        Ok(due.collect())
    }

    /// Issues some statements of a month in one transaction. Returns the last tenant of the batch; `None` when there
    /// are no more.
    async fn issue_batch(
        &self,
        billing: &Billing,
        request: &IssueRequest,
        actor: &Actor,
        (due, after): (Due, Uuid),
        outcome: &mut IssueOutcome,
    ) -> Result<Option<Uuid>, StoreError> {
        let access = if request.dry_run { Access::Snapshot } else { Access::Write };
        let mut tx = AllTenants(self).begin(access).await?;
        if !request.dry_run {
            tx.lock_month(due.month, MonthLock::Issue).await?;
        }
        let rows = tx.all::<AccountRow>(due.accounts(after, request.tenant)).await?;
        let mut engines = tx.engines_of(due.month, &rows).await?;
        let mut batch = IssueOutcome::default();
        for row in &rows {
            let statement = figures(billing, due.month, row, take_of(&mut engines, row.id));
            match judge(statement, row, due.month, request.accept_unpriced) {
                Ok(statement) => {
                    if !request.dry_run {
                        tx.issue(&statement, actor).await?;
                    }
                    batch.issued.push(IssuedStatement::of(&statement));
                }
                Err(held) => batch.held.push(held),
            }
        }
        if request.dry_run {
            drop(tx);
        } else {
            tx.hold(&batch.held).await?;
            tx.commit().await?;
        }
        outcome.issued.extend(batch.issued);
        outcome.held.extend(batch.held);
        Ok(rows.last().map(|row| row.id))
    }
}

/// A month with due statements.
#[derive(Debug, Clone, Copy)]
struct Due {
    month: Month,
    /// Only those that are held back; the others were never due.
    held_only: bool,
}

impl Due {
    /// The next tenants after one that owe for the month and have no statement of it: those that were there, and those
    /// with usage.
    fn accounts(self, after: Uuid, tenant: Option<TenantId>) -> Sql {
        let text = format!(
            "SELECT * FROM ({ACCOUNTS}) a WHERE a.issued IS NULL AND a.created_at < $3 AND (a.is_present OR a.calls > 0 \
             OR EXISTS (SELECT 1 FROM usage_month_engines e WHERE e.tenant_id = a.id AND e.month = $1)) \
             AND a.id > $4 AND (a.id = $5 OR $5 IS NULL) AND (NOT $6 OR EXISTS (SELECT 1 FROM statement_holds h \
             WHERE h.tenant_id = a.id AND h.month = $1)) ORDER BY a.id LIMIT $7"
        );
        let parameters = month_parameters(composed(text), self.month);
        parameters.bind(after).bind(tenant.map(|id| id.0)).bind(self.held_only).bind(BATCH)
    }
}

impl Tx {
    /// The engines of a month, of all tenants from the first of these to the last.
    async fn engines_of(&mut self, month: Month, rows: &[AccountRow]) -> Result<Vec<EngineRow>, StoreError> {
        const ENGINES: &str = "SELECT tenant_id, kind, engine, model, unit, quantity \
            FROM usage_month_engines WHERE month = $1 AND tenant_id >= $2 AND tenant_id <= $3";
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        self.all(sql(ENGINES).bind(month.to_string()).bind(first.id).bind(last.id)).await
    }

    async fn issue(&mut self, statement: &Statement, actor: &Actor) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO statements (tenant_id, month, statement, issued_at) \
            VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, month) DO NOTHING";
        const RELEASE: &str = "DELETE FROM statement_holds WHERE tenant_id = $1 AND month = $2";
        let text = serde_json::to_string(statement).map_err(StoreError::corrupt)?;
        let (tenant, month) = (statement.tenant_id, statement.month.to_string());
        let insert = sql(INSERT).bind(tenant.0).bind(month.as_str()).bind(text).bind(super::now());
        self.execute(insert).await?;
        self.execute(sql(RELEASE).bind(tenant.0).bind(month.as_str())).await?;
        if *actor == Actor::system() {
            return Ok(());
        }
        let change = Change::new(actor, tenant, "issue", "statement", month);
        self.audit(change.after(&IssuedStatement::of(statement))).await
    }

    /// Records which statements are held back, each since it was first.
    async fn hold(&mut self, held: &[HeldStatement]) -> Result<(), StoreError> {
        const HOLD: &str = "INSERT INTO statement_holds (tenant_id, month, reason, detail, since) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, month) \
            DO UPDATE SET reason = excluded.reason, detail = excluded.detail";
        for statement in held {
            let hold = sql(HOLD)
                .bind(statement.tenant_id.0)
                .bind(statement.month.to_string())
                .bind(statement.reason.as_str())
                .bind(statement.detail.as_str())
                .bind(super::now());
            self.execute(hold).await?;
        }
        Ok(())
    }
}

/// The final statement of a tenant, or why it is held back.
fn judge(
    statement: Result<Statement, StoreError>,
    row: &AccountRow,
    month: Month,
    accept_unpriced: bool,
) -> Result<Statement, HeldStatement> {
    let held = |reason, detail| HeldStatement {
        tenant_id: TenantId(row.id),
        tenant_name: row.name.clone(),
        month,
        reason,
        detail,
    };
    let statement = statement.map_err(|error| held(HoldReason::Unreadable, error.to_string()))?;
    let unpriced = statement.bill.unpriced();
    if !unpriced.is_empty() && !accept_unpriced {
        return Err(held(HoldReason::Unpriced, unpriced.join(", ")));
    }
    Ok(Statement { is_final: true, ..statement })
}

/// The figures of a tenant's month: those of the statement that was issued, or those of a draft by the present prices
/// and the plan at the month's end.
fn figures(
    billing: &Billing,
    month: Month,
    row: &AccountRow,
    engines: Vec<EngineRow>,
) -> Result<Statement, StoreError> {
    let tenant_id = TenantId(row.id);
    if let Some(text) = &row.issued {
        let issued: Statement = serde_json::from_str(text).map_err(StoreError::corrupt)?;
        // The statement of an imported tenant may name the id that the tenant had elsewhere.
        return Ok(Statement { tenant_id, ..issued });
    }
    let account = Account {
        tenant_id,
        tenant_name: row.name.clone(),
        plan: row.plan.parse().map_err(StoreError::corrupt)?,
        is_present: row.is_present,
    };
    Ok(billing.draft(&account, month, &usage(row.sums, engines)?))
}

fn accounts(month: Month, condition: &str) -> Sql {
    month_parameters(composed(format!("{ACCOUNTS}{condition}")), month)
}

fn month_parameters(statement: Sql, month: Month) -> Sql {
    statement.bind(month.to_string()).bind(month.starts_at()).bind(month.ends_at())
}

/// Takes one tenant's rows out of several tenants'.
fn take_of(engines: &mut Vec<EngineRow>, tenant: Uuid) -> Vec<EngineRow> {
    engines.extract_if(.., |row| row.tenant_id == tenant).collect()
}

#[derive(Debug, sqlx::FromRow)]
struct AccountRow {
    id: Uuid,
    name: String,
    #[sqlx(flatten)]
    sums: SumsRow,
    issued: Option<String>,
    plan: String,
    is_present: bool,
}

impl AccountRow {
    fn unreadable(&self, error: &StoreError) -> UnreadableTenant {
        UnreadableTenant {
            tenant_id: TenantId(self.id),
            tenant_name: self.name.clone(),
            problem: error.to_string(),
        }
    }
}
