//! The engines: what their servers list, and what they answer to one small real request each.

mod dates;
mod place;
mod server;
mod trial;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{NaiveDate, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::storage::ActiveTenant;
use super::{Finding, within_limit};
use crate::engines::core::EngineError;
use crate::engines::registry::{Engines, Entry, Fallbacks, Settings};
use crate::names::is_own;
use crate::tenancy::{ProfileSettings, Tool};
use place::EngineSections;
use server::{EngineServer, Listing};
use trial::RequestTrial;

/// Whether requests may be made that vendors bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    Small,
    None,
}

pub async fn examine(settings: &Settings, active: &[ActiveTenant], cost: Cost) -> Vec<Finding> {
    if let Err(faults) = Engines::build(settings) {
        let fail = |fault| Finding::fail("engines", fault, "correct the configuration: `vca config check`");
        return faults.into_iter().map(fail).collect();
    }
    // A fallback would hide the failure of its engine.
    let mut alone = settings.clone();
    for fallback in [&mut alone.stt.fallback, &mut alone.llm.fallback, &mut alone.tts.fallback] {
        *fallback = Fallbacks::default();
    }
    let Ok(engines) = Engines::build(&alone) else { return Vec::new() };
    let candidates = stt(settings, &engines, active)
        .into_iter()
        .chain(llm(settings, &engines, active))
        .chain(tts(settings, &engines, active))
        .chain(realtime(settings, &engines, active));
    let mut findings = Vec::new();
    for candidate in candidates {
        findings.push(candidate.examine(cost).await);
    }
    findings
}

/// An engine to examine.
struct EngineCandidate {
    check: String,
    place: EngineSections,
    access: Examination,
}

