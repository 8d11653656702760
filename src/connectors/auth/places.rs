//! Texts about credentials with places to fill: `Bearer {token}`, `{serviceAccountKey.client_email}`, `{conn.region}`.

use std::borrow::Cow;

/// The text with the values of its places put in, unescaped.
///
/// # Errors
/// The name of the first place that has no value.
pub fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| after.to_owned())?;
        out.push_str(before);
        out.push_str(&value(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The names of the places of a text; `None` when a brace lacks its other half.
#[must_use]
pub fn names(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        if before.contains('}') || name.contains('{') {
            return None;
        }
        names.push(name);
        rest = after;
    }
    (!rest.contains('}')).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_one_without_a_value_is_named() {
        let value = |name: &str| (name == "a").then_some(Cow::Borrowed("1{b}"));
        assert_eq!(fill("x{a}y{a}", value).as_deref(), Ok("x1{b}y1{b}"));
        assert_eq!(fill("plain", value).as_deref(), Ok("plain"));
        assert_eq!(fill("{a}{b.c}", value), Err("b.c".to_owned()));
        assert!(fill("{a", value).is_err());
    }

    #[test]
    fn names_are_those_in_braces() {
        assert_eq!(names("x{a}y{b.c}"), Some(vec!["a", "b.c"]));
        assert_eq!(names("plain"), Some(Vec::new()));
        for broken in ["{a", "a}", "{a{b}", "{a}}"] {
            assert_eq!(names(broken), None, "{broken}");
        }
    }
}
