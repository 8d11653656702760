//! On which line of a YAML source a path stands.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::node::Step;
use super::yaml::KeyText;

/// Finds the line of a path. The deserializer tells a position only in errors, so the locator walks to the
/// path and stops there with one.
pub(crate) struct Locator<'s> {
    source: &'s str,
    /// How many bytes may still be read: a source full of mistakes must not cost one reading for each.
    bytes_left: usize,
}

impl<'s> Locator<'s> {
    const MAX_BYTES_READ: usize = 4 << 20;

    pub(crate) const fn new(source: &'s str) -> Self {
        Self {
            source,
            bytes_left: Self::MAX_BYTES_READ,
        }
    }

    /// The line of the deepest part of the path that exists, counted from 1.
    pub(crate) fn line(&mut self, steps: &[Step]) -> Option<usize> {
        let (found, depth) = self.seek(steps)?;
        found.or_else(|| self.seek(&steps[..depth]).and_then(|(line, _)| line))
    }

    /// The line of exactly this path, and how many of its steps exist.
    fn seek(&mut self, steps: &[Step]) -> Option<(Option<usize>, usize)> {
        if steps.is_empty() {
            return Some((None, 0));
        }
        self.bytes_left = self.bytes_left.checked_sub(self.source.len())?;
        let (depth, hit) = (Cell::new(0), Cell::new(false));
        let seek = Seek {
            steps,
            taken: 0,
            depth: &depth,
            hit: &hit,
        };
        let outcome = seek.deserialize(serde_yaml::Deserializer::from_str(self.source));
        let line = match outcome {
            Err(error) if hit.get() => error.location().map(|location| location.line()),
            _ => None,
        };
        Some((line, depth.get()))
    }
}

/// Walks to the end of `steps` and stops there with an error.
#[derive(Clone, Copy)]
struct Seek<'a> {
    steps: &'a [Step],
    taken: usize,
    depth: &'a Cell<usize>,
    hit: &'a Cell<bool>,
}

impl Seek<'_> {
    /// Called at the key or item that is the next step: it exists, and may be the end.
    fn arrive<E: de::Error>(self) -> Result<Self, E> {
        let taken = self.taken + 1;
        self.depth.set(taken);
        if taken == self.steps.len() {
            self.hit.set(true);
            return Err(E::custom("here"));
        }
        Ok(Self { taken, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some(Step::Index(wanted)) = self.steps.get(self.taken) else {
            return Err(de::Error::custom("not here"));
        };
        for _ in 0..*wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Err(de::Error::custom("not here"));
            }
        }
        seq.next_element_seed(Item(self))?;
        Err(de::Error::custom("not here"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(Step::Key(wanted)) = self.steps.get(self.taken) else {
            return Err(de::Error::custom("not here"));
        };
        while let Some(next) = map.next_key_seed(WantedKey { seek: self, wanted })? {
            match next {
                Some(seek) => map.next_value_seed(seek)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Err(de::Error::custom("not here"))
    }
}

/// The wanted item of a list.
struct Item<'a>(Seek<'a>);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.arrive()?.visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.arrive()?.visit_map(map)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.0.arrive().map(|_| ())
    }
}

/// A key that may be the wanted one: then the walk goes on in its value.
struct WantedKey<'a> {
    seek: Seek<'a>,
    wanted: &'a str,
}

impl<'de, 'a> DeserializeSeed<'de> for WantedKey<'a> {
    type Value = Option<Seek<'a>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let found = Cell::new(false);
        let check = |key: &str| {
            if key == self.wanted {
                found.set(true);
                return self
                    .seek
                    .arrive::<de::value::Error>()
                    .map(|_| ())
                    .map_err(|error| error.to_string());
            }
            Ok(())
        };
        deserializer.deserialize_any(KeyText(&check))?;
        Ok(found.get().then_some(Seek {
            taken: self.seek.taken + 1,
            ..self.seek
        }))
    }
}
