//! The keys that seal and open secrets.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Owner;

const PREFIX: &str = "sealed:v1:";
/// Bytes of a nonce. Nonces are random: with 192 bits none repeats.
const NONCE: usize = 24;
const KEY: usize = 32;

/// The keys of this daemon. Cheap to clone. `Debug` output shows the keys' ids alone.
#[derive(Clone, Default)]
pub struct Keyring {
    current: Option<Arc<Key>>,
    former: Vec<Arc<Key>>,
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// A text that is not a key. The error does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 bytes, written as base64 or as 64 hexadecimal digits")]
pub struct KeyError;

/// Why a sealed text cannot be opened, or a secret cannot be sealed. Holds neither text nor key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is sealed with key {0}, which is neither seal.key nor one of seal.former_keys")]
    UnknownKey(String),
    #[error("it was changed, or belongs to another row")]
    Forged,
    #[error("it is not in the form of a sealed text")]
    Malformed,
    #[error("the system provides no random bytes")]
    NoRandomness,
}

/// The form of a stored secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    Clear,
    ByCurrentKey,
    ByOtherKey,
}

impl Keyring {
    /// A keyring with one key, which seals.
    ///
    /// # Errors
    /// When the text is not a key.
    pub fn new(key: &str) -> Result<Keyring, KeyError> {
        Ok(Keyring { current: Some(Arc::new(Key::parse(key)?)), former: Vec::new() })
    }

    /// Adds a former key, which only opens.
    ///
    /// # Errors
    /// When the text is not a key.
    pub fn with_former(mut self, key: &str) -> Result<Keyring, KeyError> {
        self.former.push(Arc::new(Key::parse(key)?));
        Ok(self)
    }

    /// Whether there is a key that seals.
    pub fn seals(&self) -> bool {
        self.current.is_some()
    }

    /// The text to store for a secret: sealed, or unchanged if there is no key.
    ///
    /// # Errors
    /// When the system provides no random bytes.
    pub fn seal(&self, secret: &SecretString, owner: &Owner) -> Result<String, SealError> {
        let Some(key) = &self.current else { return Ok(secret.expose_secret().to_owned()) };
        let mut nonce = [0; NONCE];
        OsRng.try_fill_bytes(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let data = owner.associated_data();
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &data };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Malformed)?;
        Ok(format!("{PREFIX}{}:{}", key.id, STANDARD.encode([&nonce[..], &sealed].concat())))
    }

    /// The secret in a stored text, which may be sealed or not.
    ///
    /// # Errors
    /// When none of the keys opens the text, or it is sealed for another owner.
    pub fn open(&self, stored: &str, owner: &Owner) -> Result<SecretString, SealError> {
        let Some(sealed) = stored.strip_prefix(PREFIX) else { return Ok(SecretString::from(stored)) };
        let (id, data) = sealed.split_once(':').ok_or(SealError::Malformed)?;
        let keys = || self.current.iter().chain(&self.former);
        let key = keys().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey(shown(id)))?;
        let data = STANDARD.decode(data).map_err(|_| SealError::Malformed)?;
        let (nonce, sealed) = data.split_first_chunk::<NONCE>().ok_or(SealError::Malformed)?;
        let associated = owner.associated_data();
        let payload = Payload { msg: sealed, aad: &associated };
        let opened = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Forged)?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| SealError::Malformed)
    }

    /// The form of a stored secret.
    pub fn examine(&self, stored: &str) -> Sealed {
        match stored.strip_prefix(PREFIX).and_then(|sealed| sealed.split_once(':')) {
            None => Sealed::Clear,
            Some((id, _)) if self.current.as_ref().is_some_and(|key| key.id == id) => Sealed::ByCurrentKey,
            Some(_) => Sealed::ByOtherKey,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |key: &Arc<Key>| key.id.clone();
        let former: Vec<String> = self.former.iter().map(id).collect();
        f.debug_struct("Keyring")
            .field("current", &self.current.as_ref().map(id))
            .field("former", &former)
            .finish()
    }
}

