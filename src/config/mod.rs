//! The daemon's configuration: defaults, a TOML file and the environment become one typed [`Config`], with
//! every fault reported at once.
//!
//! It composes the settings that the rooms define and knows what is possible, not what is there: it opens
//! no connection, and of files it reads its own, those of secrets and certificates, and one of variables.

mod check;
mod env_file;
mod environment;
mod error;
mod extract;
mod file;
mod journal;
mod reference;
mod secret_file;
mod secrets;
mod sections;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, ConfigErrors, EXIT_CODE, Warnings};
pub use journal::is_journal;
pub(crate) use reference::lenient;
pub use reference::{Effective, REFERENCE};
pub use sections::{Environment, Log, LogFormat};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use serde::Deserialize;

use crate::billing::Billing;
use crate::engines::registry::{self, Engines};
use crate::sealing::{self, Keyring};
use crate::{
    admin, analysis, ari, billing, call, conversation, engines, media, state, store, switchboard, telephony,
    tenancy, tools, webhooks,
};
use env_file::{EnvEntry, EnvFile};
use environment::Variables;
use file::{File, Layer};
use secrets::SecretFiles;

/// Where the file is looked for when none is named.
pub const DEFAULT_FILE: &str = "/etc/vca/vca.toml";

/// All settings of the daemon. `config/vca.toml` describes each key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The purpose of the machine. Default: production.
    pub environment: Environment,
    pub ari: ari::Settings,
    pub media: media::Settings,
    pub database: store::Settings,
    pub routing: store::RoutingSettings,
    /// Keys for the secrets in the database. See [`Config::keyring`].
    pub seal: sealing::Settings,
    /// How numbers are written.
    pub numbers: tenancy::Numbering,
    pub state: state::Settings,
    /// The daemon-wide defaults of a conversation; a profile's settings override them. See
    /// [`Config::turn_settings`].
    pub turn: conversation::Overrides,
    /// The model that judges the ends of utterances by their sound.
    pub end_of_turn: engines::end_of_turn::Settings,
    /// This and the six that follow make up the engines. See [`Config::engines`].
    pub openai: engines::core::server::Settings,
    pub elevenlabs: engines::core::server::VendorAccount,
    pub deepgram: engines::core::server::VendorAccount,
    pub anthropic: engines::core::server::VendorAccount,
    pub engines: BTreeMap<String, registry::Named>,
    pub stt: registry::SttSettings,
    pub llm: registry::LlmSettings,
    pub tts: registry::TtsSettings,
    /// The requests of each tenant to these engines.
    pub engine_shares: engines::core::shares::Settings,
    /// The most that profiles may ask for. See [`Config::permitted`].
    pub profiles: tenancy::Ceilings,
    pub calls: switchboard::Settings,
    /// The operator's ceilings for transfers.
    pub transfer: tenancy::TransferRules,
    pub webhooks: webhooks::Settings,
    pub tools: tools::Settings,
    pub analysis: analysis::Settings,
    /// The cache of synthesised sentences.
    pub sentence_cache: call::SentenceCacheSettings,
    /// The rules for engines of tenants' own accounts.
    pub tenant_engines: tenancy::TenantEngineRules,
    /// This and the next make up the billing. See [`Config::billing`].
    pub plans: billing::Plans,
    pub prices: billing::Prices,
    /// How much one tenant may store.
    pub limits: tenancy::TenantLimits,
    pub admin: admin::Settings,
    pub telephony: telephony::Settings,
    pub log: Log,
}

impl Config {
    /// The defaults of a conversation, before a profile changes them.
    pub fn turn_settings(&self) -> conversation::Settings {
        conversation::Settings::default().with(&self.turn)
    }

    /// The price list and the plans.
    pub fn billing(&self) -> Billing {
        Billing { prices: self.prices.clone(), plans: self.plans.clone() }
    }

    /// The settings that profiles may have, where these are the engines.
    pub fn permitted(&self, engines: registry::Catalogue) -> tenancy::Permitted {
        tenancy::Permitted {
            stt: engines.stt,
            llm: engines.llm,
            tts: engines.tts,
            realtime: engines.realtime,
            turn_settings: self.turn_settings(),
            reply_tokens: self.reply_tokens(),
            ceilings: self.profiles.clone(),
            accounts: self.account_engines(),
            tenant_engines: self.tenant_engines.clone(),
        }
    }

