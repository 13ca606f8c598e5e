//! Sealing: encryption of secrets in the database, so that a dump, a replica or an export does not reveal them.
//!
//! A sealed text is `sealed:v1:KEY:DATA`: the id of the key, and the base64 of a nonce of 24 bytes and the
//! ciphertext of XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). The associated data binds it to its row, so a
//! text that is copied to another row cannot be opened. A text without that prefix is not sealed and is returned
//! unchanged.
//!
//! Uses no clock and no files; random bytes are those of the system.

mod keyring;

pub use keyring::{KeyError, Keyring, SealError, Sealed};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

/// `[seal]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The key that seals: 32 bytes as base64 or hexadecimal digits. Default: none, secrets are stored
    /// unencrypted.
    pub key: Option<SecretString>,
    /// Former keys, which still open secrets, separated by spaces or commas. Default: none.
    pub former_keys: Option<SecretString>,
}

impl Settings {
    /// The keyring of the settings.
    ///
    /// # Errors
    /// The name of the faulty setting, `key` or `former_keys`, and the problem. The error does not contain the
    /// key.
    pub fn keyring(&self) -> Result<Keyring, (&'static str, KeyError)> {
        let keyring = match &self.key {
            Some(key) => Keyring::new(key.expose_secret()).map_err(|error| ("key", error))?,
            None => Keyring::default(),
        };
        let former = self.former_keys.as_ref().map_or("", |keys| keys.expose_secret());
        let mut former = former.split([',', ' ', '\t', '\n', '\r']).filter(|key| !key.is_empty());
        former.try_fold(keyring, Keyring::with_former).map_err(|error| ("former_keys", error))
    }
}

/// The row and column that a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    kind: &'static str,
    tenant: Uuid,
    row: Uuid,
}

impl Owner {
    /// The signing secret of a webhook, the present or the former one.
    pub fn webhook(tenant: Uuid, webhook: Uuid) -> Owner {
        Owner { kind: "webhook", tenant, row: webhook }
    }

    /// The signing secret of a number's pre-call webhook.
    pub fn pre_call_webhook(tenant: Uuid, webhook: Uuid) -> Owner {
        Owner { kind: "pre_call_webhook", tenant, row: webhook }
    }

    /// A secret for the headers of HTTP tools.
    pub fn tool_secret(tenant: Uuid, secret: Uuid) -> Owner {
        Owner { kind: "tool_secret", tenant, row: secret }
    }

    /// The key of a tenant's account at a vendor of engines.
    pub fn engine_credential(tenant: Uuid, credential: Uuid) -> Owner {
        Owner { kind: "engine_credential", tenant, row: credential }
    }

    /// The associated data. Kinds contain no NUL, so two owners never have the same data.
    fn associated_data(&self) -> Vec<u8> {
        [self.kind.as_bytes(), b"\0", self.tenant.as_bytes(), self.row.as_bytes()].concat()
    }
}
