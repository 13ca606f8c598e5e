//! `vca call feedback`

use clap::{Args, Subcommand};

use super::names::CallName;
use super::records::tenant_of;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::table::{Sheet, Table, or_dash};
use crate::cli::{actor, tenant};
use crate::control;
use crate::store::{FeedbackFilter, NewFeedback, Store, Window};
use crate::tenancy::{CallId, Feedback};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give feedback on a call.
    Add(Add),
    /// List feedback, newest first.
    List(List),
}

#[derive(Debug, Args)]
pub struct Add {
    /// The call's id, its first digits, or `last`.
    call: CallName,
    /// 1, the worst, to 5.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    rating: u8,
    #[arg(long)]
    comment: Option<String>,
    /// The person or system that gave it.
    #[arg(long, default_value = "review")]
    source: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "whose")]
pub struct Whose {
    /// Of this call.
    #[arg(long)]
    call: Option<CallId>,
    /// Of all calls of this tenant's. Id or name.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    whose: Whose,
    /// Only with this rating.
    #[arg(long)]
    rating: Option<u8>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Add(Add { call, rating, comment, source }) => {
                let (call, tenant) = call.find(store, None).await?;
                let scope = store.scope(tenant);
                let new = NewFeedback { rating, comment, source };
                let feedback = control::create_feedback(&scope, &actor(), call, new).await?;
                output.print(&feedback, || sheet(&feedback))
            }
            Command::List(list) => list.run(store, output).await,
        }
    }
}

impl List {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let Whose { call, tenant } = self.whose;
        let tenant = match (call, tenant) {
            (Some(call), _) => tenant_of(store, call).await?,
            (None, named) => tenant::find(store, named.as_deref().unwrap_or_default()).await?.id,
        };
        let filter = FeedbackFilter { call, rating: self.rating, ..FeedbackFilter::default() };
        let page = store.scope(tenant).feedback(&filter, Window::first(self.limit)).await?;
        output.print(&page.items, || {
            let mut table = Table::new(["given (UTC)", "rating", "source", "comment", "call"]);
            for feedback in &page.items {
                table.row([
                    feedback.created_at.format("%F %T").to_string(),
                    feedback.rating.to_string(),
                    feedback.source.clone(),
                    or_dash(feedback.comment.as_deref()),
                    feedback.call_id.to_string(),
                ]);
            }
            table.to_string()
        })
    }
}

fn sheet(feedback: &Feedback) -> String {
    Sheet::new()
        .line("id", feedback.id)
        .line("call", feedback.call_id)
        .line("rating", feedback.rating)
        .line("source", &feedback.source)
        .line("comment", or_dash(feedback.comment.as_deref()))
        .to_string()
}
