//! The program: parses the command line, runs the command, and exits with its code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // One TLS provider for all: without a choice, or with two, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    vca::cli::Cli::parse().run()
}
