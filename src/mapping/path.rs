//! Field names that are paths: `$['userInfo']['email']`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::record_rules::Names;

/// A field's place in a record: one key, or several for a field inside an object. Cheap to clone.
///
/// A name that starts with `$[` is a path in JSONPath's bracket notation; `$['a']` is the same place as `a`.
/// Every other name is one key, whatever it holds (`$email` and `a.b` too).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Arc<Place>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place {
    keys: Vec<String>,
    /// How the path is written, unless that is just its only key; kept, because every trace shows it.
    text: Option<String>,
}

/// Why a name is not a field's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The name has no characters.
    #[error("the name is empty")]
    Empty,
    /// The name is in another JSONPath notation.
    #[error("`{0}` must be in bracket notation, such as $['address']['city']")]
    NotBrackets(String),
    /// The path leads through more than 32 objects.
    #[error("a path of {0} keys is too deep; at most {MAX_KEYS} are allowed")]
    TooDeep(usize),
    /// A bracket is not closed, or holds no quoted key.
    #[error(
        "`{name}` cannot be read at character {at}: a path is a row of quoted keys in brackets, such as $['address']['city']"
    )]
    Syntax {
        /// The whole name.
        name: String,
        /// The first character that does not fit, counted from 1.
        at: usize,
    },
    /// `[*]` or an index, where only keys can be written.
    #[error(
        "`{0}` names list items ([*] or a number); a write can only follow keys, such as $['address']['city']"
    )]
    NotWritable(String),
}

/// How deep a path may lead. Records as deep as this do not exist; a bound keeps all that follows paths
/// simple.
const MAX_KEYS: usize = 32;

/// One step of a path that is read.
enum Segment {
    Key(String),
    Items,
}

impl FieldPath {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is empty, is not bracket notation though it looks like a path, or names list items.
    pub fn parse(name: &str) -> Result<Self, PathError> {
        // Nearly every name.
        if !name.starts_with('$') && !name.is_empty() {
            return Ok(Self::of(vec![name.to_owned()]));
        }
        let mut keys = Vec::new();
        for segment in segments(name)? {
            match segment {
                Segment::Key(key) => keys.push(key),
                Segment::Items => return Err(PathError::NotWritable(name.to_owned())),
            }
        }
        Ok(Self::of(keys))
    }

    /// Checks a name that is only read: list items (`[*]`, `[0]`) are fine too.
    ///
    /// # Errors
    /// When it is empty or cannot be read.
    pub fn check_readable(name: &str) -> Result<(), PathError> {
        segments(name).map(|_| ())
    }

    /// The place that these keys lead to.
    pub(crate) fn of(keys: Vec<String>) -> Self {
        let text = (!is_plain(&keys)).then(|| bracketed(&keys));
        Self(Arc::new(Place { keys, text }))
    }

    /// The keys from the outside in; at least one.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0.keys
    }

    /// The outermost key: the field as the provider knows it.
    #[must_use]
    pub fn root(&self) -> &str {
        self.keys().first().map_or("", String::as_str)
    }

    /// How the path is written: the key alone, or brackets when there are several.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.text.as_deref().unwrap_or_else(|| self.root())
    }

    /// The objects around the place, from the outside in; none for a single key.
    pub(crate) fn outer(&self) -> impl Iterator<Item = Self> + '_ {
        (1..self.keys().len()).map(|depth| Self::of(self.keys()[..depth].to_vec()))
    }

    /// Tells of a path's text whether it is this path or leads further inside it.
    pub(crate) fn holds(&self, any_case: bool) -> impl Fn(&str) -> bool + '_ {
        let inside = format!("{}[", bracketed(self.keys()));
        move |text| {
            if any_case {
                let start = text.as_bytes().get(..inside.len());
                text.eq_ignore_ascii_case(self.as_str())
                    || start.is_some_and(|start| start.eq_ignore_ascii_case(inside.as_bytes()))
            } else {
                text == self.as_str() || text.starts_with(&inside)
            }
        }
    }

    /// The same path for all paths that mean one place at a provider with such names.
    pub(crate) fn folded(&self, names: &Names) -> Self {
        self.renamed(names.is_exact(), |key, top| names.fold(key, top))
    }

    /// The path as the provider gets it.
    pub(crate) fn sent(&self, names: &Names) -> Self {
        self.renamed(names.is_exact(), |key, top| names.sent(key, top))
    }

    fn renamed<'k>(&'k self, stays: bool, name: impl Fn(&'k str, bool) -> Cow<'k, str>) -> Self {
        if stays {
            return self.clone();
        }
        let keys = self.keys().iter().enumerate();
        Self::of(
            keys.map(|(depth, key)| name(key, depth == 0).into_owned())
                .collect(),
        )
    }

    /// Whether the path leads into an object.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.keys().len() > 1
    }

    /// Whether the other path is this one or leads further inside it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.keys().starts_with(self.keys())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Writes keys as [`FieldPath::as_str`] does: two places never look the same.
pub(crate) fn render(keys: &[String]) -> String {
    match keys {
        [key] if is_plain(keys) => key.clone(),
        _ => bracketed(keys),
    }
}

/// Whether the path is one key that does not itself look like a path.
fn is_plain(keys: &[String]) -> bool {
    matches!(keys, [key] if !key.starts_with("$["))
}

fn bracketed(keys: &[String]) -> String {
    let mut text = String::from("$");
    for key in keys {
        text.push_str("['");
        for c in key.chars() {
            if matches!(c, '\'' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push_str("']");
    }
    text
}

fn segments(name: &str) -> Result<Vec<Segment>, PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name == "$" || name.starts_with("$.") {
        return Err(PathError::NotBrackets(name.to_owned()));
    }
    let Some(mut rest) = name.strip_prefix('$').filter(|rest| rest.starts_with('[')) else {
        return Ok(vec![Segment::Key(name.to_owned())]);
    };
    let syntax = |rest: &str| PathError::Syntax {
        name: name.to_owned(),
        at: name.chars().count() - rest.chars().count() + 1,
    };
    let mut found = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(|| syntax(rest))?;
        let (segment, after) = match inner.chars().next() {
            Some(quote @ ('\'' | '"')) => quoted(&inner[1..], quote).ok_or_else(|| syntax(inner))?,
            Some('*') => (Segment::Items, &inner[1..]),
            Some('0'..='9') => (
                Segment::Items,
                inner.trim_start_matches(|c: char| c.is_ascii_digit()),
            ),
            _ => return Err(syntax(inner)),
        };
        found.push(segment);
        rest = after.strip_prefix(']').ok_or_else(|| syntax(after))?;
    }
    if found.len() > MAX_KEYS {
        return Err(PathError::TooDeep(found.len()));
    }
    Ok(found)
}

/// The key up to the closing quote, and what follows it. `None` when the quote is not closed or the key is
/// empty.
fn quoted(text: &str, quote: char) -> Option<(Segment, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next()?.1),
            c if c == quote => return (!key.is_empty()).then(|| (Segment::Key(key), &text[at + 1..])),
            c => key.push(c),
        }
    }
    None
}
