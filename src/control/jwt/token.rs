//! Verifying a token (RFC 7519, RFC 7515): RS256 and nothing else. Pure.
//!
//! By hand, because it is this little over `ring`, which is here anyway: the crates for it bring a second crypto library or a
//! second parser of keys, and many more algorithms, each of which would have to be kept out again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Time;
use crate::json::Object;
use crate::writes::request::text_fault;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4 << 10;
/// The longest life of a token.
const MAX_LIFE: Duration = Duration::from_secs(600);
/// How far the clocks of who signs and who verifies may be apart.
const SKEW: Duration = Duration::from_secs(60);
/// The longest reference of a group or a person, in bytes, as elsewhere.
const MAX_REF_BYTES: usize = 512;

/// A token whose header was read, and nothing verified yet.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// The key that is named.
    pub key_id: Uuid,
    signed: &'t str,
    claims: &'t str,
    signature: Vec<u8>,
}

/// What a verified token says.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    /// The customer.
    pub group_ref: String,
    /// The person.
    pub consumer_ref: String,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not such a token at all. Who sent it learns why: nothing was looked up.
    #[error("the JWT {0}")]
    Malformed(&'static str),
    /// No such key, or it has not signed this: which of them is not told.
    #[error("the JWT was not signed with an active key of this project")]
    NotSigned,
    /// It is signed, and says what is not accepted.
    #[error("the JWT's {0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. None is.
    crit: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    group_ref: Option<String>,
    consumer_ref: Option<String>,
    iat: Option<f64>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl<'t> Unverified<'t> {
    /// Reads the header of a token.
    ///
    /// # Errors
    /// When it cannot be a token of the one accepted kind, or names no key.
    pub fn read(token: &'t str) -> Result<Self, Fault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Fault::Malformed("is longer than 4096 bytes"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(Fault::Malformed(
                "does not have the three parts of a signed token",
            ));
        };
        let header: Header = json(header).ok_or(Fault::Malformed("has a header that cannot be read"))?;
        // Only the key decides how it is verified, never the token; what says otherwise is refused.
        if header.alg != "RS256" {
            return Err(Fault::Malformed("must have the alg RS256"));
        }
        if header.crit.is_some() {
            return Err(Fault::Malformed(
                "asks for extensions (crit), of which none is known",
            ));
        }
        let named = header.kid.ok_or(Fault::Malformed("has no kid in its header"))?;
        Ok(Self {
            // What is no id is no key's.
            key_id: Uuid::try_parse(&named).map_err(|_| Fault::NotSigned)?,
            signed: &token[..token.len() - signature.len() - 1],
            claims,
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| Fault::Malformed("has a signature that is not base64url"))?,
        })
    }

    /// Verifies the signature with the key that it names, and then the claims.
    ///
    /// # Errors
    /// When the key has not signed it, a claim is missing or wrong, or its time is over or has not come.
    pub fn verify(self, key: &[u8], now: Time) -> Result<Claims, Fault> {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| Fault::NotSigned)?;
        let refused = |text: &str| Fault::Refused(text.to_owned());
        let said: Said = json(self.claims).ok_or_else(|| {
            refused("claims cannot be read: groupRef and consumerRef are texts, iat, exp and nbf numbers, each once")
        })?;
        let time = |name: &str, value: Option<f64>| {
            let seconds = value.ok_or_else(|| Fault::Refused(format!("claim {name} is missing")))?;
            moment(seconds)
                .ok_or_else(|| Fault::Refused(format!("claim {name} is not a time in seconds since 1970")))
        };
        let (issued, expires) = (time("iat", said.iat)?, time("exp", said.exp)?);
        if expires <= issued {
            return Err(refused("claim exp is not after iat"));
        }
        if expires.since(issued) > MAX_LIFE {
            return Err(refused("life (exp - iat) is longer than 600 seconds"));
        }
        if now >= expires.after(SKEW) {
            return Err(refused("time is over (exp)"));
        }
        if issued > now.after(SKEW) {
            return Err(refused("time has not come (iat); are the clocks right?"));
        }
        if said.nbf.is_some() && time("nbf", said.nbf)? > now.after(SKEW) {
            return Err(refused("time has not come (nbf); are the clocks right?"));
        }
        let text = |name: &str, value: Option<String>| {
            let text = value.ok_or_else(|| Fault::Refused(format!("claim {name} is missing")))?;
            match text_fault(&text, MAX_REF_BYTES) {
                Some(fault) => Err(Fault::Refused(format!("claim {name} {fault}"))),
                None => Ok(text),
            }
        };
        Ok(Claims {
            group_ref: text("groupRef", said.group_ref)?,
            consumer_ref: text("consumerRef", said.consumer_ref)?,
        })
    }
}

