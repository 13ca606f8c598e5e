//! Storage: the database and its tenants, and the state of conversations.

use super::{Finding, within_limit};
use crate::cli::database::open;
use crate::config::Config;
use crate::names::{EngineNames, is_own};
use crate::state;
use crate::store::{Backend, Isolation, Resealing, Settings, Store, StoreError, Window};
use crate::tenancy::{
    AiProfile, EngineCredential, Numbering, Permitted, PhoneNumber, ProfileSettings, Tenant, TenantStatus,
};

/// An active tenant and the profiles that answer its calls, the default one first.
#[derive(Debug, Clone)]
pub struct ActiveTenant {
    pub tenant: Tenant,
    pub profiles: Vec<AiProfile>,
    pub numbers: Vec<PhoneNumber>,
    /// Its own accounts at vendors.
    pub own: Vec<EngineCredential>,
}

/// Whether the database answers and has its tables; with them, its active tenants.
pub async fn database(settings: &Settings, numbering: Numbering) -> (Vec<Finding>, Vec<ActiveTenant>) {
    const CHECK: &str = "database";
    let store = match open(settings).await {
        Ok(store) => store.with_numbering(numbering),
        Err(error) => {
            return (vec![Finding::fail(CHECK, error, "see database.url (DATABASE_URL)")], Vec::new());
        }
    };
    let kind = match store.backend() {
        Backend::Sqlite => "SQLite",
        Backend::Postgres => "PostgreSQL",
    };
    let pending = match store.pending_migrations().await {
        Ok(pending) => pending,
        Err(error) => return (vec![Finding::fail(CHECK, error, "see the database's own log")], Vec::new()),
    };
    if !pending.is_empty() {
        let problem = format!("{kind} answers, but its tables lack {}", pending.join(", "));
        return (vec![Finding::fail(CHECK, problem, "run `vca migrate`")], Vec::new());
    }
    match active_tenants(&store).await {
        Ok(active) => {
            let seen = format!("{kind} answers; {} active tenants", active.len());
            let mut findings = vec![Finding::ok(CHECK, seen)];
            findings.extend(isolation(&store).await);
            findings.push(dead_letters(&store).await);
            findings.extend(ambiguities(&store).await);
            findings.extend(suspended(&store).await);
            (findings, active)
        }
        Err(error) => (vec![Finding::fail(CHECK, error, "see the database's own log")], Vec::new()),
    }
}

/// Does the database itself keep tenants apart?
async fn isolation(store: &Store) -> Option<Finding> {
    const CHECK: &str = "tenant isolation";
    Some(match store.isolation().await {
        Ok(Isolation::ProgramOnly) => return None,
        Ok(Isolation::Enforced { role, owns_tables: false }) => Finding::ok(
            CHECK,
            format!("row-level security holds the role {role}, which cannot switch it off"),
        ),
        Ok(Isolation::Enforced { role, owns_tables: true }) => Finding::ok(
            CHECK,
            format!(
                "row-level security holds the role {role}; it owns the tables and could switch it off: \
                 docs/operations.md has a role for the daemon alone"
            ),
        ),
        Ok(bypassed @ Isolation::Bypassed { .. }) => {
            let remedy = bypassed.weakness().unwrap_or_default();
            Finding::warn(CHECK, "row-level security does not apply to this role", remedy)
        }
        Err(error) => Finding::fail(CHECK, error, "see the database's own log"),
    })
}

/// Has the database refused records of calls?
async fn dead_letters(store: &Store) -> Finding {
    const CHECK: &str = "records of calls";
    match store.count_dead_letters().await {
        Ok(0) => Finding::ok(CHECK, "none was refused by the database"),
        Ok(refused) => Finding::warn(
            CHECK,
            format!("the database has refused {refused}"),
            "`vca ledger list` says why; repair the cause, then run `vca ledger retry`",
        ),
        Err(error) => Finding::fail(CHECK, error, "see the database's own log"),
    }
}

/// Numbers that callers cannot tell apart with the default region that is set.
async fn ambiguities(store: &Store) -> Vec<Finding> {
    const CHECK: &str = "numbers";
    let remedy = "have the trunk send numbers in E.164 with their plus sign and unset numbers.default_region, or \
        release one of them";
    match store.ambiguous_numbers().await {
        Ok(ambiguous) => ambiguous.iter().map(|it| Finding::warn(CHECK, it, remedy)).collect(),
        Err(error) => vec![Finding::fail(CHECK, error, "see the database's own log")],
    }
}

