//! Options of commands that cannot be undone: they can be tried first.

use clap::Args;

#[derive(Debug, Args)]
pub struct Trial {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// For what cannot be undone and concerns much: it is either tried or confirmed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Consent {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do it: it cannot be undone.
    #[arg(long)]
    yes: bool,
}

impl Consent {
    pub fn is_dry_run(&self) -> bool {
        self.dry_run || !self.yes
    }
}
