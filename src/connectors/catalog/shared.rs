//! The catalogue of a running process: files may change under it without a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Catalog, LoadError};
use crate::connectors::Connector;

/// A catalogue that can be replaced by a newer reading of its files. Whoever holds a connector keeps it as it was.
#[derive(Debug)]
pub struct SharedCatalog {
    current: RwLock<Arc<Catalog>>,
}

impl SharedCatalog {
    /// Starts with this reading.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self {
            current: RwLock::new(Arc::new(catalog)),
        }
    }

    /// The newest reading.
    #[must_use]
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`Catalog::get`].
    #[must_use]
    pub fn get(&self, provider: &str) -> Option<Arc<Connector>> {
        self.current().get(provider)
    }

    /// As [`Catalog::get_module`].
    #[must_use]
    pub fn get_module(&self, provider: &str, module: Option<&str>) -> Option<Arc<Connector>> {
        self.current().get_module(provider, module)
    }

    /// Reads the files again. A file that cannot be used keeps what was there for it, and is told.
    #[must_use]
    pub fn reload(&self, dir: Option<&Path>, base_urls: &BTreeMap<String, String>) -> Vec<LoadError> {
        let (next, errors) = self.current().reload(dir, base_urls);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        errors
    }
}