impl Key {
    fn parse(text: &str) -> Result<Key, KeyError> {
        let bytes: [u8; KEY] =
            decoded(text.trim()).and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError)?;
        let digest = Sha256::new().chain_update("vca seal key").chain_update(bytes).finalize();
        let id = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let cipher = XChaCha20Poly1305::new(&bytes.into());
        Ok(Key { id, cipher })
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY {
        return STANDARD.decode(text).ok();
    }
    let digits: Option<Vec<u8>> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    Some(digits?.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// An id from the database, cut to the length of an id: it is data that goes into a log line.
fn shown(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn owner() -> Owner {
        Owner::webhook(Uuid::from_u128(1), Uuid::from_u128(2))
    }

    fn ring(key: &str) -> Keyring {
        Keyring::new(key).expect("a key")
    }

    fn opened(ring: &Keyring, stored: &str) -> Result<String, SealError> {
        ring.open(stored, &owner()).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn a_sealed_text_names_its_key_and_hides_the_secret() {
        let secret = SecretString::from("whsec_abc");
        let ring = ring(OLD);
        let (one, other) = (ring.seal(&secret, &owner()).unwrap(), ring.seal(&secret, &owner()).unwrap());
        assert_ne!(one, other, "no two nonces are the same");
        assert!(one.starts_with("sealed:v1:") && !one.contains("whsec"), "{one}");
        assert_eq!(opened(&ring, &one).as_deref(), Ok("whsec_abc"));
        assert_eq!(ring.examine(&one), Sealed::ByCurrentKey);
    }

    #[test]
    fn without_a_key_nothing_is_sealed() {
        let none = Keyring::default();
        let stored = none.seal(&SecretString::from("whsec_abc"), &owner()).unwrap();
        assert_eq!(stored, "whsec_abc");
        assert_eq!(opened(&ring(OLD), &stored).as_deref(), Ok("whsec_abc"), "it opens with a key, too");
        assert_eq!(ring(OLD).examine(&stored), Sealed::Clear);
    }

    #[test]
    fn keys_rotate() {
        let old = ring(OLD).seal(&SecretString::from("s"), &owner()).unwrap();
        let rotated = ring(NEW).with_former(OLD).expect("a key");
        assert_eq!(opened(&rotated, &old).as_deref(), Ok("s"));
        assert_eq!(rotated.examine(&old), Sealed::ByOtherKey);
        let new = rotated.seal(&SecretString::from("s"), &owner()).unwrap();
        assert_eq!(rotated.examine(&new), Sealed::ByCurrentKey);
        let id = old.split(':').nth(2).expect("an id").to_owned();
        assert_eq!(opened(&ring(NEW), &old), Err(SealError::UnknownKey(id.clone())));
        assert_eq!(opened(&Keyring::default(), &old), Err(SealError::UnknownKey(id)));
    }

    #[test]
    fn a_text_of_another_row_or_a_changed_one_does_not_open() {
        let ring = ring(OLD);
        let stored = ring.seal(&SecretString::from("s"), &owner()).unwrap();
        for other in [
            Owner::webhook(Uuid::from_u128(1), Uuid::from_u128(3)),
            Owner::webhook(Uuid::from_u128(3), Uuid::from_u128(2)),
        ] {
            assert_eq!(ring.open(&stored, &other).err(), Some(SealError::Forged));
        }
        let (head, data) = stored.rsplit_once(':').expect("data");
        let mut bytes = STANDARD.decode(data).expect("base64");
        *bytes.last_mut().expect("a byte") ^= 1;
        assert_eq!(opened(&ring, &format!("{head}:{}", STANDARD.encode(bytes))), Err(SealError::Forged));
        assert_eq!(opened(&ring, &format!("{head}:AAAA")), Err(SealError::Malformed));
    }

    #[test]
    fn a_key_has_32_bytes() {
        for text in ["", "short", &OLD[1..], &NEW[4..], &format!("{OLD}00"), &OLD.replace('0', "g")] {
            assert_eq!(Keyring::new(text).err(), Some(KeyError), "{text}");
        }
        assert!(Keyring::new(&OLD.to_uppercase()).is_ok());
        assert!(!format!("{:?}", ring(OLD)).contains("0001"));
    }

    proptest! {
        #[test]
        fn every_secret_opens_again(secret: String) {
            let ring = ring(NEW);
            let stored = ring.seal(&SecretString::from(secret.clone()), &owner()).unwrap();
            prop_assert_eq!(opened(&ring, &stored), Ok(secret));
        }

        #[test]
        fn any_stored_text_is_read_without_a_panic(text: String, id in "[0-9a-f]{8}", data in "[A-Za-z0-9+/=]{0,99}") {
            let ring = ring(NEW);
            let key = ring.current.as_ref().expect("a key").id.clone();
            for stored in [text.clone(), format!("{PREFIX}{text}"), format!("{PREFIX}{id}:{data}"), format!("{PREFIX}{key}:{data}")] {
                ring.examine(&stored);
                let _ = opened(&ring, &stored);
            }
        }
    }
}
