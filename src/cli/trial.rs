//! What cannot be undone may be tried first.

use clap::Args;

#[derive(Debug, Args)]
pub struct Trial {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}
