//! `vca backup` and `vca restore`

use std::fs::{File, OpenOptions, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::database;
use super::failure::Failure;
use super::operator::actor;
use super::output::Output;
use super::table::{Sheet, Table};
use crate::config::Config;
use crate::store::{Backend, Store, TableSum, examine_copy, is_in_use};

const POSTGRES: &str = "this database is PostgreSQL, which its own tools back up and restore: \
    `PGOPTIONS='-c vca.reach=all' pg_dump --enable-row-security --format=custom --file=FILE …`; docs/operations.md has \
    the steps";

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Backup {
    /// Where the copy goes; a file that does not exist yet.
    file: Option<PathBuf>,
    /// Examine a copy instead of making one: its structure, and the rows and checksum of each table. Without a file, show
    /// those of the configured database, of either kind.
    #[arg(long)]
    verify: bool,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// A copy that `vca backup` made.
    file: PathBuf,
    /// Examine everything, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A copy that was made or examined.
#[derive(Debug, Serialize)]
struct Copied {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    tables: Vec<TableSum>,
}

/// The result of a restore.
#[derive(Debug, Serialize)]
struct Restored {
    database: PathBuf,
    /// Where the database went that was there before.
    former: Option<PathBuf>,
    written: bool,
    tables: Vec<TableSum>,
}

impl Backup {
    pub async fn run(self, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let copied = match (self.file, self.verify) {
            (Some(file), true) => Copied { tables: examine_copy(&file).await?, file: Some(file) },
            (Some(file), false) => copy(&database::open(&config.database).await?, file).await?,
            (None, true) => {
                Copied { file: None, tables: database::open(&config.database).await?.table_sums().await? }
            }
            (None, false) => return Err(Failure::unacceptable("name the file that the copy goes to")),
        };
        output.print(&copied, || text(&copied))
    }
}

/// Copies into a file beside the one that is meant, so that the name stands for a whole copy only.
async fn copy(store: &Store, file: PathBuf) -> Result<Copied, Failure> {
    if store.backend() == Backend::Postgres {
        return Err(Failure::unacceptable(POSTGRES));
    }
    if file.exists() {
        return Err(Failure::conflict(format!("{} exists: name another file", file.display())));
    }
    let part = beside(&file, "part");
    private_file(&part).map_err(|error| unusable(&part, &error))?;
    let copied = fill(store, &part, &file).await;
    if copied.is_err() {
        // The half copy is of no use; the failure itself is what matters.
        let _ = std::fs::remove_file(&part);
    }
    copied.map(|tables| Copied { file: Some(file), tables })
}

async fn fill(store: &Store, part: &Path, file: &Path) -> Result<Vec<TableSum>, Failure> {
    store.copy_into(&actor(), part).await?;
    let tables = examine_copy(part).await?;
    File::open(part).and_then(|copy| copy.sync_all()).map_err(|error| unusable(part, &error))?;
    let renamed = renameat_with(CWD, part, CWD, file, RenameFlags::NOREPLACE);
    renamed.map_err(|error| unusable(file, &error.into()))?;
    sync_folder(file).map_err(|error| unusable(file, &error))?;
    Ok(tables)
}

impl Restore {
    pub async fn run(self, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let url = config.database.url.expose_secret();
        if !url.starts_with("sqlite:") {
            return Err(Failure::unacceptable(POSTGRES));
        }
        let target = config.database.file().map(PathBuf::from);
        let target = target.ok_or_else(|| Failure::unacceptable("database.url names no file"))?;
        let target = std::path::absolute(&target).map_err(|error| unusable(&target, &error))?;
        let tables = examine_copy(&self.file).await?;
        let is_there = target.exists();
        // A daemon that has the database open would go on with the file that is moved away.
        if is_there && is_in_use(&target).await {
            return Err(Failure::unavailable(format!(
                "{} is in use: stop the daemon first, for example with `systemctl stop vca`",
                target.display()
            )));
        }
        let former =
            is_there.then(|| beside(&target, &format!("before-{}", Utc::now().format("%Y%m%dT%H%M%SZ"))));
        if !self.dry_run {
            let put = put(&self.file, &target, former.as_deref());
            put.map_err(|(path, error)| unusable(&path, &error))?;
        }
        let restored = Restored { database: target, former, written: !self.dry_run, tables };
        output.print(&restored, || restored.to_string())
    }
}

/// Puts a copy in the place of a database, which is kept under another name. The file belongs to the owner of the former
/// one, or else of the folder: a file of root's would be one that the daemon cannot write.
fn put(copy: &Path, target: &Path, former: Option<&Path>) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| (path, error)
    };
    let part = beside(target, "restoring");
    let folder = target.parent().unwrap_or(Path::new("/"));
    let owner = std::fs::metadata(if former.is_some() { target } else { folder }).map_err(at(target))?;
    let mut file = private_file(&part).map_err(at(&part))?;
    let mut source = File::open(copy).map_err(at(copy))?;
    io::copy(&mut source, &mut file).map_err(at(&part))?;
    std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(at(&part))?;
    file.sync_all().map_err(at(&part))?;
    if let Some(former) = former {
        for suffix in ["", "-wal", "-shm"] {
            let (from, to) = (suffixed(target, suffix), suffixed(former, suffix));
            match std::fs::rename(&from, &to) {
                Err(error) if suffix.is_empty() || error.kind() != io::ErrorKind::NotFound => {
                    return Err((from, error));
                }
                _ => {}
            }
        }
    }
    std::fs::rename(&part, target).map_err(at(target))?;
    sync_folder(target).map_err(at(folder))
}

/// A new file that its owner alone can read, from its first byte.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(file)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// `vca.db` and `part`: `vca.db.part`.
fn beside(file: &Path, word: &str) -> PathBuf {
    suffixed(file, &format!(".{word}"))
}

fn suffixed(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::from(anyhow::anyhow!("{}: {error}", path.display()))
}

fn text(copied: &Copied) -> String {
    let head = copied.file.as_ref().map(|file| format!("{} is a whole copy.\n\n", file.display()));
    format!("{}{}", head.unwrap_or_default(), sums(&copied.tables))
}

fn sums(tables: &[TableSum]) -> String {
    let mut table = Table::new(["table", "rows", "checksum"]);
    for sum in tables {
        table.row([sum.table.clone(), sum.rows.to_string(), sum.checksum.clone()]);
    }
    table.to_string()
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sheet = Sheet::new().line("database", self.database.display());
        if let Some(former) = &self.former {
            sheet = sheet.line("former", former.display());
        }
        let end = if self.written { "Restored." } else { "A dry run: nothing was changed." };
        write!(f, "{sheet}\n{}\n{end}", sums(&self.tables))
    }
}
