//! Writing and reading several records in one call, where the provider can: HubSpot and Salesforce.
//!
//! A file switches it on with `native: {batch: …}`; addresses, headers, credentials and the meaning of errors are those of
//! single writes. Pure, as everything here. What matters is that each record gets its own outcome and no other's: an id
//! is never given by position, except where the provider guarantees the order.

mod content;
mod hubspot;
mod hubspot_answer;
mod reading;
mod salesforce;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use self::reading::Reading;
use super::connector::Connector;
use super::contract::{
    Command, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal, RefusalKind,
};
use super::declarative::body::has_associations;
use super::declarative::definition::BatchForm;
use super::declarative::escape::push_segment;
use super::declarative::plan::Plan;
use super::declarative::prepare::{find_plan, fixed_headers, pass_headers};
use super::declarative::scope::Scope;
use super::declarative::text::Text;
use super::declarative::url::url;
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

/// The batch calls of a module, compiled.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    form: BatchForm,
    create: Text,
    update: Text,
    read: Text,
}

impl Batch {
    /// The calls of a form; `text` reads a path.
    pub(super) fn of(form: BatchForm, mut text: impl FnMut(&str) -> Text) -> Self {
        let [create, update, read] = match form {
            BatchForm::Hubspot => hubspot::PATHS,
            BatchForm::Salesforce => salesforce::PATHS,
        };
        Self {
            form,
            create: text(create),
            update: text(update),
            read: text(read),
        }
    }
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

    /// What an answer says about the batch it answers. `now` turns times in headers into waits.
    #[must_use]
    pub fn interpret_batch(
        &self,
        command: &BatchCommand<'_>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> BatchOutcome {
        let Some((batch, plan)) = self.batch_plan(command.action, command.object) else {
            // An answer to a batch that could not have been prepared: whoever calls has mixed two up.
            return BatchOutcome::Whole(Outcome::Unknown(ProviderError {
                class: ErrorClass::Unknown,
                code: None,
                message: format!("this is no answer to a batch of `{}`", command.object),
                status: response.status,
                existing_id: None,
            }));
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
            BatchForm::Hubspot => hubspot_answer::interpret(&reading, self.unique_fields(command.object)),
            BatchForm::Salesforce => salesforce::interpret(&reading),
        }
    }

    /// The request that reads some fields of several records, for fields that are written only when they are empty. `None`
    /// where this connector cannot read several at once, or not so many, or one of the ids cannot be one.
    #[must_use]
    pub fn read_current_batch(
        &self,
        object: &str,
        ids: &[&str],
        fields: &[&str],
        vars: &BTreeMap<String, String>,
    ) -> Option<ProviderRequest> {
        let (batch, plan) = self.batch_plan(Action::Update, object)?;
        let most = usize::try_from(self.limits.batch).unwrap_or(usize::MAX);
        if ids.is_empty() || ids.len() > most || !ids.iter().all(|id| is_id(id)) {
            return None;
        }
        let mut seen = HashSet::new();
        let ids: Vec<&str> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let none = Map::new();
        let scope = Scope {
            plan,
            object,
            id: None,
            record: &none,
            vars,
            var_defaults: &self.var_defaults,
            extra: &[],
        };
        let body = match batch.form {
            BatchForm::Hubspot => hubspot::read_body(&ids, fields),
            BatchForm::Salesforce => salesforce::read_body(&ids, fields),
        };
        Some(ProviderRequest {
            method: http::Method::POST,
            url: url(&self.surroundings(), plan, &scope, &batch.read, &[]).ok()?,
            headers: fixed_headers(plan, &scope).ok()?,
            content_type: Some(plan.content_type.clone()),
            body: Some(body.to_string().into_bytes()),
        })
    }

    /// The fields in the answer to [`Connector::read_current_batch`], by record id as asked. A record that is missing at
    /// the provider is absent from the map; a field that is absent has no value.
    ///
    /// # Errors
    /// The outcome that the failed read means for the writes: [`Outcome::Rejected`], [`Outcome::Retry`] or
    /// [`Outcome::Unauthorized`]. Also when the answer does not say which record is which.
    pub fn interpret_current_batch(
        &self,
        object: &str,
        ids: &[&str],
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Result<HashMap<String, Map<String, Value>>, Outcome> {
        if let Some(outcome) = self.read_failure(object, vars, response, now) {
            return Err(outcome);
        }
        let Some((batch, plan)) = self.batch_plan(Action::Update, object) else {
            return Ok(HashMap::new());
        };
        let command = BatchCommand {
            action: Action::Update,
            object,
            items: &[],
            headers: &[],
            vars,
            all_or_none: false,
        };
        let none = Map::new();
        let single = command.single(&none);
        let reading = Reading {
            module: &self.module,
            plan,
            scope: Scope::of(plan, &self.var_defaults, &single, &[]),
            command: &command,
            response,
            now,
        };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match batch.form {
            BatchForm::Hubspot => hubspot_answer::current(&reading, ids, &body),
            BatchForm::Salesforce => salesforce::current(&reading, ids, &body),
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
fn is_id(id: &str) -> bool {
    push_segment(&mut String::new(), id).is_ok()
}
