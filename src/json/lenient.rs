//! JSON of providers, read even where it is not quite JSON.
//!
//! A provider that echoes half a character, a byte of another charset or a `NaN` has answered all the same: the ids and
//! codes beside it are whole. What cannot be read becomes U+FFFD or null. What is not there is never made up: a document
//! that ends early is none, unless the caller asks for what is certain of it.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::{RESERVED, uses_reserved_key};

/// How deep values are kept, a little less than serde_json reads. What is nested deeper becomes null.
const MAX_DEPTH: usize = 120;

/// The value of a document; `None` when it is not JSON, or not whole.
#[must_use]
pub fn read(document: &[u8]) -> Option<Value> {
    let document = trimmed(document);
    if !uses_reserved_key(document)
        && let Ok(value) = serde_json::from_slice(document)
    {
        return Some(value);
    }
    let text = String::from_utf8_lossy(document);
    let mut reader = Reader::new(&text, false);
    let value = reader.document()?;
    (!reader.ended).then_some(value)
}

/// What is certain of a document that was cut off: values that ended before the cut, and the objects and lists around
/// them. `None` when there is nothing.
#[must_use]
pub fn read_cut(document: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(trimmed(document));
    Reader::new(&text, true).document()
}

/// A document without the blanks, byte order mark and zero bytes around it.
#[must_use]
pub fn trimmed(document: &[u8]) -> &[u8] {
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = document.iter().position(|byte| !blank(byte));
    let end = document.iter().rposition(|byte| !blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &document[start..=end],
        _ => &[],
    }
}

/// The text is no JSON, however kindly it is read.
struct NotJson;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Whether the text is known to have been cut: then a bare word at its end may lack its end, too.
    cut: bool,
    /// The text ended inside a value.
    ended: bool,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str, cut: bool) -> Self {
        Self {
            text,
            at: 0,
            cut,
            ended: false,
        }
    }

    /// A bare word alone is no document that needs kindness.
    fn document(&mut self) -> Option<Value> {
        let value = match self.peek()? {
            b'{' | b'[' | b'"' => self.value(0).ok()??,
            _ => return None,
        };
        self.blanks();
        (self.at == self.text.len()).then_some(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// `None` when the text ends in the middle of a text, a number or a word.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, NotJson> {
        match self.peek() {
            None => {
                self.ended = true;
                Ok(None)
            }
            Some(b'{' | b'[') if depth >= MAX_DEPTH => self.skip().map(|()| Some(Value::Null)),
            Some(b'{') => self.object(depth).map(Some),
            Some(b'[') => self.list(depth).map(Some),
            Some(b'"') => Ok(self.string().map(Value::String)),
            Some(_) => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, NotJson> {
        let mut map = Map::new();
        self.at += 1;
        while self.goes_on(b'}', map.is_empty())? {
            let Some(key) = (match self.peek() {
                Some(b'"') => self.string(),
                _ => return Err(NotJson),
            }) else {
                break;
            };
            self.blanks();
            match self.peek() {
                Some(b':') => self.at += 1,
                None => {
                    self.ended = true;
                    break;
                }
                Some(_) => return Err(NotJson),
            }
            self.blanks();
            if let Some(value) = self.value(depth + 1)? {
                map.insert(presentable(key), value);
            }
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, depth: usize) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        self.at += 1;
        while self.goes_on(b']', items.is_empty())? {
            if let Some(value) = self.value(depth + 1)? {
                items.push(value);
            }
        }
        Ok(Value::Array(items))
    }

    /// Whether another member follows. Takes the comma before it, or the end; a comma before the end is let pass.
    fn goes_on(&mut self, close: u8, first: bool) -> Result<bool, NotJson> {
        if self.ended {
            return Ok(false);
        }
        self.blanks();
        if !first && self.peek() == Some(b',') {
            self.at += 1;
            self.blanks();
        } else if !first && self.peek().is_some_and(|byte| byte != close) {
            return Err(NotJson);
        }
        match self.peek() {
            None => {
                self.ended = true;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
        }
    }

    /// A text; `None` when it does not end.
    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(run) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
                break;
            };
            out.push_str(&rest[..run]);
            self.at += run + 1;
            if rest.as_bytes()[run] == b'"' {
                return Some(out);
            }
            let Some(escape) = self.text[self.at..].chars().next() else {
                break;
            };
            self.at += escape.len_utf8();
            match escape {
                '"' | '\\' | '/' | '\'' => out.push(escape),
                'b' => out.push('\u{8}'),
                'f' => out.push('\u{c}'),
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => out.push(self.character()),
                // No escape of JSON: the characters as they stand.
                other => out.extend(['\\', other]),
            }
        }
        self.at = self.text.len();
        self.ended = true;
        None
    }

    /// The character of `\uXXXX`, or of two of them; half of a pair is U+FFFD.
    fn character(&mut self) -> char {
        let Some(first) = self.hex() else {
            return char::REPLACEMENT_CHARACTER;
        };
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let after = self.at;
        if self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            if let Some(second) = self.hex().filter(|code| (0xdc00..0xe000).contains(code)) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        // What follows is a character of its own.
        self.at = after;
        char::REPLACEMENT_CHARACTER
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// A number, `true`, `false`, `null`, and what some write in their place.
    fn word(&mut self) -> Result<Option<Value>, NotJson> {
        let rest = &self.text[self.at..];
        let ends = |c: char| c.is_ascii_whitespace() || ",:\"{}[]".contains(c);
        let token = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += token.len();
        if self.cut && self.at == self.text.len() {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(match token {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => match token.parse::<Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => odd(token)?,
            },
        }))
    }

    /// Passes over what is nested too deep.
    fn skip(&mut self) -> Result<(), NotJson> {
        let mut open = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                self.ended = true;
                return Ok(());
            };
            match byte {
                b'"' => {
                    if self.string().is_none() {
                        return Ok(());
                    }
                    continue;
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b'}' | b']' if open.pop() != Some(byte) => return Err(NotJson),
                _ => {}
            }
            self.at += 1;
            if open.is_empty() {
                return Ok(());
            }
        }
    }
}

