//! Current values of several records in one call.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::prepare::is_id;
use super::reading::Reading;
use super::{BatchCommand, hubspot, mixed_up, salesforce};
use crate::action::Action;
use crate::connectors::connector::Connector;
use crate::connectors::contract::{Outcome, ProviderRequest, ProviderResponse};
use crate::connectors::declarative::definition::BatchForm;
use crate::connectors::declarative::prepare::fixed_headers;
use crate::connectors::declarative::scope::Scope;
use crate::connectors::declarative::url::url;

impl Connector {
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

    /// The fields in the answer to [`Connector::read_current_batch`], by record id as asked. A record of which the provider
    /// says that it is missing is absent from the map; a field that is absent has no value.
    ///
    /// # Errors
    /// The outcome that the failed read means for the writes: [`Outcome::Rejected`], [`Outcome::Retry`] or
    /// [`Outcome::Unauthorized`]. Also when the answer does not say which record is which.
    pub fn interpret_current_batch(
        &self,
        object: &str,
        ids: &[&str],
        fields: &[&str],
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Result<HashMap<String, Map<String, Value>>, Outcome> {
        let answer = self.read_answer(object, vars, response, now);
        let body = answer.body()?;
        let Some((batch, plan)) = self.batch_plan(Action::Update, object) else {
            return Err(mixed_up(object, response));
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
        let found = match batch.form {
            BatchForm::Hubspot => hubspot::current(&reading, ids, &body),
            BatchForm::Salesforce => salesforce::current(ids, &body).ok_or(None),
        };
        // An error of one record is what it is; an answer that says nothing about one says nothing at all.
        let found = found.map_err(|error| {
            error.unwrap_or_else(|| answer.unclear(Some(&body), "it does not say which record is which"))
        })?;
        for record in found.values() {
            self.check_fields(record, fields)
                .map_err(|why| answer.unclear(Some(&body), &why))?;
        }
        Ok(found)
    }
}
