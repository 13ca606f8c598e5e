//! The SIP endpoints of Asterisk: does each one prove who calls, and can their callers be understood?

use std::collections::BTreeSet;

use super::Finding;
use crate::ari::answer::{AsteriskEndpoint, Module, Setting};
use crate::ari::{AriError, Client, Request};

const CHECK: &str = "sip endpoints";
/// An Asterisk with many phones is not asked about all of them.
const MOST: usize = 200;

/// Codecs that Asterisk translates, and the beginning of the names of modules that do so.
const TRANSLATED: &[(&str, &str)] = &[
    ("adpcm", "codec_adpcm"),
    ("alaw", "codec_alaw"),
    ("amr", "codec_amr"),
    ("amrwb", "codec_amr"),
    ("codec2", "codec_codec2"),
    ("g722", "codec_g722"),
    ("g723", "codec_g723"),
    ("g726", "codec_g726"),
    ("g726aal2", "codec_g726"),
    ("g729", "codec_g729"),
    ("gsm", "codec_gsm"),
    ("ilbc", "codec_ilbc"),
    ("lpc10", "codec_lpc10"),
    ("opus", "codec_opus"),
    ("siren14", "codec_siren14"),
    ("siren7", "codec_siren7"),
    ("speex", "codec_speex"),
    ("ulaw", "codec_ulaw"),
];

/// The properties of an endpoint that the doctor checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipEndpoint {
    pub name: String,
    /// The dialplan context of its calls.
    pub context: String,
    /// The allowed codecs, in the order of preference.
    pub codecs: Vec<String>,
    /// Does it take the caller's word for who it is?
    pub is_open: bool,
}

impl SipEndpoint {
    fn new(name: String, settings: &[Setting]) -> SipEndpoint {
        let value =
            |name: &str| settings.iter().find(|it| it.attribute == name).map_or("", |it| it.value.trim());
        // Such as `(ulaw|alaw|g729)`.
        let codecs =
            value("allow").split(['(', ')', '|', ',']).map(str::trim).filter(|codec| !codec.is_empty());
        SipEndpoint {
            name,
            context: value("context").to_owned(),
            codecs: codecs.map(str::to_owned).collect(),
            is_open: is_open(settings),
        }
    }
}

/// The endpoints, and the findings about how they identify callers.
pub async fn examine(client: &Client) -> (Vec<SipEndpoint>, Vec<Finding>) {
    match all(client).await {
        Ok(endpoints) => {
            let open: Vec<Finding> = endpoints.iter().filter(|it| it.is_open).map(finding).collect();
            let seen = format!("each of {} is known by its address or a password", endpoints.len());
            let findings = if open.is_empty() { vec![Finding::ok(CHECK, seen)] } else { open };
            (endpoints, findings)
        }
        // Without chan_pjsip there are none; the modules have a finding of their own.
        Err(error) if error.is_gone() => (Vec::new(), Vec::new()),
        Err(error) => (Vec::new(), vec![Finding::warn(CHECK, error, "see Asterisk's log")]),
    }
}

