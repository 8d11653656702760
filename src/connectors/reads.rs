//! Reads that surround a write: current values for `ifEmpty`, and finding a record by a unique field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::connector::Connector;
use super::contract::{Command, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse};
use super::declarative::errors::{classify, outcome};
use super::declarative::json_path::JsonPath;
use super::declarative::json_path::scalar;
use super::declarative::plan::Plan;
use super::declarative::scope::Scope;
use super::declarative::url::url;
use crate::action::Action;

/// The reads of a module.
#[derive(Debug, Clone)]
pub struct Reads {
    /// Reading fields of a record, and where they are in the answer.
    pub(super) current: Option<(Read, JsonPath)>,
    /// Finding a record by a unique field.
    pub(super) unique: Option<Unique>,
    /// Asking what the object's fields are.
    pub(super) describe: Option<super::describe::Describe>,
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Read {
    /// The request as a plan without a body.
    pub(super) plan: Plan,
}

/// Finding a record by a unique field.
#[derive(Debug, Clone)]
pub struct Unique {
    pub(super) read: Read,
    /// The list of records; without it the answer is the record.
    pub(super) list: Option<JsonPath>,
    pub(super) id: JsonPath,
    pub(super) created_at: Option<JsonPath>,
    pub(super) fields: JsonPath,
    /// Unique fields by object; `*` for all objects.
    pub(super) objects: BTreeMap<String, Vec<String>>,
}

/// The answer to a search by a unique field.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One record.
    One {
        /// Its id.
        id: String,
        /// When it was made, as far as the provider says.
        created_at: Option<jiff::Timestamp>,
        /// The fields that came with it.
        properties: Map<String, Value>,
    },
    /// More than one: the ids.
    Several(Vec<String>),
    /// None. A provider whose index lags may answer this for a record that was made a moment ago.
    Absent,
    /// The search failed.
    Failed(ProviderError),
}

impl Connector {
    /// What an answer to a [`super::Step::Lookup`] means when it is not a success: the outcome of the whole write, which was
    /// not sent. `None` when the answer is fine and [`Connector::prepare`] can go on.
    #[must_use]
    pub fn interpret_lookup(
        &self,
        command: &Command<'_>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Option<Outcome> {
        self.read_failure(command.object, command.vars, response, now)
    }

    /// The request that reads some fields of a record; `None` where this connector cannot read.
    #[must_use]
    pub fn read_current(
        &self,
        object: &str,
        id: &str,
        fields: &[&str],
        vars: &BTreeMap<String, String>,
    ) -> Option<ProviderRequest> {
        let (read, _) = self.module.reads.as_ref()?.current.as_ref()?;
        let fields = fields.join(",");
        self.read(read, object, Some(id), vars, &[("fields", &fields)])
    }

    /// The fields in the answer to [`Connector::read_current`]. A field that is absent has no value.
    ///
    /// # Errors
    /// The outcome that the failed read means for the write: [`Outcome::Rejected`], [`Outcome::Retry`] or
    /// [`Outcome::Unauthorized`].
    pub fn interpret_current(
        &self,
        object: &str,
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Result<Map<String, Value>, Outcome> {
        if let Some(outcome) = self.read_failure(object, vars, response, now) {
            return Err(outcome);
        }
        let path = self
            .module
            .reads
            .as_ref()
            .and_then(|reads| reads.current.as_ref())
            .map(|(_, path)| path);
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok(path
            .and_then(|path| path.first(&body)?.as_object().cloned())
            .unwrap_or_default())
    }

    /// The fields by which a record of this object can be found: the provider keeps their values unique.
    #[must_use]
    pub fn unique_fields(&self, object: &str) -> &[String] {
        let Some(unique) = self.module.reads.as_ref().and_then(|reads| reads.unique.as_ref()) else {
            return &[];
        };
        // Providers take the names of objects in any case, so that apps do too.
        unique
            .objects
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(object))
            .map(|(_, fields)| fields)
            .or_else(|| unique.objects.get("*"))
            .map_or(&[], Vec::as_slice)
    }

