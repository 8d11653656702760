//! Reading a record without losing anything: digits, key order, and no key twice.

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::request::Invalid;

/// Parses a record. JSON lets a key appear twice and parsers keep one of the two; here that is an error, because the other
/// would be lost without a word.
pub(super) fn read_record(raw: &RawValue) -> Result<Map<String, Value>, Invalid> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer.deserialize_map(RecordVisitor).map_err(|error| {
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        match text.strip_prefix(TWICE) {
            Some(key) => Invalid::new(
                format!("record.{key}"),
                "appears twice in the record; send it once",
            ),
            None if error.classify() == serde_json::error::Category::Data => {
                Invalid::new("record", "must be a JSON object")
            }
            None => Invalid::new(
                "record",
                "cannot be read: it is nested too deeply or is not valid JSON",
            ),
        }
    })
}

const TWICE: &str = "twice: ";

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut record = Map::new();
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            if record.contains_key(&key) {
                return Err(A::Error::custom(format!("{TWICE}{key}")));
            }
            record.insert(key, value);
        }
        Ok(record)
    }
}
