//! Texts with places to fill: `/v2/{resource}/{id}`, `{object:lower}`, `https://{conn.workspace}.example.com`.

use std::borrow::Cow;

use serde_json::Value;

use super::escape::{is_host_part, push_listed, push_segment};
use super::json_path::scalar;
use super::scope::Scope;
use crate::connectors::contract::{Refusal, RefusalKind};

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place { source: Source, filters: Vec<Filter> },
}

/// Where the value of a place comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The object as the caller names it.
    Object,
    /// The object's name in paths: `resource` of the file, else the object.
    Resource,
    /// The object's key in bodies and answers: `key` of the file, else the singular of the object.
    Key,
    /// The singular of the object by simple English rules.
    Singular,
    /// The record id.
    Id,
    /// A variable of the connection.
    Conn(String),
    /// A value of the record.
    Record(Vec<String>),
    /// A value of the record that then is left out of the body.
    Pop(String),
    /// A value given by the caller of this text only, such as the field of a read.
    Extra(String),
}

/// A change to the value of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Lower,
    Upper,
    Capitalize,
    Uncapitalize,
    Snake,
    Singular,
    Last,
    Soql,
}

/// How values are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As they are.
    Plain,
    /// Each as one path segment; object names of the file keep their slashes.
    Path,
    /// Checked to be a part of a host.
    Host,
}

impl Text {
    /// Reads a text. `{{` and `}}` stand for the braces themselves.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(format!("`{text}`: a `}}` without `{{`"));
            }
            let Some((inside, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: a `{{` is not closed"));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(place(inside).map_err(|why| format!("`{text}`: {why}"))?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// A text without places.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self {
            parts: vec![Part::Literal(text.to_owned())],
        }
    }

    /// The text when it has no places.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The first part, when it is literal.
    #[must_use]
    pub fn leading_literal(&self) -> Option<&str> {
        match self.parts.first() {
            Some(Part::Literal(text)) => Some(text),
            _ => None,
        }
    }

    /// Where the places take their values from.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place { source, .. } => Some(source),
            Part::Literal(_) => None,
        })
    }

    /// The text with its places filled.
    ///
    /// # Errors
    /// When a value is missing or not acceptable at its place.
    pub fn render(&self, scope: &Scope<'_>, mode: Mode) -> Result<String, Refusal> {
        let mut out = String::with_capacity(64);
        self.render_into(&mut out, scope, mode)?;
        Ok(out)
    }

    /// Appends the text with its places filled.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn render_into(&self, out: &mut String, scope: &Scope<'_>, mode: Mode) -> Result<(), Refusal> {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                // A resource is a text of the file: its slashes are meant, and its own places are escaped one by one.
                Part::Place {
                    source: Source::Resource,
                    filters,
                } if mode == Mode::Path && filters.is_empty() && scope.plan.names.resource.is_some() => {
                    if let Some(resource) = &scope.plan.names.resource {
                        resource.render_into(out, scope, mode)?;
                    }
                }
                Part::Place { source, filters } => {
                    let mut value = scope.value_of(source)?;
                    for filter in filters {
                        value = Cow::Owned(filter.apply(&value));
                    }
                    put(out, &value, source, scope, mode)?;
                }
            }
        }
        Ok(())
    }

    /// The text as a base URL: places in the host have to be hosts, places after it are path segments.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn render_base(&self, scope: &Scope<'_>) -> Result<String, Refusal> {
        let mut out = String::with_capacity(64);
        for part in &self.parts {
            let in_path = out.find("://").is_some_and(|at| out[at + 3..].contains('/'));
            let mode = if in_path { Mode::Path } else { Mode::Host };
            Self {
                parts: vec![part.clone()],
            }
            .render_into(&mut out, scope, mode)?;
        }
        Ok(out)
    }

    /// The text, or nothing when a value is missing.
    #[must_use]
    pub fn render_plain(&self, scope: &Scope<'_>) -> Option<String> {
        self.render(scope, Mode::Plain).ok()
    }
}

fn put(out: &mut String, value: &str, source: &Source, scope: &Scope<'_>, mode: Mode) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(source.refusal(scope, why));
    match mode {
        Mode::Plain => out.push_str(value),
        Mode::Host if is_host_part(value) => out.push_str(value),
        Mode::Host => return refuse("is not a host name"),
        // Names that the file lists are safe as they are; others may span segments only where the file says so.
        Mode::Path if source.is_name() && scope.plan.listed => push_listed(out, value),
        Mode::Path if source.is_name() && scope.plan.slashes => {
            for (i, segment) in value.split('/').enumerate() {
                if i > 0 {
                    out.push('/');
                }
                if let Err(why) = push_segment(out, segment) {
                    return refuse(&format!("has a part that {why}"));
                }
            }
        }
        Mode::Path => {
            if let Err(why) = push_segment(out, value) {
                return refuse(&why);
            }
        }
    }
    Ok(())
}

impl Source {
    fn is_name(&self) -> bool {
        matches!(self, Self::Object | Self::Resource | Self::Key | Self::Singular)
    }

