//! `vca profile`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::number::yes_or_no;
use super::output::Output;
use super::settings::SettingArgs;
use super::table::{Sheet, Table, or_dash};
use super::tenant;
use crate::config::Config;
use crate::control;
use crate::store::{NewProfile, ProfileChanges, Store, Window};
use crate::tenancy::{
    AgentRole, AiProfile, Permitted, ProfileId, ProfileSettings, ProfileVersion, Tenant, TransferTarget,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a profile.
    Create(CreateProfile),
    /// List profiles.
    List {
        /// Id or name; all tenants when absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show one profile.
    Show(Show),
    /// Change a profile. The next call has what has changed; calls in progress keep what they began with.
    Update(UpdateProfile),
    /// List what a profile was and is, newest first.
    Versions(ProfileSelector),
    /// Make a profile what it was at a version, with the transfer targets of that version.
    Rollback(Rollback),
}

#[derive(Debug, Args)]
pub struct CreateProfile {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "receptionist")]
    role: AgentRole,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Answer this tenant's calls, in place of the profile that does now.
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Args)]
pub struct ProfileSelector {
    /// Id, or name if only one has it.
    pub profile: String,
    /// Look among this tenant's profiles only. Id or name.
    #[arg(long)]
    pub tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    which: ProfileSelector,
    /// The version to show.
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    which: ProfileSelector,
    #[arg(long, value_name = "N")]
    version: u32,
}

#[derive(Debug, Args)]
pub struct UpdateProfile {
    #[command(flatten)]
    which: ProfileSelector,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    role: Option<AgentRole>,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Answer the tenant's calls, in place of the profile that does now; `false` leaves it without one.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    default: Option<bool>,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct PromptArgs {
    /// The agent's instructions for its task.
    #[arg(long)]
    system_prompt: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "PATH")]
    system_prompt_file: Option<PathBuf>,
}

/// A profile and its tenant.
#[derive(Debug, Serialize)]
struct OwnedProfile {
    #[serde(flatten)]
    profile: AiProfile,
    tenant_name: String,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let owned = match self {
            Command::List { tenant } => return list(store, tenant.as_deref(), output).await,
            Command::Versions(which) => return which.versions(store, output).await,
            Command::Show(Show { which, version: Some(version) }) => {
                let profile = which.find(store).await?.profile;
                let former = store.scope(profile.tenant_id).profile_version(profile.id, version).await?;
                return output.print(&former, || version_sheet(&former));
            }
            Command::Show(Show { which, version: None }) => which.find(store).await?,
            Command::Create(create) => create.run(store, config).await?,
            Command::Update(update) => update.run(store, config).await?,
            Command::Rollback(rollback) => rollback.run(store, config).await?,
        };
        output.print(&owned, || sheet(&owned))
    }
}

impl CreateProfile {
    async fn run(self, store: &Store, config: &Config) -> Result<OwnedProfile, Failure> {
        let system_prompt = self.prompt.text()?.ok_or_else(|| {
            Failure::unacceptable("a profile needs a prompt: --system-prompt or --system-prompt-file")
        })?;
        let settings = self.settings.applied_to(Default::default())?;
        let tenant = tenant::find(store, &self.tenant).await?;
        let is_default = self.default;
        let new = NewProfile { name: self.name, role: self.role, system_prompt, is_default, settings };
        let scope = store.scope(tenant.id);
        let profile = control::create_profile(&scope, &actor(), &permitted(config), new).await?;
        Ok(OwnedProfile { profile, tenant_name: tenant.name })
    }
}

impl UpdateProfile {
    async fn run(self, store: &Store, config: &Config) -> Result<OwnedProfile, Failure> {
        let OwnedProfile { profile, tenant_name } = self.which.find(store).await?;
        let system_prompt = self.prompt.text()?;
        let decide = |current: &AiProfile| -> Result<ProfileChanges, Failure> {
            let is_changed = !self.settings.is_empty();
            let settings =
                is_changed.then(|| self.settings.applied_to(current.settings.clone())).transpose()?;
            Ok(ProfileChanges {
                name: self.name,
                role: self.role,
                system_prompt,
                is_default: self.default,
                settings,
            })
        };
        let scope = store.scope(profile.tenant_id);
        let profile =
            control::update_profile(&scope, &actor(), &permitted(config), profile.id, decide).await?;
        Ok(OwnedProfile { profile, tenant_name })
    }
}

