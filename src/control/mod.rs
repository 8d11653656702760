//! The control plane: every use case that is not a write, once, whoever asks for it. The API, the command line, `dev` and
//! whatever comes later call the same functions, with the same checks.
//!
//! It is the only caller of the store's changing methods for these, and each change ends in `Done`: what is cached of it is
//! used no more. Lanes that can go on are told so. It knows nothing of HTTP: what cannot be done is an [`Error`].

mod actor;
pub mod authorize;
pub mod connections;
mod error;
pub mod installations;
pub mod integrations;
pub mod jwt;
pub mod keys;
pub mod operations;
pub mod projects;
pub mod provider_apps;
pub mod uploads;
mod uses;

use std::sync::Arc;

use crate::changes::Changes;
use crate::clock::SharedClock;
use crate::connectors::SharedCatalog;
use crate::store::{Change, SharedStore};
use crate::vault::Vault;
use crate::writes::Writes;
use crate::writes::request::text_fault;
pub use actor::{Actor, Consumer};
pub use error::{Error, Kind, Refused};
pub use projects::Projects;

/// The longest reference or name, in bytes.
const MAX_REF_BYTES: usize = 512;

/// The use cases, over the parts that they need.
#[derive(Debug)]
pub struct Control {
    /// Projects and their API keys: what needs no more than a store.
    pub projects: Projects,
    store: SharedStore,
    vault: Arc<Vault>,
    catalog: Arc<SharedCatalog>,
    writes: Arc<Writes>,
    clock: SharedClock,
    done: Done,
    /// Where browsers reach this server, without a slash at its end.
    public_url: Option<String>,
}

impl Control {
    /// Over the parts of a service.
    #[must_use]
    pub fn new(
        store: SharedStore,
        vault: Arc<Vault>,
        catalog: Arc<SharedCatalog>,
        writes: Arc<Writes>,
        clock: SharedClock,
        public_url: Option<&str>,
    ) -> Self {
        let changes = Arc::clone(&writes.changes);
        Self {
            done: Done(Arc::clone(&changes)),
            projects: Projects::new(store.clone(), clock.clone(), changes),
            store,
            vault,
            catalog,
            writes,
            clock,
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
        }
    }
}

/// The end of each change.
#[derive(Debug, Clone)]
struct Done(Arc<Changes>);

impl Done {
    /// What is cached of it on this node is used no more; others hear of it through the store. (Who did what would be
    /// written down here.)
    fn note(&self, _actor: &Actor, changes: &[Change]) {
        self.0.note(changes);
    }

    /// The same of what somebody began who has left since.
    fn note_attributed(&self, _who: &str, changes: &[Change]) {
        self.0.note(changes);
    }
}

/// Checks a reference or a name that stands in this field.
fn check_text(text: &str, field: &str) -> Result<(), Error> {
    match text_fault(text, MAX_REF_BYTES) {
        Some(fault) => Err(Error::invalid(field, fault)),
        None => Ok(()),
    }
}
