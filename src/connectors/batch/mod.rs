//! Writing and reading several records in one call, where the provider can: HubSpot and Salesforce.
//!
//! A file switches it on with `native: {batch: …}`; addresses, headers, credentials and the meaning of errors are those of
//! single writes. Pure, as everything here. What matters is that each record gets its own outcome and no other's: an id
//! is never given by position, except where the provider guarantees the order.

mod content;
mod hubspot;
mod prepare;
mod reading;
mod reads;
mod salesforce;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use self::reading::Reading;
use super::connector::Connector;
use super::contract::{Command, ErrorClass, Outcome, ProviderError, ProviderResponse};
use super::declarative::batch_plan::Batch;
use super::declarative::definition::BatchForm;
use super::declarative::plan::Plan;
use super::declarative::scope::Scope;
use crate::action::Action;

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchItem<'a> {
    /// Names the item within the call, unique in it; echoed by providers that can.
    pub trace_id: &'a str,
    /// The provider's id of the record; needed for update.
    pub record_id: Option<&'a str>,
    /// The record in the provider's words.
    pub record: &'a Map<String, Value>,
    /// Links to other records, in the provider's own shape. Only some providers take them.
    pub associations: &'a [Value],
}

/// Several writes of one kind in one call.
#[derive(Debug, Clone, Copy)]
pub struct BatchCommand<'a> {
    /// What to do to the records: create or update.
    pub action: Action,
    /// The provider's name of the object, the same for all records.
    pub object: &'a str,
    /// The records: at least one, at most [`BatchSupport::records`].
    pub items: &'a [BatchItem<'a>],
    /// Headers the caller wants passed on, as name and value. Only some providers take them.
    pub headers: &'a [(String, String)],
    /// The variables of the connection, such as `workspace`.
    pub vars: &'a BTreeMap<String, String>,
    /// One failure takes everything back, as far as the provider can: see [`BatchSupport::atomic`].
    pub all_or_none: bool,
}

impl<'a> BatchCommand<'a> {
    /// The batch as a command without a record: what the rules of single writes look at.
    fn single(&self, record: &'a Map<String, Value>) -> Command<'a> {
        Command {
            action: self.action,
            object: self.object,
            record_id: None,
            record,
            associations: &[],
            headers: self.headers,
            vars: self.vars,
            idempotency_key: None,
            repeated: false,
        }
    }
}

/// What an answer says about a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchOutcome {
    /// One outcome for each item, in the order of the items. A record that was certainly written and whose id cannot be
    /// told is [`Outcome::Succeeded`] without an id.
    Each(Vec<Outcome>),
    /// One for the call as a whole: it was refused, or nobody knows. With [`Outcome::Rejected`], [`Outcome::Retry`] and
    /// [`Outcome::Unauthorized`] nothing was applied, or all of it may be repeated without harm; it is never
    /// [`Outcome::Succeeded`].
    Whole(Outcome),
}

/// What a provider can do in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSupport {
    /// The most records in one call.
    pub records: usize,
    /// Whether [`BatchCommand::all_or_none`] is kept for this action. Where it is not, it is accepted all the same, and
    /// records succeed and fail one by one.
    pub atomic: bool,
}

impl Connector {
    /// What the provider can do in one call; `None` where records have to be written one by one: no batches at this
    /// provider, not for this action, or the file has rules of its own for the object.
    #[must_use]
    pub fn batch(&self, action: Action, object: &str) -> Option<BatchSupport> {
        let (batch, _) = self.batch_plan(action, object)?;
        let atomic = match batch.form {
            // Trace ids make a create partial; an update is always partial (fixtures of amp-labs/connectors).
            BatchForm::Hubspot => action == Action::Create,
            BatchForm::Salesforce => true,
        };
        let records = usize::try_from(self.limits.batch).unwrap_or(usize::MAX);
        Some(BatchSupport { records, atomic })
    }

    /// Whether this action can be done on several records in one call, on any object.
    #[must_use]
    pub fn batches(&self, action: Action) -> bool {
        self.module.batch.is_some() && action != Action::Delete && self.supports_action(action)
    }

    /// What an answer says about the batch it answers. `now` turns times in headers into waits.
    #[must_use]
    pub fn interpret_batch(
        &self,
        command: &BatchCommand<'_>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> BatchOutcome {
        let Some((batch, plan)) = self.batch_plan(command.action, command.object) else {
            return BatchOutcome::Whole(mixed_up(command.object, response));
        };
        let none = Map::new();
        let single = command.single(&none);
        let reading = Reading {
            module: &self.module,
            plan,
            scope: Scope::of(plan, &self.var_defaults, &single, &[]),
            command,
            response,
            now,
        };
        match batch.form {
            BatchForm::Hubspot => hubspot::interpret(&reading, self.unique_fields(command.object)),
            BatchForm::Salesforce => salesforce::interpret(&reading),
        }
    }

    /// The batch calls, and the plan of the single write whose address and headers they share.
    fn batch_plan(&self, action: Action, object: &str) -> Option<(&Batch, &Plan)> {
        let batch = self.module.batch.as_ref()?;
        // An object with rules of its own is written by those, and a batch does not know them.
        let own_rules = self.module.objects.contains_key(object);
        let plan = self.module.plan(action, object)?;
        (action != Action::Delete && !own_rules).then_some((batch, plan))
    }
}

/// An answer to a batch that could not have been prepared: whoever calls has mixed two up.
fn mixed_up(object: &str, response: &ProviderResponse) -> Outcome {
    Outcome::Unknown(ProviderError {
        class: ErrorClass::Unknown,
        code: None,
        message: format!("this is no answer to a batch of `{object}`"),
        status: response.status,
        existing_id: None,
    })
}