impl Rollback {
    async fn run(self, store: &Store, config: &Config) -> Result<OwnedProfile, Failure> {
        let OwnedProfile { profile, tenant_name } = self.which.find(store).await?;
        let scope = store.scope(profile.tenant_id);
        let version = self.version;
        let permitted = permitted(config);
        let profile = control::roll_back_profile(&scope, &actor(), &permitted, profile.id, version).await?;
        Ok(OwnedProfile { profile, tenant_name })
    }
}

/// The settings that a profile may have. Any engine of this program may be named: its key may be in the daemon's environment
/// and not in this shell's.
fn permitted(config: &Config) -> Permitted {
    config.permitted(config.engines().catalogue())
}

impl PromptArgs {
    fn text(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.system_prompt_file else { return Ok(self.system_prompt.clone()) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::not_found(format!("the prompt {} cannot be read: {error}", path.display()))
        })?;
        Ok(Some(text.trim_end().to_owned()))
    }
}

impl ProfileSelector {
    async fn versions(&self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let profile = self.find(store).await?.profile;
        let scope = store.scope(profile.tenant_id);
        let versions = scope.profile_versions(profile.id, Window::first(u32::MAX)).await?.items;
        output.print(&versions, || {
            let mut table = Table::new(["version", "made (UTC)", "by", "for a target", "name", "role"]);
            for version in &versions {
                table.row([
                    version.version.to_string(),
                    version.created_at.format("%F %T").to_string(),
                    version.created_by.clone(),
                    yes_or_no(version.republished).into(),
                    version.name.clone(),
                    version.role.to_string(),
                ]);
            }
            table.to_string()
        })
    }

    /// The profile.
    pub async fn find_profile(&self, store: &Store) -> Result<AiProfile, Failure> {
        Ok(self.find(store).await?.profile)
    }

    async fn find(&self, store: &Store) -> Result<OwnedProfile, Failure> {
        let named = &self.profile;
        let id: Option<ProfileId> = named.parse().ok();
        let mut found = Vec::new();
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            let profiles = store.scope(tenant.id).profiles().await?;
            let same = profiles.into_iter().filter(|it| Some(it.id) == id || it.name == *named);
            found.extend(same.map(|profile| OwnedProfile::new(profile, &tenant)));
        }
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|it| it.profile.id.to_string()).collect();
            let ids = ids.join(", ");
            return Err(Failure::unacceptable(format!(
                "several profiles are named {named:?}: name the tenant with --tenant, or the id, {ids}"
            )));
        }
        found.pop().ok_or_else(|| {
            Failure::not_found(format!("there is no profile {named:?}: `vca profile list` shows them all"))
        })
    }
}

impl OwnedProfile {
    fn new(profile: AiProfile, tenant: &Tenant) -> OwnedProfile {
        OwnedProfile { profile, tenant_name: tenant.name.clone() }
    }
}

async fn list(store: &Store, tenant: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut all = Vec::new();
    for tenant in tenant::find_or_all(store, tenant).await? {
        let profiles = store.scope(tenant.id).profiles().await?;
        all.extend(profiles.into_iter().map(|profile| OwnedProfile::new(profile, &tenant)));
    }
    output.print(&all, || {
        let mut table = Table::new(["name", "role", "default", "tenant", "stt", "llm", "tts", "id"]);
        for OwnedProfile { profile, tenant_name } in &all {
            table.row([
                profile.name.clone(),
                profile.role.to_string(),
                yes_or_no(profile.is_default).into(),
                tenant_name.clone(),
                or_dash(profile.settings.stt.as_deref()),
                or_dash(profile.settings.llm.as_deref()),
                or_dash(profile.settings.tts.as_deref()),
                profile.id.to_string(),
            ]);
        }
        table.to_string()
    })
}

