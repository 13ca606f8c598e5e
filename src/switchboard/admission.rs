//! Admission of calls. Strict: the called number decides the tenant, and there is no fallback.

use serde::Deserialize;

use super::callers::CallerStanding;
use crate::audio::codec::Format;
use crate::billing::{EngineTerms, Plans};
use crate::call::Refusal;
use crate::tenancy::{Month, Route, Tenant, TenantStatus};

/// `[calls]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Calls at once. Default 200.
    pub max_calls: usize,
    /// Calls at once of a tenant when neither it nor its plan has a limit. Default 20.
    pub max_calls_per_tenant: u32,
    /// Calls at once from one caller's number to one tenant. Default: no limit.
    pub max_calls_per_caller: Option<u32>,
    /// Admitted calls within an hour from one caller's number to one tenant: 1000 at most. Default: no limit.
    pub max_calls_per_caller_per_hour: Option<u32>,
    /// The time for calls in progress after the daemon is stopped, in seconds. Default 300, the length of the
    /// longest call.
    pub drain_timeout_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_calls: 200,
            max_calls_per_tenant: 20,
            max_calls_per_caller: None,
            max_calls_per_caller_per_hour: None,
            drain_timeout_s: 300,
        }
    }
}

/// The most calls at once that are answered for a message alone, and of those of one tenant.
const MAX_MESSAGES: usize = 20;
const MAX_TENANT_MESSAGES: usize = 5;

/// The state of daemon and tenant when a call arrives, without the call itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub draining: bool,
    pub calls: usize,
    pub tenant_calls: u32,
    pub caller: CallerStanding,
    /// Calls that are not admitted, and in which the caller hears a message: all, and the tenant's.
    pub messages: usize,
    pub tenant_messages: usize,
    /// Asterisk has RTP ports for another call.
    pub has_ports: bool,
    /// The month of its arrival.
    pub month: Month,
}

/// Admits the call or returns the reason for a refusal. Causes on the tenant's side take precedence over the
/// daemon's.
pub fn decide(
    route: Option<&Route>,
    standing: Standing,
    settings: &Settings,
    plans: &Plans,
) -> Result<(), Refusal> {
    let route = route.ok_or(Refusal::UnknownNumber)?;
    match route.tenant.status {
        TenantStatus::Active => {}
        TenantStatus::Suspended => return Err(Refusal::TenantSuspended),
        TenantStatus::Deleted => return Err(Refusal::TenantDeleted),
    }
    if !route.number.is_active {
        return Err(Refusal::NumberInactive);
    }
    if !route.is_answered() {
        return Err(Refusal::NoAgent);
    }
    if standing.draining {
        return Err(Refusal::Draining);
    }
    let terms = plans.of(route.tenant.plan);
    // An answer of last month's, kept while the database is away, says nothing of this one.
    let used = if route.usage.month == standing.month { route.usage.seconds } else { 0 };
    if terms.refuses_after(used) {
        return Err(Refusal::QuotaReached);
    }
    if has_too_many_calls(standing.caller, settings) {
        return Err(Refusal::CallerLimit);
    }
    if standing.tenant_calls >= calls_at_once(&route.tenant, settings, plans) {
        return Err(Refusal::TenantBusy);
    }
    if standing.calls >= settings.max_calls {
        return Err(Refusal::Full);
    }
    if !standing.has_ports {
        return Err(Refusal::NoRtpPorts);
    }
    Ok(())
}

/// Whether a call that is refused may be answered for the message of its failover route. A caller beyond the operator's ceilings
/// hears none, and neither does one while the daemon stops or Asterisk's ports are short.
pub fn may_announce(refusal: Refusal, standing: Standing) -> bool {
    let is_announced = matches!(refusal, Refusal::TenantBusy | Refusal::Full | Refusal::QuotaReached);
    is_announced
        && standing.has_ports
        && standing.messages < MAX_MESSAGES
        && standing.tenant_messages < MAX_TENANT_MESSAGES
}

/// Is the caller at one of the operator's ceilings?
fn has_too_many_calls(caller: CallerStanding, settings: &Settings) -> bool {
    let is_at = |calls: u32, limit: Option<u32>| limit.is_some_and(|limit| calls >= limit);
    is_at(caller.live, settings.max_calls_per_caller)
        || is_at(caller.last_hour, settings.max_calls_per_caller_per_hour)
}

/// The calls that a tenant may have at once: by its own limit, its plan's, or the daemon's.
fn calls_at_once(tenant: &Tenant, settings: &Settings, plans: &Plans) -> u32 {
    let limit = tenant.max_concurrent_calls.or(plans.of(tenant.plan).concurrent_calls);
    limit.unwrap_or(settings.max_calls_per_tenant)
}

/// The terms by which a tenant's shares of the engines are computed.
pub fn engine_terms(tenant: &Tenant, settings: &Settings, plans: &Plans) -> EngineTerms {
    let calls = calls_at_once(tenant, settings, plans);
    EngineTerms { calls, share: plans.of(tenant.plan).engine_share }
}

