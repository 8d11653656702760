//! The mapping rules once more: slow, obvious, straight from the JSON, sharing no code with the crate.

use amp_write::action::Action;
use serde_json::{Map, Value, json};

pub type Path = Vec<String>;

/// A field of the mapping: the app's place, and the provider's.
#[derive(Debug, Clone)]
struct Field {
    source: Path,
    target: Option<Path>,
    /// Whether a mapping gives it another name: the others only keep theirs.
    renamed: bool,
}

/// One manifest, one config, one object called `obj`.
pub struct Reference<'a> {
    pub content: &'a Value,
    pub config: &'a Value,
}

/// What a record becomes.
#[derive(Debug, Default, PartialEq)]
pub struct Expected {
    pub record: Map<String, Value>,
    pub id: Option<String>,
    /// Source, target and decision of each field.
    pub trace: Vec<(Option<String>, Option<String>, &'static str)>,
    pub if_empty: Vec<Path>,
}

/// `$['a']['b']` as its keys; anything else is one key. The generator writes no escapes.
pub fn keys(name: &str) -> Path {
    match name.strip_prefix("$['") {
        Some(rest) => rest
            .trim_end_matches("']")
            .split("']['")
            .map(str::to_owned)
            .collect(),
        None => vec![name.to_owned()],
    }
}

pub fn text(path: &[String]) -> String {
    match path {
        [key] => key.clone(),
        _ => format!("$['{}']", path.join("']['")),
    }
}

fn inside(outer: &[String], inner: &[String]) -> bool {
    inner.len() > outer.len() && inner.starts_with(outer)
}

fn touch(a: &[String], b: &[String]) -> bool {
    a == b || inside(a, b) || inside(b, a)
}

pub fn get<'v>(map: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let value = map.get(&path[0])?;
    if path.len() == 1 {
        Some(value)
    } else {
        get(value.as_object()?, &path[1..])
    }
}

/// `false` when something on the way is not an object.
fn put(map: &mut Map<String, Value>, path: &[String], value: Value) -> bool {
    if path.len() == 1 {
        map.insert(path[0].clone(), value);
        return true;
    }
    if !map.contains_key(&path[0]) {
        map.insert(path[0].clone(), json!({}));
    }
    match map.get_mut(&path[0]) {
        Some(Value::Object(inner)) => put(inner, &path[1..], value),
        _ => false,
    }
}

fn cut(map: &mut Map<String, Value>, path: &[String]) {
    if path.len() > 1 {
        let Some(Value::Object(inner)) = map.get_mut(&path[0]) else {
            return;
        };
        cut(inner, &path[1..]);
        if !inner.is_empty() {
            return;
        }
    }
    map.shift_remove(&path[0]);
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn entries<'v>(value: &'v Value, key: &str) -> Vec<(&'v String, &'v Value)> {
    value[key].as_object().into_iter().flatten().collect()
}

