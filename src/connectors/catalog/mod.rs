//! All connectors: those built in, and those of a directory that adds to them or overrides them.

mod consent;
mod parse;
mod schema;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use include_dir::{Dir, include_dir};

use super::connector::Connector;
use super::declarative::definition::Example;
use crate::action::Action;

pub use parse::{LoadError, Parsed, parse, without_examples};
pub use shared::SharedCatalog;

/// The files of the repository's `connectors/` folder.
static BUILTIN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/connectors");

/// Connectors by provider. Files that are built in are parsed when they are first asked for.
#[derive(Debug)]
pub struct Catalog {
    entries: BTreeMap<String, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    base_url: Option<String>,
    parsed: OnceLock<Option<Arc<Parsed>>>,
}

#[derive(Debug)]
enum Source {
    Builtin(&'static str),
    User(PathBuf),
}

/// A provider in short, for lists.
#[derive(Debug, Clone)]
pub struct ProviderSummary {
    /// The provider's name.
    pub provider: String,
    /// The name for people.
    pub display_name: String,
    /// The module that is meant when none is named.
    pub default_module: Option<String>,
    /// The connectors, one per module.
    pub modules: Vec<Arc<Connector>>,
    /// Where the file came from: `None` when it is built in.
    pub file: Option<PathBuf>,
}

impl Catalog {
    /// The connectors that are built in.
    #[must_use]
    pub fn builtin() -> Self {
        Self::of_builtin(&BTreeMap::new())
    }

    /// The connectors that are built in, with those of a directory added to them or put over them.
    ///
    /// `base_urls` replaces scheme and host of every URL of a provider, token URLs too; the replacement's own path comes
    /// in front of the rest. That is how a sandbox is put in a provider's place.
    ///
    /// # Errors
    /// Every problem of every file in the directory.
    pub fn load(dir: Option<&Path>, base_urls: &BTreeMap<String, String>) -> Result<Self, Vec<LoadError>> {
        let (catalog, errors) = Self::builtin().reload(dir, base_urls);
        if errors.is_empty() {
            Ok(catalog)
        } else {
            Err(errors)
        }
    }

    /// As [`Catalog::load`], but a file of the directory that cannot be used keeps what this catalogue has for it.
    #[must_use]
    pub fn reload(&self, dir: Option<&Path>, base_urls: &BTreeMap<String, String>) -> (Self, Vec<LoadError>) {
        let mut catalog = Self::of_builtin(base_urls);
        let mut errors = Vec::new();
        for (provider, base_url) in base_urls {
            if !is_base_url(base_url) {
                errors.push(LoadError {
                    file: "base URLs".into(),
                    line: None,
                    path: provider.clone(),
                    message: "it is not an http or https URL".into(),
                });
            }
        }
        let files = dir.map(|dir| {
            yaml_files(dir).unwrap_or_else(|why| {
                // Nothing is known of the files, so all that were there stay.
                let own = |entry: &Entry| matches!(entry.source, Source::User(_));
                let kept = self.entries.iter().filter(|(_, entry)| own(entry));
                catalog
                    .entries
                    .extend(kept.map(|(name, entry)| (name.clone(), Arc::clone(entry))));
                errors.push(io_error(dir, &why));
                Vec::new()
            })
        });
        for path in files.unwrap_or_default() {
            let provider = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let base_url = base_urls.get(&provider).cloned();
            let read = std::fs::read_to_string(&path).map_err(|why| vec![io_error(&path, &why)]);
            match read.and_then(|text| parse(&path.display().to_string(), &text, base_url.clone())) {
                Ok(parsed) => {
                    let entry = Entry {
                        source: Source::User(path),
                        base_url,
                        parsed: OnceLock::new(),
                    };
                    // Nobody else has the entry yet, so the cell is empty.
                    let _ = entry.parsed.set(Some(Arc::new(parsed)));
                    catalog.entries.insert(provider, Arc::new(entry));
                }
                Err(mut problems) => {
                    errors.append(&mut problems);
                    if let Some(last_good) = self.entries.get(&provider) {
                        catalog.entries.insert(provider, last_good.clone());
                    }
                }
            }
        }
        for provider in base_urls.keys().filter(|p| !catalog.entries.contains_key(*p)) {
            errors.push(LoadError {
                file: "base URLs".into(),
                line: None,
                path: provider.clone(),
                message: "there is no such provider".into(),
            });
        }
        (catalog, errors)
    }

