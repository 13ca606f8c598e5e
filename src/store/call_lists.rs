//! Lists of calls: a tenant's, or all tenants' for the operator.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::Change;
use super::calls::{COLUMNS, Row};
use super::conditions::Conditions;
use super::statement::{Value, sql};
use super::tx::{Access, AllTenants, RowScope};
use super::{Page, Scope, Store, StoreError, Window};
use crate::tenancy::{Actor, Call, CallId, CallStatus, NumberId, ProfileId, Sentiment, TenantId};

/// The conditions of a list of calls; an absent one is met by all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    pub status: Option<CallStatus>,
    pub disposition: Option<String>,
    pub phone_number_id: Option<NumberId>,
    pub ai_profile_id: Option<ProfileId>,
    /// With or without a plus sign.
    pub caller_number: Option<String>,
    /// Begun at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Begun before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Answered for so long at least.
    pub min_duration_s: Option<u32>,
    /// Answered for so long at most.
    pub max_duration_s: Option<u32>,
    /// The caller's rating, from 1 to 5.
    pub rating: Option<u8>,
    pub analysis: AnalysisFilter,
}

/// Conditions of the analysis of a call; an absent one is met by all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnalysisFilter {
    pub outcome: Option<String>,
    pub success: Option<bool>,
    pub sentiment: Option<Sentiment>,
    /// The name of a field, and its value as text.
    pub field: Option<(String, String)>,
}

impl AnalysisFilter {
    /// The names and values of the results that a call has to have.
    fn labels(&self) -> impl Iterator<Item = (String, String)> {
        let own = [
            ("outcome", self.outcome.clone()),
            ("success", self.success.map(|it| it.to_string())),
            ("sentiment", self.sentiment.map(|it| it.to_string())),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        own.chain(self.field.clone().map(|(name, value)| (format!("fields.{name}"), value)))
    }
}

impl Scope {
    /// The tenant's calls, newest first.
    ///
    /// The page's ids are found first, which an index can do alone: a filter that few calls pass would otherwise have
    /// a tenant's calls fetched one by one from all over the table.
    pub async fn calls(&self, filter: &CallFilter, window: Window) -> Result<Page<Call>, StoreError> {
        let select =
            format!("SELECT {COLUMNS} FROM calls WHERE id IN (SELECT id FROM calls WHERE tenant_id =");
        let mut query = Conditions::new(select, self.tenant.0);
        query.and("id <", window.below());
        filter.narrow(&mut query, Some(self.tenant.0), window);
        query.then(") ORDER BY id DESC");
        page(self.all(query.statement()).await?, window)
    }

    /// Writes an entry of the audit log about an act that changes no row of the tenant's: a call that is hung up or
    /// watched, a transcript that is read, an export.
    pub async fn note_access(
        &self,
        actor: &Actor,
        action: &'static str,
        resource: &'static str,
        id: Uuid,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        tx.audit_always(Change::new(actor, self.tenant, action, resource, id)).await?;
        tx.commit().await
    }
}

impl Store {
    /// All tenants' calls, newest first.
    pub async fn calls(&self, filter: &CallFilter, window: Window) -> Result<Page<Call>, StoreError> {
        let mut query = Conditions::new(format!("SELECT {COLUMNS} FROM calls WHERE id <"), window.below());
        filter.narrow(&mut query, None, window);
        page(AllTenants(self).all(query.statement()).await?, window)
    }

    /// Calls from one id to another, newest first, of one tenant or of all.
    pub async fn calls_between(
        &self,
        low: Uuid,
        high: Uuid,
        tenant: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<(CallId, TenantId)>, StoreError> {
        let mut query = Conditions::new("SELECT id, tenant_id FROM calls WHERE id >=", low);
        query.and("id <=", high);
        query.and_if("tenant_id =", tenant.map(|tenant| tenant.0));
        query.then("ORDER BY id DESC");
        query.limit(limit.into());
        let rows = AllTenants(self).all::<(Uuid, Uuid)>(query.statement()).await?;
        Ok(rows.into_iter().map(|(call, tenant)| (CallId(call), TenantId(tenant))).collect())
    }

    /// The dispositions with which calls have ended, in alphabetical order.
    pub async fn dispositions(&self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT DISTINCT disposition FROM rollup_outcomes \
            WHERE disposition <> '' AND calls > 0 ORDER BY disposition";
        let rows = AllTenants(self).all::<(String,)>(sql(SQL)).await?;
        Ok(rows.into_iter().map(|(disposition,)| disposition).collect())
    }

    /// The tenant that has a call.
    ///
    /// # Errors
    /// `NotFound` when there is no such call.
    pub async fn tenant_of_call(&self, id: CallId) -> Result<TenantId, StoreError> {
        const SQL: &str = "SELECT tenant_id FROM calls WHERE id = $1";
        let (tenant,) = AllTenants(self).one::<(Uuid,)>(sql(SQL).bind(id.0)).await?;
        Ok(TenantId(tenant))
    }
}

impl CallFilter {
    fn narrow(&self, query: &mut Conditions, tenant: Option<Uuid>, window: Window) {
        let millis = |seconds: u32| i64::from(seconds) * 1_000;
        query.and_if("status =", self.status.map(CallStatus::as_str));
        query.and_if("disposition =", self.disposition.as_deref());
        query.and_if("phone_number_id =", self.phone_number_id.map(|id| id.0));
        query.and_if("ai_profile_id =", self.ai_profile_id.map(|id| id.0));
        if let Some(number) = &self.caller_number {
            query.and_either("caller_number", spellings(number).map(Value::from));
        }
        query.and_if("started_at >=", self.from);
        query.and_if("started_at <", self.to);
        query.and_if("duration_ms >=", self.min_duration_s.map(millis));
        query.and_if("duration_ms <=", self.max_duration_s.map(millis));
        if let Some(rating) = self.rating {
            query.and_callers_rating(tenant, rating);
        }
        for (name, value) in self.analysis.labels() {
            query.and_label(tenant, name, value);
        }
        query.then("ORDER BY id DESC");
        query.limit(window.rows());
    }
}

/// A caller's number as trunks write it: with a plus sign and without. Text that is not a number stays as it is.
fn spellings(number: &str) -> [String; 2] {
    let trimmed = number.trim();
    let bare: String = trimmed.chars().filter(|c| !matches!(c, '+' | ' ' | '.' | '-' | '(' | ')')).collect();
    match bare.bytes().all(|byte| byte.is_ascii_digit()) {
        true => [format!("+{bare}"), bare],
        false => [trimmed.to_owned(), trimmed.to_owned()],
    }
}

fn page(rows: Vec<Row>, window: Window) -> Result<Page<Call>, StoreError> {
    let calls: Result<Vec<Call>, StoreError> = rows.into_iter().map(Call::try_from).collect();
    Ok(window.page(calls?, |call| call.id.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_number_is_found_however_it_is_written() {
        assert_eq!(spellings("+49 (30) 55-0.1"), ["+49305501", "49305501"]);
        assert_eq!(spellings(" 49305501"), ["+49305501", "49305501"]);
        assert_eq!(spellings("anonymous"), ["anonymous", "anonymous"]);
    }
}