/// JSON in base64url, as it is in its one form.
fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    let Object(value) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    Some(value)
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction.
fn moment(seconds: f64) -> Option<Time> {
    // Up to the year 9999; a float holds microseconds of these years.
    let is_time = (0.0..253_402_300_800.0).contains(&seconds);
    is_time
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
        .map(|since| Time::from_micros(0).after(since))
}

#[cfg(test)]
mod tests {
    use ring::hmac;
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
    use serde_json::{Value, json};

    use super::*;
    use crate::control::jwt::public_key;

    const NOW: i64 = 1_800_000_000;
    const KID: &str = "0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11";

    fn data(name: &str) -> String {
        std::fs::read_to_string(format!(
            "{}/tests/data/jwt/{name}.pem",
            env!("CARGO_MANIFEST_DIR")
        ))
        .expect("there")
    }

    fn public() -> Vec<u8> {
        public_key::read(&data("public")).expect("a key")
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn sign(encoding: &'static dyn RsaEncoding, name: &str, text: &str) -> String {
        let pem = data(name);
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::engine::general_purpose::STANDARD
            .decode(body)
            .expect("base64");
        let key = RsaKeyPair::from_pkcs8(&der).expect("a key");
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .expect("signed");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signed(header: &Value, claims: &Value) -> String {
        sign(
            &RSA_PKCS1_SHA256,
            "private",
            &format!("{}.{}", part(header), part(claims)),
        )
    }

    fn header() -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": KID})
    }

    fn claims() -> Value {
        json!({"groupRef": "acme", "consumerRef": "ann", "iat": NOW, "exp": NOW + 600})
    }

    fn with(name: &str, value: impl Into<Value>) -> Value {
        let mut claims = claims();
        claims[name] = value.into();
        claims
    }

    fn check_at(token: &str, now: i64) -> Result<Claims, Fault> {
        Unverified::read(token)?.verify(&public(), Time::from_micros(now * 1_000_000))
    }

    fn check(token: &str) -> Result<Claims, Fault> {
        check_at(token, NOW)
    }

    #[test]
    fn a_good_token_says_who_it_is() {
        let token = signed(&header(), &claims());
        assert_eq!(Unverified::read(&token).expect("read").key_id.to_string(), KID);
        let said = check(&token).expect("good");
        assert_eq!(
            (said.group_ref.as_str(), said.consumer_ref.as_str()),
            ("acme", "ann")
        );
        // What else it says does not matter, and times may have fractions.
        let more = json!({"groupRef": "acme", "consumerRef": "ann", "iss": 7, "aud": ["x"], "iat": 1.8e9, "exp": 1_800_000_599.5, "nbf": NOW});
        assert!(check(&signed(&header(), &more)).is_ok());
    }

    #[test]
    fn only_rs256_is_accepted_whatever_the_token_says() {
        let text = |alg: &str| {
            let mut header = header();
            header["alg"] = alg.into();
            format!("{}.{}", part(&header), part(&claims()))
        };
        // The public key is known to everybody: as the secret of an HMAC it would sign whatever they like.
        for secret in [data("public").into_bytes(), public()] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = hmac::sign(&key, text("HS256").as_bytes());
            let forged = format!("{}.{}", text("HS256"), URL_SAFE_NO_PAD.encode(tag));
            assert!(matches!(check(&forged), Err(Fault::Malformed(_))));
            let tag = hmac::sign(&key, text("RS256").as_bytes());
            let forged = format!("{}.{}", text("RS256"), URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(check(&forged), Err(Fault::NotSigned));
        }
        for alg in [
            "none", "None", "NONE", "", "rs256", "RS384", "RS512", "PS256", "ES256", "HS256", "EdDSA",
        ] {
            let unsigned = format!("{}.", text(alg));
            assert!(matches!(check(&unsigned), Err(Fault::Malformed(_))), "{alg}");
            // Even when it is signed with the right key.
            let really = sign(&RSA_PKCS1_SHA256, "private", &text(alg));
            assert!(matches!(check(&really), Err(Fault::Malformed(_))), "{alg}");
        }
        assert_eq!(check(&format!("{}.", text("RS256"))), Err(Fault::NotSigned));
        let other: [&'static dyn RsaEncoding; 2] = [&RSA_PKCS1_SHA512, &RSA_PSS_SHA256];
        for encoding in other {
            assert_eq!(
                check(&sign(encoding, "private", &text("RS256"))),
                Err(Fault::NotSigned),
                "another algorithm under the name of RS256"
            );
        }
    }

    #[test]
    fn a_token_of_another_key_or_changed_after_signing_is_refused() {
        let text = format!("{}.{}", part(&header()), part(&claims()));
        assert_eq!(
            check(&sign(&RSA_PKCS1_SHA256, "private_other", &text)),
            Err(Fault::NotSigned)
        );
        let good = signed(&header(), &claims());
        let signature = good.rsplit('.').next().expect("a part");
        let other = part(&with("groupRef", "globex"));
        let swapped = format!("{}.{other}.{signature}", part(&header()));
        assert_eq!(check(&swapped), Err(Fault::NotSigned));
        for kid in ["", "1", "../key", "' OR 1=1"] {
            let token = signed(&json!({"alg": "RS256", "kid": kid}), &claims());
            assert_eq!(check(&token), Err(Fault::NotSigned), "{kid}");
        }
    }

    #[test]
    fn what_is_no_such_token_is_refused_before_any_key_is_looked_up() {
        let good = signed(&header(), &claims());
        let body = part(&claims());
        let long = format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES));
        let twice = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","alg":"none","kid":"{KID}"}}"#));
        let tokens = [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            "a.b.c".to_owned(),
            format!("{good}.x"),
            format!("{good}="),
            format!("{good} "),
            long,
            format!("{twice}.{body}.AA"),
            format!("{}.{body}.AA", part(&json!("RS256"))),
            format!("{}.{body}.AA", part(&json!({"alg": "RS256"}))),
            format!("{}.{body}.AA", part(&json!({"alg": "RS256", "kid": 7}))),
            format!("{}.{body}.AA", part(&json!({"alg": ["RS256"], "kid": KID}))),
            signed(
                &json!({"alg": "RS256", "kid": KID, "crit": ["b64"], "b64": false}),
                &claims(),
            ),
        ];
        for token in tokens {
            let read = Unverified::read(&token);
            assert!(matches!(read, Err(Fault::Malformed(_))), "{token}: {read:?}");
        }
    }

