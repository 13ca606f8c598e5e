//! `vca number routing`

use clap::Args;
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::number::NumberSelector;
use super::output::Output;
use super::profile::ProfileSelector;
use super::table::Sheet;
use crate::config::Config;
use crate::control::{self, in_any_state};
use crate::store::{OwnedNumber, Scope, Store};
use crate::tenancy::{Did, NumberId, NumberRouting, ProfileId, ProfileShare};

#[derive(Debug, Args)]
pub struct Routing {
    #[command(flatten)]
    which: NumberSelector,
    /// A profile that answers, by id or name, and its weight where several share the calls (1 to 100, default 1). Given several
    /// times for several profiles, which replace the present ones.
    #[arg(long = "profile", value_name = "PROFILE[=WEIGHT]", value_parser = read_share)]
    profiles: Vec<NamedShare>,
    /// The tenant's default profile answers.
    #[arg(long, conflicts_with = "profiles")]
    default_profile: bool,
    /// The profile that answers outside of business hours, by id or name.
    #[arg(long, value_name = "PROFILE")]
    closed_profile: Option<String>,
    /// No other profile answers outside of business hours.
    #[arg(long, conflicts_with = "closed_profile")]
    no_closed_profile: bool,
}

/// A profile by name or id, with its weight.
#[derive(Debug, Clone)]
struct NamedShare {
    profile: String,
    weight: u16,
}

/// A name may have an equals sign: a weight is a number behind the last one.
fn read_share(text: &str) -> Result<NamedShare, String> {
    let weighted = text.rsplit_once('=').filter(|(_, weight)| weight.bytes().all(|b| b.is_ascii_digit()));
    let Some((profile, weight)) = weighted else {
        return Ok(NamedShare { profile: text.to_owned(), weight: 1 });
    };
    let weight = weight.parse().map_err(|_| format!("{weight:?} is not a weight"))?;
    Ok(NamedShare { profile: profile.to_owned(), weight })
}

/// The routing of a number, with the names of its profiles.
#[derive(Debug, Serialize)]
struct ShownRouting {
    did_number: Did,
    #[serde(flatten)]
    routing: NumberRouting,
    #[serde(skip)]
    names: Vec<(ProfileId, String)>,
}

impl Routing {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let OwnedNumber { number, .. } = self.which.find(store, &config.numbers).await?;
        let scope = store.scope(number.tenant_id);
        let routing = self.changed(store, &scope, number.id).await?;
        let profiles = scope.profiles().await?;
        let names = profiles.into_iter().map(|profile| (profile.id, profile.name)).collect();
        let shown = ShownRouting { did_number: number.did, routing, names };
        output.print(&shown, || shown.sheet())
    }

    /// The routing after the changes; unchanged where none are asked for.
    async fn changed(self, store: &Store, scope: &Scope, number: NumberId) -> Result<NumberRouting, Failure> {
        let before = scope.number_routing(number).await?;
        let tenant = scope.tenant_id().to_string();
        let find = async |profile: String| {
            let selector = ProfileSelector { profile, tenant: Some(tenant.clone()) };
            selector.find_profile(store).await.map(|profile| profile.id)
        };
        let mut after = before.clone();
        if self.default_profile || !self.profiles.is_empty() {
            after.profiles.clear();
        }
        for NamedShare { profile, weight } in self.profiles {
            after.profiles.push(ProfileShare { ai_profile_id: find(profile).await?, weight });
        }
        if let Some(closed) = self.closed_profile {
            after.closed_profile_id = Some(find(closed).await?);
        } else if self.no_closed_profile {
            after.closed_profile_id = None;
        }
        if after == before {
            return Ok(before);
        }
        let any = in_any_state::<_, Failure>;
        control::set_number_routing(scope, &actor(), number, &after, any).await
    }
}

impl ShownRouting {
    fn sheet(&self) -> String {
        let name = |id: ProfileId| {
            let found = self.names.iter().find(|(known, _)| *known == id);
            found.map_or_else(|| id.to_string(), |(_, name)| name.clone())
        };
        let share = |share: &ProfileShare| format!("{} ({})", name(share.ai_profile_id), share.weight);
        let shares: Vec<String> = self.routing.profiles.iter().map(share).collect();
        let profiles = if shares.is_empty() { "the tenant's default".to_owned() } else { shares.join(", ") };
        let closed = self.routing.closed_profile_id.map_or_else(|| "-".to_owned(), name);
        Sheet::new()
            .line("number", &self.did_number)
            .line("profiles", profiles)
            .line("closed profile", closed)
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_follows_the_last_equals_sign() {
        for (text, profile, weight) in [
            ("Front desk", "Front desk", 1),
            ("Front desk=70", "Front desk", 70),
            ("a=b", "a=b", 1),
            ("a=b=3", "a=b", 3),
        ] {
            let read = read_share(text).unwrap();
            assert_eq!((read.profile.as_str(), read.weight), (profile, weight), "{text}");
        }
        assert!(read_share("a=70000").is_err());
    }
}
