//! The command line: the daemon, and the operator's tools beside it.
//!
//! A command reads its arguments, asks the rooms and prints; it decides nothing that a room decides.

mod analytics;
mod audit;
mod backup;
mod call;
mod configuration;
mod credential;
mod daemon_client;
mod database;
mod doctor;
mod engine_shares;
mod failure;
mod inventory;
mod key;
mod ledger;
mod manual;
mod number;
mod number_routing;
mod operator;
mod output;
mod pre_call;
mod profile;
mod records;
mod registration;
mod reload;
mod retention;
mod routing_versions;
mod secret_input;
mod secrets;
mod serve;
mod settings;
mod span;
mod table;
mod target;
mod tenant;
mod tool;
mod transfer;
mod trial;
mod usage;
mod webhook;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Loaded, Need, Paths, examine};
use crate::store::Store;
use failure::Failure;
use operator::actor;
use output::Output;
use records::RecordCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed; of doctor: something is wrong
  2   the command line cannot be understood
  64  the configuration has faults
  65  a value is not acceptable
  66  not found
  69  the database or another server is not available, or `vca migrate` has yet to run
  73  it exists already, or was done before

The configuration comes from --config, otherwise from /etc/vca/vca.toml, and from the environment;
`vca config check` shows what takes effect.";

/// A voice agent for Asterisk.
#[derive(Debug, Parser)]
#[command(name = "vca", version, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    /// The configuration file. Default: /etc/vca/vca.toml, if it is there.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// A file of environment variables, NAME=value a line; those that are set go before it. Default: .env of the working
    /// folder, if it is there and APP_ENV=development is set.
    #[arg(long, global = true, value_name = "PATH", env = "VCA_ENV_FILE")]
    env_file: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls, until SIGTERM or SIGINT.
    Serve,
    /// Bring the database's tables up to date.
    Migrate,
    /// Copy an SQLite database into a file, beside a running daemon; or examine a copy, or the database itself.
    Backup(backup::Backup),
    /// Put a copy of an SQLite database in the place of the configured one, which is kept under another name.
    Restore(backup::Restore),
    /// The configuration.
    #[command(subcommand)]
    Config(configuration::Command),
    #[command(flatten)]
    Records(RecordCommand),
    /// Find out what is wrong, and what to do about it.
    Doctor(doctor::Command),
    /// Print the description of the HTTP API (OpenAPI, JSON).
    Openapi,
    /// Generate shell completions.
    Completions { shell: manual::Shell },
    /// Print the manual page, or write one for each command into a folder.
    Man { folder: Option<PathBuf> },
}

impl Cli {
    /// Runs the command. A failure is printed on standard error.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Failure::from(anyhow::Error::from(error)).report(),
        };
        let mut output = Output::to_stdout(self.json);
        match runtime.block_on(self.dispatch(&mut output)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }

    /// Reads the configuration of the daemon again.
    fn reread(&self) -> serve::Reread {
        let (config, env_file) = (self.config.clone(), self.env_file.clone());
        Box::new(move || {
            let paths = Paths { config: config.as_deref(), env_file: env_file.as_deref() };
            examine(&paths, Need::Service)
        })
    }

    async fn dispatch(self, output: &mut Output<'_>) -> Result<(), Failure> {
        let paths = Paths { config: self.config.as_deref(), env_file: self.env_file.as_deref() };
        let read = |need| examine(&paths, need).map_err(Failure::from);
        let reread = self.reread();
        match self.command {
            Command::Serve => serve::run(read(Need::Service)?, reread).await,
            Command::Migrate => migrate(&read(Need::Database)?.config, output).await,
            Command::Backup(command) => command.run(&read(Need::Database)?.config, output).await,
            Command::Restore(command) => command.run(&read(Need::Database)?.config, output).await,
            Command::Config(command) => command.run(read, output).await,
            Command::Doctor(command) => command.run(&read(Need::Service)?, output).await,
            Command::Records(RecordCommand::Call(call::Command::Live(command))) => {
                command.run(&read(Need::Daemon)?.config, output).await
            }
            Command::Records(command) => {
                let (store, config) = prepared(read(Need::Database)?).await?;
                command.run(&store, &config, output).await
            }
            Command::Openapi => manual::openapi(output),
            Command::Completions { shell } => manual::completions(shell, output),
            Command::Man { folder } => manual::pages(folder.as_deref(), output),
        }
    }
}

/// The database, with all migrations applied.
async fn prepared(loaded: Loaded) -> Result<(Store, Config), Failure> {
    let (keyring, numbering) = (loaded.config.keyring()?, loaded.config.numbers);
    let store = database::open(&loaded.config.database).await?;
    let store = store.with_sealing(keyring).with_numbering(numbering).with_limits(loaded.config.limits);
    let pending = store.pending_migrations().await?;
    if pending.is_empty() {
        return Ok((store, loaded.config));
    }
    let source = loaded.effective.iter().find(|row| row.key == "database.url");
    let source = source.map_or("default", |row| &*row.source);
    let what = format!(
        "the tables of the database are not up to date (it lacks {}): run `vca migrate`, or, if another database \
         is meant, name that one (the URL of this one is from: {source})",
        pending.join(", ")
    );
    Err(Failure::unavailable(what))
}

async fn migrate(config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = Store::open(&config.database).await?;
    let taken = store.migrate().await?;
    let database = config.database.location();
    output.print(&taken, || match taken.as_slice() {
        [] => format!("{database} is up to date"),
        steps => format!("{database} is up to date now; it took {}", steps.join(", ")),
    })
}
