//! The signature of a request by Standard Webhooks: `v1,` and the base64 of an HMAC-SHA256 (RFC 2104) over id,
//! timestamp and body, separated by dots.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature per secret, separated by spaces. `None` when a secret has
/// another format.
pub fn sign(secrets: &[SecretString], id: &str, timestamp: i64, body: &str) -> Option<String> {
    let signed = format!("{id}.{timestamp}.{body}");
    let signatures: Option<Vec<String>> = secrets.iter().map(|secret| one(secret, &signed)).collect();
    Some(signatures?.join(" "))
}

fn one(secret: &SecretString, signed: &str) -> Option<String> {
    let key = STANDARD.decode(secret.expose_secret().strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(signed.as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference implementations' tests.
    #[test]
    fn the_reference_signature_is_ours() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = r#"{"test": 2432232314}"#;
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&secret), id, 1_614_265_330, body).as_deref(), Some(expected));
        let both = sign(&[secret, SecretString::from("whsec_AAAA")], id, 1_614_265_330, body);
        let both = both.expect("two secrets");
        let (first, second) = both.split_once(' ').expect("two signatures");
        assert_eq!(first, expected);
        assert!(second.starts_with("v1,") && second != expected, "{second}");
    }

    #[test]
    fn what_is_no_secret_signs_nothing() {
        for secret in ["", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(sign(&[SecretString::from(secret)], "id", 0, ""), None, "{secret:?}");
        }
    }
}
