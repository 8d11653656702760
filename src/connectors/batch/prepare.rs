//! The request of a batch.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{BatchCommand, BatchItem, hubspot, salesforce};
use crate::action::Action;
use crate::connectors::connector::Connector;
use crate::connectors::contract::{ProviderRequest, Refusal, RefusalKind};
use crate::connectors::declarative::body::has_associations;
use crate::connectors::declarative::definition::BatchForm;
use crate::connectors::declarative::escape::push_segment;
use crate::connectors::declarative::prepare::{find_plan, fixed_headers, pass_headers};
use crate::connectors::declarative::scope::Scope;
use crate::connectors::declarative::url::url;

impl Connector {
    /// The request for a batch.
    ///
    /// # Errors
    /// When the batch does not fit this connector; nothing was sent.
    pub fn prepare_batch(&self, command: &BatchCommand<'_>) -> Result<ProviderRequest, Refusal> {
        let around = self.surroundings();
        let none = Map::new();
        let single = command.single(&none);
        find_plan(&around, &single)?;
        let Some((batch, plan)) = self.batch_plan(command.action, command.object) else {
            let (provider, action, object) = (around.provider, command.action, command.object);
            return Err(Refusal::new(
                RefusalKind::UnsupportedAction,
                format!("{provider} has no batches for {action} of `{object}`; write the records one by one"),
            ));
        };
        self.check_items(command)?;
        let rules = self.record_rules();
        let records: Vec<Cow<'_, Map<String, Value>>> = command
            .items
            .iter()
            .map(|item| rules.as_sent(item.record))
            .collect();
        let items: Vec<BatchItem<'_>> = command
            .items
            .iter()
            .zip(&records)
            .map(|(item, record)| BatchItem { record, ..*item })
            .collect();
        let command = &BatchCommand {
            items: &items,
            ..*command
        };
        let scope = Scope::of(plan, &self.var_defaults, &single, &[]);
        let (method, body) = match batch.form {
            BatchForm::Hubspot => (http::Method::POST, hubspot::body(command)?),
            BatchForm::Salesforce => salesforce::request(command)?,
        };
        let path = if command.action == Action::Create {
            &batch.create
        } else {
            &batch.update
        };
        let url = url(&around, plan, &scope, path, &[])?;
        let mut headers = fixed_headers(plan, &scope)?;
        pass_headers(&around, &single, &mut headers)?;
        Ok(ProviderRequest {
            method,
            url,
            headers,
            content_type: Some(plan.content_type.clone()),
            body: Some(body),
        })
    }

    /// Checks what has to hold for the records of any batch.
    fn check_items(&self, command: &BatchCommand<'_>) -> Result<(), Refusal> {
        let refuse = |kind, message: String| Err(Refusal::new(kind, message));
        let (provider, action, items) = (&self.display_name, command.action, command.items);
        let most = usize::try_from(self.limits.batch).unwrap_or(usize::MAX);
        if items.is_empty() {
            return refuse(RefusalKind::InvalidRecord, "the batch has no records".into());
        }
        if items.len() > most {
            let count = items.len();
            return refuse(
                RefusalKind::InvalidRecord,
                format!("the batch has {count} records and {provider} takes at most {most} in one call"),
            );
        }
        let mut traces = HashSet::new();
        for (at, item) in items.iter().enumerate() {
            if item.trace_id.is_empty() || !traces.insert(item.trace_id) {
                return refuse(
                    RefusalKind::InvalidRecord,
                    format!("record {at} of the batch has no trace id of its own"),
                );
            }
            if action == Action::Update && !item.record_id.is_some_and(is_id) {
                return refuse(
                    RefusalKind::InvalidRecordId,
                    format!(
                        "record {at} of the batch: update of `{}` needs a record id; put it into `id` of the record",
                        command.object
                    ),
                );
            }
            if has_associations(item.associations) && !self.takes_associations_on(action) {
                return refuse(
                    RefusalKind::UnsupportedAssociations,
                    format!(
                        "record {at} of the batch: {provider} takes no associations on {action}; leave them out"
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Whether a text can be a record id, by the rule of single writes, which put it into a path.
pub(super) fn is_id(id: &str) -> bool {
    push_segment(&mut String::new(), id).is_ok()
}