impl Reference<'_> {
    fn read(&self) -> &Value {
        &self.content["read"]["objects"][0]
    }

    fn read_config(&self) -> &Value {
        &self.config["read"]["objects"]["obj"]
    }

    fn write_config(&self) -> &Value {
        &self.config["write"]["objects"]["obj"]
    }

    fn write(&self) -> &Value {
        &self.content["write"]["objects"][0]
    }

    fn inherits(&self) -> bool {
        self.write()["inheritMapping"] == true || self.write_config()["inheritMapping"] == true
    }

    /// The mappings that rename, in order of precedence: of each name the first counts.
    fn mappings(&self, with_config: bool) -> Vec<(String, Option<String>)> {
        let empty = json!({});
        let config = if with_config { self.read_config() } else { &empty };
        let chosen = |name: &str| {
            config["selectedFieldMappings"][name]
                .as_str()
                .filter(|field| !field.is_empty())
        };
        let mut found: Vec<(String, Option<String>)> = Vec::new();
        for (fields, required) in [("requiredFields", true), ("optionalFields", false)] {
            for field in list(self.read(), fields) {
                let Some(name) = field["mapToName"].as_str() else {
                    continue;
                };
                let mut given = field["fieldName"].as_str();
                let unticked = |name: &str| config["selectedFields"][name] == false;
                if !required && (unticked(name) || given.is_some_and(unticked)) {
                    given = None;
                }
                found.push((name.to_owned(), chosen(name).or(given).map(str::to_owned)));
            }
        }
        for entry in list(config, "dynamicMappingsInput") {
            let name = entry["mapToName"].as_str().expect("the generator writes names");
            found.push((
                name.to_owned(),
                chosen(name).or(entry["fieldName"].as_str()).map(str::to_owned),
            ));
        }
        for (name, _) in entries(config, "selectedFieldMappings") {
            found.push((name.clone(), chosen(name).map(str::to_owned)));
        }
        let mut first: Vec<(String, Option<String>)> = Vec::new();
        for (name, field) in found {
            if !first.iter().any(|(other, _)| *other == name) {
                first.push((name, field));
            }
        }
        first
    }

    fn overlapping(mappings: &[(String, Option<String>)]) -> bool {
        mappings.iter().enumerate().any(|(index, (name, field))| {
            mappings[..index].iter().any(|(other, other_field)| {
                let same_target = match (field, other_field) {
                    (Some(a), Some(b)) => touch(&keys(a), &keys(b)),
                    _ => false,
                };
                same_target || touch(&keys(name), &keys(other))
            })
        })
    }

    /// Whether the manifest may be deployed.
    pub fn manifest_is_valid(&self) -> bool {
        let mut names: Vec<&str> = Vec::new();
        for fields in ["requiredFields", "optionalFields"] {
            names.extend(
                list(self.read(), fields)
                    .iter()
                    .filter_map(|field| field["mapToName"].as_str()),
            );
        }
        let repeated = names
            .iter()
            .enumerate()
            .any(|(index, name)| names[..index].contains(name));
        let inherits = self.write()["inheritMapping"] == true;
        let overlaps = inherits && Self::overlapping(&self.mappings(false));
        !repeated && !overlaps
    }

    /// Whether the config may be installed.
    pub fn config_is_valid(&self) -> bool {
        let settings = self.settings();
        let clash = settings
            .iter()
            .enumerate()
            .any(|(index, (target, _))| settings[..index].iter().any(|(other, _)| touch(target, other)));
        let overlaps = self.inherits() && Self::overlapping(&self.mappings(true));
        !clash && !overlaps
    }

    fn fields(&self) -> Vec<Field> {
        if !self.inherits() {
            return Vec::new();
        }
        let mut fields: Vec<Field> = Vec::new();
        for (name, field) in self.mappings(true) {
            let (source, target) = (keys(&name), field.as_deref().map(keys));
            fields.push(Field {
                renamed: target.as_ref() != Some(&source),
                source,
                target,
            });
        }
        let renamed = fields.clone();
        let mut same: Vec<&str> = Vec::new();
        for list_name in ["requiredFields", "optionalFields"] {
            let plain = list(self.read(), list_name)
                .iter()
                .filter(|field| field["mapToName"].is_null());
            same.extend(plain.filter_map(|field| field["fieldName"].as_str()));
        }
        let ticked = entries(self.read_config(), "selectedFields")
            .into_iter()
            .filter(|(_, on)| **on == true);
        same.extend(ticked.map(|(name, _)| name.as_str()));
        for name in &same {
            let source = keys(name);
            let taken = same.iter().any(|other| inside(&keys(other), &source))
                || renamed.iter().any(|field| touch(&field.source, &source))
                || fields.iter().any(|field| field.source == source);
            if !taken {
                fields.push(Field {
                    target: Some(source.clone()),
                    source,
                    renamed: false,
                });
            }
        }
        fields
    }

    /// The value mapping of a field: by the app's name, else by the provider's.
    fn values(&self, path: &[String]) -> Option<&Value> {
        let all = entries(self.read_config(), "selectedValueMappings");
        all.into_iter()
            .find(|(name, _)| keys(name) == path)
            .map(|(_, values)| values)
    }

    /// The mapping, and the fields that only a value mapping makes part of it.
    fn rules(&self) -> Vec<(Field, Option<Value>)> {
        if !self.inherits() {
            return Vec::new();
        }
        let fields = self.fields();
        let mut rules: Vec<(Field, Option<Value>)> = Vec::new();
        for field in &fields {
            let values = self
                .values(&field.source)
                .or_else(|| self.values(field.target.as_ref()?));
            rules.push((field.clone(), values.cloned()));
        }
        for (name, values) in entries(self.read_config(), "selectedValueMappings") {
            let path = keys(name);
            let is_target = fields.iter().any(|field| field.target.as_ref() == Some(&path));
            if !is_target && !rules.iter().any(|(field, _)| touch(&field.source, &path)) {
                let field = Field {
                    target: Some(path.clone()),
                    source: path,
                    renamed: false,
                };
                rules.push((field, Some(values.clone())));
            }
        }
        rules
    }

    fn settings(&self) -> Vec<(Path, Value)> {
        let fields = self.fields();
        let mut settings = Vec::new();
        for (name, setting) in entries(self.write_config(), "selectedFieldSettings") {
            let path = keys(name);
            match fields.iter().find(|field| field.source == path) {
                Some(Field { target: None, .. }) => {}
                Some(Field {
                    target: Some(target), ..
                }) => settings.push((target.clone(), setting.clone())),
                None => settings.push((path, setting.clone())),
            }
        }
        settings
    }

    /// What becomes of a record, or everything that is wrong with it.
    pub fn apply(
        &self,
        record: &Map<String, Value>,
        action: Action,
        strict: bool,
    ) -> Result<Expected, Vec<&'static str>> {
        let mut errors = Vec::new();
        let mut expected = Expected::default();
        let mut rest = record.clone();
        if action != Action::Create {
            match rest.shift_remove("id") {
                None | Some(Value::Null) => errors.push("MissingRecordId"),
                Some(Value::String(id)) if id.is_empty() => errors.push("MissingRecordId"),
                Some(Value::String(id)) => expected.id = Some(id),
                Some(Value::Number(number)) if !number.to_string().contains(['.', 'e', 'E']) => {
                    expected.id = Some(number.to_string());
                }
                Some(_) => errors.push("InvalidRecordId"),
            }
        }
        let config = self.write_config();
        let removes = self.inherits()
            && (self.write()["removeUnmappedFields"] == true || config["removeUnmappedFields"] == true);
        let rules = self.rules();
        let mut units = Vec::new();
        for (key, value) in rest {
            explode(vec![key], value, &rules, &mut units, &mut errors);
        }
        let mapped_targets: Vec<&Path> = rules
            .iter()
            .filter(|(field, _)| field.renamed)
            .filter_map(|(field, _)| field.target.as_ref())
            .collect();
        let mut placed: Vec<(Path, Value, bool)> = Vec::new();
        for (path, value) in units {
            let rule = rules.iter().find(|(field, _)| field.source == path);
            let (target, value, decision) = match rule {
                None if removes => (None, value, "dropped_unmapped"),
                None => (Some(path.clone()), value, "passed_through"),
                Some((field, values)) => match &field.target {
                    None => (None, value, "dropped_not_chosen"),
                    Some(target) => {
                        let (value, decision) = translate(value, values.as_ref());
                        (Some(target.clone()), value, decision)
                    }
                },
            };
            expected
                .trace
                .push((Some(text(&path)), target.as_deref().map(text), decision));
            let Some(target) = target else { continue };
            let renamed = rule.is_some_and(|(field, _)| field.renamed);
            let mut pieces = Vec::new();
            split(target, value, renamed, &mapped_targets, &mut pieces);
            for (path, value) in pieces {
                for (other, other_value, other_renamed) in &placed {
                    let (outer, outer_renamed) = if inside(&path, other) {
                        (&value, renamed)
                    } else {
                        (other_value, *other_renamed)
                    };
                    if path == *other || (touch(&path, other) && outer_renamed) {
                        errors.push("Conflict");
                    } else if touch(&path, other) && !outer.is_object() {
                        errors.push("NotAnObject");
                    }
                }
                let is_there = get(&expected.record, &path).is_some();
                if !is_there {
                    put(&mut expected.record, &path, value.clone());
                }
                placed.push((path, value, renamed));
            }
        }
        if strict
            && expected
                .trace
                .iter()
                .any(|(_, _, decision)| decision.starts_with("dropped"))
        {
            errors.push("Dropped");
        }
        if errors.is_empty() && action != Action::Delete {
            self.settle(&mut expected, action, &mut errors);
        }
        if errors.is_empty() {
            Ok(expected)
        } else {
            Err(errors)
        }
    }

    fn settle(&self, expected: &mut Expected, action: Action, errors: &mut Vec<&'static str>) {
        let (key, skipped) = match action {
            Action::Create => ("writeOnCreate", "skipped_write_on_create"),
            _ => ("writeOnUpdate", "skipped_write_on_update"),
        };
        for (target, setting) in self.settings() {
            let default = setting["default"]
                .as_object()
                .and_then(|default| default.values().next());
            let (None, Some(default)) = (get(&expected.record, &target), default) else {
                continue;
            };
            if setting[key] == "never" {
                expected.trace.push((None, Some(text(&target)), skipped));
            } else if put(&mut expected.record, &target, default.clone()) {
                expected.trace.push((None, Some(text(&target)), "defaulted"));
            } else {
                errors.push("NotAnObject");
                return;
            }
        }
        for (target, setting) in self.settings() {
            if get(&expected.record, &target).is_none() {
                continue;
            }
            if setting[key] == "never" {
                cut(&mut expected.record, &target);
                mark(expected, &target, skipped);
            } else if setting[key] == "ifEmpty" {
                expected.if_empty.push(target);
            }
        }
    }
}

