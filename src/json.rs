//! JSON from outside: what serde_json alone would take too kindly, and what it would not take at all.

mod lenient;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

pub use lenient::{read, read_cut, trimmed};

/// How serde_json marks numbers and raw text inside a `Value`. A document that uses such a key itself would be taken for one:
/// a text would become a number, and raw text inside raw text would get around the limit of nesting.
const RESERVED: &str = "$serde_json::private::";

/// Whether a document uses a key that is reserved; such a document must not be read.
#[must_use]
pub fn uses_reserved_key(document: &[u8]) -> bool {
    let contains = |part: &[u8]| memchr::memmem::find(document, part).is_some();
    // Letters may be written as \\u escapes, so those are looked into, too.
    if !contains(b"serde_json") && !contains(b"\\u") {
        return false;
    }
    let mut rest = document;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[start..];
        let mut end = 1;
        while end < text.len() && text[end] != b'"' {
            end += if text[end] == b'\\' { 2 } else { 1 };
        }
        let Some(token) = text.get(..=end) else {
            return false;
        };
        if serde_json::from_slice::<String>(token).is_ok_and(|key| key.starts_with(RESERVED)) {
            return true;
        }
        rest = &text[end + 1..];
    }
    false
}

/// Something in a document that a reader would drop in silence, or would tell as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, such as `batch[1].record.name`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Fault {
    fn new(path: String, detail: impl Into<String>) -> Self {
        Self {
            path,
            detail: detail.into(),
        }
    }
}

const TWICE: &str = "appears twice; send it once";
const HALF: &str =
    "holds half of a surrogate pair (an emoji that was cut in two): cut texts between whole characters";
const HALF_IN_KEY: &str = "has a key with half of a surrogate pair (an emoji that was cut in two): cut texts between whole characters";
/// The byte order mark that some programs put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// So many faults are told.
const MOST_FAULTS: usize = 20;
/// Deeper is not looked: readers refuse what is nested as deep.
const DEEPEST: usize = 200;
/// So much of a key is shown.
const SHOWN_KEY_CHARS: usize = 100;

/// The document without a byte order mark, if it can be read without losing anything: JSON lets a key appear twice, at any
/// depth, and readers keep one of the two without a word.
///
/// # Errors
/// What would be lost, or cannot be read as text. Whether it is JSON at all is for the reader to say.
pub fn checked(document: &[u8]) -> Result<&[u8], Vec<Fault>> {
    let document = document.strip_prefix(MARK).unwrap_or(document);
    let text = std::str::from_utf8(document).map_err(|error| {
        let at = error.valid_up_to();
        let detail = match document.get(at..) {
            // How a surrogate looks when it is encoded by itself.
            Some([0xed, 0xa0..=0xbf, ..]) => format!("the body {HALF} (byte {at})"),
            _ => format!("the body is not UTF-8 from byte {at} on: send JSON in UTF-8"),
        };
        vec![Fault::new(String::new(), detail)]
    })?;
    let faults = Walk::through(text);
    if faults.is_empty() {
        Ok(document)
    } else {
        Err(faults)
    }
}

/// What holds the place where a walk is.
enum Frame<'d> {
    Object {
        keys: Keys<'d>,
        /// The key whose value comes; `None` where a key comes.
        key: Option<Cow<'d, str>>,
    },
    Array {
        index: usize,
    },
}

/// The keys of an object so far.
#[derive(Default)]
struct Keys<'d> {
    few: Vec<Cow<'d, str>>,
    many: HashSet<Cow<'d, str>>,
}

impl<'d> Keys<'d> {
    /// So many are compared one by one.
    const FEW: usize = 16;

    /// Adds a key; false when it is there already.
    fn insert(&mut self, key: Cow<'d, str>) -> bool {
        if self.many.is_empty() && self.few.len() < Self::FEW {
            let is_new = !self.few.contains(&key);
            self.few.push(key);
            return is_new;
        }
        self.many.extend(self.few.drain(..));
        self.many.insert(key)
    }
}

/// One pass over a document, token by token, without reading numbers or values. What is no JSON ends it early.
#[derive(Default)]
struct Walk<'d> {
    stack: Vec<Frame<'d>>,
    faults: Vec<Fault>,
}

impl<'d> Walk<'d> {
    fn through(text: &'d str) -> Vec<Fault> {
        let mut walk = Self::default();
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'{' | b'[' if walk.stack.len() >= DEEPEST => break,
                b'{' => walk.stack.push(Frame::Object {
                    keys: Keys::default(),
                    key: None,
                }),
                b'[' => walk.stack.push(Frame::Array { index: 0 }),
                b'}' | b']' => drop(walk.stack.pop()),
                b',' => match walk.stack.last_mut() {
                    Some(Frame::Object { key, .. }) => *key = None,
                    Some(Frame::Array { index }) => *index += 1,
                    None => {}
                },
                b'"' => {
                    let Some((token, is_plain)) = string(text, at) else {
                        break;
                    };
                    at += token.len() + 1;
                    walk.string(token, is_plain);
                    if walk.faults.len() >= MOST_FAULTS {
                        break;
                    }
                }
                _ => {}
            }
        }
        walk.faults
    }

    /// A key or a value, as it stands between its quotes.
    fn string(&mut self, token: &'d str, is_plain: bool) {
        let is_half = !is_plain && holds_half_a_pair(token.as_bytes());
        let Some(Frame::Object {
            keys,
            key: open @ None,
        }) = self.stack.last_mut()
        else {
            if is_half {
                self.faults.push(Fault::new(self.path(), HALF));
            }
            return;
        };
        if is_half {
            *open = Some(Cow::Borrowed(""));
            let holder = self.stack.len() - 1;
            self.faults
                .push(Fault::new(path(&self.stack[..holder]), HALF_IN_KEY));
            return;
        }
        let key = if is_plain {
            Cow::Borrowed(token)
        } else {
            Cow::Owned(serde_json::from_str(&format!("\"{token}\"")).unwrap_or_default())
        };
        *open = Some(key.clone());
        if !keys.insert(key) {
            self.faults.push(Fault::new(self.path(), TWICE));
        }
    }

    fn path(&self) -> String {
        path(&self.stack)
    }
}