    fn of_builtin(base_urls: &BTreeMap<String, String>) -> Self {
        let files = BUILTIN
            .files()
            .filter(|file| file.path().extension().is_some_and(|e| e == "yaml"));
        let entries = files.filter_map(|file| {
            let provider = file.path().file_stem()?.to_str()?.to_owned();
            let source = Source::Builtin(file.contents_utf8()?);
            let base_url = base_urls.get(&provider).cloned();
            Some((
                provider,
                Arc::new(Entry {
                    source,
                    base_url,
                    parsed: OnceLock::new(),
                }),
            ))
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// The connector of a provider; of its default module where it has modules.
    #[must_use]
    pub fn get(&self, provider: &str) -> Option<Arc<Connector>> {
        self.get_module(provider, None)
    }

    /// The connector of a provider's module; of the default module without a name.
    #[must_use]
    pub fn get_module(&self, provider: &str, module: Option<&str>) -> Option<Arc<Connector>> {
        let parsed = self.entries.get(provider)?.parsed()?;
        let module = module.filter(|m| !m.is_empty());
        // A manifest may name a module although the provider has only one.
        let found = parsed
            .module(module)
            .or_else(|| match parsed.connectors.as_slice() {
                [only] => Some(only),
                _ => None,
            });
        found.cloned()
    }

    /// The connectors of a provider, one per module; empty when there is no such provider.
    #[must_use]
    pub fn modules(&self, provider: &str) -> Vec<Arc<Connector>> {
        self.entries
            .get(provider)
            .and_then(|e| e.parsed())
            .map(|p| p.connectors.clone())
            .unwrap_or_default()
    }

    /// The examples of a provider's file. Those of a file that is built in are read only here: writes do not need them.
    #[must_use]
    pub fn examples(&self, provider: &str) -> Vec<Example> {
        let Some(entry) = self.entries.get(provider) else {
            return Vec::new();
        };
        match entry.source {
            Source::Builtin(text) => parse("built in", text, None)
                .map(|p| p.examples)
                .unwrap_or_default(),
            Source::User(_) => entry.parsed().map(|p| p.examples.clone()).unwrap_or_default(),
        }
    }

    /// The text of a provider's file, when it is built in.
    #[must_use]
    pub fn builtin_text(&self, provider: &str) -> Option<&'static str> {
        match self.entries.get(provider)?.source {
            Source::Builtin(text) => Some(text),
            Source::User(_) => None,
        }
    }

    /// The names of all providers, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// All providers, in the order of their names. Parses what has not been parsed yet.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderSummary> {
        self.entries
            .iter()
            .filter_map(|(name, entry)| entry.summary(name))
            .collect()
    }

    /// One provider in short.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<ProviderSummary> {
        self.entries.get(name)?.summary(name)
    }
}

impl Entry {
    fn summary(&self, name: &str) -> Option<ProviderSummary> {
        let parsed = self.parsed()?;
        Some(ProviderSummary {
            provider: name.to_owned(),
            display_name: parsed.connectors.first()?.display_name().to_owned(),
            default_module: parsed.default_module.clone(),
            modules: parsed.connectors.clone(),
            file: match &self.source {
                Source::User(path) => Some(path.clone()),
                Source::Builtin(_) => None,
            },
        })
    }

    fn parsed(&self) -> Option<&Arc<Parsed>> {
        let parse_builtin = || match &self.source {
            Source::Builtin(text) => {
                let text = without_examples(text);
                parse("built in", text, self.base_url.clone()).ok().map(Arc::new)
            }
            Source::User(_) => None,
        };
        self.parsed.get_or_init(parse_builtin).as_ref()
    }
}

fn is_base_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

fn io_error(path: &Path, why: &std::io::Error) -> LoadError {
    LoadError {
        file: path.display().to_string(),
        line: None,
        path: String::new(),
        message: why.to_string(),
    }
}

fn yaml_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl ProviderSummary {
    /// Whether any module has this action.
    #[must_use]
    pub fn supports(&self, action: Action) -> bool {
        self.modules.iter().any(|c| c.supports_action(action))
    }
}
