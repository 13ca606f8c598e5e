//! The program: reads the command line, runs it, and ends with its exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // One TLS provider for all: with none chosen, or two, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    vca::cli::Cli::parse().run()
}
