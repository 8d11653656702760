//! From the text of a file to its connectors, with every problem told by line and path.

use std::path::Path;
use std::sync::Arc;

use crate::connectors::auth::Auth;
use crate::connectors::connector::{Connector, Variable, credential_headers};
use crate::connectors::declarative::compile::{ACTIONS, Problem, compile, limits};
use crate::connectors::declarative::definition::{DiscoverDef, Example, File};
use crate::connectors::discover::Discovery;

/// A file, compiled: the provider's connectors by module.
#[derive(Debug)]
pub struct Parsed {
    /// The module that is meant when none is named; `None` for a provider without modules.
    pub default_module: Option<String>,
    /// Connectors in the order of the file. One without a module name for a provider without modules.
    pub connectors: Vec<Arc<Connector>>,
    /// The examples of the file.
    pub examples: Vec<Example>,
}

impl Parsed {
    /// The actions of modules that no example shows.
    #[must_use]
    pub fn without_example(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for connector in &self.connectors {
            let shows = |example: &Example| {
                let module = example.module.as_deref().or(self.default_module.as_deref());
                module == connector.module()
            };
            for action in ACTIONS
                .into_iter()
                .filter(|action| connector.supports_action(*action))
            {
                if !self.examples.iter().any(|e| e.action == action && shows(e)) {
                    let module = connector.module().map(|m| format!(" of the module `{m}`"));
                    missing.push(format!("{action}{}", module.unwrap_or_default()));
                }
            }
        }
        missing
    }