    /// The request that finds a record by a field; `None` where this connector cannot find by it.
    #[must_use]
    pub fn find_by_unique(
        &self,
        object: &str,
        field: &str,
        value: &str,
        vars: &BTreeMap<String, String>,
    ) -> Option<ProviderRequest> {
        let unique = self.module.reads.as_ref()?.unique.as_ref()?;
        if value.is_empty()
            || !field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            || field.is_empty()
        {
            return None;
        }
        // Object names stand inside a query text at some providers.
        if !object
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            return None;
        }
        self.read(
            &unique.read,
            object,
            None,
            vars,
            &[("field", field), ("value", value)],
        )
    }

    /// What the answer to [`Connector::find_by_unique`] found.
    #[must_use]
    pub fn interpret_found(
        &self,
        object: &str,
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Found {
        let Some(unique) = self.module.reads.as_ref().and_then(|reads| reads.unique.as_ref()) else {
            return Found::Absent;
        };
        match self.read_failure(object, vars, response, now) {
            None => {}
            Some(Outcome::Rejected(e)) if e.class == ErrorClass::NotFound && unique.list.is_none() => {
                return Found::Absent;
            }
            Some(
                Outcome::Rejected(error)
                | Outcome::Unauthorized(error)
                | Outcome::Unknown(error)
                | Outcome::Retry { error, .. },
            ) => return Found::Failed(error),
            Some(Outcome::Succeeded { .. }) => return Found::Absent,
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let records: Vec<&Value> = match &unique.list {
            None => vec![&body],
            Some(path) => path
                .all(&body)
                .into_iter()
                .filter_map(Value::as_array)
                .flatten()
                .collect(),
        };
        let id = |record: &Value| unique.id.first(record).and_then(scalar);
        match records.as_slice() {
            [] => Found::Absent,
            [record] => match id(record) {
                None => Found::Absent,
                Some(id) => Found::One {
                    id,
                    created_at: unique
                        .created_at
                        .as_ref()
                        .and_then(|path| time(path.first(record)?.as_str()?)),
                    properties: unique
                        .fields
                        .first(record)
                        .and_then(Value::as_object)
                        .cloned()
                        .unwrap_or_default(),
                },
            },
            many => Found::Several(many.iter().filter_map(|record| id(record)).collect()),
        }
    }

    pub(super) fn read(
        &self,
        read: &Read,
        object: &str,
        id: Option<&str>,
        vars: &BTreeMap<String, String>,
        extra: &[(&'static str, &str)],
    ) -> Option<ProviderRequest> {
        if !self.module.knows(object) {
            return None;
        }
        let record = Map::new();
        let plan = &read.plan;
        let scope = Scope {
            plan,
            object,
            id,
            record: &record,
            vars,
            var_defaults: &self.var_defaults,
            extra,
        };
        let headers = plan
            .headers
            .iter()
            .map(|(name, text)| Some((name.clone(), text.render_plain(&scope)?)));
        Some(ProviderRequest {
            method: http::Method::GET,
            url: url(&self.surroundings(), plan, &scope, &plan.path, &plan.query).ok()?,
            headers: headers.collect::<Option<_>>()?,
            content_type: None,
            body: None,
        })
    }

    /// What the answer to a read means when it is not a success. A read changes nothing, so it may always be repeated.
    pub(super) fn read_failure(
        &self,
        object: &str,
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Option<Outcome> {
        let parsed = serde_json::from_slice::<Value>(&response.body).ok();
        let ok = (200..300).contains(&response.status);
        if ok && parsed.is_some() && !response.truncated {
            return None;
        }
        let record = Map::new();
        let plan = self.any_plan()?;
        let scope = Scope {
            plan,
            object,
            id: None,
            record: &record,
            vars,
            var_defaults: &self.var_defaults,
            extra: &[],
        };
        let default = ok.then_some(ErrorClass::Transient);
        let failure = classify(
            &self.module.errors,
            &scope,
            Action::Update,
            response,
            parsed.as_ref(),
            default,
            now,
        );
        Some(outcome(failure, response, now, true))
    }
}

/// Reads a time; Salesforce writes its offset without a colon.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let (head, offset) = text.split_at_checked(text.len().checked_sub(5)?)?;
        let (sign, digits) = offset.split_at_checked(1)?;
        let (hours, minutes) = digits.split_at_checked(2)?;
        format!("{head}{sign}{hours}:{minutes}").parse().ok()
    })
}
