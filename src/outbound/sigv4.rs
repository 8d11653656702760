//! AWS Signature Version 4, for every service but S3 (which escapes paths otherwise). The steps are those of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::hmac;
use url::Url;

use super::credentials::CredentialError;
use crate::clock::Time;
use crate::vault::sha256;

/// The header with the time of the signature.
pub(super) const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Everything but what RFC 3986 reserves for nothing.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Who signs, and for what.
pub(super) struct Signer<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    /// Of temporary keys.
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    pub service: &'a str,
}

impl Signer<'_> {
    /// Adds the time, the session token and the signature to the headers, all of which are signed.
    pub fn sign(
        &self,
        now: Time,
        method: &http::Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), CredentialError> {
        let time = now.to_timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
        headers.insert(DATE, value(&time, false)?);
        if let Some(token) = self.session_token {
            headers.insert(TOKEN, value(token, true)?);
        }
        let (names, lines) = canonical_headers(url, headers);
        let request = format!(
            "{method}\n{}\n{}\n{lines}\n{names}\n{}",
            canonical_path(url.path()),
            canonical_query(url.query().unwrap_or_default()),
            hex(&sha256(body))
        );
        let day = time.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!(
            "{ALGORITHM}\n{time}\n{scope}\n{}",
            hex(&sha256(request.as_bytes()))
        );
        let key = [day, self.region, self.service, "aws4_request"].iter().fold(
            format!("AWS4{}", self.secret_access_key).into_bytes(),
            |key, part| mac(&key, part),
        );
        let signature = hex(&mac(&key, &text));
        let credential = format!("{}/{scope}", self.access_key_id);
        let text =
            format!("{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}");
        headers.insert(AUTHORIZATION, value(&text, true)?);
        Ok(())
    }
}

fn value(text: &str, secret: bool) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| CredentialError::NotAHeader)?;
    value.set_sensitive(secret);
    Ok(value)
}

/// The names of all headers in order, and a line for each. The host is among them; it is added when a request leaves.
fn canonical_headers(url: &Url, headers: &HeaderMap) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        (name.as_str().to_owned(), words.join(" "))
    };
    let mut sorted: BTreeMap<String, String> = headers.iter().map(text).collect();
    sorted.insert("host".to_owned(), host);
    let names: Vec<&str> = sorted.keys().map(String::as_str).collect();
    let lines = sorted.iter().fold(String::new(), |mut lines, (name, value)| {
        let _ = writeln!(lines, "{name}:{value}");
        lines
    });
    (names.join(";"), lines)
}

/// The path with each segment escaped once more than it travels.
fn canonical_path(path: &str) -> String {
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| percent_encode(segment.as_bytes(), ESCAPED).to_string())
        .collect();
    segments.join("/")
}

/// The parameters in the order of their escaped names and values.
fn canonical_query(query: &str) -> String {
    let escaped = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, ESCAPED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the time of AWS's own test suite.
    const NOW: Time = Time::from_micros(1_440_938_160_000_000);
    /// The session token of that suite's `post-sts-header-before`.
    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn sign(
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        session: Option<&str>,
        body: &str,
    ) -> HeaderMap {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: session,
            region: "us-east-1",
            service: "service",
        };
        let mut map = HeaderMap::new();
        for (name, text) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.insert(name, value(text, false).expect("a value"));
        }
        let url = Url::parse(&format!("https://example.amazonaws.com{path}")).expect("a URL");
        let method = method.parse().expect("a method");
        signer
            .sign(NOW, &method, &url, &mut map, body.as_bytes())
            .expect("signed");
        map
    }

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let form = "application/x-www-form-urlencoded";
        for (name, method, path, headers, session, body, names, signature) in [
            (
                "get-vanilla",
                "GET",
                "/",
                &[][..],
                None,
                "",
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                &[],
                None,
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                &[],
                None,
                "",
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-unreserved",
                "GET",
                "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[],
                None,
                "",
                "host;x-amz-date",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-header-value-trim",
                "GET",
                "/",
                &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
                None,
                "",
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-header-value-case",
                "POST",
                "/",
                &[("My-Header1", "VALUE1")],
                None,
                "",
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                "POST",
                "/",
                &[],
                Some(SESSION),
                "",
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "/",
                &[("Content-Type", form)],
                None,
                "Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let signed = sign(method, path, headers, session, body);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(signed[AUTHORIZATION], expected, "{name}");
            assert_eq!(signed[DATE], "20150830T123600Z");
        }
    }

    #[test]
    fn the_body_the_path_and_every_header_are_signed() {
        let signature = |path, headers, body| sign("POST", path, headers, None, body)[AUTHORIZATION].clone();
        let one = signature("/a", &[("X-Amz-Target", "A.B")], "{}");
        for other in [
            signature("/b", &[("X-Amz-Target", "A.B")], "{}"),
            signature("/a", &[("X-Amz-Target", "A.C")], "{}"),
            signature("/a", &[("X-Amz-Target", "A.B")], "{ }"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn paths_are_escaped_once_more_and_parameters_sorted_by_their_escaped_form() {
        assert_eq!(canonical_path("/a%20b/%C3%BC~"), "/a%2520b/%25C3%25BC~");
        assert_eq!(
            canonical_query("key=a%20b&key=A&tilde=~&x"),
            "key=A&key=a%20b&tilde=~&x="
        );
        assert_eq!(canonical_query(""), "");
    }

    #[test]
    fn secrets_in_the_headers_do_not_print() {
        let signed = sign("POST", "/", &[], Some("s3ssion-token"), "");
        let text = format!("{signed:?}");
        assert!(
            !text.contains("s3ssion") && !text.contains("AKIDEXAMPLE"),
            "{text}"
        );
        assert!(sign("GET", "/", &[], None, "").get(TOKEN).is_none());
    }
}
