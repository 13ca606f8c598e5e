//! `vca usage`

use chrono::{NaiveDate, Utc};
use clap::{Args, Subcommand};

use super::call::tenant_of;
use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table, or_dash};
use super::{actor, tenant};
use crate::billing::{Bill, BillLine, Billing, Quota, UsageReport, decimal};
use crate::config::Config;
use crate::store::{IssueOutcome, IssueRequest, Store, StoreError, UnreadableTenant, Window};
use crate::tenancy::{CallId, CallSums, Month};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a tenant has taken in a month, and where its quota stands; or what it has taken in some days.
    Show(OfTime),
    /// Show what a call has taken, by the price list.
    Call { call: CallId },
    /// Make out a tenant's statement of a month.
    Statement(OfStatement),
    /// List every tenant's usage of a month.
    List {
        #[command(flatten)]
        time: Time,
    },
    /// Issue the statements that are due. The daemon does this by itself, and holds back statements with use that has no
    /// price; this command shows them, and can issue them all the same.
    Issue(Issue),
}

#[derive(Debug, Args)]
pub struct Issue {
    /// Only this tenant's: id, or name if only one has it.
    #[arg(long)]
    tenant: Option<String>,
    /// Only this month's, such as 2026-11; otherwise every month that is due.
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
    /// Issue statements with use that has no price, too; they bill nothing for it, and are final.
    #[arg(long)]
    accept_unpriced: bool,
    /// Show what would be issued and what held back, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Time {
    /// Such as 2026-11, in UTC. Default: the present one.
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
}

#[derive(Debug, Args)]
pub struct OfTenant {
    /// Id, or name if only one has it.
    tenant: String,
    #[command(flatten)]
    time: Time,
}

#[derive(Debug, Args)]
pub struct OfTime {
    #[command(flatten)]
    of: OfTenant,
    /// The first day (UTC), such as 2026-11-01, in place of a month.
    #[arg(long, value_name = "DAY", requires = "to", conflicts_with = "month")]
    from: Option<NaiveDate>,
    /// The last day.
    #[arg(long, value_name = "DAY", requires = "from")]
    to: Option<NaiveDate>,
}

#[derive(Debug, Args)]
pub struct OfStatement {
    #[command(flatten)]
    of: OfTenant,
    /// Print CSV, for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Tenants that are read at once.
const PAGE: u32 = 500;

impl Time {
    fn month(&self) -> Month {
        self.month.unwrap_or_else(|| Month::of(Utc::now()))
    }
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let billing = config.billing();
        match self {
            Command::Show(of) => show(of, store, &billing, output).await,
            Command::Call { call } => of_call(call, store, &billing, output).await,
            Command::Statement(of) => statement(of, store, &billing, output).await,
            Command::List { time } => list(time.month(), store, &billing, output).await,
            Command::Issue(wanted) => issue(wanted, store, &billing, output).await,
        }
    }
}

async fn show(
    OfTime { of, from, to }: OfTime,
    store: &Store,
    billing: &Billing,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (tenant, month) = (tenant::find(store, &of.tenant).await?, of.time.month());
    let scope = store.scope(tenant.id);
    let report = match from.zip(to) {
        Some((from, to)) if to < from => return Err(Failure::unacceptable("--to lies before --from")),
        Some((from, to)) => billing.days(&tenant, (from, to), &scope.usage_of_days(from, to).await?),
        None => scope.statement(billing, month).await?.into_report(),
    };
    let time = from
        .zip(to)
        .map_or_else(|| month_text(month, report.is_final), |(from, to)| format!("{from} to {to}"));
    output.print(&report, || {
        let sheet = Sheet::new()
            .line("tenant", &report.tenant_name)
            .line("plan", report.plan)
            .line("time", &time)
            .line("calls", report.sums.calls)
            .line("talked", minutes(report.sums))
            .line("turns", report.sums.turns)
            .line("quota", or_dash(report.quota.as_ref().map(bar)))
            .line("cost", amount(&report.bill));
        format!("{sheet}\n{}", lines(&report.bill))
    })
}

async fn of_call(
    call: CallId,
    store: &Store,
    billing: &Billing,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let usage = store.scope(tenant_of(store, call).await?).usage_of_call(call).await?;
    let usage = usage.ok_or(StoreError::NotFound)?;
    let bill = Bill::new(&billing.prices, None, &usage);
    output.print(&bill, || {
        format!("talked  {}\n\n{}\ntotal  {}", minutes(usage.sums), lines(&bill), amount(&bill))
    })
}

async fn statement(
    OfStatement { of, csv }: OfStatement,
    store: &Store,
    billing: &Billing,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (tenant, month) = (tenant::find(store, &of.tenant).await?, of.time.month());
    let statement = store.scope(tenant.id).statement(billing, month).await?;
    output.print(&statement, || {
        if csv {
            return statement.csv();
        }
        let draft = if statement.is_final { "" } else { " (draft)" };
        let head = format!("{}, {month}{draft}", statement.tenant_name);
        format!("{head}\n\n{}\ntotal  {}", lines(&statement.bill), amount(&statement.bill))
    })
}

