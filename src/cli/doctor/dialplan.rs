//! The dialplan: does a call that enters it by a SIP endpoint reach the Stasis application?
//!
//! ARI does not show the dialplan, so Asterisk's command line is asked, which is possible on Asterisk's machine only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::endpoints::SipEndpoint;
use super::{Finding, hostname};
use crate::ari::Settings;

const CHECK: &str = "dialplan";
const LIMIT: Duration = Duration::from_secs(5);

/// The contexts of a dialplan: what each runs, and where it leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dialplan(BTreeMap<String, DialplanContext>);

#[derive(Debug, Default, PartialEq, Eq)]
struct DialplanContext {
    /// The names of Stasis applications.
    applications: BTreeSet<String>,
    /// Words of includes and of the arguments of applications, among which are the contexts that calls may go to.
    words: BTreeSet<String>,
}

/// Reads the dialplan. Why it cannot be read otherwise.
pub async fn read(asterisk: &Path, settings: &Settings) -> Result<Dialplan, String> {
    if !hostname::is_here(&settings.url) {
        return Err("Asterisk is on another machine: run `asterisk -rx 'dialplan show'` there".into());
    }
    let mut command = Command::new(asterisk);
    command.args(["-rx", "dialplan show"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| format!("{} cannot be run: {error}", asterisk.display()))?,
        Err(_) => {
            return Err(format!("Asterisk's command line did not respond within {} s", LIMIT.as_secs()));
        }
    };
    let dialplan = Dialplan::parse(&String::from_utf8_lossy(&output.stdout));
    if dialplan.0.is_empty() {
        return Err(
            "Asterisk's command line does not show it: run the doctor as root or as Asterisk's user".into()
        );
    }
    Ok(dialplan)
}

/// Where the calls of each endpoint lead.
pub fn examine(dialplan: &Result<Dialplan, String>, endpoints: &[SipEndpoint], app: &str) -> Vec<Finding> {
    let dialplan = match dialplan {
        Ok(dialplan) => dialplan,
        Err(reason) => return vec![Finding::note(CHECK, format!("not checked: {reason}"))],
    };
    let mut by_context: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for endpoint in endpoints {
        by_context.entry(&endpoint.context).or_default().push(&endpoint.name);
    }
    let leads: Vec<&str> =
        by_context.keys().copied().filter(|it| dialplan.reaches(it).contains(app)).collect();
    let mut findings = Vec::new();
    if leads.is_empty() {
        findings.push(nothing_leads(dialplan, app));
    } else {
        findings.push(Finding::ok(CHECK, format!("{} leads to Stasis({app})", leads.join(", "))));
    }
    let others = by_context.iter().filter(|(context, _)| !leads.contains(context));
    findings.extend(others.map(|(context, names)| elsewhere(dialplan, context, &names.join(", "), app)));
    findings
}

/// The context in which a call enters: one of an endpoint that leads to the application or, where the dialplan cannot be
/// read, that of all endpoints.
pub fn entered(dialplan: &Result<Dialplan, String>, endpoints: &[SipEndpoint], app: &str) -> Option<String> {
    let contexts: BTreeSet<&str> = endpoints.iter().map(|endpoint| endpoint.context.as_str()).collect();
    match dialplan {
        Ok(dialplan) => contexts.into_iter().find(|context| dialplan.reaches(context).contains(app)),
        Err(_) if contexts.len() == 1 => contexts.into_iter().next(),
        Err(_) => None,
    }
    .map(str::to_owned)
}

fn nothing_leads(dialplan: &Dialplan, app: &str) -> Finding {
    let inside: Vec<&str> =
        dialplan.0.keys().map(String::as_str).filter(|it| dialplan.reaches(it).contains(app)).collect();
    let remedy = match inside.as_slice() {
        [] => format!("call Stasis({app}) in the context that your trunk's calls enter: asterisk/README.md"),
        contexts => format!("set context={} at the trunk's endpoint in pjsip.conf", contexts.join(" or ")),
    };
    Finding::fail(CHECK, format!("no SIP endpoint's calls reach Stasis({app})"), remedy)
}

/// An endpoint with calls that do not reach the application: a phone perhaps, or a trunk with a mistake.
fn elsewhere(dialplan: &Dialplan, context: &str, names: &str, app: &str) -> Finding {
    let check = format!("{CHECK} of {names}");
    if !dialplan.0.contains_key(context) {
        return Finding::warn(
            check,
            format!("its calls enter the context {context}, which does not exist: they are refused with 404"),
            "correct context= in pjsip.conf, or add the context to extensions.conf",
        );
    }
    let others = dialplan.reaches(context);
    if others.is_empty() {
        return Finding::note(
            check,
            format!("its calls enter {context}, which does not lead to Stasis({app})"),
        );
    }
    let others: Vec<&str> = others.into_iter().collect();
    Finding::fail(
        check,
        format!(
            "its calls enter {context}, which leads to Stasis({}), not to Stasis({app})",
            others.join("), Stasis(")
        ),
        "correct Stasis() in extensions.conf and run `asterisk -rx 'dialplan reload'`, or set ari.app to that name",
    )
}