/// Do the secrets in the database open, and are they sealed with the current key? Nothing where there are none, or where
/// the database does not answer, which [`database`] reports.
pub async fn secrets(config: &Config) -> Option<Finding> {
    const CHECK: &str = "stored secrets";
    let keyring = config.keyring().ok()?;
    let seals = keyring.seals();
    let store = open(&config.database).await.ok()?.with_sealing(keyring);
    let Resealing { secrets, resealed, unopened } = store.reseal(true).await.ok()?;
    if secrets == 0 {
        return None;
    }
    Some(if !unopened.is_empty() {
        let problem =
            format!("{} of {secrets} cannot be opened: webhooks, tools or engines fail", unopened.len());
        Finding::warn(CHECK, problem, "`vca secrets reseal --dry-run` lists them, and the remedies")
    } else if !seals {
        Finding::warn(
            CHECK,
            format!("{secrets} are stored unencrypted"),
            "set seal.key, then run `vca secrets reseal`",
        )
    } else if resealed > 0 {
        Finding::warn(
            CHECK,
            format!("{resealed} of {secrets} are not sealed with seal.key"),
            "run `vca secrets reseal`",
        )
    } else {
        Finding::ok(CHECK, format!("{secrets} are sealed with seal.key"))
    })
}

/// Suspended tenants: their calls are refused with 403, as was intended.
async fn suspended(store: &Store) -> Option<Finding> {
    let tenants = store.tenants().await.ok()?;
    let names: Vec<String> =
        tenants.into_iter().filter(|it| it.status == TenantStatus::Suspended).map(|it| it.name).collect();
    (!names.is_empty()).then(|| {
        Finding::note("suspended tenants", format!("calls to {} are refused (403)", names.join(", ")))
    })
}

/// Inactive numbers: their calls are refused with 404, as was intended.
fn inactive(ActiveTenant { tenant, numbers, .. }: &ActiveTenant) -> Option<Finding> {
    let inactive: Vec<String> =
        numbers.iter().filter(|it| !it.is_active).map(|it| it.did.to_string()).collect();
    (!inactive.is_empty()).then(|| {
        let seen = format!("{} inactive: their calls are refused (404)", inactive.join(", "));
        Finding::note(format!("numbers of {}", tenant.name), seen)
    })
}

async fn active_tenants(store: &Store) -> Result<Vec<ActiveTenant>, StoreError> {
    let mut active = Vec::new();
    for tenant in store.tenants().await?.into_iter().filter(|it| it.status == TenantStatus::Active) {
        let scope = store.scope(tenant.id);
        let (profiles, numbers) = (scope.answering_profiles().await?, scope.numbers().await?);
        let own = scope.engine_credentials(Window::first(u32::MAX)).await?.items;
        active.push(ActiveTenant { tenant, profiles, numbers, own });
    }
    Ok(active)
}

/// Does Redis answer, if there is to be one?
pub async fn state(settings: &state::Settings) -> Finding {
    const CHECK: &str = "conversation state";
    let remedy = "start Redis, or correct state.redis_url (REDIS_URL); until then state is kept in memory";
    if settings.redis_url.is_none() {
        return Finding::ok(CHECK, "in memory, as no Redis is configured");
    }
    let ping = async { state::connect(settings).await?.ping().await };
    match within_limit(ping).await {
        Ok(Ok(())) => Finding::ok(CHECK, "Redis answers"),
        Ok(Err(error)) => Finding::warn(CHECK, error, remedy),
        Err(slow) => Finding::warn(CHECK, slow, remedy),
    }
}

/// The models that profiles choose themselves and that have no price. Those of the configuration are among its warnings.
pub fn prices(config: &Config, active: &[ActiveTenant]) -> Vec<Finding> {
    let configured = config.unpriced(&ProfileSettings::default());
    let profiles = active.iter().flat_map(|it| it.profiles.iter().map(move |profile| (&it.tenant, profile)));
    let unpriced = profiles.flat_map(|(tenant, profile)| {
        let models = config.unpriced(&profile.settings).into_iter();
        models.filter(|model| !configured.contains(model)).map(move |model| (tenant, profile, model))
    });
    let finding = |(tenant, profile, model): (&Tenant, &AiProfile, String)| {
        Finding::warn(
            format!("prices of {}", tenant.name),
            format!("{:?} uses {model}, which has no price: its statements are held back", profile.name),
            "add a price to [prices] (0 where it is free), or choose another model",
        )
    };
    unpriced.map(finding).collect()
}

