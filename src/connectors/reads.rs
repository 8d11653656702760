//! Reads that surround a write: current values for `ifEmpty`, and finding a record by a unique field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::connector::Connector;
use super::contract::{Command, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse};
use super::declarative::answers::{find_id, holds, is_readable_id};
use super::declarative::json_path::scalar;
use super::declarative::prepare::find_plan;
use super::declarative::read_plan::{Read, Unique};
use super::declarative::scope::Scope;
use super::declarative::url::url;
use super::read_answers::{ReadAnswer, same_record};

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
        let answer = self.read_answer(command.object, command.vars, response, now);
        let body = match answer.body() {
            Ok(body) => body,
            Err(outcome) => return Some(outcome),
        };
        let plan = find_plan(&self.surroundings(), command).ok()?;
        let plan = plan.for_record(command.record);
        let rename = plan.lookup.as_ref()?.rename.as_ref()?;
        let is_list = rename.list.first(&body).is_some_and(Value::is_array);
        (!is_list).then(|| answer.unclear(Some(&body), "without the list that was asked for"))
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
        let current = self.module.reads.as_ref()?.current.as_ref()?;
        let fields = fields.join(",");
        self.read(&current.read, object, Some(id), vars, &[("fields", &fields)])
    }

    /// The fields in the answer to [`Connector::read_current`], which asked for these of this record. A field that is
    /// absent has no value.
    ///
    /// # Errors
    /// The outcome that the failed read means for the write: [`Outcome::Rejected`], [`Outcome::Retry`] or
    /// [`Outcome::Unauthorized`]. Also when the answer is not about this record, or does not tell what was asked for.
    pub fn interpret_current(
        &self,
        object: &str,
        id: &str,
        fields: &[&str],
        vars: &BTreeMap<String, String>,
        response: &ProviderResponse,
        now: Timestamp,
    ) -> Result<Map<String, Value>, Outcome> {
        let answer = self.read_answer(object, vars, response, now);
        let body = answer.body()?;
        let unclear = |why: &str| answer.unclear(Some(&body), why);
        let Some(current) = self.module.reads.as_ref().and_then(|r| r.current.as_ref()) else {
            return Err(unclear("this connector reads no records"));
        };
        let told = answer.with_scope(&current.read.plan, |scope| {
            let mut places = current.id.iter();
            places.find_map(|place| find_id(place, scope, response, Some(&body)))
        });
        match told {
            None => return Err(unclear("without the record that was asked for")),
            Some(told) if !same_record(&told, id) => {
                let why = format!(
                    "with record {told} and not with the one that was asked for; if the two were merged, write to that one"
                );
                return Err(unclear(&why));
            }
            Some(_) => {}
        }
        let Some(found) = current.fields.first(&body).and_then(Value::as_object) else {
            return Err(unclear("without the fields of the record"));
        };
        self.check_fields(found, fields).map_err(|why| unclear(&why))?;
        Ok(found.clone())
    }

    /// Whether these values of a record say of each of these fields whether it is empty.
    pub(super) fn check_fields(&self, found: &Map<String, Value>, fields: &[&str]) -> Result<(), String> {
        let current = self.module.reads.as_ref().and_then(|r| r.current.as_ref());
        if current.is_some_and(|current| current.absent_is_empty) {
            // A record always shows something.
            return if found.is_empty() {
                Err("without a single field of the record".to_owned())
            } else {
                Ok(())
            };
        }
        // Whether case counts in names is not decided here.
        let shown = |field: &str| found.keys().any(|name| name.eq_ignore_ascii_case(field));
        match fields.iter().find(|field| !shown(field)) {
            Some(field) => Err(format!("without the field `{field}`, which was asked for")),
            None => Ok(()),
        }
    }

    pub(super) const fn read_answer<'a>(
        &'a self,
        object: &'a str,
        vars: &'a BTreeMap<String, String>,
        response: &'a ProviderResponse,
        now: Timestamp,
    ) -> ReadAnswer<'a> {
        ReadAnswer {
            connector: self,
            object,
            vars,
            response,
            now,
        }
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
        let answer = self.read_answer(object, vars, response, now);
        let body = match answer.body() {
            Ok(body) => body,
            Err(outcome) => return self.not_found(outcome, response),
        };
        let unclear = |why: &str| failed(answer.unclear(Some(&body), why));
        let Some(unique) = self.unique() else {
            return unclear("this connector finds no records");
        };
        let records: Vec<&Value> = match &unique.list {
            None => vec![&body],
            Some(path) => match path.first(&body) {
                Some(Value::Array(records)) => records.iter().collect(),
                _ => return unclear("without the list of records"),
            },
        };
        if records.is_empty() {
            let none = answer.with_scope(&unique.read.plan, |scope| {
                unique.none.iter().all(|condition| holds(condition, scope, &body))
            });
            return if none {
                Found::Absent
            } else {
                unclear("without saying that there is no record")
            };
        }
        let id = |record: &&Value| {
            let id = unique.id.first(record).and_then(scalar);
            id.filter(|id| is_readable_id(id))
        };
        let Some(mut ids) = records.iter().map(id).collect::<Option<Vec<String>>>() else {
            return unclear("with a record that has no id");
        };
        match (records.as_slice(), ids.pop()) {
            ([record], Some(id)) => Found::One {
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
            (_, last) => Found::Several(ids.into_iter().chain(last).collect()),
        }
    }

    fn unique(&self) -> Option<&Unique> {
        self.module.reads.as_ref()?.unique.as_ref()
    }

    /// What a search comes to that failed. Where the answer to one is the record itself, a 404 says that there is none.
    fn not_found(&self, outcome: Outcome, response: &ProviderResponse) -> Found {
        let by_status = response.status == 404 && self.unique().is_some_and(|unique| unique.list.is_none());
        match outcome {
            Outcome::Rejected(error) if by_status && error.class == ErrorClass::NotFound => Found::Absent,
            outcome => failed(outcome),
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
}

fn failed(outcome: Outcome) -> Found {
    match outcome {
        Outcome::Rejected(error)
        | Outcome::Unauthorized(error)
        | Outcome::Unknown(error)
        | Outcome::Retry { error, .. } => Found::Failed(error),
        // No read comes to this; and if one did, it would say nothing about a record.
        Outcome::Succeeded { .. } => Found::Failed(ProviderError {
            class: ErrorClass::Transient,
            code: None,
            message: "the search came to nothing".to_owned(),
            status: 0,
            existing_id: None,
        }),
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
