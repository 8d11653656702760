//! JSON from outside: what serde_json alone would take too kindly, and what it would not take at all.

mod lenient;

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
