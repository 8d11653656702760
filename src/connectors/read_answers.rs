//! What an answer to a read is good for. A read decides whether a value is overwritten or a record made once more, so only
//! an answer in the promised shape, about the record that was asked for, says that something is empty or not there. Any
//! other says nothing: the read is repeated, and nothing is written meanwhile.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::connector::Connector;
use super::contract::{ErrorClass, Outcome, ProviderError, ProviderResponse, RetryClass};
use super::declarative::answers::holds;
use super::declarative::errors::{classify, outcome, tells_error};
use super::declarative::plan::Plan;
use super::declarative::scope::Scope;
use crate::action::Action;

/// An answer to a read, and what is needed to judge it.
pub(super) struct ReadAnswer<'a> {
    pub(super) connector: &'a Connector,
    pub(super) object: &'a str,
    pub(super) vars: &'a BTreeMap<String, String>,
    pub(super) response: &'a ProviderResponse,
    pub(super) now: Timestamp,
}

impl ReadAnswer<'_> {
    /// The document of a 2xx answer.
    ///
    /// # Errors
    /// What the failed read means for the write that it comes before. [`ErrorClass::NotFound`] only when it is the provider
    /// who says so.
    pub(super) fn body(&self) -> Result<Value, Outcome> {
        let response = self.response;
        if (200..300).contains(&response.status) {
            return match response.json() {
                Ok(Some(body)) => Ok(body),
                Ok(None) => Err(self.unclear(None, "with an empty body")),
                Err(why) => Err(self.unclear(None, why)),
            };
        }
        let body = response.json_so_far();
        let failed = self.outcome(body.as_ref(), None);
        match failed {
            Outcome::Rejected(error)
                if error.class == ErrorClass::NotFound && !self.is_gone(body.as_ref()) =>
            {
                Err(self.unclear(
                    None,
                    "not in the form in which it says that a record is not there",
                ))
            }
            failed => Err(failed),
        }
    }

    /// The answer says neither yes nor no. When it names an error that passes, that is what it was.
    pub(super) fn unclear(&self, body: Option<&Value>, why: &str) -> Outcome {
        let status = self.response.status;
        let failed = self.outcome(body, Some(ErrorClass::Transient));
        let named = |error: &ProviderError| error.code.is_some();
        let (class, code, said) = match failed {
            Outcome::Unauthorized(error) if named(&error) => return Outcome::Unauthorized(error),
            Outcome::Retry { error, class, after } if named(&error) && class != RetryClass::Transient => {
                return Outcome::Retry { error, class, after };
            }
            // Without a code, a text of the answer may be a value of a record.
            Outcome::Retry { error, .. }
            | Outcome::Rejected(error)
            | Outcome::Unknown(error)
            | Outcome::Unauthorized(error)
                if named(&error) =>
            {
                (RetryClass::Transient, error.code, format!(": {}", error.message))
            }
            _ => (RetryClass::Transient, None, String::new()),
        };
        Outcome::Retry {
            error: ProviderError {
                class: ErrorClass::Transient,
                code,
                message: format!("the provider answered a read with status {status}, but {why}{said}"),
                status,
                existing_id: None,
            },
            class,
            after: super::declarative::retry_hint(self.response, class, self.now),
        }
    }

    /// Whether a 404 is the provider's own about a record, and not that of a gateway or a web server.
    fn is_gone(&self, body: Option<&Value>) -> bool {
        let (Some(body), Some(plan)) = (body, self.connector.any_plan()) else {
            return false;
        };
        let module = &self.connector.module;
        match module.reads.as_ref().and_then(|reads| reads.not_found.as_ref()) {
            Some(conditions) => self.with_scope(plan, |scope| {
                conditions.iter().all(|condition| holds(condition, scope, body))
            }),
            None => tells_error(&module.errors, body),
        }
    }

    /// The outcome by the file's rules for errors. A read changes nothing, so it may always be repeated.
    fn outcome(&self, body: Option<&Value>, default: Option<ErrorClass>) -> Outcome {
        let unknown = |message: String| ProviderError {
            class: ErrorClass::Config,
            code: None,
            message,
            status: self.response.status,
            existing_id: None,
        };
        let Some(plan) = self.connector.any_plan() else {
            return Outcome::Rejected(unknown("this connector has no actions".to_owned()));
        };
        self.with_scope(plan, |scope| {
            let (errors, response) = (&self.connector.module.errors, self.response);
            let failure = classify(errors, scope, Action::Update, response, body, default, self.now);
            outcome(failure, response, self.now, true)
        })
    }

    pub(super) fn with_scope<T>(&self, plan: &Plan, run: impl FnOnce(&Scope<'_>) -> T) -> T {
        let record = Map::new();
        run(&Scope {
            plan,
            object: self.object,
            id: None,
            record: &record,
            vars: self.vars,
            var_defaults: &self.connector.var_defaults,
            extra: &[],
        })
    }
}

/// Whether two ids name the same record: the last three of 18 characters of a Salesforce id only repeat the case of the
/// first 15, and zeros before a number do not count.
pub(super) fn same_record(a: &str, b: &str) -> bool {
    let salesforce = |id: &str| matches!(id.len(), 15 | 18) && id.bytes().all(|c| c.is_ascii_alphanumeric());
    let digits = |id: &str| !id.is_empty() && id.bytes().all(|c| c.is_ascii_digit());
    a == b
        || (salesforce(a) && salesforce(b) && a.len() != b.len() && a.get(..15) == b.get(..15))
        || (digits(a) && digits(b) && a.trim_start_matches('0') == b.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_providers_do() {
        for (a, b) in [
            ("7", "7"),
            ("007", "7"),
            ("003Hs00002AbCdE", "003Hs00002AbCdEIAV"),
        ] {
            assert!(same_record(a, b) && same_record(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("7", "8"),
            ("70", "7"),
            ("", "0"),
            ("003Hs00002AbCde", "003Hs00002AbCdEIAV"),
            ("003Hs00002AbCdEIAV", "003Hs00002AbCdEIAW"),
        ] {
            assert!(!same_record(a, b), "{a} {b}");
        }
    }
}