fn path(stack: &[Frame<'_>]) -> String {
    let mut path = String::new();
    for frame in stack {
        match frame {
            Frame::Object { key, .. } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.extend(key.as_deref().unwrap_or_default().chars().take(SHOWN_KEY_CHARS));
            }
            Frame::Array { index } => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// The string that begins at a place, up to its closing quote, and whether it is without escapes.
fn string(text: &str, start: usize) -> Option<(&str, bool)> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut is_plain = true;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((text.get(start..at)?, is_plain));
        }
        is_plain = false;
        at += 2;
    }
}

/// Whether a string has one half of a surrogate pair without the other among its escapes.
fn holds_half_a_pair(token: &[u8]) -> bool {
    let unit = |at: usize| {
        let digits = token.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = token.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => return true,
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    false
}

/// A JSON object and nothing else: derived readers of structs also take arrays, field by field.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(document: &str) -> Vec<(String, String)> {
        let found = checked(document.as_bytes()).err().unwrap_or_default();
        found
            .into_iter()
            .map(|fault| (fault.path, fault.detail))
            .collect()
    }

    #[test]
    fn a_key_given_twice_is_found_at_any_depth_however_it_is_written() {
        let many: String = (0..40).map(|n| format!(r#""k{n}":{{"x":1}},"#)).collect();
        for (document, path) in [
            (r#"{"a":1,"a":2}"#.to_owned(), "a"),
            (
                r#"{"record":{"Account":{"Ext_Id__c":"A","Ext_Id__c":"B"}}}"#.to_owned(),
                "record.Account.Ext_Id__c",
            ),
            (
                r#"{"batch":[{},{"record":{"b":[0,{"é":{},"\u00e9":[]}]}}]}"#.to_owned(),
                "batch[1].record.b[1].é",
            ),
            (r#"[{"a":"}\"{","b":{"a":1},"a" : null}]"#.to_owned(), "[0].a"),
            (format!(r#"{{{many}"k7":0}}"#), "k7"),
            (format!(r#"{{{many}"z":1,"z":0}}"#), "z"),
        ] {
            assert_eq!(
                faults(&document),
                [(path.to_owned(), TWICE.to_owned())],
                "{document}"
            );
        }
        for good in [
            r#"{"a":{"a":{"a":[{"a":1},{"a":"a"},"a","a"]}},"b":{"a":1},"A":1}"#,
            r#"{"a":"\"a\":1,\"a\":2","b":"{\"a\":1"}"#,
            "",
            "\u{feff}{}",
        ] {
            assert!(faults(good).is_empty(), "{good}");
        }
        // Broken ones are the reader's to refuse; here they must only come to an end.
        for broken in [
            "{",
            "}",
            "]]",
            "{\"a",
            "{\"a\\",
            "[\"\\u",
            "{\"a\":,\"b\"",
            ",,",
            "{,}",
            "\"\"\"",
        ] {
            assert!(faults(broken).is_empty(), "{broken}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(faults(&deep).is_empty());
    }

    #[test]
    fn half_of_a_surrogate_pair_is_told_with_its_place() {
        for (document, path) in [
            (
                r#"{"batch":[{},{"record":{"firstname":"Hi \ud83d"}}]}"#,
                "batch[1].record.firstname",
            ),
            (r#"{"a":["\ud83d\ude00","\ude00"]}"#, "a[1]"),
            (r#"{"a":"\uD83D\u0041"}"#, "a"),
        ] {
            assert_eq!(
                faults(document),
                [(path.to_owned(), HALF.to_owned())],
                "{document}"
            );
        }
        assert_eq!(
            faults(r#"{"a":{"x\ud83d":1}}"#),
            [("a".to_owned(), HALF_IN_KEY.to_owned())]
        );
        assert!(faults(r#"{"a":"\ud83d\ude00 \\ud83d \u00e9"}"#).is_empty());
        let raw = checked(b"{\"a\":\"\xed\xa0\xbd\"}").expect_err("half a pair");
        assert!(raw[0].detail.contains("half of a surrogate pair"), "{raw:?}");
        let latin = checked(b"{\"a\":\"\xe9\"}").expect_err("not UTF-8");
        assert!(latin[0].detail.contains("not UTF-8 from byte 6"), "{latin:?}");
    }

    #[test]
    fn reserved_keys_are_found_however_they_are_written() {
        for bad in [
            r#"{"$serde_json::private::RawValue":"[["}"#,
            r#"{"a":[{"\u0024serde_json::private::Number":"7"}]}"#,
            r#"{"$serde_json::privat\u0065::Number":"7"}"#,
        ] {
            assert!(uses_reserved_key(bad.as_bytes()), "{bad}");
        }
        for good in [
            r#"{"a":"\u00e9 \"quoted\" \\"}"#,
            "",
            "\"",
            "\"\\",
            r#"{"serde_json":1,"\u0061":"}"#,
        ] {
            assert!(!uses_reserved_key(good.as_bytes()), "{good}");
        }
    }
}