    /// The names of engines at accounts of the operator.
    pub fn account_engines(&self) -> Vec<String> {
        let engines = self.engines();
        let stt = engines.stt_entries().into_iter().filter(|it| it.server().is_some()).map(|it| it.name);
        let llm = engines.llm_entries().into_iter().filter(|it| it.server().is_some()).map(|it| it.name);
        let tts = engines.tts_entries().into_iter().filter(|it| it.server().is_some()).map(|it| it.name);
        let realtime = engines.realtime_entries().into_iter().map(|it| it.name);
        stt.chain(llm).chain(tts).chain(realtime).map(|name| name.to_string()).collect()
    }

    /// The longest response of profiles that set none, in tokens, over all language models.
    fn reply_tokens(&self) -> u32 {
        self.engines().llm_entries().iter().filter_map(|entry| entry.max_tokens()).max().unwrap_or_default()
    }

    /// The keys that seal and open the secrets in the database.
    ///
    /// # Errors
    /// A text that is no key; [`examine`] reports it as a fault.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        self.seal.keyring().map_err(|(key, error)| anyhow::anyhow!("seal.{key}: {error}"))
    }

    /// The settings of the engine registry.
    pub fn engines(&self) -> registry::Settings {
        registry::Settings {
            openai: self.openai.clone(),
            anthropic: self.anthropic.clone(),
            elevenlabs: self.elevenlabs.clone(),
            deepgram: self.deepgram.clone(),
            engines: self.engines.clone(),
            stt: self.stt.clone(),
            llm: self.llm.clone(),
            tts: self.tts.clone(),
        }
    }
}

/// Which settings a command is going to use: only their meaning is checked. That the file and the
/// variables can be read, and hold no key that is unknown, is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Everything.
    All,
    /// Everything but the files of the admin port's certificate: the daemon waits for them, and the doctor reports them.
    Service,
    /// The database and what is logged: a command for the operator's tables.
    Database,
    /// None: a command that asks the running daemon.
    Daemon,
}

impl Need {
    /// Is a missing value of `key` a fault?
    fn includes(self, key: &str) -> bool {
        match self {
            Need::All | Need::Service => true,
            Need::Database => key.starts_with("database.") || key.starts_with("seal."),
            Need::Daemon => false,
        }
    }
}

/// Files that are named on the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paths<'a> {
    /// The configuration; it has to exist. Otherwise [`DEFAULT_FILE`] if it exists, or else none.
    pub config: Option<&'a Path>,
    /// Environment variables; it has to exist. Otherwise `.env` of the working folder if it exists and the process has
    /// `APP_ENV=development`, or else none.
    pub env_file: Option<&'a Path>,
}

/// A configuration, and the source of each value.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Every key with its value, in the order of the reference.
    pub effective: Vec<Effective>,
    /// Settings that work, but should be otherwise.
    pub warnings: Vec<ConfigError>,
}

/// Reads the configuration: defaults, then the file, then systemd's credentials, then the environment.
///
/// For [`Need::All`] the engines and the port's TLS are built as well, and dropped: that reads their files and
/// sends no requests. For [`Need::Service`] the files of TLS are not read. A TLS provider has to be installed before.
///
/// # Errors
/// All faults, sorted by key; of those in a value's meaning only the ones that matter for `need`.
pub fn examine(paths: &Paths<'_>, need: Need) -> Result<Loaded, Vec<ConfigError>> {
    let default = Path::new(DEFAULT_FILE);
    let path = paths.config.or_else(|| default.exists().then_some(default));
    let file = path.map_or_else(|| Ok(File::none()), |path| File::read(path).map_err(|fault| vec![fault]))?;
    let (variables, public_variables) = variables(paths.env_file)?;
    let composed = if need == Need::Service { Need::All } else { need };
    let (mut loaded, mut faults) = compose(file, &variables, composed);
    loaded.warnings.extend(public_variables);
    if composed == Need::All && !faults.iter().any(ConfigError::is_about_engines) {
        let unfit = Engines::build(&loaded.config.engines()).err().unwrap_or_default();
        faults.extend(unfit.into_iter().map(|fault| ConfigError::of_engine(fault, &loaded.effective)));
    }
    if !faults.iter().any(|fault| fault.key.starts_with("admin.tls")) {
        let unfit = port_tls(&loaded.config.admin.tls, need);
        faults.extend(unfit.map(|fault| ConfigError::of_tls(fault, &loaded.effective)));
    }
    if faults.is_empty() { Ok(loaded) } else { Err(error::sorted(faults)) }
}

