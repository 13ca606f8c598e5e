//! `vca doctor --call`: a call through the dialplan, as a trunk's would go. It is recorded and charged like any other.
//!
//! Asterisk originates a Local channel into the context that trunks enter; its near end is joined with a socket of ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::circuit::{CallProgress, Circuit};
use super::fault::LoopbackFault;
use super::sound::LoopEnd;
use super::{SIGNALS, bind};
use crate::ari::{self, Client};
use crate::cli::database;
use crate::cli::doctor::Finding;
use crate::config::Config;
use crate::media;
use crate::store::{CallFilter, NumberQuery, Store, Window};
use crate::tenancy::{Call, CallStatus};

/// How long a call may ring, and how long it may be silent after its answer.
const RING_LIMIT: Duration = Duration::from_secs(15);
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// How long the call's record may take to be closed.
const RECORD_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// How many of the tenant's latest calls are searched for the record.
const LATEST: u32 = 50;

/// The outcome of a placed call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CallOutcome {
    /// Hung up before the answer, with a Q.850 cause.
    Refused {
        after: Duration,
        cause: u16,
        text: String,
    },
    Unanswered,
    /// `sound` is the time from the answer to the first sound.
    Answered {
        after: Duration,
        sound: Option<Duration>,
    },
}

/// Can this text be the number or context of a Local channel?
pub fn is_dialable(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.' | '*' | '#');
    !text.is_empty() && text.len() <= 80 && text.chars().all(is_plain)
}

/// Places a call and reports what happened.
pub async fn examine(number: &str, context: &str, config: &Config) -> Vec<Finding> {
    let check = format!("call to {number}");
    let app = format!("vca-doctor-{:08x}", rand::random::<u32>());
    let settings = ari::Settings { app, ..config.ari.clone() };
    let endpoint = format!("Local/{number}@{context}/n");
    match place(&settings, &config.media, &endpoint).await {
        Ok((outcome, channel, left)) => {
            let mut findings = vec![finding(&check, &outcome, context)];
            findings.push(record(number, &channel, config).await);
            if !left.is_empty() {
                let problem = format!("Asterisk did not delete {}", left.join(", "));
                findings.push(Finding::warn(check, problem, "look with `asterisk -rx 'core show channels'`"));
            }
            findings
        }
        Err(fault) => {
            let remedy = fault.remedy(&settings, &config.media);
            vec![Finding::fail(check, fault, remedy)]
        }
    }
}

/// The outcome, the id of the channel that the dialplan had, and what Asterisk did not delete.
async fn place(
    settings: &ari::Settings,
    media: &media::Settings,
    endpoint: &str,
) -> Result<(CallOutcome, String, Vec<String>), LoopbackFault> {
    let client = Arc::new(Client::new(settings).map_err(LoopbackFault::Url)?);
    let socket = bind(media)?;
    let (signals, inbox) = mpsc::channel(SIGNALS);
    let sink = move |signal| drop(signals.try_send(signal));
    let stop = CancellationToken::new();
    let listening = ari::listen(client.clone(), settings.clone(), sink, stop.clone());
    let mut circuit = Circuit::new(client, &settings.app, inbox);
    let placing = async {
        let outcome = follow(&mut circuit, socket, media, endpoint).await;
        let left = circuit.tear_down(outcome.is_err()).await;
        stop.cancel();
        outcome.map(|outcome| (outcome, circuit.far_end().to_string(), left))
    };
    tokio::join!(placing, listening).0
}

async fn follow(
    circuit: &mut Circuit,
    socket: media::MediaSocket,
    media: &media::Settings,
    endpoint: &str,
) -> Result<CallOutcome, LoopbackFault> {
    let begun = Instant::now();
    let progress = timeout(RING_LIMIT, circuit.call(endpoint, RING_LIMIT)).await;
    let after = begun.elapsed();
    match progress {
        Err(_) => Ok(CallOutcome::Unanswered),
        Ok(Err(fault)) => Err(fault),
        Ok(Ok(CallProgress::Refused { cause, text })) => Ok(CallOutcome::Refused { after, cause, text }),
        Ok(Ok(CallProgress::Answered)) => {
            let sound = listen(circuit, socket, media).await?;
            Ok(CallOutcome::Answered { after, sound })
        }
    }
}

/// The time until the first sound.
async fn listen(
    circuit: &mut Circuit,
    socket: media::MediaSocket,
    media: &media::Settings,
) -> Result<Option<Duration>, LoopbackFault> {
    let answered = Instant::now();
    let public = media.public_address.unwrap_or(media.bind_address);
    let threads =
        media::Threads::start(&media::Settings { threads: 1, calls_per_thread: 2, ..media.clone() });
    let threads = threads.map_err(LoopbackFault::NoThreads)?;
    let theirs = circuit.attach(SocketAddr::new(public, socket.local().port())).await?;
    let mut end = LoopEnd::open(&threads, socket, public, theirs)?;
    circuit.close().await?;
    Ok(end.first_sound(SILENCE_LIMIT).await.then(|| answered.elapsed()))
}