fn sheet(OwnedProfile { profile, tenant_name }: &OwnedProfile) -> String {
    let sheet = Sheet::new()
        .line("id", profile.id)
        .line("name", &profile.name)
        .line("tenant", tenant_name)
        .line("tenant id", profile.tenant_id)
        .line("role", profile.role)
        .line("default", yes_or_no(profile.is_default))
        .line("version", profile.version)
        .line("created", profile.created_at.format("%F %T UTC"))
        .line("system prompt", &profile.system_prompt);
    let sheet = with_settings(sheet, &profile.settings);
    with_targets(sheet, profile.targets.as_deref().unwrap_or_default()).to_string()
}

fn version_sheet(version: &ProfileVersion) -> String {
    let sheet = Sheet::new()
        .line("id", version.ai_profile_id)
        .line("version", version.version)
        .line("made", version.created_at.format("%F %T UTC"))
        .line("by", &version.created_by)
        .line("for a target", yes_or_no(version.republished))
        .line("name", &version.name)
        .line("role", version.role)
        .line("system prompt", &version.system_prompt);
    let sheet = with_settings(sheet, &version.settings);
    with_targets(sheet, version.targets.as_deref().unwrap_or_default()).to_string()
}

fn with_targets(sheet: Sheet, targets: &[TransferTarget]) -> Sheet {
    targets.iter().fold(sheet, |sheet, target| {
        let TransferTarget { kind, address, method, style, .. } = target;
        let hours = target.hours.as_ref().map_or("always", |_| "with hours");
        sheet
            .line(&format!("target {}", target.name), format!("{kind} {address}, {method}, {style}, {hours}"))
    })
}

fn with_settings(sheet: Sheet, settings: &ProfileSettings) -> Sheet {
    let mut sheet = sheet
        .line("greeting", or_dash(settings.greeting.as_deref()))
        .line("language", or_dash(settings.language.as_deref()))
        .line("stt", or_dash(settings.stt.as_deref()))
        .line("llm", or_dash(settings.llm.as_deref()))
        .line("tts", or_dash(settings.tts.as_deref()))
        .line("voice", or_dash(settings.voice.as_deref()));
    for (name, model) in [
        ("stt model", &settings.stt_model),
        ("llm model", &settings.llm_model),
        ("tts model", &settings.tts_model),
        ("realtime", &settings.realtime),
        ("realtime model", &settings.realtime_model),
        ("realtime voice", &settings.realtime_voice),
    ] {
        sheet = model.iter().fold(sheet, |sheet, model| sheet.line(name, model));
    }
    if let Some(tokens) = settings.max_reply_tokens {
        sheet = sheet.line("max reply tokens", tokens);
    }
    for (name, words) in &settings.phrases {
        sheet = sheet.line(&format!("phrases.{name}"), words);
    }
    for (name, value) in &settings.variables {
        sheet = sheet.line(&format!("variables.{name}"), value);
    }
    for (word, spoken) in &settings.pronunciations {
        sheet = sheet.line(&format!("pronunciations.{word}"), spoken);
    }
    if !settings.key_terms.is_empty() {
        sheet = sheet.line("key terms", settings.key_terms.join(", "));
    }
    let switches = [
        ("preamble", settings.preamble),
        ("notice", settings.notice),
        ("comfort noise", settings.comfort_noise),
    ];
    for (name, is_on) in switches {
        sheet = is_on.into_iter().fold(sheet, |sheet, is_on| sheet.line(name, yes_or_no(is_on)));
    }
    if let Some(suppression) = settings.noise_suppression {
        sheet = sheet.line("noise suppression", suppression);
    }
    let turn = serde_json::to_value(&settings.turn).unwrap_or_default();
    for (name, value) in turn.as_object().into_iter().flatten() {
        sheet = sheet.line(&format!("turn.{name}"), value);
    }
    if let Some(hours) = &settings.hours {
        sheet = sheet.line("hours", serde_json::to_value(hours).unwrap_or_default());
    }
    if !settings.tools.is_empty() {
        sheet = sheet.line("tools", settings.tools.join(", "));
    }
    sheet
}
