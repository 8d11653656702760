//! Putting values into URLs and headers so that they stay what they are: one segment, one value, one header.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What form encoding leaves alone (WHATWG URL); a space becomes `+`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*')
    .remove(b' ');

/// Appends a value as one path segment or as a part of one.
///
/// # Errors
/// When the value is empty, `.` or `..`, or holds a control character.
pub fn push_segment(out: &mut String, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("is empty".into());
    }
    if value == "." || value == ".." {
        return Err(format!(
            "is `{value}`, which a URL path reads as a step and not as a name"
        ));
    }
    if value.chars().any(char::is_control) {
        return Err("holds a control character".into());
    }
    out.extend(utf8_percent_encode(value, STRICT));
    Ok(())
}

/// What a path may hold beside the unreserved characters, slashes included: for names that the file itself lists.
const LISTED: &AsciiSet = &STRICT
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'$')
    .remove(b'!')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');

/// Appends a name that the file lists.
pub fn push_listed(out: &mut String, name: &str) {
    out.extend(utf8_percent_encode(name, LISTED));
}

/// Appends a name or a value of a query.
pub fn push_query(out: &mut String, value: &str) {
    out.extend(utf8_percent_encode(value, STRICT));
}

/// Appends a name or a value of a form body.
pub fn push_form(out: &mut Vec<u8>, value: &str) {
    for chunk in percent_encode(value.as_bytes(), FORM) {
        out.extend(chunk.bytes().map(|b| if b == b' ' { b'+' } else { b }));
    }
}

/// Whether a text can be a header name.
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a text can be a header value: visible characters, blanks and tabs; never a line break.
#[must_use]
pub fn is_header_value(value: &str) -> bool {
    value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

/// Whether a text is a host with an optional port, or a part of one.
#[must_use]
pub fn is_host_part(value: &str) -> bool {
    let (host, port) = value.split_once(':').unwrap_or((value, "0"));
    !host.is_empty()
        && !host.starts_with('.')
        && !host.contains("..")
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_')
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_become_two_or_climb() {
        let mut out = String::new();
        push_segment(&mut out, "a/b?x=1#y%2F é").unwrap();
        assert_eq!(out, "a%2Fb%3Fx%3D1%23y%252F%20%C3%A9");
        for bad in ["", ".", "..", "a\nb"] {
            assert!(push_segment(&mut String::new(), bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hosts_take_no_path_user_or_query() {
        for good in ["acme", "acme.my", "127.0.0.1:9090", "a-b"] {
            assert!(is_host_part(good), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a:b",
            "a:",
            "evil.com/",
            ".a",
            "a..b",
            "a b",
            "a\\b",
        ] {
            assert!(!is_host_part(bad), "{bad}");
        }
    }
}