    #[test]
    fn each_claim_must_be_there_and_be_what_it_must_be() {
        for name in ["groupRef", "consumerRef", "iat", "exp"] {
            for wrong in [Value::Null, json!({}), json!([]), json!(true), json!("")] {
                let mut claims = with(name, wrong.clone());
                let token = signed(&header(), &claims);
                assert!(matches!(check(&token), Err(Fault::Refused(_))), "{name} {wrong}");
                claims.as_object_mut().expect("an object").remove(name);
                let told = check(&signed(&header(), &claims))
                    .expect_err("missing")
                    .to_string();
                assert!(told.contains(name), "{told}");
            }
        }
        for wrong in [
            with("groupRef", "a\0b"),
            with("groupRef", "x".repeat(513)),
            with("groupRef", 7),
            with("iat", "1800000000"),
            with("iat", -1),
            with("exp", 1e300),
            with("exp", NOW),
            with("nbf", "soon"),
            json!([]),
            json!("x"),
        ] {
            let refused = check(&signed(&header(), &wrong));
            assert!(matches!(refused, Err(Fault::Refused(_))), "{wrong}: {refused:?}");
        }
        let text =
            r#"{"groupRef":"acme","groupRef":"globex","consumerRef":"a","iat":1800000000,"exp":1800000001}"#;
        let token = format!("{}.{}", part(&header()), URL_SAFE_NO_PAD.encode(text));
        assert!(matches!(
            check(&sign(&RSA_PKCS1_SHA256, "private", &token)),
            Err(Fault::Refused(_))
        ));
    }

    #[test]
    fn a_token_is_good_for_ten_minutes_at_most_with_a_minute_for_the_clocks() {
        let good = signed(&header(), &claims());
        for (now, is_good) in [(-61, false), (-60, true), (0, true), (659, true), (660, false)] {
            assert_eq!(check_at(&good, NOW + now).is_ok(), is_good, "{now}");
        }
        assert!(
            check(&signed(&header(), &with("exp", NOW + 601))).is_err(),
            "too long a life"
        );
        for (nbf, is_good) in [(60, true), (61, false)] {
            let token = signed(&header(), &with("nbf", NOW + nbf));
            assert_eq!(check(&token).is_ok(), is_good, "{nbf}");
        }
    }
}