async fn all(client: &Client) -> Result<Vec<SipEndpoint>, AriError> {
    let listed: Vec<AsteriskEndpoint> = client.ask(Request::endpoints("PJSIP")).await?;
    let mut endpoints = Vec::new();
    for AsteriskEndpoint { resource: name, .. } in listed.into_iter().take(MOST) {
        match client.ask::<Vec<Setting>>(Request::pjsip_endpoint(&name)).await {
            Ok(settings) => endpoints.push(SipEndpoint::new(name, &settings)),
            // Removed meanwhile, or not of pjsip.conf.
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(endpoints)
}

/// Whether an endpoint has no `auth` and is chosen by the name in the From header (`identify_by=username`, which is part
/// of Asterisk's default).
pub(super) fn is_open(settings: &[Setting]) -> bool {
    let value = |name: &str| settings.iter().find(|it| it.attribute == name).map_or("", |it| it.value.trim());
    let by_name = value("identify_by").split(',').any(|method| method.trim() == "username");
    by_name && value("auth").is_empty()
}

fn finding(SipEndpoint { name, .. }: &SipEndpoint) -> Finding {
    Finding::fail(
        format!("{CHECK}: {name}"),
        format!(
            "callers whose From header says sip:{name}@… are let in, from any address and without a password"
        ),
        format!(
            "set identify_by=ip in [{name}] of pjsip.conf, then `asterisk -rx 'module reload res_pjsip.so'`"
        ),
    )
}

/// Allowed codecs that no running module translates: a caller who uses one is connected and not heard.
pub fn codecs(endpoints: &[SipEndpoint], modules: &[Module]) -> Vec<Finding> {
    let is_translated = |codec: &str| {
        // Linear audio needs no codec module.
        codec.starts_with("slin")
            || !is_audio(codec)
            || modules.iter().any(|module| translates(module, codec))
    };
    let found = |endpoint: &SipEndpoint| {
        let (heard, unheard): (Vec<&str>, Vec<&str>) =
            endpoint.codecs.iter().map(String::as_str).partition(|codec| is_translated(codec));
        match (heard.iter().any(|codec| is_audio(codec)), unheard.as_slice()) {
            (_, []) => None,
            (is_mixed, unheard) => Some((is_mixed, unheard.join(", "), endpoint.name.clone())),
        }
    };
    let mut by_codecs: std::collections::BTreeMap<(bool, String), BTreeSet<String>> = Default::default();
    for (is_mixed, codecs, name) in endpoints.iter().filter_map(found) {
        by_codecs.entry((is_mixed, codecs)).or_default().insert(name);
    }
    by_codecs.into_iter().map(|((is_mixed, codecs), names)| untranslated(is_mixed, &codecs, names)).collect()
}

fn translates(module: &Module, codec: &str) -> bool {
    let of_codec = TRANSLATED.iter().filter(|(name, _)| *name == codec);
    module.is_running() && of_codec.into_iter().any(|(_, prefix)| module.name.starts_with(prefix))
}

/// Video and images are not the agent's.
fn is_audio(codec: &str) -> bool {
    let others = ["h26", "vp8", "vp9", "mpeg4", "jpeg", "png", "red", "t140", "image", "text"];
    !others.iter().any(|other| codec.starts_with(other))
}

fn untranslated(is_mixed: bool, codecs: &str, names: BTreeSet<String>) -> Finding {
    let check = format!("codecs of {}", names.into_iter().collect::<Vec<_>>().join(", "));
    let remedy =
        format!("remove {codecs} from allow= in pjsip.conf, or install the codec's module in Asterisk");
    if is_mixed {
        let problem = format!(
            "{codecs} is allowed and no module translates it: callers with no other codec are not heard"
        );
        return Finding::warn(check, problem, remedy);
    }
    Finding::fail(
        check,
        format!("only {codecs} is allowed, and no module translates it: callers are not heard"),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, allow: &str) -> SipEndpoint {
        SipEndpoint::new(name.into(), &[Setting { attribute: "allow".into(), value: allow.into() }])
    }

    fn running(names: &[&str]) -> Vec<Module> {
        names.iter().map(|name| Module { name: (*name).into(), status: "Running".into() }).collect()
    }

    #[test]
    fn codecs_that_no_module_translates_are_named() {
        let modules = running(&["codec_ulaw.so", "codec_alaw.so", "codec_opus_open_source.so"]);
        let found = |allow: &[(&str, &str)]| {
            let endpoints: Vec<SipEndpoint> =
                allow.iter().map(|(name, allow)| endpoint(name, allow)).collect();
            format!("{:?}", codecs(&endpoints, &modules))
        };
        assert_eq!(found(&[("a", "(ulaw|alaw|opus|slin16|h264)")]), "[]");
        let mixed = found(&[("a", "(ulaw|g729)"), ("b", "(alaw|g729)")]);
        assert!(mixed.contains("codecs of a, b") && mixed.contains("Warn"), "{mixed}");
        let only = found(&[("a", "(g729|h264)")]);
        assert!(only.contains("only g729 is allowed") && only.contains("Fail"), "{only}");
        let endpoints = [endpoint("a", "(g729)")];
        assert_eq!(codecs(&endpoints, &running(&["codec_g729a.so"])), []);
    }
}
