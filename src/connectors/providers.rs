//! What the rules of a manifest ask about providers.

use std::sync::Arc;

use super::{Catalog, SharedCatalog};
use crate::action::Action;
use crate::manifest::Providers;
use crate::record_rules::RecordRules;

impl Providers for Catalog {
    fn knows(&self, provider: &str) -> bool {
        self.get(provider).is_some()
    }

    fn knows_module(&self, provider: &str, module: &str) -> bool {
        self.get_module(provider, Some(module)).is_some()
    }

    fn can_write(&self, provider: &str) -> bool {
        self.get(provider).is_some_and(|connector| {
            [Action::Create, Action::Update, Action::Delete]
                .into_iter()
                .any(|action| connector.supports_action(action))
        })
    }

    fn supports_object(&self, provider: &str, module: Option<&str>, object: &str) -> bool {
        self.get_module(provider, module).is_some_and(|connector| {
            [Action::Create, Action::Update, Action::Delete]
                .into_iter()
                .any(|action| connector.supports(action, object))
        })
    }

    fn record_rules(&self, provider: &str, module: Option<&str>) -> Arc<RecordRules> {
        let connector = self.get_module(provider, module);
        connector.map_or_else(Arc::default, |connector| Arc::clone(connector.record_rules()))
    }
}

impl Providers for SharedCatalog {
    fn knows(&self, provider: &str) -> bool {
        self.current().knows(provider)
    }

    fn knows_module(&self, provider: &str, module: &str) -> bool {
        self.current().knows_module(provider, module)
    }

    fn can_write(&self, provider: &str) -> bool {
        self.current().can_write(provider)
    }

    fn supports_object(&self, provider: &str, module: Option<&str>, object: &str) -> bool {
        self.current().supports_object(provider, module, object)
    }

    fn record_rules(&self, provider: &str, module: Option<&str>) -> Arc<RecordRules> {
        self.current().record_rules(provider, module)
    }
}