    /// The connector of a module; of the default module without a name.
    #[must_use]
    pub fn module(&self, name: Option<&str>) -> Option<&Arc<Connector>> {
        let name = name.or(self.default_module.as_deref());
        self.connectors.iter().find(|c| c.module() == name)
    }
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}{}: {message}", line.map(|l| format!(":{l}")).unwrap_or_default(), if path.is_empty() { String::new() } else { format!(" at {path}") })]
pub struct LoadError {
    /// The file.
    pub file: String,
    /// The line, as far as it is known.
    pub line: Option<usize>,
    /// The keys that lead to the problem, joined with dots; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Reads and compiles the text of a file. `name` is for messages; the provider's name stands in the file.
///
/// # Errors
/// Every problem of the file.
pub fn parse(name: &str, text: &str, rebase: Option<String>) -> Result<Parsed, Vec<LoadError>> {
    // A byte order mark, which some editors put first; YAML allows it there.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: File = serde_yaml::from_str(text).map_err(|why| unreadable(name, text, &why))?;
    let mut problems = Vec::new();
    if let Some(stem) = Path::new(name).file_stem().filter(|_| name.ends_with(".yaml"))
        && stem != file.provider.as_str()
    {
        problems.push(Problem {
            path: "provider".into(),
            message: format!("has to be the name of the file, `{}`", stem.to_string_lossy()),
        });
    }
    let connectors = connectors(&file, rebase.as_deref(), &mut problems);
    if problems.is_empty() {
        return Ok(Parsed {
            default_module: file.default_module,
            connectors,
            examples: file.examples,
        });
    }
    Err(located(name, text, problems))
}

fn located(name: &str, text: &str, problems: Vec<Problem>) -> Vec<LoadError> {
    let located = |Problem { path, message }: Problem| LoadError {
        file: name.to_owned(),
        line: line_of(text, &path),
        path,
        message,
    };
    problems.into_iter().map(located).collect()
}

/// Why a text is no connector file: all that its schema finds, or else what stopped the reader.
fn unreadable(name: &str, text: &str, why: &serde_yaml::Error) -> Vec<LoadError> {
    let schema = super::BUILTIN
        .get_file("schema.json")
        .and_then(|file| file.contents_utf8());
    let document = serde_yaml::from_str::<serde_json::Value>(text).ok();
    if let Some((schema, document)) = schema.zip(document) {
        let problems = super::schema::problems(schema, &document);
        if !problems.is_empty() {
            return located(name, text, problems);
        }
    }
    let line = why.location().map(|at| at.line());
    vec![LoadError {
        file: name.to_owned(),
        line,
        path: String::new(),
        message: why.to_string(),
    }]
}

/// The text of a file without its examples, where they stand at the end: what a write needs.
#[must_use]
pub fn without_examples(text: &str) -> &str {
    let Some((before, examples)) = text.split_once("\nexamples:\n") else {
        return text;
    };
    // Another key at the start of a line: then they do not stand at the end.
    let another_key = examples
        .lines()
        .any(|line| !line.is_empty() && !line.starts_with([' ', '-', '#']));
    if another_key { text } else { before }
}

fn connectors(file: &File, rebase: Option<&str>, problems: &mut Vec<Problem>) -> Vec<Arc<Connector>> {
    let auth = file.auth.resolve().unwrap_or_else(|message| {
        problems.push(Problem {
            path: "auth".into(),
            message,
        });
        Auth {
            scheme: crate::connectors::auth::Scheme::None,
            attach: Vec::new(),
            health: None,
        }
    });
    let variables = variables(file, problems);
    let modules: Vec<_> = match file.modules.0.as_slice() {
        [] => vec![None],
        modules => modules
            .iter()
            .map(|(name, settings)| Some((name.as_str(), settings)))
            .collect(),
    };
    match &file.default_module {
        Some(name) if file.modules.get(name).is_none() => problems.push(Problem {
            path: "default_module".into(),
            message: format!("`{name}` is not one of `modules`"),
        }),
        None if !file.modules.0.is_empty() => problems.push(Problem {
            path: "default_module".into(),
            message: "is missing beside `modules`".into(),
        }),
        _ => {}
    }
    let discover = discoveries(file, problems);
    problems.extend(super::consent::problems(file, &auth, &discover));
    modules
        .into_iter()
        .map(|module| {
            let own_base = module.and_then(|(_, settings)| settings.base_url.clone());
            let compiled = compile(file, module, problems);
            let mut limits = limits(file);
            let missing = Problem {
                path: "limits.batch".into(),
                message: "is missing: `native.batch` needs the most records that one call may hold".into(),
            };
            if compiled.batch.is_none() {
                limits.batch = 1;
            } else if limits.batch < 2 && !problems.contains(&missing) {
                problems.push(missing);
            }
            Arc::new(Connector {
                provider: file.provider.clone(),
                display_name: file.display_name.clone(),
                module_name: module.map(|(name, _)| name.to_owned()),
                docs: file.docs.clone(),
                notes: file.notes.clone(),
                credential_headers: credential_headers(&auth),
                auth: auth.clone(),
                limits,
                var_defaults: variables
                    .iter()
                    .filter_map(|v| Some((v.name.clone(), v.default.clone()?)))
                    .collect(),
                variables: variables.clone(),
                discover: discover.clone(),
                base_url: own_base.or_else(|| file.base_url.clone()).unwrap_or_default(),
                rebase: rebase.map(str::to_owned),
                module: compiled,
            })
        })
        .collect()
}

/// A pattern that a whole value has to match.
fn whole(pattern: &str, path: String, problems: &mut Vec<Problem>) -> Option<regex_lite::Regex> {
    let compiled = regex_lite::Regex::new(&format!("^(?:{pattern})$"));
    let problem = |why: regex_lite::Error| {
        let message = why.to_string();
        problems.push(Problem { path, message });
    };
    compiled.map_err(problem).ok()
}

fn discoveries(file: &File, problems: &mut Vec<Problem>) -> Vec<Discovery> {
    let discoveries = file.connection.discover.iter().enumerate();
    let discovery = |(index, def): (usize, &DiscoverDef)| {
        let path = format!("connection.discover[{index}]");
        let pattern = def.pattern.as_ref();
        let pattern = pattern.and_then(|pattern| whole(pattern, format!("{path}.pattern"), problems));
        let made = Discovery::new(def, pattern);
        made.map_err(|message| problems.push(Problem { path, message }))
            .ok()
    };
    discoveries.filter_map(discovery).collect()
}

fn variables(file: &File, problems: &mut Vec<Problem>) -> Vec<Variable> {
    let variable = |(name, def): (&str, &crate::connectors::declarative::definition::VarDef)| {
        let pattern = def.pattern.as_ref();
        let pattern = pattern.and_then(|p| whole(p, format!("connection.vars.{name}.pattern"), problems));
        Variable {
            name: name.to_owned(),
            display_name: def.display_name.clone(),
            description: def.description.clone(),
            default: def.default.clone(),
            example: def.example.clone(),
            pattern,
            unless: def.unless.clone(),
        }
    };
    file.connection.vars.iter().map(variable).collect()
}

/// The line of a path of keys, found by looking for the keys one after the other, each further in than the last.
fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut found = None;
    let mut lines = text.lines().enumerate();
    let mut indent = None;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let hit = lines.by_ref().find(|(_, line)| {
            let trimmed = line.trim_start();
            let deeper = indent.is_none_or(|indent| line.len() - trimmed.len() > indent);
            let name = trimmed
                .split(':')
                .next()
                .unwrap_or_default()
                .trim_matches(['"', '\'']);
            deeper && name == key
        });
        let Some((at, line)) = hit else { break };
        indent = Some(line.len() - line.trim_start().len());
        found = Some(at + 1);
    }
    found
}
