//! What reading an answer to a batch needs, whatever the provider.

use jiff::Timestamp;
use serde_json::Value;

use super::{BatchCommand, BatchOutcome};
use crate::action::Action;
use crate::connectors::contract::{ErrorClass, Outcome, ProviderError, ProviderResponse};
use crate::connectors::declarative::compile::Compiled;
use crate::connectors::declarative::errors::{Failure, classify, outcome};
use crate::connectors::declarative::plan::Plan;
use crate::connectors::declarative::prepare::repeat_safe;
use crate::connectors::declarative::scope::Scope;

/// An answer, the batch it answers, and the rules of the connector's single writes.
pub(super) struct Reading<'a> {
    pub(super) module: &'a Compiled,
    pub(super) plan: &'a Plan,
    pub(super) scope: Scope<'a>,
    pub(super) command: &'a BatchCommand<'a>,
    pub(super) response: &'a ProviderResponse,
    pub(super) now: Timestamp,
}

impl Reading<'_> {
    /// Whether the status is a success.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.response.status)
    }

    /// Whether the same write may be sent twice.
    pub(super) fn repeat_safe(&self) -> bool {
        repeat_safe(self.plan, self.command.action, None)
    }

    /// The whole call failed: what a single write would make of this answer.
    pub(super) fn refused(&self, body: Option<&Value>) -> BatchOutcome {
        let failure = self.classify(self.response, body, None);
        BatchOutcome::Whole(outcome(failure, self.response, self.now, self.repeat_safe()))
    }

    /// The call was sent, and its answer cannot be read.
    pub(super) fn unreadable(&self, why: &str) -> BatchOutcome {
        let status = self.response.status;
        let message = format!("the provider answered with status {status}, but {why}");
        BatchOutcome::Whole(self.server(message, self.response))
    }

    /// The answer does not tell what became of a record.
    pub(super) fn untold(&self, why: &str) -> Outcome {
        self.server(why.to_owned(), &self.bare())
    }

    /// What an answer says about one record that failed. `safe`: repeating it can do no harm.
    pub(super) fn item(&self, error: &Value, safe: bool) -> Outcome {
        let response = self.bare();
        let failure = self.classify(&response, Some(error), Some(ErrorClass::Validation));
        outcome(failure, &response, self.now, safe)
    }

    fn server(&self, message: String, response: &ProviderResponse) -> Outcome {
        let error = ProviderError {
            class: ErrorClass::Server,
            code: None,
            message,
            status: response.status,
            existing_id: None,
        };
        let failure = Failure {
            error,
            wait_seconds: None,
        };
        outcome(failure, response, self.now, self.repeat_safe())
    }

    fn classify(
        &self,
        response: &ProviderResponse,
        body: Option<&Value>,
        default: Option<ErrorClass>,
    ) -> Failure {
        let action: Action = self.command.action;
        classify(
            &self.module.errors,
            &self.scope,
            action,
            response,
            body,
            default,
            self.now,
        )
    }

    /// The answer without its headers and body: those are about the call, not about one record.
    fn bare(&self) -> ProviderResponse {
        ProviderResponse {
            status: self.response.status,
            headers: Vec::new(),
            body: Vec::new(),
            truncated: false,
        }
    }
}
