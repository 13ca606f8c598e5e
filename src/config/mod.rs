//! The daemon's configuration: defaults, a TOML file and the environment become one typed [`Config`], with
//! every fault reported at once.
//!
//! It composes the settings that the rooms define and knows what is possible, not what is there: it opens
//! no connection and reads no file but its own.

mod check;
mod environment;
mod extract;
mod fault;
mod file;
mod reference;
mod sections;

#[cfg(test)]
mod tests;

pub use check::Complaint;
pub use fault::{EXIT_CODE, Fault, Faults};
pub(crate) use reference::lenient;
pub use reference::{Effective, REFERENCE};
pub use sections::{Environment, Log, LogFormat};

use std::path::{Path, PathBuf};

use figment::Figment;
use serde::Deserialize;

use crate::billing::Billing;
use crate::engines::Engines;
use crate::{
    admin, ari, billing, engine, engines, media, state, store, switchboard, telephony, tenancy, turn,
    webhooks,
};
use environment::Variables;
use file::File;

/// Where the file is looked for when none is named.
pub const DEFAULT_FILE: &str = "/etc/vca/vca.toml";

/// All settings of the daemon. `config/vca.toml` describes each key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the machine is for. Default: development.
    pub environment: Environment,
    pub ari: ari::Settings,
    pub media: media::Settings,
    pub database: store::Settings,
    pub routing: store::RoutingSettings,
    /// How numbers are written.
    pub numbers: tenancy::Numbering,
    pub state: state::Settings,
    /// The daemon-wide defaults of a conversation; a profile's come on top. See [`Config::turn_settings`].
    pub turn: turn::Overrides,
    /// This and the three that follow make up the engines. See [`Config::engines`].
    pub openai: engine::openai::Settings,
    pub stt: engines::SttSettings,
    pub llm: engines::LlmSettings,
    pub tts: engines::TtsSettings,
    pub calls: switchboard::Settings,
    pub webhooks: webhooks::Settings,
    /// This and the next make up the billing. See [`Config::billing`].
    pub plans: billing::Plans,
    pub prices: billing::Prices,
    pub admin: admin::Settings,
    pub telephony: telephony::Settings,
    pub log: Log,
}

impl Config {
    /// The defaults of a conversation, before a profile changes them.
    pub fn turn_settings(&self) -> turn::Settings {
        turn::Settings::default().with(&self.turn)
    }

    /// What things cost, and what each plan has.
    pub fn billing(&self) -> Billing {
        Billing { prices: self.prices.clone(), plans: self.plans.clone() }
    }

    /// What the registry of engines is built from.
    pub fn engines(&self) -> engines::Settings {
        engines::Settings {
            openai: self.openai.clone(),
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
    /// Everything: the daemon.
    All,
    /// The database and what is logged: a command for the operator's tables.
    Database,
}

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Every key with its value, in the order of the reference.
    pub effective: Vec<Effective>,
}

/// Reads the configuration: defaults, then the file, then the environment.
///
/// The file is `path`, which has to exist, or else [`DEFAULT_FILE`] if it exists, or else none.
///
/// # Errors
/// All faults, sorted by key.
pub fn load(path: Option<&Path>) -> Result<Config, Vec<Fault>> {
    examine(path, Need::All).map(|loaded| loaded.config)
}

/// Like [`load`], and tells where each value came from.
///
/// For [`Need::All`] the engines and the port's TLS are built, too, and thrown away: that reads the files which they
/// name and asks nobody anything. A TLS provider has to be installed before.
///
/// # Errors
/// All faults, sorted by key; of those in a value's meaning only the ones that matter for `need`.
pub fn examine(path: Option<&Path>, need: Need) -> Result<Loaded, Vec<Fault>> {
    let default = Path::new(DEFAULT_FILE);
    let path = path.or_else(|| default.exists().then_some(default));
    let file = path.map_or_else(|| Ok(File::none()), |path| File::read(path).map_err(|fault| vec![fault]))?;
    let (loaded, mut faults) = compose(file, &Variables::of_process(), need);
    if need == Need::All && !faults.iter().any(Fault::is_about_engines) {
        let unfit = Engines::build(&loaded.config.engines()).err().unwrap_or_default();
        faults.extend(unfit.into_iter().map(|fault| Fault::of_engine(fault, &loaded.effective)));
    }
    if need == Need::All && !faults.iter().any(|fault| fault.key.starts_with("admin.tls")) {
        let unfit = admin::Tls::load(&loaded.config.admin.tls).err();
        faults.extend(unfit.map(|fault| Fault::of_tls(fault, &loaded.effective)));
    }
    if faults.is_empty() { Ok(loaded) } else { Err(fault::sorted(faults)) }
}

/// Puts the layers on top of each other and examines the result. What is at fault stands at its default.
fn compose(file: File, variables: &Variables, need: Need) -> (Loaded, Vec<Fault>) {
    let mut faults = file.faults();
    let (layers, misread) = environment::layers(variables);
    faults.extend(misread);
    let mut figment = Figment::new().merge(file.layer());
    for layer in layers {
        figment = figment.merge(layer);
    }
    if let Some(place) = environment::database(variables) {
        figment = figment.join(place);
    }
    let sources = extract::Sources { figment: &figment, file: &file };
    let (config, values, unfit) = extract::config(&sources);
    faults.extend(unfit);
    faults.extend(check::config(&config, need).into_iter().map(|complaint| complaint.at(&sources)));
    let effective = reference::effective(&values, &sources);
    (Loaded { config, file: file.path().map(Path::to_owned), effective }, fault::sorted(faults))
}