fn finding(check: &str, outcome: &CallOutcome, context: &str) -> Finding {
    match outcome {
        CallOutcome::Answered { after, sound: Some(sound) } => {
            let (after, sound) = (after.as_millis(), sound.as_millis());
            Finding::ok(
                check,
                format!("answered after {after} ms, sound {sound} ms after the answer; then hung up here"),
            )
        }
        CallOutcome::Answered { after, sound: None } => Finding::fail(
            check,
            format!("answered after {} ms, and silent for {} s", after.as_millis(), SILENCE_LIMIT.as_secs()),
            "see the engines' checks and the call's record: has the profile a greeting, and does its voice work?",
        ),
        CallOutcome::Unanswered => Finding::fail(
            check,
            format!("not answered within {} s", RING_LIMIT.as_secs()),
            format!(
                "does the context {context} lead to Stasis(), and does the daemon take calls? journalctl -u vca -n 20"
            ),
        ),
        CallOutcome::Refused { after, cause, text } => Finding::fail(
            check,
            format!("refused after {} ms with cause {cause} ({text})", after.as_millis()),
            remedy(*cause, context),
        ),
    }
}

fn remedy(cause: u16, context: &str) -> String {
    match cause {
        0 => format!("the context {context} has no such extension: name another one by --context"),
        1 => "no tenant has this number, or it is inactive: `vca number unmatched`, `vca number list`".into(),
        17 => "the tenant has as many live calls as it may: `vca call live`, `vca tenant show`".into(),
        21 => "the tenant is suspended, or its minutes of this month are used up: `vca tenant list`, `vca usage list`".into(),
        34 | 38 | 42 => "the daemon is not connected, is full or draining, or the tenant has no agent: see the checks above".into(),
        _ => "see the call's record (`vca call list`) and Asterisk's log".into(),
    }
}

/// The record of the call, which names its tenant and its end.
async fn record(number: &str, channel: &str, config: &Config) -> Finding {
    const CHECK: &str = "record of the call";
    let Ok(store) = database::open(&config.database).await else {
        return Finding::note(CHECK, "not checked: the database does not answer");
    };
    let called = NumberQuery::Called(config.numbers.called(number));
    let Ok(owned) = store.find_number(&called, None).await else {
        return Finding::warn(CHECK, format!("no tenant has {number} in this database"), "vca number create");
    };
    let until = Instant::now() + RECORD_LIMIT;
    loop {
        let call = recorded(&store, &owned.number.tenant_id, channel).await;
        let is_closed = call.as_ref().is_some_and(|call| !is_live(call));
        if !is_closed && Instant::now() < until {
            sleep(PAUSE).await;
            continue;
        }
        return match call {
            Some(call) => Finding::ok(CHECK, describe(&owned.tenant_name, &call)),
            None => Finding::warn(
                CHECK,
                format!(
                    "{number} is a number of {}, and this database has no record of the call",
                    owned.tenant_name
                ),
                "another application answered it, or the daemon uses another database: see the checks above",
            ),
        };
    }
}

async fn recorded(store: &Store, tenant: &crate::tenancy::TenantId, channel: &str) -> Option<Call> {
    let calls = store.scope(*tenant).calls(&CallFilter::default(), Window::first(LATEST)).await.ok()?;
    calls.items.into_iter().find(|call| call.asterisk_channel_id == channel)
}

fn is_live(call: &Call) -> bool {
    matches!(call.status, CallStatus::Ringing | CallStatus::Answered)
}

fn describe(tenant: &str, call: &Call) -> String {
    let ended_by = call.ended_by.map_or_else(|| "-".to_owned(), |by| by.to_string());
    let disposition = call.disposition.as_deref().unwrap_or("-");
    format!("{} of {tenant}: {}, {disposition}, ended by {ended_by}", call.id, call.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn each_outcome_is_reported() {
        let found = |outcome: CallOutcome| finding("call to 1", &outcome, "from-trunk");
        let ms = Duration::from_millis;
        let Verdict::Ok { seen } =
            found(CallOutcome::Answered { after: ms(120), sound: Some(ms(430)) }).verdict
        else {
            panic!("it is well")
        };
        assert_eq!(seen, "answered after 120 ms, sound 430 ms after the answer; then hung up here");
        for (outcome, words) in [
            (CallOutcome::Answered { after: ms(1), sound: None }, "silent for 10 s"),
            (CallOutcome::Unanswered, "not answered within 15 s"),
            (CallOutcome::Refused { after: ms(9), cause: 0, text: "Unknown".into() }, "no such extension"),
            (
                CallOutcome::Refused { after: ms(9), cause: 1, text: "Unallocated".into() },
                "vca number unmatched",
            ),
        ] {
            let text = format!("{:?}", found(outcome));
            assert!(text.contains("Fail") && text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_number_cannot_change_what_is_dialled() {
        assert!(is_dialable("+493055501000") && is_dialable("from-trunk"));
        for text in ["", "1@other", "1/n", "1&PJSIP", "1,2", "1 2", "ü"] {
            assert!(!is_dialable(text), "{text}");
        }
    }
}
