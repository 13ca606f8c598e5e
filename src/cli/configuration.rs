//! `vca config`

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use crate::config::{Loaded, REFERENCE};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Examine the configuration and show every value with its source; secrets are not shown.
    Check,
    /// Print a configuration file with every key, commented out.
    Reference,
}

impl Command {
    pub fn run(self, loaded: &Loaded, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Check => output.print(&loaded.effective, || {
                let mut table = Table::new(["key", "value", "from"]);
                for row in &loaded.effective {
                    table.row([row.key.clone(), row.value.clone(), row.source.clone()]);
                }
                format!("{table}\nconfiguration is valid")
            }),
            Command::Reference => output.print(REFERENCE, || REFERENCE.to_owned()),
        }
    }
}
