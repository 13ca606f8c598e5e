//! Sealing: secrets that the database keeps encrypted, so that a dump, a replica or an export shows none.
//!
//! A sealed text is `sealed:v1:KEY:DATA`: the id of the key, and the base64 of a nonce of 24 bytes and the ciphertext of
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). The associated data binds it to the row that it belongs to, so a text
//! that is copied to another row does not open. A text without that prefix is not sealed and opens as it is.
//!
//! It reads no clock and opens nothing; of the system it takes random bytes.

mod keyring;

pub use keyring::{KeyError, Keyring, SealError, Sealed};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

/// `[seal]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The key that seals: 32 bytes as base64 or hexadecimal digits. Default: none, secrets are kept in clear.
    pub key: Option<SecretString>,
    /// Keys that sealed before and still open, with spaces or commas between. Default: none.
    pub former_keys: Option<SecretString>,
}

impl Settings {
    /// The keys that the settings hold.
    ///
    /// # Errors
    /// The setting that is at fault, `key` or `former_keys`, and why. The text holds no key.
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

    /// The associated data. The kinds are words without a NUL, so no two owners share it.
    fn associated_data(&self) -> Vec<u8> {
        [self.kind.as_bytes(), b"\0", self.tenant.as_bytes(), self.row.as_bytes()].concat()
    }
}
