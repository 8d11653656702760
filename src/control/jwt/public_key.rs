//! Public RSA keys as people paste them: PEM texts. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest PEM text, in bytes: a key of 8192 bits has 1.5 KB.
const MAX_PEM_BYTES: usize = 8 << 10;
/// What RSA keys are large enough and not too large to verify with, in bits.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// A `SubjectPublicKeyInfo` begins with this algorithm: rsaEncryption (RFC 3279, section 2.3.1) with its NULL.
const RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// Reads a PEM text: the key as DER `RSAPublicKey` (RFC 8017, appendix A.1.1), which is what `ring` verifies with.
///
/// # Errors
/// What is wrong with it; the end of a sentence that begins with its name. The text is not repeated: it may be a private key.
pub fn read(pem: &str) -> Result<Vec<u8>, String> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(format!("is longer than {MAX_PEM_BYTES} bytes"));
    }
    // Before anything else, and wherever it stands: it should not have been sent at all.
    if pem.contains("PRIVATE KEY-----") {
        return Err(
            "holds a private key: send the public one (openssl rsa -in private.pem -pubout), and keep the private one on your backend; nothing was stored"
                .to_owned(),
        );
    }
    let (label, body) =
        block(pem).ok_or("must be one PEM text: -----BEGIN PUBLIC KEY----- … -----END PUBLIC KEY-----")?;
    let der = STANDARD
        .decode(body)
        .map_err(|_| "is not base64 between its first line and its last one")?;
    let key = match label {
        "PUBLIC KEY" => of_info(&der).ok_or("is not an RSA key: tokens are verified with RS256")?,
        "RSA PUBLIC KEY" => der.as_slice(),
        "CERTIFICATE" => {
            return Err(
                "is a certificate, of which neither issuer nor dates would be looked at: send its public key (openssl x509 -in cert.pem -pubkey -noout)"
                    .to_owned(),
            );
        }
        _ => return Err("must be of the kind PUBLIC KEY or RSA PUBLIC KEY".to_owned()),
    };
    let bits = bits(key).ok_or("is not an RSA public key")?;
    if !BITS.contains(&bits) {
        return Err(format!(
            "has {bits} bits: between {} and {} are accepted",
            BITS.start(),
            BITS.end()
        ));
    }
    Ok(key.to_vec())
}

/// The one block of a PEM text: its label, and its base64 without blanks.
fn block(pem: &str) -> Option<(&str, String)> {
    let (label, rest) = pem.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    (end.strip_suffix("-----")? == label).then_some(())?;
    Some((label, body.split_whitespace().collect()))
}

/// The key inside a `SubjectPublicKeyInfo`, if it is an RSA key.
fn of_info(der: &[u8]) -> Option<&[u8]> {
    let (info, rest) = element(SEQUENCE, der)?;
    let (bits, after) = element(BIT_STRING, info.strip_prefix(RSA)?)?;
    // The first byte says how many bits of the last one are unused.
    (rest.is_empty() && after.is_empty()).then(|| bits.strip_prefix(&[0]))?
}

/// The size of an `RSAPublicKey`, if it can be one: an odd modulus and an odd exponent from 3 to 2^33 - 1, as `ring` wants them.
fn bits(der: &[u8]) -> Option<usize> {
    let (numbers, rest) = element(SEQUENCE, der)?;
    let (modulus, after) = element(INTEGER, numbers)?;
    let (exponent, end) = element(INTEGER, after)?;
    let (modulus, exponent) = (positive(modulus)?, positive(exponent)?);
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let value = (exponent.len() <= 5).then(|| {
        exponent
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    })?;
    let fits = rest.is_empty() && end.is_empty() && is_odd(modulus) && is_odd(exponent);
    let zeros = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    (fits && (3..1 << 33).contains(&value)).then(|| modulus.len() * 8 - zeros)
}

/// The bytes of a positive integer in its one form, without the zero that keeps it positive.
fn positive(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0, rest @ ..] => rest.first().is_some_and(|first| *first >= 0x80).then_some(rest),
        [first, ..] if *first < 0x80 => Some(bytes),
        _ => None,
    }
}

/// The content of a DER element of this kind, and what follows it. Lengths have their one form, of two bytes at most.
fn element(kind: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (*length >= 0x80).then_some((usize::from(*length), rest))?
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let length = u16::from_be_bytes(*length);
            (length >= 0x100).then_some((usize::from(length), rest))?
        }
        _ => return None,
    };
    (*found == kind).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> String {
        std::fs::read_to_string(format!(
            "{}/tests/data/jwt/{name}.pem",
            env!("CARGO_MANIFEST_DIR")
        ))
        .expect("there")
    }

    #[test]
    fn both_forms_of_a_key_are_the_same_key() {
        let key = read(&data("public")).expect("a key");
        assert_eq!(read(&data("public_pkcs1")).expect("a key"), key);
        assert_eq!(bits(&key), Some(2048));
        let windows = data("public").replace('\n', "\r\n");
        assert_eq!(read(&format!("\n  {windows}\n")).expect("a key"), key);
        assert_eq!(bits(&read(&data("public_4096")).expect("a key")), Some(4096));
    }

    #[test]
    fn what_is_no_usable_key_is_told_so_and_not_repeated() {
        let public = data("public");
        let cut = public.replacen("MIIBIjANBgkq", "MIIBIjANBgk", 1);
        let twice = format!("{public}{public}");
        let bundle = format!("{public}{}", data("private"));
        let long = format!("{public}{}", " ".repeat(MAX_PEM_BYTES));
        for (given, part) in [
            (data("private").as_str(), "private key"),
            (bundle.as_str(), "private key"),
            (data("certificate").as_str(), "certificate"),
            (data("public_1024").as_str(), "1024 bits"),
            (data("public_ec").as_str(), "not an RSA key"),
            (data("public_ed25519").as_str(), "not an RSA key"),
            (cut.as_str(), "base64"),
            (twice.as_str(), "one PEM text"),
            (long.as_str(), "longer"),
            ("s3cr3t", "one PEM text"),
            ("", "one PEM text"),
            (
                "-----BEGIN PUBLIC KEY-----\n###\n-----END PUBLIC KEY-----",
                "base64",
            ),
            ("-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----", "RSA"),
            (
                "-----BEGIN RSA PUBLIC KEY-----\nMAA=\n-----END RSA PUBLIC KEY-----",
                "RSA",
            ),
            ("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----", "kind"),
        ] {
            let why = read(given).expect_err(given);
            assert!(why.contains(part), "{why}: {given}");
            assert!(!why.contains("s3cr3t") && !why.contains("MII"), "{why}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let key = STANDARD
            .decode(block(&data("public")).expect("PEM").1)
            .expect("base64");
        for place in 0..40 {
            for value in [0, 1, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff] {
                let mut broken = key.clone();
                broken[place] = value;
                let _ = of_info(&broken).and_then(bits);
                let _ = bits(&broken[..place]);
            }
        }
        // An even exponent, and one of 1, verify nothing.
        let inner = of_info(&key).expect("a key").to_vec();
        for exponent in [[1, 0, 0], [0, 0, 1]] {
            let mut weak = inner.clone();
            let end = weak.len() - 3;
            weak[end..].copy_from_slice(&exponent);
            assert_eq!(bits(&weak), None);
        }
    }
}