async fn list(
    month: Month,
    store: &Store,
    billing: &Billing,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (mut reports, mut unreadable, mut window) = (Vec::new(), Vec::new(), Window::first(PAGE));
    loop {
        let read = store.month_reports(billing, month, window).await?;
        reports.extend(read.page.items);
        unreadable.extend(read.unreadable);
        match read.page.next {
            Some(next) => window.after = Some(next),
            None => break,
        }
    }
    output.print(&reports, || {
        let mut table = Table::new(["tenant", "plan", "calls", "talked", "turns", "quota", "cost", "id"]);
        for report in &reports {
            table.row(row(report));
        }
        table.to_string()
    })?;
    if unreadable.is_empty() { Ok(()) } else { Err(missing(&unreadable)) }
}

fn missing(unreadable: &[UnreadableTenant]) -> Failure {
    let of_tenant = |tenant: &UnreadableTenant| {
        format!("{} ({}): {}", tenant.tenant_name, tenant.tenant_id, tenant.problem)
    };
    let listed: Vec<String> = unreadable.iter().map(of_tenant).collect();
    Failure::broken(format!("the list lacks tenants whose usage cannot be read:\n  {}", listed.join("\n  ")))
}

async fn issue(
    Issue { tenant, month, accept_unpriced, dry_run }: Issue,
    store: &Store,
    billing: &Billing,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let tenant = match tenant {
        Some(named) => Some(tenant::find(store, &named).await?.id),
        None => None,
    };
    let request = IssueRequest { month, tenant, accept_unpriced, dry_run };
    let outcome = store.issue_statements(billing, &request, &actor(), Utc::now()).await?;
    output.print(&outcome, || issued(&outcome, dry_run))
}

fn issued(outcome: &IssueOutcome, dry_run: bool) -> String {
    let mut table =
        Table::new(["month", "tenant", "statement", "total", "without a price or unreadable", "id"]);
    for statement in &outcome.issued {
        table.row([
            statement.month.to_string(),
            statement.tenant_name.clone(),
            if dry_run { "to be issued" } else { "issued" }.to_owned(),
            format!("{} {}", decimal(statement.total_micros), statement.currency),
            statement.unpriced.join(", "),
            statement.tenant_id.to_string(),
        ]);
    }
    for statement in &outcome.held {
        table.row([
            statement.month.to_string(),
            statement.tenant_name.clone(),
            "held back".to_owned(),
            "-".to_owned(),
            statement.detail.clone(),
            statement.tenant_id.to_string(),
        ]);
    }
    let end = if dry_run { "A dry run: nothing was changed." } else { "" };
    format!("{table}{end}")
}

fn row(report: &UsageReport) -> [String; 8] {
    [
        report.tenant_name.clone(),
        report.plan.to_string(),
        report.sums.calls.to_string(),
        minutes(report.sums),
        report.sums.turns.to_string(),
        or_dash(report.quota.as_ref().map(bar)),
        amount(&report.bill),
        report.tenant_id.to_string(),
    ]
}

fn lines(bill: &Bill) -> String {
    let mut table = Table::new(["item", "quantity", "unit", "price", "amount"]);
    for line in &bill.lines {
        let (quantity, amount) = (line.quantity.to_string(), decimal(line.amount_micros));
        table.row([line.name(), quantity, line.unit.to_string(), price(line), amount]);
    }
    table.to_string()
}

fn price(line: &BillLine) -> String {
    match (line.price_micros, line.per) {
        (None, _) if line.unpriced => "no price".to_owned(),
        (None, _) => "-".to_owned(),
        (Some(price), 1) => decimal(price),
        (Some(price), per) => format!("{} / {per}", decimal(price)),
    }
}

fn month_text(month: Month, is_final: bool) -> String {
    if is_final { month.to_string() } else { format!("{month} (so far)") }
}

fn amount(bill: &Bill) -> String {
    let unpriced = bill.unpriced();
    let total = format!("{} {}", decimal(bill.total_micros), bill.currency);
    if unpriced.is_empty() { total } else { format!("{total}, without {} (no price)", unpriced.join(", ")) }
}

fn minutes(sums: CallSums) -> String {
    format!("{}:{:02} min", sums.seconds / 60, sums.seconds % 60)
}

/// How much of a quota is used: `[####------] 42 % of 500 min`.
fn bar(quota: &Quota) -> String {
    const WIDTH: usize = 10;
    let full = usize::try_from(quota.percent / 10).unwrap_or(WIDTH).min(WIDTH);
    let drawn = format!("{}{}", "#".repeat(full), "-".repeat(WIDTH - full));
    format!("[{drawn}] {} % of {} min", quota.percent, quota.minutes_per_month)
}
