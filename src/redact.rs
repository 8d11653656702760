//! What may be shown of a text that somebody typed: an error must not repeat a password that stands where it does not
//! belong.

use url::Url;

/// In place of what is not shown.
pub const HIDDEN: &str = "(not shown)";

/// The longest word that is repeated, in characters.
const LONGEST_WORD: usize = 40;

/// A URL without user, password, query and fragment; of a text that is none, only the scheme.
#[must_use]
pub fn url(text: &str) -> String {
    let hidden = || match scheme(text) {
        Some(scheme) => format!("{scheme}://{HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    // A `#`, `/` or `?` in a password ends what a parser takes for the host: the rest of it would be shown as a path.
    if is_ambiguous(text) {
        return hidden();
    }
    let Ok(parsed) = Url::parse(text) else {
        return hidden();
    };
    let Some(host) = parsed.host_str() else {
        return hidden();
    };
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!(
        "{}://{host}{port}{}",
        parsed.scheme(),
        parsed.path().trim_end_matches('/')
    )
}

/// What stands before `://`, when it can be a scheme.
#[must_use]
pub fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let of_a_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.len() <= 20
        && scheme.chars().all(of_a_scheme))
    .then_some(scheme)
}

/// Whether a password may have been written into a URL without percent-encoding, so that a parser takes its parts for
/// something else: a fragment, or an `@` after what ends the host.
#[must_use]
pub fn is_ambiguous(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let after_host = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    rest.contains('#') || after_host.contains('@')
}

/// A text that is a plain word, such as a mistyped command: letters, hyphens and underscores. Anything else may be a secret
/// that went astray.
#[must_use]
pub fn word(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphabetic() || matches!(c, '-' | '_');
    let fits = !text.is_empty() && text.len() <= LONGEST_WORD && text.chars().all(plain);
    if fits { text } else { HIDDEN }
}

/// A text that is a plain word or a number.
#[must_use]
pub fn word_or_number(text: &str) -> &str {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number =
        !digits.is_empty() && digits.len() <= 20 && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if number { text } else { word(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (text, shown) in [
            (
                "http://user:secret@host:8080/path?key=secret",
                "http://host:8080/path",
            ),
            ("https://host/", "https://host"),
            ("http://user:p@secret#rd@host/x", "http://(not shown)"),
            ("http://user:12/secret@host/x", "http://(not shown)"),
            ("http://user:12?secret@host/x", "http://(not shown)"),
            ("http://user:se cret", "http://(not shown)"),
            ("password=secret host=x", HIDDEN),
            ("password=secret://", HIDDEN),
            ("secret", HIDDEN),
        ] {
            assert_eq!(url(text), shown, "{text}");
        }
    }

    #[test]
    fn only_plain_words_and_numbers_are_repeated() {
        assert_eq!(word("srve"), "srve");
        assert_eq!(word_or_number("-12"), "-12");
        for secret in [
            "hunter2",
            "postgres://u:p@h/db",
            "a=b",
            "",
            "s3cret-word",
            "MDEyMzQ1Njc4OWFi",
            "amp_3yJ0",
        ] {
            assert_eq!(word_or_number(secret), HIDDEN, "{secret}");
        }
    }
}
