//! From an answer to an outcome. Pure: the time is an argument.

use jiff::Timestamp;
use serde_json::Value;

use super::answers::{Check, check, find_id};
use super::compile::Compiled;
use super::definition::Empty;
use super::errors::{Failure, classify, outcome};
use super::plan::Plan;
use super::prepare::repeat_safe;
use super::scope::Scope;
use crate::action::Action;
use crate::connectors::contract::{Command, ErrorClass, Outcome, ProviderError, ProviderResponse};

/// What an answer says about the command it answers.
#[must_use]
pub fn interpret(
    module: &Compiled,
    plan: &Plan,
    scope: &Scope<'_>,
    command: &Command<'_>,
    response: &ProviderResponse,
    now: Timestamp,
) -> Outcome {
    let action = command.action;
    let safe = repeat_safe(plan, action, command.idempotency_key);
    let fail = |body: Option<&Value>, default: Option<ErrorClass>| -> Failure {
        classify(&module.errors, scope, action, response, body, default, now)
    };
    if !(200..300).contains(&response.status) {
        let failure = fail(response.json_so_far().as_ref(), None);
        return already_gone(command, &failure).unwrap_or_else(|| outcome(failure, response, now, safe));
    }
    let unreadable = |why: &str| {
        let error = ProviderError {
            class: ErrorClass::Server,
            code: None,
            message: format!("the provider answered with status {}, but {why}", response.status),
            status: response.status,
            existing_id: None,
        };
        outcome(
            Failure {
                error,
                wait_seconds: None,
            },
            response,
            now,
            safe,
        )
    };
    let body = match response.json() {
        Ok(body) => body,
        Err(_) if plan.result.text == Some(Empty::Ok) && !response.truncated => None,
        Err(why) => return unreadable(why),
    };
    let Some(body) = body else {
        if plan.result.empty == Some(Empty::Error) && action != Action::Delete && response.body.is_empty() {
            return unreadable("with an empty body, which this provider uses for failures");
        }
        return success(plan, scope, command, response, None)
            .unwrap_or_else(|| unreadable("without the id of the new record"));
    };
    let mut said_nothing = false;
    for predicate in &plan.result.ok {
        match check(predicate, scope, &body) {
            Check::Holds => {}
            Check::Fails => {
                let failure = fail(Some(&body), Some(ErrorClass::Validation));
                return already_gone(command, &failure)
                    .unwrap_or_else(|| outcome(failure, response, now, safe));
            }
            Check::Absent => said_nothing = true,
        }
    }
    if said_nothing {
        let failure = fail(Some(&body), None);
        if failure.error.code.is_some() || failure.error.class != ErrorClass::Unknown {
            let default = Some(ErrorClass::Validation);
            return outcome(fail(Some(&body), default), response, now, safe);
        }
        return unreadable("its body does not say whether the write was done");
    }
    // An error where the changed record is due.
    if action == Action::Update && plan.result.id_required && !has_id(plan, scope, response, &body) {
        let failure = fail(Some(&body), Some(ErrorClass::Server));
        if failure.error.code.is_some() {
            return outcome(failure, response, now, safe);
        }
    }
    success(plan, scope, command, response, Some(&body))
        .unwrap_or_else(|| unreadable("without the id of the new record"))
}

/// A repeated delete of what is not there is done: an earlier request of the same write has removed it.
fn already_gone(command: &Command<'_>, failure: &Failure) -> Option<Outcome> {
    let gone = command.action == Action::Delete && failure.error.class == ErrorClass::NotFound;
    (gone && command.repeated).then(|| Outcome::Succeeded {
        record_id: command.record_id.map(str::to_owned),
        data: None,
    })
}

fn has_id(plan: &Plan, scope: &Scope<'_>, response: &ProviderResponse, body: &Value) -> bool {
    let mut places = plan.result.id.iter();
    places.any(|place| find_id(place, scope, response, Some(body)).is_some())
}

fn success(
    plan: &Plan,
    scope: &Scope<'_>,
    command: &Command<'_>,
    response: &ProviderResponse,
    body: Option<&Value>,
) -> Option<Outcome> {
    let own = || {
        plan.result
            .id
            .iter()
            .find_map(|place| find_id(place, scope, response, body))
    };
    let asked = command
        .record_id
        .filter(|id| !id.is_empty() && command.action != Action::Create);
    let record_id = match asked {
        Some(id) if plan.result.id_prefer_request || command.action == Action::Delete => Some(id.to_owned()),
        _ => own().or_else(|| asked.map(str::to_owned)),
    };
    if record_id.is_none() && plan.result.id_required && command.action == Action::Create {
        return None;
    }
    let data = body
        .filter(|_| command.action != Action::Delete)
        .and_then(|body| {
            let mut found = plan
                .result
                .data
                .iter()
                .filter_map(|path| path.resolve(scope)?.first(body));
            found.find(|value| value.is_object()).cloned()
        });
    Some(Outcome::Succeeded { record_id, data })
}
