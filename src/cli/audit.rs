//! `vca audit`

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::failure::Failure;
use super::output::Output;
use super::span::moment;
use super::table::Table;
use super::tenant;
use crate::store::{AuditEntry, AuditFilter, Store, Window};

#[derive(Debug, Args)]
pub struct Command {
    /// Id or name. Default: all changes.
    #[arg(long)]
    tenant: Option<String>,
    /// The kind of thing, such as phone_number.
    #[arg(long)]
    resource: Option<String>,
    #[arg(long)]
    resource_id: Option<String>,
    /// Such as create, update or revoke.
    #[arg(long)]
    action: Option<String>,
    /// A part of the name of who did it.
    #[arg(long)]
    actor: Option<String>,
    /// Since when: a time, a day, or 7d for a week ago.
    #[arg(long, value_parser = moment)]
    from: Option<DateTime<Utc>>,
    /// Until when.
    #[arg(long, value_parser = moment)]
    to: Option<DateTime<Utc>>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only what is older than this entry.
    #[arg(long, value_name = "ID")]
    before: Option<Uuid>,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let window = Window { after: self.before, limit: self.limit };
        let filter = AuditFilter {
            resource: self.resource,
            resource_id: self.resource_id,
            action: self.action,
            actor: self.actor,
            from: self.from,
            to: self.to,
        };
        let page = match &self.tenant {
            Some(named) => store.scope(tenant::find(store, named).await?.id).audit(&filter, window).await?,
            None => store.audit(&filter, window).await?,
        };
        output.print(&page.items, || table(&page.items))
    }
}

fn table(entries: &[AuditEntry]) -> String {
    let mut table = Table::new(["time", "who", "did", "to", "id", "what changed"]);
    for entry in entries {
        table.row([
            entry.at.format("%F %T").to_string(),
            entry.actor.clone(),
            entry.action.clone(),
            entry.resource.clone(),
            entry.resource_id.clone(),
            changed(entry.before.as_ref(), entry.after.as_ref()),
        ]);
    }
    table.to_string()
}

/// How long the column and each value in it may get, in characters.
const LINE: usize = 100;
const VALUE: usize = 24;

/// The fields that differ; of what is new, its first few.
fn changed(before: Option<&Value>, after: Option<&Value>) -> String {
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after, is_new) = (fields(before), fields(after), before.is_none());
    let names = after.keys().chain(before.keys().filter(|name| !after.contains_key(*name)));
    let parts = names.filter_map(|name| {
        let (then, now) = (before.get(name), after.get(name));
        let is_noise = is_new && (now == Some(&Value::Null) || name.ends_with("id") || name == "created_at");
        if then == now || is_noise {
            return None;
        }
        let now = now.map_or_else(|| "gone".to_owned(), shown);
        Some(if is_new {
            format!("{name} {now}")
        } else {
            format!("{name} {} → {now}", then.map_or_else(|| "-".to_owned(), shown))
        })
    });
    shortened(&parts.collect::<Vec<_>>().join(", "), LINE)
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    shortened(&text, VALUE)
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_shortly() {
        let before = json!({ "id": 1, "status": "active", "plan": "growth", "limit": null });
        let after = json!({ "id": 1, "status": "suspended", "plan": "growth", "limit": 3 });
        assert_eq!(changed(Some(&before), Some(&after)), "limit - → 3, status active → suspended");
        let new = json!({ "id": 1, "tenant_id": 2, "name": "Bakery", "limit": null, "created_at": "x" });
        assert_eq!(changed(None, Some(&new)), "name Bakery");
        assert_eq!(changed(Some(&json!({ "name": "x" })), None), "name x → gone");
        let long = changed(None, Some(&json!({ "text": "é".repeat(500) })));
        assert_eq!(long, format!("text {}…", "é".repeat(VALUE - 1)));
        assert_eq!(changed(None, None), "");
    }
}