/// How an engine is examined.
enum Examination {
    /// There is no such engine, although a default profile names it.
    Missing,
    /// A program of this machine shows itself at no cost.
    Local(BoxFuture<'static, Result<String, EngineError>>),
    Remote(Box<EngineServer>, BoxFuture<'static, Result<RequestTrial, EngineError>>),
}

impl EngineCandidate {
    async fn examine(self, cost: Cost) -> Finding {
        let EngineCandidate { check, place, access } = self;
        match access {
            Examination::Missing => {
                let problem = "a profile asks for it, but there is no such engine: its calls are refused";
                Finding::fail(check, problem, place.another_engine())
            }
            Examination::Local(probe) => match within_limit(probe).await {
                Ok(Ok(seen)) => Finding::ok(check, seen),
                Ok(Err(error)) => Finding::fail(check, &error, place.install()),
                Err(slow) => Finding::fail(check, slow, place.install()),
            },
            Examination::Remote(server, trial) => {
                let listing = within_limit(server.list())
                    .await
                    .unwrap_or_else(|slow| Err(EngineError::Temporary(slow)));
                match cost {
                    Cost::None => listed(check, &server, listing, &place),
                    Cost::Small => tried(check, &server, listing, within_limit(trial).await, &place),
                }
            }
        }
    }
}

/// The result from the list of models, which is no proof: servers differ in it.
fn listed(
    check: String,
    server: &EngineServer,
    listing: Result<Listing, EngineError>,
    place: &EngineSections,
) -> Finding {
    let remedy = "run `vca doctor` without --no-cost: it makes one small request";
    let seen = server.to_string();
    match &listing {
        Err(error) => Finding::fail(check, error, place.remedy(error)),
        Ok(Listing::NoList) => {
            Finding::warn(check, format!("{seen}: the server has no list of models"), remedy)
        }
        Ok(Listing::Without) => Finding::warn(check, format!("{seen}: the server does not list it"), remedy),
        Ok(Listing::With { .. }) => match ending(server, &listing) {
            Some(problem) => Finding::warn(check, format!("{seen}: {problem}"), place.another_model()),
            None => Finding::ok(check, format!("{seen} is listed")),
        },
    }
}

/// The result of a request.
fn tried(
    check: String,
    server: &EngineServer,
    listing: Result<Listing, EngineError>,
    trial: Result<Result<RequestTrial, EngineError>, String>,
    place: &EngineSections,
) -> Finding {
    let trial = match trial {
        Ok(Ok(trial)) => trial,
        Ok(Err(error)) => return Finding::fail(check, format!("{server}: {error}"), place.remedy(&error)),
        Err(slow) => return Finding::fail(check, format!("{server}: {slow}"), place.server()),
    };
    let seen = format!("{server}: {trial}");
    match (trial.doubt(), ending(server, &listing)) {
        (Some((problem, remedy)), _) => Finding::warn(check, format!("{seen}; {problem}"), remedy),
        (None, Some(problem)) => Finding::warn(check, format!("{seen}; {problem}"), place.another_model()),
        (None, None) => Finding::ok(check, seen),
    }
}

/// When the model is shut down, by the server's list or by the built-in table.
fn ending(server: &EngineServer, listing: &Result<Listing, EngineError>) -> Option<String> {
    let date = match listing {
        Ok(Listing::With { shutdown: Some(date) }) => Some(*date),
        _ if server.is_openai() => dates::known(server.model()),
        _ => None,
    };
    date.map(|date| in_words(date, Utc::now().date_naive()))
}

fn in_words(date: NaiveDate, today: NaiveDate) -> String {
    if date <= today {
        format!("the model was shut down on {date}")
    } else {
        format!("the model is shut down on {date}")
    }
}

fn stt(settings: &Settings, engines: &Engines, active: &[ActiveTenant]) -> Vec<EngineCandidate> {
    let entries = settings.stt_entries();
    let remote = entries.iter().filter(|it| it.server().is_some()).map(|it| &*it.name).collect();
    let asked = asked(&engines.stt_names(), remote, &settings.stt.fallback, active, |it| &it.stt);
    let candidate = |name: &str, is_default: bool| {
        let found = engines.stt(Some(name)).zip(entry(&entries, name));
        let access = found.as_ref().map_or(Examination::Missing, |(engine, entry)| {
            let engine = engine.clone();
            match EngineServer::of_stt(entry) {
                Some(server) => Examination::Remote(Box::new(server), trial::transcribe(engine).boxed()),
                None => Examination::Local(async move { engine.probe().await }.boxed()),
            }
        });
        EngineCandidate {
            check: check("stt", name, is_default),
            place: place("stt", name, found.map(|(_, it)| it)),
            access,
        }
    };
    asked.iter().enumerate().map(|(at, name)| candidate(name, at == 0)).collect()
}

fn llm(settings: &Settings, engines: &Engines, active: &[ActiveTenant]) -> Vec<EngineCandidate> {
    let entries = settings.llm_entries();
    let remote = entries.iter().filter(|it| it.server().is_some()).map(|it| &*it.name).collect();
    let asked = asked(&engines.llm_names(), remote, &settings.llm.fallback, active, |it| &it.llm);
    let has_tools = uses_tools(active);
    let candidate = |name: &str, is_default: bool| {
        let found = engines.llm(Some(name)).zip(entry(&entries, name));
        let access = found.as_ref().map_or(Examination::Missing, |(engine, entry)| {
            let engine = engine.clone();
            match EngineServer::of_llm(entry) {
                Some(server) => Examination::Remote(Box::new(server), trial::ask(engine, has_tools).boxed()),
                None => Examination::Local(async move { engine.probe().await }.boxed()),
            }
        });
        EngineCandidate {
            check: check("llm", name, is_default),
            place: place("llm", name, found.map(|(_, it)| it)),
            access,
        }
    };
    asked.iter().enumerate().map(|(at, name)| candidate(name, at == 0)).collect()
}

fn tts(settings: &Settings, engines: &Engines, active: &[ActiveTenant]) -> Vec<EngineCandidate> {
    let entries = settings.tts_entries();
    let remote = entries.iter().filter(|it| it.server().is_some()).map(|it| &*it.name).collect();
    let asked = asked(&engines.tts_names(), remote, &settings.tts.fallback, active, |it| &it.tts);
    let candidate = |name: &str, is_default: bool| {
        let found = engines.tts(Some(name)).zip(entry(&entries, name));
        let access = found.as_ref().map_or(Examination::Missing, |(engine, entry)| {
            let engine = engine.clone();
            match EngineServer::of_tts(entry) {
                Some(server) => Examination::Remote(Box::new(server), trial::speak(engine).boxed()),
                None => Examination::Local(async move { engine.probe().await }.boxed()),
            }
        });
        EngineCandidate {
            check: check("tts", name, is_default),
            place: place("tts", name, found.map(|(_, it)| it)),
            access,
        }
    };
    asked.iter().enumerate().map(|(at, name)| candidate(name, at == 0)).collect()
}

/// The engines that are configured or that profiles name; there is no default one.
fn realtime(settings: &Settings, engines: &Engines, active: &[ActiveTenant]) -> Vec<EngineCandidate> {
    let entries = settings.realtime_entries();
    let profiles = active.iter().flat_map(|it| &it.profiles);
    let mut names: BTreeSet<&str> =
        profiles.filter_map(|profile| profile.settings.realtime.as_deref()).collect();
    names.extend(entries.iter().map(|it| &*it.name));
    let candidate = |name: &str| {
        let found = engines.realtime(name).zip(entry(&entries, name));
        let access = found.as_ref().map_or(Examination::Missing, |(engine, entry)| {
            let server = EngineServer::of_realtime(entry);
            Examination::Remote(Box::new(server), trial::converse(engine.clone()).boxed())
        });
        EngineCandidate {
            check: check("realtime", name, false),
            place: place("realtime", name, found.map(|(_, it)| it)),
            access,
        }
    };
    names.into_iter().map(candidate).collect()
}

/// The default engine first, then its fallbacks, those that profiles name, and all that have servers.
fn asked(
    known: &[&str],
    remote: BTreeSet<&str>,
    fallbacks: &Fallbacks,
    active: &[ActiveTenant],
    wish: impl Fn(&ProfileSettings) -> &Option<String>,
) -> Vec<String> {
    let default = known.first().copied().unwrap_or_default();
    let profiles = active.iter().flat_map(|it| &it.profiles);
    let wishes = profiles.filter_map(|profile| wish(&profile.settings).as_deref());
    // A tenant's own engines are tried by `vca credential test`.
    let wishes = wishes.filter(|name| !is_own(name));
    let built = remote.into_iter().filter(|name| known.contains(name));
    let others: BTreeSet<&str> =
        wishes.chain(fallbacks.names()).chain(built).filter(|name| *name != default).collect();
    std::iter::once(default).chain(others).map(str::to_owned).collect()
}

fn entry<'a, S>(entries: &'a [Entry<S>], name: &str) -> Option<&'a Entry<S>> {
    entries.iter().find(|entry| *entry.name == *name)
}

fn check(kind: &str, name: &str, is_default: bool) -> String {
    format!("{kind} {name}{}", if is_default { " (default)" } else { "" })
}

fn place<S>(kind: &'static str, name: &str, entry: Option<&Entry<S>>) -> EngineSections {
    let section = entry.map_or_else(|| format!("{kind}.{name}"), |it| it.section.clone());
    let server = entry.map_or_else(|| section.clone(), |it| it.server_section().to_owned());
    EngineSections { kind, section, server }
}

/// Whether profiles let the agent end the call, which is a tool of the model.
fn uses_tools(active: &[ActiveTenant]) -> bool {
    let mut profiles = active.iter().flat_map(|it| &it.profiles).peekable();
    profiles.peek().is_none() || profiles.any(|profile| profile.settings.may(Tool::EndCall))
}
