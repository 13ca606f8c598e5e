//! Why a command failed, and with which exit code.

use std::fmt;
use std::process::ExitCode;

use crate::config::{ConfigError, ConfigErrors, EXIT_CODE};
use crate::control::ControlError;
use crate::store::{NumberRefusal, StoreError};

/// The codes of sysexits.h, as far as they are used.
const FAILED: u8 = 1;
const UNACCEPTABLE: u8 = 65;
const NOT_FOUND: u8 = 66;
const UNAVAILABLE: u8 = 69;
const CONFLICT: u8 = 73;

/// The message on standard error, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: u8,
    /// Empty when the command has printed the reason already.
    pub text: String,
}

impl Failure {
    pub fn failed(text: impl Into<String>) -> Failure {
        Failure { code: FAILED, text: text.into() }
    }

    pub fn not_found(text: impl Into<String>) -> Failure {
        Failure { code: NOT_FOUND, text: text.into() }
    }

    pub fn unacceptable(text: impl fmt::Display) -> Failure {
        Failure { code: UNACCEPTABLE, text: text.to_string() }
    }

    pub fn unavailable(text: impl Into<String>) -> Failure {
        Failure { code: UNAVAILABLE, text: text.into() }
    }

    pub fn conflict(text: impl Into<String>) -> Failure {
        Failure { code: CONFLICT, text: text.into() }
    }

    /// Something in the database is wrong.
    pub fn broken(text: impl Into<String>) -> Failure {
        Failure { code: FAILED, text: text.into() }
    }

    /// The output has said what is wrong.
    pub fn said() -> Failure {
        Failure { code: FAILED, text: String::new() }
    }

    pub fn report(&self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("vca: {}", self.text);
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(faults: Vec<ConfigError>) -> Failure {
        Failure { code: EXIT_CODE, text: ConfigErrors(&faults).to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure { code: code(&error), text: error.to_string() }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::Invalid(violations) => {
                let lines: Vec<String> = violations
                    .iter()
                    .map(|violation| format!("{}: {}", violation.field, violation.problem))
                    .collect();
                Failure::unacceptable(lines.join("\n     "))
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        let code = error.downcast_ref().map_or(FAILED, code);
        Failure { code, text: format!("{error:#}") }
    }
}

fn code(error: &StoreError) -> u8 {
    match error {
        StoreError::NotFound => NOT_FOUND,
        StoreError::Conflict { .. } | StoreError::LimitReached(_) | StoreError::Refused { .. } => CONFLICT,
        StoreError::Number(NumberRefusal::NotAssigned) | StoreError::Invalid { .. } => UNACCEPTABLE,
        StoreError::Number(_) => CONFLICT,
        StoreError::Unavailable { .. } | StoreError::TooSlow { .. } | StoreError::Schema { .. } => {
            UNAVAILABLE
        }
        StoreError::Other(_) => FAILED,
    }
}
