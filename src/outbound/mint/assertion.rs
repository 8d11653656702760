//! Signed assertions: JSON Web Tokens (RFC 7519) over an RSA key that a customer gave.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use serde_json::{Map, Value};

use crate::connectors::Algorithm;
use crate::vault::Secret;

/// What the key has to be; the end of a sentence that begins with its name.
const WANTED: &str =
    "has to be a PEM text (-----BEGIN PRIVATE KEY-----) with an RSA key of 2048 to 4096 bits";

/// Signs claims.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn sign(
    algorithm: Algorithm,
    private_key: &str,
    key_id: Option<String>,
    claims: Map<String, Value>,
) -> Result<Secret, String> {
    let key = read_key(private_key)?;
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.as_str().into());
    header.insert("typ".to_owned(), "JWT".into());
    if let Some(key_id) = key_id {
        header.insert("kid".to_owned(), key_id.into());
    }
    let part = |map| URL_SAFE_NO_PAD.encode(Value::Object(map).to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let encoding: &dyn RsaEncoding = match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_SHA256,
        Algorithm::PS256 => &RSA_PSS_SHA256,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "cannot sign".to_owned())?;
    Ok(Secret::new(format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(signature)
    )))
}

/// Reads a PEM text, also one whose line breaks got lost on the way, or a PEM text in base64.
fn read_key(text: &str) -> Result<RsaKeyPair, String> {
    let packed: String = text.split_whitespace().collect();
    let unpacked = STANDARD
        .decode(packed)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let text = unpacked.as_deref().unwrap_or(text);
    let (label, der) = pem(text).ok_or(WANTED)?;
    match label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "ENCRYPTED PRIVATE KEY" => return Err("is encrypted: give it without a passphrase".to_owned()),
        _ => return Err(WANTED.to_owned()),
    }
    .map_err(|_| WANTED.to_owned())
}

/// The first private key of a PEM text: its label, and what is in it.
fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let mut rest = text;
    loop {
        let (label, after) = rest.split_once("-----BEGIN ")?.1.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if label.ends_with("PRIVATE KEY") {
            // In a text that went through a shell or a JSON file by hand, line breaks are two characters.
            let body: String = body
                .replace("\\r", "")
                .replace("\\n", "")
                .split_whitespace()
                .collect();
            return Some((label, STANDARD.decode(body).ok()?));
        }
        rest = after;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// A key that was made for these tests and opens nothing, as PKCS#8.
    pub const KEY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rsa_pkcs8.pem"));
    /// The same key as PKCS#1.
    const KEY_PKCS1: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rsa_pkcs1.pem"));

    fn claims() -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), "me".into());
        claims.insert("exp".to_owned(), 7.into());
        claims
    }

    fn public() -> Vec<u8> {
        read_key(KEY).expect("a key").public().as_ref().to_vec()
    }

    #[test]
    fn an_assertion_verifies_with_the_public_key_and_says_what_it_was_told() {
        for (algorithm, verify) in [
            (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
        ] {
            let signed = sign(algorithm, KEY, Some("k1".to_owned()), claims()).expect("signed");
            let (text, signature) = signed.expose().rsplit_once('.').expect("three parts");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let key = UnparsedPublicKey::new(verify, public());
            key.verify(text.as_bytes(), &signature).expect("it verifies");
            assert!(key.verify(b"another text", &signature).is_err());
            let parts: Vec<String> = text
                .split('.')
                .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text"))
                .collect();
            let header = format!(r#"{{"alg":"{}","typ":"JWT","kid":"k1"}}"#, algorithm.as_str());
            assert_eq!(parts, [header, r#"{"iss":"me","exp":7}"#.to_owned()]);
        }
    }

    #[test]
    fn keys_are_read_in_the_forms_that_people_paste() {
        let one_line = KEY.trim().replace('\n', " ");
        let escaped = KEY.trim().replace('\n', "\\n");
        let in_base64 = STANDARD.encode(KEY);
        let bundle = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{KEY}");
        for given in [KEY, KEY_PKCS1, &one_line, &escaped, &in_base64, &bundle] {
            let key = read_key(given).unwrap_or_else(|why| panic!("{why}: {given}"));
            assert_eq!(key.public().as_ref(), public());
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_repeating_it() {
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
        let elliptic = KEY.replace("PRIVATE KEY", "EC PRIVATE KEY");
        let cut = &KEY[..200];
        let garbled = KEY.replace("MII", "###");
        for bad in [
            "",
            "s3cr3t",
            cut,
            &garbled,
            encrypted,
            &elliptic,
            "-----BEGIN PRIVATE KEY-----",
        ] {
            let why = sign(Algorithm::RS256, bad, None, claims()).expect_err("no key");
            assert!(!why.contains("s3cr3t") && !why.contains("MII"), "{why}");
        }
        assert!(read_key(encrypted).expect_err("encrypted").contains("passphrase"));
    }
}
