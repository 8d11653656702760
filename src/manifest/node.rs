//! Walking a JSON value while knowing where one is, and collecting what is wrong.

use serde_json::{Map, Value};

use super::Issue;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Where a walk is: a list linked to its parent, so that walking allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trail<'p> {
    parent: Option<&'p Trail<'p>>,
    step: Option<StepRef<'p>>,
}

#[derive(Debug, Clone, Copy)]
enum StepRef<'p> {
    Key(&'p str),
    Index(usize),
}

impl<'p> Trail<'p> {
    pub(crate) const fn root() -> Self {
        Self {
            parent: None,
            step: None,
        }
    }

    pub(crate) const fn key(&'p self, key: &'p str) -> Trail<'p> {
        Trail {
            parent: Some(self),
            step: Some(StepRef::Key(key)),
        }
    }

    pub(crate) const fn index(&'p self, index: usize) -> Trail<'p> {
        Trail {
            parent: Some(self),
            step: Some(StepRef::Index(index)),
        }
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut here = Some(self);
        while let Some(trail) = here {
            match trail.step {
                Some(StepRef::Key(key)) => steps.push(Step::Key(key.to_owned())),
                Some(StepRef::Index(index)) => steps.push(Step::Index(index)),
                None => {}
            }
            here = trail.parent;
        }
        steps.reverse();
        steps
    }
}

/// An issue whose place is still structured, so that its line can be looked up.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) steps: Vec<Step>,
    pub(crate) detail: String,
}

impl Problem {
    /// `$.integrations[0].name`; a key that is not a plain word stands in brackets.
    pub(crate) fn path(&self) -> String {
        let mut path = String::from("$");
        for step in &self.steps {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) if is_word(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Step::Key(key) => path.push_str(&format!("['{}']", key.escape_debug())),
            }
        }
        path
    }

    pub(crate) fn into_issue(self) -> Issue {
        Issue {
            path: self.path(),
            line: None,
            detail: self.detail,
        }
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Everything found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// More than anyone reads; keeps the answer to a hostile source small.
    const MOST: usize = 500;

    pub(crate) fn error(&mut self, at: &Trail<'_>, detail: impl Into<String>) {
        self.error_at(at.steps(), detail);
    }

    /// The same for a place that was looked up.
    pub(crate) fn error_at(&mut self, steps: Vec<Step>, detail: impl Into<String>) {
        if self.errors.len() < Self::MOST {
            let detail = detail.into();
            self.errors.push(Problem { steps, detail });
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn warning_at(&mut self, steps: Vec<Step>, detail: impl Into<String>) {
        if self.warnings.len() < Self::MOST {
            let detail = detail.into();
            self.warnings.push(Problem { steps, detail });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.warnings)
    }

    pub(crate) fn into_vec(mut self) -> Vec<Problem> {
        if self.left_out > 0 {
            let detail = format!("{} more problems are not listed.", self.left_out);
            self.errors.push(Problem {
                steps: Vec::new(),
                detail,
            });
        }
        self.errors
    }
}

/// The member of this name, whatever its case; an exact match wins. A `null` counts as absent.
pub(crate) fn member<'v>(map: &'v Map<String, Value>, name: &str) -> Option<(&'v str, &'v Value)> {
    map.get_key_value(name)
        .or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.as_str(), value))
}

/// What a value is, in the words of someone who writes YAML.
pub(crate) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The value as a mapping, or a problem.
pub(crate) fn mapping<'v>(
    value: &'v Value,
    at: &Trail<'_>,
    problems: &mut Problems,
) -> Option<&'v Map<String, Value>> {
    let map = value.as_object();
    if map.is_none() {
        problems.error(
            at,
            format!("This must be a mapping (key: value); it is {}.", kind(value)),
        );
    }
    map
}

/// The value as a list, or a problem.
pub(crate) fn list<'v>(value: &'v Value, at: &Trail<'_>, problems: &mut Problems) -> Option<&'v [Value]> {
    let list = value.as_array();
    if list.is_none() {
        problems.error(at, format!("This must be a list; it is {}.", kind(value)));
    }
    list.map(Vec::as_slice)
}

/// A member that is text and not empty, when it is there.
pub(crate) fn text(
    map: &Map<String, Value>,
    name: &str,
    at: &Trail<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let (key, value) = member(map, name)?;
    match value {
        Value::String(text) if text.is_empty() => {
            problems.error(
                &at.key(key),
                format!("{name} is empty. Give it a value or leave it out."),
            );
            None
        }
        Value::String(text) => Some(text.clone()),
        other => {
            problems.error(
                &at.key(key),
                format!(
                    "{name} must be text; it is {}. Put it in quotes if it is meant as text.",
                    kind(other)
                ),
            );
            None
        }
    }
}

/// A member that is text and must be there.
pub(crate) fn required_text(
    map: &Map<String, Value>,
    name: &str,
    at: &Trail<'_>,
    problems: &mut Problems,
) -> Option<String> {
    if member(map, name).is_none() {
        let key = map
            .keys()
            .find(|key| key.eq_ignore_ascii_case(name))
            .map_or(name, String::as_str);
        problems.error(&at.key(key), format!("{name} is missing."));
        return None;
    }
    text(map, name, at, problems)
}

/// A member that is `true` or `false`, when it is there.
pub(crate) fn flag(
    map: &Map<String, Value>,
    name: &str,
    at: &Trail<'_>,
    problems: &mut Problems,
) -> Option<bool> {
    let (key, value) = member(map, name)?;
    let flag = value.as_bool();
    if flag.is_none() {
        problems.error(
            &at.key(key),
            format!("{name} must be true or false; it is {}.", kind(value)),
        );
    }
    flag
}