    /// A refusal that says which value is wrong.
    pub(super) fn refusal(&self, scope: &Scope<'_>, why: &str) -> Refusal {
        let object = scope.object;
        match self {
            Self::Id => Refusal::new(
                RefusalKind::InvalidRecordId,
                format!("the record id of `{object}` {why}; give the id the provider uses"),
            ),
            Self::Conn(name) => Refusal::new(
                RefusalKind::InvalidVariable,
                format!("the connection's variable `{name}` {why}; correct it in the connection"),
            ),
            Self::Record(path) => Refusal::new(
                RefusalKind::InvalidRecord,
                format!(
                    "`{}` of the record {why}; `{object}` needs it as a text or a number",
                    path.join(".")
                ),
            ),
            Self::Pop(name) => Refusal::new(
                RefusalKind::InvalidRecord,
                format!("`{name}` of the record {why}; `{object}` needs it as a text or a number"),
            ),
            Self::Extra(name) => Refusal::new(RefusalKind::InvalidRecord, format!("the {name} {why}")),
            _ => Refusal::new(
                RefusalKind::UnknownObject,
                format!("the object name `{object}` {why}"),
            ),
        }
    }
}

fn place(inside: &str) -> Result<Part, String> {
    let mut words = inside.split(':');
    let name = words.next().unwrap_or_default();
    let source = match name {
        "object" => Source::Object,
        "resource" => Source::Resource,
        "key" => Source::Key,
        "singular" => Source::Singular,
        "id" => Source::Id,
        "field" | "value" | "fields" | "idempotency_key" => Source::Extra(name.to_owned()),
        _ => match name.split_once('.') {
            Some(("conn", rest)) if !rest.is_empty() => Source::Conn(rest.to_owned()),
            Some(("record", rest)) if !rest.is_empty() => {
                Source::Record(rest.split('.').map(str::to_owned).collect())
            }
            Some(("pop", rest)) if !rest.is_empty() => Source::Pop(rest.to_owned()),
            _ => return Err(format!("unknown place `{{{inside}}}`")),
        },
    };
    let filters = words
        .map(|word| Filter::parse(word).ok_or_else(|| format!("unknown filter `{word}` in `{{{inside}}}`")))
        .collect::<Result<_, _>>()?;
    Ok(Part::Place { source, filters })
}

impl Filter {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "capitalize" => Self::Capitalize,
            "uncapitalize" => Self::Uncapitalize,
            "snake" => Self::Snake,
            "singular" => Self::Singular,
            "last" => Self::Last,
            "soql" => Self::Soql,
            _ => return None,
        })
    }

    fn apply(self, value: &str) -> String {
        match self {
            Self::Lower => value.to_lowercase(),
            Self::Upper => value.to_uppercase(),
            Self::Capitalize => first_letter(value, |c| c.to_uppercase().collect()),
            Self::Uncapitalize => first_letter(value, |c| c.to_lowercase().collect()),
            Self::Snake => snake(value),
            Self::Singular => singular(value).into_owned(),
            Self::Last => value.rsplit('/').next().unwrap_or(value).to_owned(),
            Self::Soql => soql(value),
        }
    }
}

fn first_letter(value: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = value.chars();
    chars
        .next()
        .map(|first| change(first) + chars.as_str())
        .unwrap_or_default()
}

fn snake(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    for c in value.chars() {
        match c {
            '-' | ' ' | '/' | '.' => out.push('_'),
            _ if c.is_uppercase() => {
                if !out.is_empty() && !out.ends_with('_') {
                    out.push('_');
                }
                out.extend(c.to_lowercase());
            }
            _ => out.push(c),
        }
    }
    out
}

/// A string literal of Salesforce's query language.
fn soql(value: &str) -> String {
    let mut out = String::from("'");
    for c in value.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The singular by simple rules. Where they do not fit, the file gives the object a `key`.
#[must_use]
pub fn singular(word: &str) -> Cow<'_, str> {
    let lower = word.to_ascii_lowercase();
    for ending in ["sses", "shes", "ches", "xes", "zzes"] {
        if lower.ends_with(ending) {
            return Cow::Borrowed(&word[..word.len() - 2]);
        }
    }
    if lower.len() > 4 && lower.ends_with("ies") {
        return Cow::Owned(format!("{}y", &word[..word.len() - 3]));
    }
    if lower.len() > 2 && lower.ends_with('s') && !["ss", "us", "is"].iter().any(|e| lower.ends_with(e)) {
        return Cow::Borrowed(&word[..word.len() - 1]);
    }
    Cow::Borrowed(word)
}

/// A value of a record as the text that goes into a path, a query or a header.
pub(super) fn record_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(s) => Some(Cow::Borrowed(s)),
        _ => scalar(value).map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_must_match_and_places_must_be_known() {
        for bad in ["{", "a}b", "{idd}", "{conn.}", "{object:shout}", "{record}"] {
            assert!(Text::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Text::parse("a{{b}}").unwrap().as_literal(), Some("a{b}"));
    }

    #[test]
    fn singular_follows_simple_rules() {
        for (many, one) in [
            ("contacts", "contact"),
            ("companies", "company"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("status", "status"),
            ("Invoices", "Invoice"),
            ("series", "sery"),
            ("news", "new"),
        ] {
            assert_eq!(singular(many), one);
        }
    }

    #[test]
    fn filters_change_case_and_quote() {
        assert_eq!(snake("revUsers"), "rev_users");
        assert_eq!(snake("rev-users"), "rev_users");
        assert_eq!(soql(r"O'Brien\"), r"'O\'Brien\\'");
    }
}
