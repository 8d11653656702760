//! YAML in, a JSON value out: bounded in size, depth and expansion.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Issue;

/// The largest source that is read: 1 MiB, some hundred times a large manifest.
const MAX_SOURCE_BYTES: usize = 1 << 20;

/// How many values a source may hold once its aliases are expanded. A 1 MiB source without aliases stays
/// below it.
const MAX_VALUES: usize = 1 << 20;

/// How many bytes of text a source may hold once its aliases are expanded.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// How many `[` and `{` may be open at once. The YAML scanner needs quadratic time in this number, so it is
/// bounded before the scanner sees the source.
const MAX_OPEN_BRACKETS: usize = 256;

/// Reads one YAML document.
///
/// # Errors
/// One issue at `$`, with the line where reading stopped.
pub(crate) fn read(source: &str) -> Result<Value, Issue> {
    if source.len() > MAX_SOURCE_BYTES {
        let detail = format!(
            "The manifest has {} bytes; at most {MAX_SOURCE_BYTES} (1 MiB) are read.",
            source.len()
        );
        return Err(Issue::new("$", detail));
    }
    if let Some(line) = too_many_brackets(source) {
        let detail = format!("More than {MAX_OPEN_BRACKETS} brackets are open here. Nest less deeply.");
        return Err(Issue {
            path: "$".to_owned(),
            line: Some(line),
            detail,
        });
    }
    let budget = Budget {
        values: Cell::new(MAX_VALUES),
        bytes: Cell::new(MAX_TEXT_BYTES),
    };
    let deserializer = serde_yaml::Deserializer::from_str(source);
    Build { budget: &budget }
        .deserialize(deserializer)
        .map_err(|error| {
            let line = error.location().map(|location| location.line());
            let detail = match error.to_string() {
                text if text.contains("recursion limit exceeded") => {
                    "The manifest nests more than 128 levels deep. Nest less deeply.".to_owned()
                }
                text if text.contains("repetition limit exceeded") => TOO_LARGE.to_owned(),
                text if text.contains("more than one document") => {
                    "The source holds several YAML documents (---). Put one manifest in one source."
                        .to_owned()
                }
                text => format!("This is not the YAML of a manifest: {text}"),
            };
            Issue {
                path: "$".to_owned(),
                line,
                detail,
            }
        })
}

const TOO_LARGE: &str = "The aliases (*name) of the manifest expand to too many values. Use fewer aliases.";

/// The line at which too many brackets are open, if any. Quotes and comments are not recognised: what they
/// hold hardly ever is so unbalanced, and a bound need not be exact.
fn too_many_brackets(source: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut line = 1;
    for byte in source.bytes() {
        match byte {
            b'\n' => line += 1,
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Some(line);
        }
    }
    None
}

struct Budget {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn spend<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        match (
            self.values.get().checked_sub(1),
            self.bytes.get().checked_sub(bytes),
        ) {
            (Some(values), Some(bytes)) => {
                self.values.set(values);
                self.bytes.set(bytes);
                Ok(())
            }
            _ => Err(E::custom(TOO_LARGE)),
        }
    }
}

/// Builds a [`Value`] and charges the budget for each part of it.
#[derive(Clone, Copy)]
struct Build<'b> {
    budget: &'b Budget,
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, a list, text, a number, true, false or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.budget.spend(0).map(|()| Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.budget.spend(0).map(|()| Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.budget.spend(0).map(|()| Value::from(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.budget.spend(0).map(|()| Value::from(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        let number = Number::from_u128(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("this number is too large"))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        let number = Number::from_i128(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("this number is too large"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.budget.spend(0)?;
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("JSON has no such number; put it in quotes"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.budget
            .spend(value.len())
            .map(|()| Value::String(value.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom(
            "YAML tags (!name) have no meaning in a manifest; remove the tag",
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.budget.spend(0)?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.budget.spend(0)?;
        let mut map = Map::new();
        let mut merges = Vec::new();
        while let Some(key) = access.next_key_seed(Key {
            seen: &map,
            budget: self.budget,
        })? {
            let value = access.next_value_seed(self)?;
            if key == "<<" {
                merges.push(value);
            } else {
                map.insert(key, value);
            }
        }
        for merge in merges {
            merge_into(&mut map, merge).map_err(de::Error::custom)?;
        }
        Ok(Value::Object(map))
    }
}

/// `<<: *defaults`: the keys of the aliased mapping that the map does not have itself.
fn merge_into(map: &mut Map<String, Value>, merge: Value) -> Result<(), &'static str> {
    let parts = match merge {
        Value::Array(parts) => parts,
        one => vec![one],
    };
    for part in parts {
        let Value::Object(part) = part else {
            return Err("<< must name a mapping or a list of mappings");
        };
        for (key, value) in part {
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// A key of a mapping: text, or what reads as text. A second one of the same name is refused where it stands.
struct Key<'m> {
    seen: &'m Map<String, Value>,
    budget: &'m Budget,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let (seen, budget) = (self.seen, self.budget);
        deserializer.deserialize_any(KeyText(&|key| {
            if seen.contains_key(key) {
                return Err(format!("the key `{key}` is given twice"));
            }
            budget
                .spend::<de::value::Error>(key.len())
                .map_err(|error| error.to_string())
        }))
    }
}

/// Reads a key as text and asks the check before it is taken.
pub(super) struct KeyText<'c>(pub(super) &'c dyn Fn(&str) -> Result<(), String>);

impl<'de> Visitor<'de> for KeyText<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key: text, a number, true or false")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        (self.0)(key).map_err(E::custom)?;
        Ok(key.to_owned())
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_f64<E: de::Error>(self, key: f64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }
}