/// The fault of the admin port's TLS that matters for `need`.
fn port_tls(settings: &admin::TlsSettings, need: Need) -> Option<admin::TlsError> {
    match need {
        Need::All => admin::Tls::load(settings).err(),
        Need::Service => admin::CertificateFiles::of(settings).err(),
        Need::Database | Need::Daemon => None,
    }
}

/// The process's variables, with those of a file beneath them, and a warning when every user of the machine can read a
/// secret in that file.
fn variables(env_file: Option<&Path>) -> Result<(Variables, Option<ConfigError>), Vec<ConfigError>> {
    const DEVELOPERS: &str = ".env";
    let variables = Variables::of_process();
    let is_development = variables.get("APP_ENV") == Some("development");
    let developers = Path::new(DEVELOPERS);
    let path = env_file.or_else(|| (is_development && developers.exists()).then_some(developers));
    match path {
        Some(path) => {
            let file = EnvFile::read(path)?;
            let warning = public_variables(&file);
            Ok((variables.with_file(file), warning))
        }
        None => Ok((variables, None)),
    }
}

fn public_variables(file: &EnvFile) -> Option<ConfigError> {
    let secret = |entry: &EnvEntry| Some((environment::secret_of(&entry.name)?, entry.line));
    let (key, line) = file.entries.iter().find_map(secret)?;
    let source = format!("{}:{line}", file.path.display());
    secret_file::is_public(&file.path).then(|| secrets::public_file(key, source, &file.path))
}

/// Merges the layers and checks the result. A faulty value is replaced by its default.
fn compose(file: File, variables: &Variables, need: Need) -> (Loaded, Vec<ConfigError>) {
    let mut faults = file.faults();
    let (from_variables, misread) = environment::layers(variables);
    faults.extend(misread);
    let mut layers = vec![file.layer()];
    let public_file = public_file(&file, &layers[0]);
    layers.extend(environment::credentials(variables));
    layers.extend(from_variables);
    let files = SecretFiles::take_from(&mut layers, &file);
    faults.extend(files.faults.iter().cloned());
    let (from_files, unreadable) = files.read();
    let (unreadable, irrelevant): (Vec<_>, Vec<_>) =
        unreadable.into_iter().partition(|fault| need.includes(&fault.key));
    let mut figment = layers.into_iter().chain(from_files).fold(Figment::new(), Figment::merge);
    if let Some(place) = environment::database(variables) {
        figment = figment.join(place);
    }
    let sources = extract::Sources { figment: &figment, file: &file };
    let (config, values, unfit) = extract::config(&sources);
    faults.extend(unfit);
    let mut violations = check::config(&config, need);
    violations.extend(check::database_is_named(&config, &figment, need));
    // A secret with an unreadable file is not missing.
    violations.retain(|violation| !is_about(&unreadable, &violation.field));
    faults.extend(violations.into_iter().map(|violation| ConfigError::at(violation, &sources)));
    faults.extend(unreadable);
    let mut warnings: Vec<ConfigError> =
        check::warnings(&config).into_iter().map(|it| ConfigError::at(it, &sources)).collect();
    warnings.extend(irrelevant);
    warnings.extend(files.warnings());
    warnings.extend(public_file);
    let mut effective = reference::effective(&values, &sources);
    reference::show_files(&mut effective, &files);
    let file = file.path().map(Path::to_owned);
    (Loaded { config, file, effective, warnings: error::sorted(warnings) }, error::sorted(faults))
}

/// A warning when the configuration file holds a secret and every user of the machine can read it.
fn public_file(file: &File, layer: &Layer) -> Option<ConfigError> {
    let path = file.path().filter(|path| secret_file::is_public(path))?;
    let key = secrets::first_in(&layer.values)?;
    let segments: Vec<String> = key.split('.').map(str::to_owned).collect();
    Some(secrets::public_file(key, file.place(&segments), path))
}

/// Is one of the faults about the file of the secret `key`?
fn is_about(faults: &[ConfigError], key: &str) -> bool {
    faults.iter().any(|fault| fault.key == secrets::file_key(key))
}
