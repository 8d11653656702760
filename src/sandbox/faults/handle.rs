//! The handle to a fault in force.

use std::sync::Arc;

use super::engine::Fault;
use super::spec::FaultSpec;
use crate::sandbox::core::Core;

/// A fault in force.
#[derive(Debug, Clone)]
pub struct FaultHandle {
    core: Arc<Core>,
    fault: Arc<Fault>,
}

impl FaultHandle {
    pub(crate) const fn new(core: Arc<Core>, fault: Arc<Fault>) -> Self {
        Self { core, fault }
    }

    /// Its number in the control API.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.fault.id
    }

    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &FaultSpec {
        &self.fault.spec
    }

    /// How often it acted.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.fault.hits()
    }

    /// Waits until it acted that often.
    pub async fn wait_hits(&self, hits: u64) {
        self.fault.wait_hits(hits).await;
    }

    /// Lets go the requests that a `hold` keeps, and those still to come.
    pub fn release(&self) {
        self.fault.release();
    }

    /// Takes the fault away and releases what it holds.
    pub fn remove(&self) {
        self.core.faults.remove(self.fault.id);
    }
}
