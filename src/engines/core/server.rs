//! The settings of a vendor's server: address, key and headers.

use std::collections::BTreeMap;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use crate::egress::Guard;

/// OpenAI's own server.
pub const OPENAI: &str = "https://api.openai.com/v1";
/// Headers that this client sets itself.
const RESERVED: [&str; 6] =
    ["authorization", "content-length", "content-type", "host", "transfer-encoding", "user-agent"];

/// A vendor's server and the access to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// It may have a query, which every request then has. Default [`OPENAI`].
    pub base_url: String,
    /// The API key; none by default, for servers without keys.
    #[serde(deserialize_with = "secret")]
    pub key: Option<SecretString>,
    /// The header of the key, such as `api-key` for Azure. Default: the API's own, `Authorization: Bearer` for OpenAI's.
    pub api_key_header: Option<String>,
    /// Sent as the query parameter `api-version`, which Azure's dated API needs. Default: none.
    pub api_version: Option<String>,
    /// Further headers of every request. Their values are not logged. Default: none.
    pub headers: BTreeMap<String, SecretString>,
    /// May key and callers' words cross the Internet unencrypted, because something else encrypts? A server on a private
    /// network needs no such permission. False by default.
    pub allow_plaintext: bool,
    /// Time limit for connecting, TLS included, in milliseconds. 3000 by default.
    pub connect_timeout_ms: u64,
    /// Of a tenant's server: the destinations that it may have. The operator's servers may be anywhere.
    #[serde(skip)]
    pub guard: Option<Guard>,
}

impl Settings {
    /// Its keys, which `[engines.NAME]` has beside the options of the API.
    pub const KEYS: [&str; 7] = [
        "allow_plaintext",
        "api_key_header",
        "api_version",
        "base_url",
        "connect_timeout_ms",
        "headers",
        "key",
    ];

    /// The headers of every request: the configured ones and the key's.
    ///
    /// # Errors
    /// A name or a value is malformed, or the name is one that this client sets itself.
    pub fn header_map(&self, auth: Auth) -> Result<HeaderMap, SettingsError> {
        header_map(self, auth)
    }

    /// Whether requests can succeed: OpenAI's own server needs a key.
    pub fn is_complete(&self) -> bool {
        self.key.is_some() || self.base_url.trim_end_matches('/') != OPENAI
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            base_url: OPENAI.into(),
            key: None,
            api_key_header: None,
            api_version: None,
            headers: BTreeMap::new(),
            allow_plaintext: false,
            connect_timeout_ms: 3_000,
            guard: None,
        }
    }
}

/// An account at a vendor with an API of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VendorAccount {
    /// The API key of engines that have none of their own; none by default.
    #[serde(deserialize_with = "secret")]
    pub key: Option<SecretString>,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|key| !key.is_empty()).map(SecretString::from))
}

/// How requests carry the key, where the settings name no header for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: SCHEME KEY` (RFC 9110, 11.6.2), such as `Bearer`.
    Scheme(&'static str),
    /// A header of its own, such as `xi-api-key`.
    Header(&'static str),
}

/// A setting of a server that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SettingsError {
    /// The key within [`Settings`].
    pub key: &'static str,
    /// With its remedy. It never repeats a secret.
    pub problem: String,
}

impl SettingsError {
    pub fn new(key: &'static str, problem: impl Into<String>) -> SettingsError {
        SettingsError { key, problem: problem.into() }
    }
}

fn header_map(settings: &Settings, auth: Auth) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let lower = name.to_lowercase();
        if RESERVED.contains(&lower.as_str()) {
            return Err(SettingsError::new("headers", format!("{name} is set by vca itself: remove it")));
        }
        let name = HeaderName::try_from(lower)
            .map_err(|_| SettingsError::new("headers", format!("{name:?} is no name of a header")))?;
        let value = sensitive(value.expose_secret()).map_err(|()| {
            SettingsError::new(
                "headers",
                format!("the value of {name} has characters that no header may have"),
            )
        })?;
        headers.insert(name, value);
    }
    if let Some(key) = &settings.key {
        let (name, value) = key_header(settings, auth, key.expose_secret())?;
        let value = sensitive(&value).map_err(|()| {
            SettingsError::new("key", "the key has characters that no header may have, such as a line break")
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn key_header(settings: &Settings, auth: Auth, key: &str) -> Result<(HeaderName, String), SettingsError> {
    if let Some(name) = &settings.api_key_header {
        let name = HeaderName::try_from(name.to_lowercase())
            .map_err(|_| SettingsError::new("api_key_header", format!("{name:?} is no name of a header")))?;
        return Ok((name, key.to_owned()));
    }
    Ok(match auth {
        Auth::Scheme(scheme) => (AUTHORIZATION, format!("{scheme} {key}")),
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
    })
}

fn sensitive(value: &str) -> Result<HeaderValue, ()> {
    let mut value = HeaderValue::from_str(value).map_err(drop)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).expect("settings")
    }

    #[test]
    fn keys_are_those_of_the_settings() {
        let known = toml::from_str::<Settings>("x = 1").expect_err("an unknown key").to_string();
        for key in Settings::KEYS {
            assert!(known.contains(&format!("`{key}`")), "{key}: {known}");
        }
        assert_eq!(known.matches('`').count(), 2 * (Settings::KEYS.len() + 1), "{known}");
    }

    #[test]
    fn the_key_goes_where_the_api_or_the_setting_wants_it() {
        let key = |settings: &str, auth, header: &str| {
            let map = self::settings(settings).header_map(auth).expect("headers");
            map.get(header).map(|value| (value.to_str().expect("text").to_owned(), value.is_sensitive()))
        };
        let bearer = Auth::Scheme("Bearer");
        assert_eq!(key("key = \"k\"", bearer, "authorization"), Some(("Bearer k".into(), true)));
        assert_eq!(key("key = \"k\"", Auth::Header("xi-api-key"), "xi-api-key"), Some(("k".into(), true)));
        let azure = "key = \"k\"\napi_key_header = \"API-Key\"";
        assert_eq!(key(azure, bearer, "api-key"), Some(("k".into(), true)));
        assert_eq!(key(azure, bearer, "authorization"), None);
        assert_eq!(key("headers = { X-Title = \"vca\" }", bearer, "x-title"), Some(("vca".into(), true)));
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused_without_their_values() {
        for (toml, key) in [
            ("headers = { Host = \"hunter2\" }", "headers"),
            ("headers = { \"a b\" = \"hunter2\" }", "headers"),
            ("headers = { x = \"hunter2\\r\\ny: 1\" }", "headers"),
            ("key = \"hunter2\\n\"", "key"),
            ("key = \"hunter2\"\napi_key_header = \"\\u0000\"", "api_key_header"),
        ] {
            let error = settings(toml).header_map(Auth::Scheme("Bearer")).expect_err(toml);
            assert_eq!(error.key, key);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = settings("key = \"hunter2\"\nheaders = { x = \"hunter3\" }");
        assert!(!format!("{settings:?}").contains("hunter"), "{settings:?}");
    }
}
