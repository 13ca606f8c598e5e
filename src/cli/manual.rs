//! Descriptions of the program that need no database: the OpenAPI document, shell completions and manual pages.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
pub use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;
use super::output::Output;
use crate::admin::api;

/// `vca openapi`
pub fn openapi(output: &mut Output<'_>) -> Result<(), Failure> {
    let document = api::document();
    let text = document.to_pretty_json().map_err(anyhow::Error::from)?;
    output.print(&document, || text)
}

/// `vca completions`
pub fn completions(shell: Shell, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vca", &mut script);
    print(script, output)
}

/// `vca man`: the first page, or all of them as files.
pub fn pages(folder: Option<&Path>, output: &mut Output<'_>) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(anyhow::Error::from)?;
        return print(page, output);
    };
    let place = || format!("manual pages cannot be written into {}", folder.display());
    fs::create_dir_all(folder).with_context(place)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(place)?;
    let told = format!("the manual pages are in {}", folder.display());
    output.print(&told, || told.clone())
}

fn print(bytes: Vec<u8>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8(bytes).map_err(anyhow::Error::from)?;
    output.print(&text, || text.clone())
}