/// `NaN` and infinities say nothing; a number in a form of its own stays as it is written.
fn odd(token: &str) -> Result<Value, NotJson> {
    let bare = token.trim_start_matches(['-', '+']).to_ascii_lowercase();
    if matches!(bare.as_str(), "nan" | "inf" | "infinity" | "undefined") {
        return Ok(Value::Null);
    }
    let numeric = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    let starts = token.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if starts && token.chars().all(numeric) && token.contains(|c: char| c.is_ascii_digit()) {
        return Ok(Value::String(token.to_owned()));
    }
    Err(NotJson)
}

/// A key that no reader takes for more than a key.
fn presentable(key: String) -> String {
    match key.strip_prefix(RESERVED) {
        Some(rest) => {
            let mark: Cow<'_, str> = RESERVED.replacen('$', "\u{fffd}", 1).into();
            format!("{mark}{rest}")
        }
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lenient(text: &str) -> Option<Value> {
        read(text.as_bytes())
    }

    #[test]
    fn what_cannot_be_read_is_replaced_and_the_rest_is_taken() {
        for (text, expected) in [
            (
                r#"{"a":"Hi \ud83d","id":7}"#,
                json!({"a": "Hi \u{fffd}", "id": 7}),
            ),
            (r#"{"a":"\udc00x\ud83d\ude00"}"#, json!({"a": "\u{fffd}x😀"})),
            (r#"{"a":"\ud83d\u0041"}"#, json!({"a": "\u{fffd}A"})),
            (r#"{"a":"\u12","b":1}"#, json!({"a": "\u{fffd}12", "b": 1})),
            ("{\"a\":\"one\ntwo\u{1}\"}", json!({"a": "one\ntwo\u{1}"})),
            (
                r#"{"a":NaN,"b":-Infinity,"c":[Infinity,1]}"#,
                json!({"a": null, "b": null, "c": [null, 1]}),
            ),
            (
                r#"{"a":007,"b":+1,"c":.5,"d":1}"#,
                json!({"a": "007", "b": "+1", "c": ".5", "d": 1}),
            ),
            (
                r#"{"a":"it\'s C:\dir","b":[1,],}"#,
                json!({"a": "it's C:\\dir", "b": [1]}),
            ),
            ("\u{feff} {\"id\":\"1\"}\0\0\n", json!({"id": "1"})),
            (r#"{"id":1,"id":2}"#, json!({"id": 2})),
        ] {
            assert_eq!(lenient(text), Some(expected), "{text}");
        }
        assert_eq!(
            read(b"{\"id\":502,\"city\":\"S\xe3o Paulo\"}"),
            Some(json!({"id": 502, "city": "S\u{fffd}o Paulo"}))
        );
    }

    #[test]
    fn digits_stay_as_they_are_written() {
        let text = r#"{"n":12345678901234567890.10,"x":"\ud83d"}"#;
        assert_eq!(lenient(text).unwrap()["n"].to_string(), "12345678901234567890.10");
    }

    #[test]
    fn a_key_that_is_reserved_is_a_key_like_others() {
        let text = r#"{"id":"1","x":{"$serde_json::private::Number":"abc"},"\u0024serde_json::private::RawValue":"[["}"#;
        let value = lenient(text).unwrap();
        assert_eq!(value["id"], "1");
        // What is read here can be written and read again.
        let again: Value = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn what_is_nested_too_deep_is_left_out_and_its_neighbours_are_not() {
        for depth in [130, 5_000, 200_000] {
            let text = format!(
                r#"{{"deep":{}"]"{},"id":"7"}}"#,
                "[{\"a\":".repeat(depth),
                "}]".repeat(depth)
            );
            let value = lenient(&text).unwrap();
            assert_eq!(value["id"], "7", "{depth}");
            assert!(serde_json::from_str::<Value>(&value.to_string()).is_ok());
        }
        assert_eq!(lenient(&format!("{}]", "[".repeat(200_000))), None);
    }

    #[test]
    fn a_document_that_ends_early_or_is_none_is_none() {
        for text in [
            "",
            "{",
            r#"{"id":"1""#,
            r#"{"id":"1"#,
            r#"{"id":1"#,
            r#"[{"id":"1\ud83d"},"#,
            r#"{"a":"\"#,
            r#"{"a" 1}"#,
            r#"{"a":1 "b":2}"#,
            "[1 2]",
            r#"{"a":1}x"#,
            r#"{"a":1}{"b":"\ud83d"}"#,
            "[}",
            r#"{"a":nothing}"#,
            "<html>\u{1}</html>",
            "OK",
            "NaN",
            "\u{0}",
        ] {
            assert_eq!(lenient(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_document_that_was_cut_only_what_is_whole_is_told() {
        for (text, expected) in [
            (
                r#"[{"message":"unable","errorCode":"UNABLE_TO_LOCK_ROW","fie"#,
                json!([{"message": "unable", "errorCode": "UNABLE_TO_LOCK_ROW"}]),
            ),
            (r#"{"code":"A","id":12"#, json!({"code": "A"})),
            (r#"{"code":"A","message":"Existing ID: 90"#, json!({"code": "A"})),
            (r#"{"a":{"b":[1,2"#, json!({"a": {"b": [1]}})),
            (r#"{"a":tru"#, json!({})),
        ] {
            assert_eq!(read_cut(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(read_cut(b"<html>"), None);
        assert_eq!(read_cut(b""), None);
    }
}
