//! Where a value lies in a JSON text: providers name line and column in their errors.

/// Byte offsets (start, end) of the value at a path of keys and indices, in text that is valid JSON.
pub(crate) fn span(text: &str, path: &[Step<'_>]) -> Option<(usize, usize)> {
    let mut at = skip_space(text.as_bytes(), 0);
    for step in path {
        at = enter(text.as_bytes(), at, step)?;
    }
    Some((at, end_of(text.as_bytes(), at)?))
}

/// One step into a JSON value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

fn enter(bytes: &[u8], at: usize, step: &Step<'_>) -> Option<usize> {
    let mut here = skip_space(bytes, at + 1);
    match (bytes.get(at)?, step) {
        (b'{', Step::Key(wanted)) => loop {
            let key_end = end_of(bytes, here)?;
            let key: String = serde_json::from_slice(bytes.get(here..key_end)?).ok()?;
            let value = skip_space(bytes, skip_space(bytes, key_end) + 1);
            if key == *wanted {
                return Some(value);
            }
            here = next(bytes, value)?;
        },
        (b'[', Step::Index(index)) => {
            for _ in 0..*index {
                here = next(bytes, here)?;
            }
            Some(here)
        }
        _ => None,
    }
}

/// The start of what follows the value at `at` after a comma.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    let comma = skip_space(bytes, end_of(bytes, at)?);
    (bytes.get(comma) == Some(&b',')).then(|| skip_space(bytes, comma + 1))
}

/// One past the last byte of the value that starts at `at`.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut here = at;
    loop {
        match bytes.get(here)? {
            b'"' => {
                here += 1;
                while *bytes.get(here)? != b'"' {
                    here += if bytes[here] == b'\\' { 2 } else { 1 };
                }
                here += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                here += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                here += 1;
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                here += 1;
                continue;
            }
            _ => {
                while bytes.get(here).is_some_and(|b| !b",:{}[]\" \n\r\t".contains(b)) {
                    here += 1;
                }
            }
        }
        if depth == 0 {
            return Some(here);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let text = "{\"a\": [1, {\"b\\\"\": \"x,]\"}],\n \"c\":2}";
        let (start, end) = span(text, &[Step::Key("a"), Step::Index(1), Step::Key("b\"")]).unwrap();
        assert_eq!(&text[start..end], "\"x,]\"");
        let (start, end) = span(text, &[Step::Key("c")]).unwrap();
        assert_eq!(&text[start..end], "2");
        assert_eq!(line_column(text, start), (2, 6));
        assert_eq!(span(text, &[Step::Key("nope")]), None);
        assert_eq!(span("{}", &[Step::Key("x")]), None);
    }
}
