//! One record of a write, mapped and ready to be sent.

use serde_json::{Map, Value};

use super::route::Route;
use crate::action::Action;
use crate::connectors::{Command, ErrorClass, Outcome, Refusal};
use crate::mapping::{Applied, ApplyError, ApplyOptions, Decision, Plan, TraceEntry};
use crate::record_rules::find_key;

/// One record of a write, mapped and ready to be sent.
#[derive(Debug)]
pub struct Job<'a> {
    /// The way.
    pub route: &'a Route,
    /// The compiled rules.
    pub plan: &'a Plan,
    /// What to do.
    pub action: Action,
    /// The mapped record.
    pub applied: Applied,
    /// Links to other records.
    pub associations: &'a [Value],
    /// Headers to pass through.
    pub headers: &'a [(String, String)],
    /// The same on every attempt, and another for each record: made of the operation's id. It names the record within a call.
    pub idempotency_key: String,
    /// An earlier request of this operation may have been applied.
    pub repeated: bool,
    /// The fields that `ifEmpty` has left out, once that is decided.
    pub(super) skipped: Vec<String>,
}

impl<'a> Job<'a> {
    /// Applies the rules to a record, with its associations and the headers of the write.
    ///
    /// # Errors
    /// When the record cannot be written as it is.
    pub fn new(
        route: &'a Route,
        plan: &'a Plan,
        action: Action,
        record: Map<String, Value>,
        strict: bool,
        (associations, headers): (&'a [Value], &'a [(String, String)]),
        idempotency_key: String,
    ) -> Result<Self, ApplyError> {
        let applied = plan.apply(record, action, ApplyOptions { strict })?;
        let mut job = Self {
            route,
            plan,
            action,
            applied,
            associations,
            headers,
            idempotency_key,
            repeated: false,
            skipped: Vec::new(),
        };
        job.tell_nothing_sent();
        Ok(job)
    }

    /// An update of which nothing is left succeeds without a request, be the record there or not: that is told.
    fn tell_nothing_sent(&mut self) {
        let told = |entry: &TraceEntry| entry.decision == Decision::NothingSent;
        if self.is_empty_update() && !self.applied.trace.iter().any(told) {
            self.applied.trace.push(TraceEntry {
                source: None,
                target: None,
                decision: Decision::NothingSent,
                sent_as: None,
            });
        }
    }

    /// Leaves out what `ifEmpty` left out when it was sent.
    pub(super) fn leave_out(&mut self, skipped: &[String]) {
        let applied = std::mem::take(&mut self.applied);
        self.applied = applied.decide_filled(skipped);
        self.tell_nothing_sent();
    }

    /// Leaves out what is written only when the provider has no value, where it has one.
    pub(super) fn decide_filled(&mut self, current: &Map<String, Value>) {
        self.skipped = self.applied.filled(current);
        self.leave_out(&self.skipped.clone());
    }

    pub(super) fn command(&self) -> Command<'_> {
        Command {
            action: self.action,
            object: self.plan.provider_object(),
            record_id: self.applied.record_id.as_deref(),
            record: &self.applied.record,
            associations: self.associations,
            headers: self.headers,
            vars: &self.route.connection.vars,
            idempotency_key: Some(&self.idempotency_key),
            repeated: self.repeated,
        }
    }

    /// Whether the rules left nothing to write: then the provider is not asked.
    #[must_use]
    pub fn is_empty_update(&self) -> bool {
        self.action == Action::Update && self.applied.record.is_empty()
    }

    /// What an update comes to of which the rules left nothing to write.
    pub(super) fn nothing_to_write(&self) -> Outcome {
        Outcome::Succeeded {
            record_id: self.applied.record_id.clone(),
            data: None,
        }
    }

    /// Says before anything is stored or sent whether the connector can make a request of it.
    ///
    /// # Errors
    /// The connector's refusal.
    pub fn check(&self) -> Result<(), Refusal> {
        self.route.connector.prepare(&self.command(), &[]).map(drop)
    }

    /// Whether repeating it can make a second record.
    #[must_use]
    pub fn is_unsafe_to_repeat(&self) -> bool {
        !self
            .route
            .connector
            .repeat_safe(self.action, self.plan.provider_object())
    }

    /// The fields of a create that the provider keeps unique, with their values: by these its record can be found.
    pub(super) fn unique_values(&self) -> impl Iterator<Item = (&str, &str)> {
        let connector = &self.route.connector;
        let any_case = connector.record_rules().names.any_case();
        let fields = match self.action {
            Action::Create => connector.unique_fields(self.plan.provider_object()),
            // A record that is there says nothing about a change of it.
            Action::Update | Action::Delete => &[],
        };
        let record = &self.applied.record;
        fields.iter().filter_map(move |field| {
            let value = record.get(find_key(record, field, any_case)?)?.as_str()?;
            (!value.is_empty()).then_some((field.as_str(), value))
        })
    }

    /// Whether its fate can be looked up.
    #[must_use]
    pub fn has_unique_value(&self) -> bool {
        self.unique_values().next().is_some()
    }

    /// A delete names no record afterwards; and when there was none, the message says which.
    pub(super) fn settle_delete(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Rejected(mut error)
                if self.action == Action::Delete && error.class == ErrorClass::NotFound =>
            {
                let id = self.applied.record_id.as_deref().unwrap_or_default();
                error.message = format!("The record with ID {id} was not found: {}", error.message);
                Outcome::Rejected(error)
            }
            Outcome::Succeeded { data, .. } if self.action == Action::Delete => Outcome::Succeeded {
                record_id: None,
                data,
            },
            other => other,
        }
    }
}