/// The format in which a channel's audio needs the least transcoding, by Asterisk's `CHANNEL(audionativeformat)`:
/// the trunk's own where VCA supports it, G.722 for other wideband formats. Not the trunk's Opus or linear audio:
/// Asterisk sends those on an external-media channel, but does not accept them, because their payload types are
/// not among the assigned ones (asterisk/documentation, issue 142).
pub fn format_for(native: &str) -> Format {
    let names = native.trim_matches(|c| matches!(c, '(' | ')' | ' '));
    let first = names.split(['|', ',', '&']).next().unwrap_or_default().trim();
    match first {
        "alaw" => Format::Alaw,
        wide if wide.starts_with("slin") && wide != "slin" => Format::G722,
        "g722" | "opus" | "siren7" | "siren14" | "silk12" | "silk16" | "silk24" | "speex16" | "speex32"
        | "g719" => Format::G722,
        _ => Format::Ulaw,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::billing::{AtLimit, Percent, Terms};
    use crate::tenancy::{
        AgentRole, AiProfile, CallDelivery, FailoverRoutes, MonthUse, NumberId, NumberProfiles, PhoneNumber,
        Plan, ProfileId, ProfileSettings, ProviderState, ProviderType, Tenant, TenantId,
    };

    fn route() -> Route {
        let (tenant_id, created_at) = (TenantId::new(), DateTime::UNIX_EPOCH);
        let did = "+15550100".parse().unwrap();
        Route {
            number: PhoneNumber {
                id: NumberId::new(),
                tenant_id,
                did,
                provider_type: ProviderType::Generic,
                is_active: true,
                provider_state: ProviderState::Registered,
                provider_detail: None,
                provider_reference: None,
                call_delivery: CallDelivery::Delivered,
                failover: FailoverRoutes::default(),
                uses_tenant_webhook: true,
                routing_version: 1,
                created_at,
            },
            tenant: Tenant {
                id: tenant_id,
                name: "acme".into(),
                status: TenantStatus::Active,
                plan: Plan::Starter,
                max_concurrent_calls: Some(2),
                created_at,
            },
            profile: Some(AiProfile {
                id: ProfileId::new(),
                tenant_id,
                name: "front desk".into(),
                role: AgentRole::Receptionist,
                system_prompt: "Be brief.".into(),
                is_default: true,
                settings: ProfileSettings::default(),
                version: 1,
                created_at,
                targets: None,
            }),
            number_profiles: NumberProfiles::default(),
            usage: MonthUse { month: month(), seconds: 600 },
            targets: vec![],
            pre_call: None,
            engines: vec![],
        }
    }

    fn month() -> Month {
        Month::of(DateTime::UNIX_EPOCH)
    }

    fn quiet() -> Standing {
        let caller = CallerStanding::default();
        Standing {
            draining: false,
            calls: 0,
            tenant_calls: 0,
            caller,
            messages: 0,
            tenant_messages: 0,
            has_ports: true,
            month: month(),
        }
    }

    fn decision(change: impl FnOnce(&mut Route), standing: Standing) -> Result<(), Refusal> {
        let mut route = route();
        change(&mut route);
        decide(Some(&route), standing, &Settings::default(), &Plans::default())
    }

    /// Of a tenant of the plan `starter`, which has these terms.
    fn decision_by(terms: Terms, change: impl FnOnce(&mut Route), standing: Standing) -> Result<(), Refusal> {
        let mut route = route();
        change(&mut route);
        let plans = Plans { starter: terms, ..Plans::default() };
        decide(Some(&route), standing, &Settings::default(), &plans)
    }

    #[test]
    fn each_reason_to_refuse_is_told_apart() {
        let settings = Settings::default();
        assert_eq!(decide(None, quiet(), &settings, &Plans::default()), Err(Refusal::UnknownNumber));
        assert_eq!(decision(|_| {}, quiet()), Ok(()));
        assert_eq!(decision(|r| r.number.is_active = false, quiet()), Err(Refusal::NumberInactive));
        assert_eq!(
            decision(|r| r.tenant.status = TenantStatus::Suspended, quiet()),
            Err(Refusal::TenantSuspended)
        );
        assert_eq!(
            decision(|r| r.tenant.status = TenantStatus::Deleted, quiet()),
            Err(Refusal::TenantDeleted)
        );
        assert_eq!(decision(|r| r.profile = None, quiet()), Err(Refusal::NoAgent));
        assert_eq!(decision(|_| {}, Standing { draining: true, ..quiet() }), Err(Refusal::Draining));
    }

    #[test]
    fn messages_are_bounded_and_for_callers_who_may_call() {
        let heard = [Refusal::TenantBusy, Refusal::Full, Refusal::QuotaReached];
        let unheard =
            [Refusal::CallerLimit, Refusal::Draining, Refusal::NoRtpPorts, Refusal::TenantSuspended];
        assert!(heard.iter().all(|refusal| may_announce(*refusal, quiet())));
        assert!(!unheard.iter().any(|refusal| may_announce(*refusal, quiet())));
        for standing in [
            Standing { messages: MAX_MESSAGES, ..quiet() },
            Standing { tenant_messages: MAX_TENANT_MESSAGES, ..quiet() },
            Standing { has_ports: false, ..quiet() },
        ] {
            assert!(!may_announce(Refusal::TenantBusy, standing), "{standing:?}");
        }
    }

    #[test]
    fn shares_of_engines_follow_the_limit_of_calls_and_the_plan() {
        let (settings, tenant) = (Settings::default(), route().tenant);
        let terms = |tenant: &Tenant, plans: &Plans| {
            let EngineTerms { calls, share } = engine_terms(tenant, &settings, plans);
            (calls, share.0)
        };
        assert_eq!(terms(&tenant, &Plans::default()), (2, 100));
        let starter = Terms { concurrent_calls: Some(9), engine_share: Percent(50), ..Terms::default() };
        let plans = Plans { starter, ..Plans::default() };
        let of_plan = Tenant { max_concurrent_calls: None, ..tenant };
        assert_eq!(terms(&of_plan, &plans), (9, 50));
    }

    #[test]
    fn limits_are_the_tenants_then_the_daemons() {
        assert_eq!(decision(|_| {}, Standing { tenant_calls: 1, ..quiet() }), Ok(()));
        assert_eq!(decision(|_| {}, Standing { tenant_calls: 2, ..quiet() }), Err(Refusal::TenantBusy));
        let many = Standing { tenant_calls: 20, ..quiet() };
        assert_eq!(decision(|r| r.tenant.max_concurrent_calls = None, many), Err(Refusal::TenantBusy));
        assert_eq!(decision(|_| {}, Standing { calls: 200, ..quiet() }), Err(Refusal::Full));
        let short = Standing { has_ports: false, ..quiet() };
        assert_eq!(decision(|_| {}, short), Err(Refusal::NoRtpPorts));
    }

    #[test]
    fn a_caller_is_refused_at_either_ceiling() {
        let decision = |live, last_hour, settings: &Settings| {
            let standing = Standing { caller: CallerStanding { live, last_hour }, ..quiet() };
            decide(Some(&route()), standing, settings, &Plans::default())
        };
        let limits = Settings {
            max_calls_per_caller: Some(2),
            max_calls_per_caller_per_hour: Some(5),
            ..Settings::default()
        };
        assert_eq!(decision(1, 4, &limits), Ok(()));
        assert_eq!(decision(2, 4, &limits), Err(Refusal::CallerLimit), "at once");
        assert_eq!(decision(0, 5, &limits), Err(Refusal::CallerLimit), "within an hour");
        assert_eq!(decision(1_000, 1_000, &Settings::default()), Ok(()), "no limit by default");
    }

    #[test]
    fn a_plan_has_its_limits_and_a_tenants_own_go_first() {
        let terms = || Terms { concurrent_calls: Some(1), ..Terms::default() };
        let one = Standing { tenant_calls: 1, ..quiet() };
        assert_eq!(
            decision_by(terms(), |r| r.tenant.max_concurrent_calls = None, one),
            Err(Refusal::TenantBusy)
        );
        assert_eq!(decision_by(terms(), |_| {}, one), Ok(()));
        let other = |r: &mut Route| {
            r.tenant.max_concurrent_calls = None;
            r.tenant.plan = Plan::Growth;
        };
        assert_eq!(decision_by(terms(), other, one), Ok(()));
    }

    #[test]
    fn a_months_minutes_are_used_up_at_the_last_of_them() {
        let terms =
            |minutes, at_limit| Terms { minutes_per_month: Some(minutes), at_limit, ..Terms::default() };
        let refused = Err(Refusal::QuotaReached);
        assert_eq!(decision_by(terms(10, AtLimit::Refuse), |_| {}, quiet()), refused);
        assert_eq!(decision_by(terms(10, AtLimit::Refuse), |r| r.usage.seconds = 599, quiet()), Ok(()));
        assert_eq!(decision_by(terms(10, AtLimit::Allow), |_| {}, quiet()), Ok(()));
        let next = Month::of(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(31));
        let later = Standing { month: next, ..quiet() };
        assert_eq!(decision_by(terms(10, AtLimit::Refuse), |_| {}, later), Ok(()), "a new month");
        assert_eq!(Refusal::QuotaReached.reason().code(), 21);
    }

    #[test]
    fn the_format_follows_the_call() {
        for (native, format) in [
            ("(ulaw)", Format::Ulaw),
            ("alaw", Format::Alaw),
            ("(opus)", Format::G722),
            ("(g722)", Format::G722),
            ("slin16", Format::G722),
            ("slin48", Format::G722),
            ("(opus|ulaw)", Format::G722),
            ("silk24", Format::G722),
            ("silk8", Format::Ulaw),
            ("slin", Format::Ulaw),
            ("(g729)", Format::Ulaw),
            ("(alaw|ulaw)", Format::Alaw),
            ("", Format::Ulaw),
        ] {
            assert_eq!(format_for(native), format, "{native}");
        }
    }
}
