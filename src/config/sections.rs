//! The sections that belong to no other room.

use std::fmt;

use serde::Deserialize;

/// The purpose of a machine. The default is production, because it allows the least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Development,
    Staging,
    #[default]
    Production,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Environment::Development => "development",
            Environment::Staging => "staging",
            Environment::Production => "production",
        })
    }
}

/// The log's format and filter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a filter such as `info,vca::ari=debug`
    /// (see the documentation of tracing-subscriber's `EnvFilter`). Default `info`.
    pub filter: String,
    /// Default `auto`.
    pub format: LogFormat,
    /// The name of this installation in lines of JSON, `service`. Default `vca`.
    pub service: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { filter: "info".into(), format: LogFormat::Auto, service: "vca".into() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, otherwise `json`.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Pretty,
}
