//! Asterisk: is it there, does it let us in, and can it do what a call takes?

use super::{Finding, endpoints};
use crate::ari::answer::{Application, Info, Module};
use crate::ari::{AriError, Client, Request, Settings};

/// Modules without which no call can be taken, and what each is for.
const NEEDED: &[(&str, &str)] = &[
    ("res_ari.so", "ARI"),
    ("res_ari_model.so", "ARI"),
    ("res_ari_applications.so", "what the application holds, after a reconnect"),
    ("res_ari_asterisk.so", "what this examination asks"),
    ("res_ari_bridges.so", "joining the caller with the agent"),
    ("res_ari_channels.so", "answering and hanging up"),
    ("res_ari_events.so", "the event WebSocket"),
    ("res_http_websocket.so", "the event WebSocket"),
    ("res_stasis.so", "Stasis applications"),
    ("res_stasis_answer.so", "answering"),
    ("app_stasis.so", "Stasis() in the dialplan"),
    ("chan_rtp.so", "external media"),
    ("res_rtp_asterisk.so", "RTP"),
    ("bridge_simple.so", "joining the caller with the agent"),
    ("func_channel.so", "asking for a call's codec"),
];

/// Modules that some calls need.
const USEFUL: &[(&str, &str)] = &[
    ("chan_pjsip.so", "calls by SIP"),
    ("pbx_config.so", "extensions.conf"),
    ("codec_ulaw.so", "callers with G.711 µ-law whom the agent hears by another codec"),
    ("codec_alaw.so", "callers with G.711 A-law whom the agent hears by another codec"),
    ("codec_g722.so", "callers with wideband codecs: they travel as G.722 between Asterisk and vca"),
    ("codec_resample.so", "callers with wideband codecs"),
];

/// The versions of Asterisk that are supported.
const VERSIONS: std::ops::RangeInclusive<u32> = 18..=22;

pub async fn examine(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "asterisk";
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail(CHECK, error, "correct ari.url (ARI_URL)")],
    };
    let info: Info = match client.ask(Request::info()).await {
        Ok(info) => info,
        Err(error) => {
            let remedy = remedy(&error, settings);
            return vec![Finding::fail(CHECK, error, remedy)];
        }
    };
    let mut findings = vec![version(&info.system.version)];
    findings.extend(match client.ask::<Vec<Module>>(Request::modules()).await {
        Ok(loaded) => modules(&loaded),
        Err(error) => vec![Finding::fail("asterisk modules", &error, remedy(&error, settings))],
    });
    let application: Result<Application, AriError> = client.ask(Request::application(&settings.app)).await;
    findings.push(registered(application, settings));
    findings.extend(endpoints::examine(&client).await);
    findings
}

fn version(version: &str) -> Finding {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse() {
        Ok(major) if VERSIONS.contains(&major) => {
            Finding::ok("asterisk", format!("version {version} lets us in"))
        }
        _ => Finding::warn(
            "asterisk",
            format!("version {version} lets us in, but it was never tried"),
            format!("use Asterisk {} to {}", VERSIONS.start(), VERSIONS.end()),
        ),
    }
}

/// The names of all modules that are looked for.
#[cfg(test)]
pub fn wanted() -> Vec<&'static str> {
    NEEDED.iter().chain(USEFUL).map(|(name, _)| *name).collect()
}

pub(super) fn modules(loaded: &[Module]) -> Vec<Finding> {
    let is_running = |name: &str| loaded.iter().any(|module| module.name == name && module.is_running());
    let missing = |wanted: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> {
        wanted.iter().copied().filter(|(name, _)| !is_running(name)).collect()
    };
    let fail = missing(NEEDED).into_iter().map(|module| missing_module(module, Finding::fail));
    let warn = missing(USEFUL).into_iter().map(|module| missing_module(module, Finding::warn));
    let mut findings: Vec<Finding> = fail.chain(warn).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("asterisk modules", format!("all {} run", NEEDED.len() + USEFUL.len())));
    }
    findings
}

fn missing_module((name, purpose): (&str, &str), finding: fn(String, String, String) -> Finding) -> Finding {
    finding(
        format!("asterisk {name}"),
        format!("it does not run; it is needed for {purpose}"),
        format!(
            "load = {name} in modules.conf, or `asterisk -rx 'module load {name}'`; on failure see Asterisk's log"
        ),
    )
}

/// The application exists in Asterisk while a daemon is connected.
fn registered(application: Result<Application, AriError>, settings: &Settings) -> Finding {
    let check = format!("application {}", settings.app);
    match application {
        Ok(application) => {
            let channels = application.channel_ids.len();
            Finding::ok(check, format!("a daemon is connected; {channels} channels are in it"))
        }
        Err(error) if error.is_gone() => Finding::warn(
            check,
            "no daemon is connected: its calls go on in the dialplan",
            "start `vca serve`",
        ),
        Err(error) => {
            let remedy = remedy(&error, settings);
            Finding::fail(check, error, remedy)
        }
    }
}

/// The remedy for a failed request.
pub(super) fn remedy(error: &AriError, settings: &Settings) -> String {
    let (url, user) = (&settings.url, &settings.username);
    match error {
        AriError::Status { code: 401 | 403, .. } => format!(
            "ari.conf needs [{user}] with type=user, read_only=no and the password that ari.password (ARI_PASSWORD) \
             has; then `asterisk -rx 'module reload res_ari'`"
        ),
        AriError::Status { code: 404, .. } | AriError::Decode(_) => format!(
            "is {url} (ari.url, ARI_URL) Asterisk's HTTP server, with its prefix, and enabled=yes in ari.conf?"
        ),
        AriError::Status { .. } => "see Asterisk's log".into(),
        AriError::Tls(_) => format!(
            "the certificate of {url} (ari.url, ARI_URL) has to be for that name, and from an authority that this machine \
             or ari.tls.ca trusts; where the server asks for a certificate, set ari.tls.certificate and ari.tls.key"
        ),
        AriError::Refused | AriError::Timeout(_) | AriError::Broken => format!(
            "is Asterisk running, with enabled=yes in http.conf and ari.conf, and reachable at {url} (ari.url, ARI_URL)?"
        ),
    }
}
