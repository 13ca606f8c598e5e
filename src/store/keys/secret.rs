//! The secrets of keys: made here, and hashed for the database.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{KeyWithSecret, NewKey};
use crate::store::{StoreError, kept, now};
use crate::tenancy::{Actor, ApiKey, KeyId, TenantId};

impl KeyWithSecret {
    pub fn new(actor: &Actor, tenant: Option<TenantId>, new: NewKey) -> Result<KeyWithSecret, StoreError> {
        let (prefix, secret) = mint()?;
        let key = ApiKey {
            id: KeyId::new(),
            tenant_id: tenant,
            role: new.role,
            name: new.name,
            prefix,
            created_by: actor.to_string(),
            created_at: now(),
            expires_at: new.expires_at.map(kept),
            last_used_at: None,
            revoked_at: None,
        };
        Ok(KeyWithSecret { key, secret })
    }

    pub fn hash(&self) -> [u8; 32] {
        hash(self.secret.expose_secret())
    }
}

/// A new secret and how it begins: `vca_`, eight characters that may be shown, and 256 random bits.
fn mint() -> Result<(String, SecretString), StoreError> {
    let mut random = [0; 38];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| StoreError::Other(format!("no randomness: {error}")))?;
    let text = URL_SAFE_NO_PAD.encode(random);
    // Six bytes are eight characters, and thirty-two are forty-three.
    let prefix = format!("vca_{}", &text[..8]);
    let secret = SecretString::from(format!("{prefix}_{}", &text[8..]));
    Ok((prefix, secret))
}

pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
