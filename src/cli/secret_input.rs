//! Secrets from standard input.

use std::io::Read;

use anyhow::Context;
use secrecy::SecretString;

use super::failure::Failure;

/// The value of a secret, which no argument of a program may have: every user of the machine can list those.
pub fn entered() -> Result<SecretString, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("the secret cannot be read from standard input")?;
    Ok(SecretString::from(text.trim().to_owned()))
}
