//! Errors of a configuration, with their remedies.

use std::fmt;

use super::Effective;
use super::extract::Sources;
use crate::admin::TlsError;
use crate::violation::Violation;

/// The exit code for a faulty configuration: `EX_USAGE` of sysexits.h.
pub const EXIT_CODE: u8 = 64;

/// One fault. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// `section.key`; the file itself when it cannot be read.
    pub key: String,
    /// `file:line`, the name of an environment variable, or `default`.
    pub source: String,
    pub problem: String,
    pub remedy: String,
}

impl ConfigError {
    pub(super) fn is_about_engines(&self) -> bool {
        const SECTIONS: [&str; 8] =
            ["openai", "anthropic", "elevenlabs", "deepgram", "engines", "stt", "llm", "tts"];
        SECTIONS.contains(&self.key.split('.').next().unwrap_or_default())
    }

    /// A violation, with the source of the value.
    pub(super) fn at(violation: Violation, sources: &Sources<'_>) -> ConfigError {
        ConfigError {
            source: sources.of(&violation.field),
            key: violation.field,
            problem: violation.problem,
            remedy: violation.remedy.unwrap_or_default(),
        }
    }

    /// A fault that was found in building the engines; its text contains the remedy.
    pub(super) fn of_engine(fault: Violation, effective: &[Effective]) -> ConfigError {
        ConfigError {
            source: source(&fault.field, effective),
            key: fault.field,
            problem: fault.problem,
            remedy: "correct it, or choose other engines: stt.default, llm.default and tts.default".into(),
        }
    }

    /// A fault that was found in reading the certificate.
    pub(super) fn of_tls(fault: TlsError, effective: &[Effective]) -> ConfigError {
        ConfigError {
            key: fault.key.into(),
            source: source(fault.key, effective),
            problem: fault.problem,
            remedy: "name PEM files that this user may read: a certificate with its chain, and its key"
                .into(),
        }
    }
}

fn source(key: &str, effective: &[Effective]) -> String {
    effective.iter().find(|row| row.key == key).map_or_else(|| "default".into(), |row| row.source.clone())
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.key, self.problem)?;
        writeln!(f, "    from:   {}", self.source)?;
        write!(f, "    remedy: {}", self.remedy)
    }
}

/// Warnings as one text, a block each; empty without any.
pub struct Warnings<'a>(pub &'a [ConfigError]);

impl fmt::Display for Warnings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| writeln!(f, "warning: {fault}"))
    }
}

/// All faults as one text, a block each.
pub struct ConfigErrors<'a>(pub &'a [ConfigError]);

impl fmt::Display for ConfigErrors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "the configuration has {} {noun}", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n\n{fault}"))
    }
}

/// Sorted by key. A fault in a key's form hides a fault in its meaning, because the meaning was checked with the
/// default in its place.
pub(super) fn sorted(mut faults: Vec<ConfigError>) -> Vec<ConfigError> {
    let mut seen = Vec::new();
    faults.retain(|fault| {
        let again = seen.iter().any(|(key, source)| *key == fault.key && *source != fault.source);
        seen.push((fault.key.clone(), fault.source.clone()));
        !again
    });
    faults.sort();
    faults.dedup();
    faults
}
