//! The control plane: every use case that is not a write, once, whoever asks for it. The API, the command line, `dev` and
//! whatever comes later call the same functions, with the same checks.
//!
//! It is the only caller of the store's changing methods for these, and each change ends in `Done`: what is cached of it
//! is used no more. It knows nothing of HTTP: what cannot be done is an [`Error`].

mod actor;
mod error;
pub mod keys;
pub mod projects;

use std::sync::Arc;

use crate::changes::Changes;
use crate::clock::SharedClock;
use crate::store::{Change, SharedStore};
pub use actor::Actor;
pub use error::{Error, Kind, Refused};
pub use projects::Projects;

/// The use cases, over the parts that they need.
#[derive(Debug)]
pub struct Control {
    /// Projects and their API keys: what needs no more than a store.
    pub projects: Projects,
}

impl Control {
    /// Over the parts of a service.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, changes: Arc<Changes>) -> Self {
        Self {
            projects: Projects::new(store, clock, changes),
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
}
