//! The beginning of a provider's answer, for people who look into a failure: without anything that looks like a secret.

use std::sync::LazyLock;

use regex_lite::Regex;

/// How much is kept, in characters.
const EXCERPT_CHARS: usize = 500;
/// How much is looked at, in characters: what stands behind may move up when secrets are taken out.
const LOOKED_AT_CHARS: usize = 4_096;

/// What looks like a secret, and what is put in its place.
static SECRETS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // A member or parameter whose name says so: `"access_token":"…"`, `client_secret=…`, `Api-Key: …`.
        (
            r#"(?i)((?:token|secret|password|passwd|api[_-]?key|authorization|credentials?|session[_-]?id|private[_-]?key|signature|cookie)"?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*"?|(?:bearer\s+|basic\s+)?[^\s,;&}<"]+)"#,
            "$1***",
        ),
        (r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}", "$1 ***"),
        // JSON Web Tokens, and tokens that providers mark with a beginning of their own.
        (r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,4}", "***"),
        (
            r"\b(?:xox[a-z]-|xapp-|[srp]k_(?:live|test)_|gh[a-z]_|github_pat_|glpat-|shp(?:at|ss|ca|pa)_|pat-[a-z]{2}\d?-|00D[A-Za-z0-9]{12,15}!)[A-Za-z0-9._-]{6,}",
            "***",
        ),
    ]
    .into_iter()
    .map(|(pattern, with)| (Regex::new(pattern).expect("the patterns are constants"), with))
    .collect()
});

/// The beginning of an answer that may be kept and shown; nothing when there is nothing to say.
#[must_use]
pub fn excerpt(raw: &str) -> Option<String> {
    let mut text: String = raw.trim().chars().take(LOOKED_AT_CHARS).collect();
    for (pattern, with) in SECRETS.iter() {
        if let std::borrow::Cow::Owned(replaced) = pattern.replace_all(&text, *with) {
            text = replaced;
        }
    }
    let mut kept: String = text.chars().take(EXCERPT_CHARS).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        for (raw, kept) in [
            (
                r#"{"message":"bad","access_token":"abc\"def","id":7}"#,
                r#"{"message":"bad","access_token":***,"id":7}"#,
            ),
            (r#"{"refreshToken": "x1"}"#, r#"{"refreshToken": ***}"#),
            (
                "client_secret=s3cr3t&grant_type=x",
                "client_secret=***&grant_type=x",
            ),
            ("Authorization: Bearer abcdefgh.ijkl", "Authorization: ***"),
            ("the header was Bearer abcdefgh123", "the header was Bearer ***"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "got ***"),
            ("key sk_live_abcdefgh12 is revoked", "key *** is revoked"),
            ("session 00D5g00000ABCDE!AQEAQ.abc_def", "session ***"),
            (r#"{"apiKey":"k","password":"#, r#"{"apiKey":***,"password":"#),
        ] {
            assert_eq!(excerpt(raw).as_deref(), Some(kept), "{raw}");
        }
    }

    #[test]
    fn the_rest_stays_and_is_cut_by_characters() {
        let plain = r#"{"errors":[{"code":"INVALID_FIELD","message":"No such column 'x' on Account"}]}"#;
        assert_eq!(excerpt(plain).as_deref(), Some(plain));
        assert_eq!(excerpt("  \n"), None);
        let long = excerpt(&"ü".repeat(9_000)).expect("something");
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 1);
        // A secret that is cut is still one.
        let cut = format!("{} \"token\":\"{}\"", "x".repeat(485), "s".repeat(9_000));
        assert!(!excerpt(&cut).expect("something").contains("ss"));
    }
}
