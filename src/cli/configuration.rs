//! `vca config`

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::reload::Reload;
use super::table::Table;
use crate::config::{Loaded, Need, REFERENCE, Warnings};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Examine the configuration and show every value with its source; secrets are not shown.
    Check,
    /// Have the running daemon read its configuration again; report which settings changed, were refused, or need a restart.
    /// Run it as root or as the daemon's user.
    Reload(Reload),
    /// Print a configuration file with every key, commented out.
    Reference,
}

impl Command {
    pub async fn run(
        self,
        read: impl Fn(Need) -> Result<Loaded, Failure>,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        match self {
            Command::Check => check(&read(Need::All)?, output),
            Command::Reload(command) => command.run(&read(Need::Daemon)?.config, output).await,
            Command::Reference => reference(output),
        }
    }
}

/// Prints the effective values, and the warnings on standard error.
fn check(loaded: &Loaded, output: &mut Output<'_>) -> Result<(), Failure> {
    eprint!("{}", Warnings(&loaded.warnings));
    output.print(&loaded.effective, || {
        let mut table = Table::new(["key", "value", "from"]);
        for row in &loaded.effective {
            table.row([row.key.clone(), row.value.clone(), row.source.clone()]);
        }
        format!("{table}\ndatabase: {}\nconfiguration is valid", loaded.config.database.location())
    })
}

/// Prints the reference.
fn reference(output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(REFERENCE, || REFERENCE.to_owned())
}
