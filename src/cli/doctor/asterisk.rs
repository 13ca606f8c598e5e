//! Asterisk: is it there, does it let us in, and can it do what a call takes?

use super::Finding;
use super::endpoints::{self, SipEndpoint};
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
    ("func_dialplan.so", "failover routes in the dialplan"),
    ("app_dial.so", "transfers by the dialplan to numbers and SIP addresses"),
    ("bridge_builtin_interval_features.so", "the limit of time of transfers by the dialplan"),
    ("res_pjsip_refer.so", "transfers by SIP REFER"),
    ("res_musiconhold.so", "music for callers who wait for a transfer"),
    ("codec_ulaw.so", "callers with G.711 µ-law whom the agent hears by another codec"),
    ("codec_alaw.so", "callers with G.711 A-law whom the agent hears by another codec"),
    ("codec_g722.so", "callers with wideband codecs: they travel as G.722 between Asterisk and vca"),
    ("codec_resample.so", "callers with wideband codecs"),
];

/// The versions of Asterisk that are supported.
const VERSIONS: std::ops::RangeInclusive<u32> = 18..=22;

/// Asterisk, as far as it could be asked.
#[derive(Debug, Default)]
pub struct Examined {
    pub findings: Vec<Finding>,
    pub registration: Registration,
    pub endpoints: Vec<SipEndpoint>,
}

/// The Stasis application exists in Asterisk while a program is connected.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Connected {
        channels: usize,
    },
    Absent,
    /// Asterisk does not say.
    #[default]
    Unknown,
}

impl Examined {
    fn failed(finding: Finding) -> Examined {
        Examined { findings: vec![finding], ..Examined::default() }
    }
}

pub async fn examine(settings: &Settings) -> Examined {
    const CHECK: &str = "asterisk";
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return Examined::failed(Finding::fail(CHECK, error, "correct ari.url (ARI_URL)")),
    };
    let info: Info = match client.ask(Request::info()).await {
        Ok(info) => info,
        Err(error) => {
            let remedy = remedy(&error, settings);
            return Examined::failed(Finding::fail(CHECK, error, remedy));
        }
    };
    let mut findings = vec![version(&info.system.version)];
    let loaded = client.ask::<Vec<Module>>(Request::modules()).await;
    findings.extend(match &loaded {
        Ok(loaded) => modules(loaded),
        Err(error) => vec![Finding::fail("asterisk modules", error, remedy(error, settings))],
    });
    let registration = match client.ask::<Application>(Request::application(&settings.app)).await {
        Ok(application) => Registration::Connected { channels: application.channel_ids.len() },
        Err(error) if error.is_gone() => Registration::Absent,
        Err(error) => {
            let remedy = remedy(&error, settings);
            findings.push(Finding::fail(format!("application {}", settings.app), error, remedy));
            Registration::Unknown
        }
    };
    let (endpoints, of_endpoints) = endpoints::examine(&client).await;
    findings.extend(of_endpoints);
    findings.extend(endpoints::codecs(&endpoints, &loaded.unwrap_or_default()));
    Examined { findings, registration, endpoints }
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

/// ARI's message where no module serves a path.
const UNKNOWN_RESOURCE: &str = "Resource not found";

/// The remedy for a failed request.
pub(super) fn remedy(error: &AriError, settings: &Settings) -> String {
    let (url, user) = (&settings.url, &settings.username);
    match error {
        AriError::Status { code: 401 | 403, .. } => format!(
            "ari.conf needs [{user}] with type=user, read_only=no and the password that ari.password (ARI_PASSWORD) \
             has; then `asterisk -rx 'module reload res_ari'`"
        ),
        // ARI itself responds so where the module of a resource is not loaded; without ARI it is a page of HTML.
        AriError::Status { code: 404, message } if message == UNKNOWN_RESOURCE => {
            "ARI runs without its modules: load = res_ari_applications.so, res_ari_asterisk.so, res_ari_bridges.so, \
             res_ari_channels.so, res_ari_endpoints.so and res_ari_events.so in modules.conf, or \
             `asterisk -rx 'module load res_ari_asterisk.so'` and so on; on failure see Asterisk's log"
                .into()
        }
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