/// Can each active tenant be called, and does someone answer?
pub fn tenants(active: &[ActiveTenant], permitted: &Permitted) -> Vec<Finding> {
    let inactive = active.iter().filter_map(inactive);
    active
        .iter()
        .map(tenant)
        .chain(inactive)
        .chain(active.iter().flat_map(|it| of_profiles(it, permitted)))
        .collect()
}

/// The findings of the profiles that answer a tenant's calls.
fn of_profiles(tenant: &ActiveTenant, permitted: &Permitted) -> Vec<Finding> {
    let permitted = permitted.with_own(&tenant.own);
    let findings = tenant.profiles.iter().map(|profile| {
        let replaced = replaced(&tenant.tenant, profile, &permitted);
        replaced.into_iter().chain(without_engine(&tenant.tenant, profile, &permitted))
    });
    findings.flatten().collect()
}

/// A profile whose engine is the tenant's own and not there, or has to be its own and is not: its calls are refused.
fn without_engine(tenant: &Tenant, profile: &AiProfile, permitted: &Permitted) -> Option<Finding> {
    let chosen = [
        (&profile.settings.stt, &permitted.stt),
        (&profile.settings.llm, &permitted.llm),
        (&profile.settings.tts, &permitted.tts),
    ];
    let is_missing = |(name, engines): &&(&Option<String>, &Vec<EngineNames>)| {
        let own = name.as_deref().filter(|name| is_own(name));
        own.is_some_and(|name| engines.iter().all(|it| it.engine != name))
    };
    let missing = chosen.iter().find(is_missing).and_then(|(name, _)| name.as_deref());
    let problem = match missing {
        Some(name) => format!("{:?} uses {name}, which is not there or not allowed", profile.name),
        None => permitted.account_violations(&profile.settings).first()?.to_string(),
    };
    Some(Finding::fail(
        format!("engines of {}", tenant.name),
        format!("{problem}: its calls are refused"),
        "create the credentials (vca credential create), choose another engine, or see tenant_engines.keys",
    ))
}

/// Settings of a profile that calls do not use: saved before they were refused, or imported.
fn replaced(tenant: &Tenant, profile: &AiProfile, permitted: &Permitted) -> Option<Finding> {
    let (_, refused) = permitted.effective(&profile.settings);
    let listed: Vec<String> =
        refused.iter().map(|violation| format!("{}: {}", violation.field, violation.problem)).collect();
    (!listed.is_empty()).then(|| {
        Finding::warn(
            format!("profile of {}", tenant.name),
            format!("{:?} has settings that its calls do not use: {}", profile.name, listed.join("; ")),
            format!(
                "vca profile update {} with permitted ones, or permit them in the configuration",
                profile.id
            ),
        )
    })
}

fn tenant(ActiveTenant { tenant, profiles, numbers, .. }: &ActiveTenant) -> Finding {
    let check = format!("tenant {}", tenant.name);
    let id = tenant.id;
    let active = numbers.iter().filter(|number| number.is_active).count();
    let remedy = || {
        format!(
            "vca profile create --tenant {id} --default …, or vca profile update NAME --tenant {id} --default"
        )
    };
    match profiles.first() {
        None => Finding::fail(check, "it has no default profile: its calls are refused", remedy()),
        Some(first) if !first.is_default => Finding::warn(
            check,
            "it has no default profile: calls to numbers without profiles of their own are refused",
            remedy(),
        ),
        Some(_) if active == 0 => Finding::warn(
            check,
            "it has no active number",
            format!("vca number create --tenant {id} --did +…"),
        ),
        Some(_) => {
            let names: Vec<String> = profiles.iter().map(|profile| format!("{:?}", profile.name)).collect();
            let verb = if names.len() == 1 { "answers" } else { "answer" };
            Finding::ok(check, format!("{active} active numbers; {} {verb}", names.join(", ")))
        }
    }
}