impl Dialplan {
    /// Reads the output of `dialplan show`.
    pub fn parse(text: &str) -> Dialplan {
        let mut contexts: BTreeMap<String, DialplanContext> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("[ Context '").and_then(|rest| rest.split('\'').next()) {
                current = Some(contexts.entry(name.to_owned()).or_default());
            } else if let Some(context) = current.as_mut() {
                context.add(line);
            }
        }
        Dialplan(contexts)
    }

    /// The names of Stasis applications that a call in this context may reach.
    pub fn reaches(&self, context: &str) -> BTreeSet<&str> {
        let (mut found, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![context]);
        while let Some(name) = next.pop() {
            let Some((name, context)) = self.0.get_key_value(name) else { continue };
            if seen.insert(name) {
                found.extend(context.applications.iter().map(String::as_str));
                next.extend(context.words.iter().map(String::as_str));
            }
        }
        found
    }
}

impl DialplanContext {
    /// A line such as `  '_+XXX!' =>       1. Stasis(vca)                 [extensions.conf:29]`.
    fn add(&mut self, line: &str) {
        let line = line.rsplit_once('[').map_or(line, |(line, _)| line);
        if let Some(arguments) = line.split_once("Stasis(").map(|(_, rest)| rest) {
            let name = arguments.split([',', ')']).next().unwrap_or_default().trim();
            self.applications.insert(name.to_owned());
        }
        let is_separator = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        self.words.extend(line.split(is_separator).filter(|word| !word.is_empty()).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::doctor::Verdict;

    const SHOWN: &str = "\
[ Context 'vca-absent' created by 'pbx_config' ]
  's' =>            1. Log(WARNING,VCA takes no call at the moment)      [extensions.conf:79]
                    2. Hangup(42)                                 [extensions.conf:80]

[ Context 'from-twilio' created by 'pbx_config' ]
  Include =>        'from-trunk'                                  [pbx_config]

[ Context 'from-trunk' created by 'pbx_config' ]
  '_+XXX!' =>       1. NoOp(VCA: incoming call)                   [extensions.conf:27]
                    2. GotoIf($[\"${X}\" = \"\"]?agent,s,1)       [extensions.conf:28]
  'h' =>            1. NoOp(VCA: call over, cause ${HANGUPCAUSE}) [extensions.conf:45]

[ Context 'agent' created by 'pbx_config' ]
  's' =>            1. Stasis(vca,did=${EXTEN})                   [extensions.conf:50]

[ Context 'bots' created by 'pbx_config' ]
  's' =>            1. Stasis(voicebot)                           [extensions.conf:60]

-= 13 extensions (35 priorities) in 5 contexts. =-
";

    fn endpoint(name: &str, context: &str) -> SipEndpoint {
        SipEndpoint { name: name.into(), context: context.into(), codecs: Vec::new(), is_open: false }
    }

    fn found(endpoints: &[SipEndpoint]) -> String {
        format!("{:?}", examine(&Ok(Dialplan::parse(SHOWN)), endpoints, "vca"))
    }

    #[test]
    fn includes_and_jumps_are_followed() {
        let dialplan = Dialplan::parse(SHOWN);
        assert_eq!(dialplan.reaches("from-twilio"), BTreeSet::from(["vca"]));
        assert_eq!(dialplan.reaches("bots"), BTreeSet::from(["voicebot"]));
        assert_eq!(dialplan.reaches("vca-absent"), BTreeSet::new());
        assert_eq!(dialplan.reaches("nowhere"), BTreeSet::new());
    }

    #[test]
    fn endpoints_that_do_not_reach_the_application_are_named() {
        let well = found(&[endpoint("trunk", "from-trunk"), endpoint("phone", "vca-absent")]);
        assert!(well.contains("from-trunk leads to Stasis(vca)") && !well.contains("Fail"), "{well}");
        assert!(well.contains("Note") && well.contains("dialplan of phone"), "{well}");
        let wrong = found(&[endpoint("trunk", "bots")]);
        assert!(wrong.contains("leads to Stasis(voicebot), not to Stasis(vca)"), "{wrong}");
        assert!(wrong.contains("set context=agent or from-trunk or from-twilio"), "{wrong}");
        let missing = found(&[endpoint("trunk", "default"), endpoint("other", "from-trunk")]);
        assert!(missing.contains("the context default, which does not exist"), "{missing}");
    }

    #[test]
    fn a_dialplan_that_cannot_be_read_is_not_judged() {
        let findings = examine(&Err("Asterisk is on another machine".into()), &[], "vca");
        assert!(matches!(&findings[0].verdict, Verdict::Note { seen } if seen.contains("not checked")));
    }

    proptest! {
        #[test]
        fn any_output_is_read(text in "(\\[ Context '[a-z']{0,5}|Stasis\\(|[a-z(),'\\[ =>\n]){0,60}") {
            let dialplan = Dialplan::parse(&text);
            for name in dialplan.0.keys() {
                dialplan.reaches(name);
            }
        }
    }
}