impl Expected {
    /// The record once the provider's values are known.
    pub fn decide(mut self, current: &Map<String, Value>) -> Self {
        for path in std::mem::take(&mut self.if_empty) {
            let has_value = get(current, &path).is_some_and(|value| !value.is_null() && *value != json!(""));
            if has_value {
                cut(&mut self.record, &path);
                mark(&mut self, &path, "skipped_not_empty");
            }
        }
        self
    }
}

fn mark(expected: &mut Expected, target: &Path, decision: &'static str) {
    let mut marked = false;
    for entry in &mut expected.trace {
        let Some(place) = entry.1.as_deref().map(keys) else {
            continue;
        };
        if place == *target || inside(target, &place) {
            entry.2 = decision;
            marked = true;
        } else if inside(&place, target) && get(&expected.record, &place).is_none() {
            entry.2 = decision;
        }
    }
    if !marked {
        expected
            .trace
            .push((Some(text(target)), Some(text(target)), decision));
    }
}

/// Takes an object apart as far as mapped fields lie in it.
fn explode(
    path: Path,
    value: Value,
    rules: &[(Field, Option<Value>)],
    units: &mut Vec<(Path, Value)>,
    errors: &mut Vec<&'static str>,
) {
    let holds_fields = rules.iter().any(|(field, _)| inside(&path, &field.source));
    match value {
        Value::Object(map) if holds_fields && !map.is_empty() => {
            for (key, value) in map {
                explode([path.clone(), vec![key]].concat(), value, rules, units, errors);
            }
        }
        Value::Object(map) => units.push((path, Value::Object(map))),
        _ if holds_fields => errors.push("NotAnObject"),
        value => units.push((path, value)),
    }
}

/// An object that shares its place with fields mapped into it counts as its members.
fn split(path: Path, value: Value, renamed: bool, mapped: &[&Path], pieces: &mut Vec<(Path, Value)>) {
    match value {
        Value::Object(map)
            if !renamed && !map.is_empty() && mapped.iter().any(|target| inside(&path, target)) =>
        {
            for (key, value) in map {
                split([path.clone(), vec![key]].concat(), value, renamed, mapped, pieces);
            }
        }
        value => pieces.push((path, value)),
    }
}

fn translate(value: Value, values: Option<&Value>) -> (Value, &'static str) {
    let Some(values) = values.filter(|_| !value.is_null()) else {
        return (value, "mapped");
    };
    let word = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let found = if value.is_array() || value.is_object() {
        None
    } else {
        values.get(word)
    };
    match found {
        Some(found) => (found.clone(), "value_mapped"),
        None => (value, "value_not_mapped"),
    }
}
