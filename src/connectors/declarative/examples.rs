//! Runs the examples of a file: each is documentation that cannot go stale.

use std::collections::BTreeMap;

use serde_json::Value;

use super::definition::{Example, ExampleOutcome, ExampleRequest, ExampleResponse, OutcomeWord};
use crate::connectors::connector::Connector;
use crate::connectors::contract::{Command, Outcome, ProviderError, ProviderRequest, ProviderResponse, Step};

/// When the answers of examples arrive: 2026-11-23T12:00:00Z, so that an answer can name a time to wait for.
fn arrival() -> jiff::Timestamp {
    jiff::Timestamp::constant(1_795_435_200, 0)
}

/// What differs between an example and what the connector does. Empty when it holds.
#[must_use]
pub fn run(connector: &Connector, example: &Example) -> Vec<String> {
    let now = arrival();
    let pairs = |map: &super::ordered::Ordered<String>| -> Vec<(String, String)> {
        map.iter().map(|(k, v)| (k.to_owned(), v.clone())).collect()
    };
    let vars: BTreeMap<String, String> = pairs(&example.vars).into_iter().collect();
    let headers = pairs(&example.headers);
    let command = Command {
        action: example.action,
        object: &example.object,
        record_id: example.id.as_deref(),
        record: &example.record,
        associations: &example.associations,
        headers: &headers,
        vars: &vars,
        idempotency_key: example.idempotency_key.as_deref(),
        repeated: example.repeated,
    };
    let mut differences = Vec::new();
    let looked_up: Vec<ProviderResponse> = example.lookup.iter().map(response).collect();
    match (
        connector.prepare(&command, &looked_up),
        &example.request,
        &example.refused,
    ) {
        (Ok(Step::Send(request)), Some(expected), None) => differences.extend(compare(&request, expected)),
        (Ok(Step::Send(_)), None, None) if example.response.is_some() => {}
        (Ok(Step::Lookup(_)), ..) => differences.push("it needs a `lookup` answer first".into()),
        (Ok(_), _, Some(_)) => differences.push("it was not refused".into()),
        (Ok(_), None, None) => {
            differences.push("it has neither `request` nor `response` nor `refused`".into())
        }
        (Err(refusal), _, Some(part)) if refusal.message.contains(part.as_str()) => {}
        (Err(refusal), ..) => differences.push(format!("it was refused: {}", refusal.message)),
    }
    match (&example.response, &example.outcome) {
        (Some(answer), Some(expected)) => {
            let outcome = connector.interpret(&command, &response(answer), now);
            differences.extend(compare_outcome(&outcome, expected, now));
        }
        (None, None) => {}
        _ => differences.push("`response` and `outcome` belong together".into()),
    }
    differences
}

/// The answer of an example.
#[must_use]
pub fn response(example: &ExampleResponse) -> ProviderResponse {
    let mut headers: Vec<(String, String)> = example
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let body = match (&example.body, &example.body_text) {
        (Some(body), _) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".into(), "application/json".into()));
            }
            body.to_string().into_bytes()
        }
        (None, Some(text)) => text.clone().into_bytes(),
        (None, None) => Vec::new(),
    };
    ProviderResponse {
        status: example.status,
        headers,
        body,
        truncated: false,
    }
}

fn compare(request: &ProviderRequest, expected: &ExampleRequest) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, is: &str, should: &str| {
        if is != should {
            differences.push(format!("{what} is `{is}` and should be `{should}`"));
        }
    };
    differ("the method", request.method.as_str(), &expected.method);
    differ("the URL", &request.url, &expected.url);
    let has_body = expected.body.is_some() || expected.body_text.is_some();
    let content_type = expected
        .content_type
        .as_deref()
        .or(has_body.then_some("application/json"));
    differ(
        "the content type",
        request.content_type.as_deref().unwrap_or("-"),
        content_type.unwrap_or("-"),
    );
    for (name, value) in expected.headers.iter() {
        let found = request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        differ(
            &format!("the header `{name}`"),
            found.map_or("-", |(_, v)| v),
            value,
        );
    }
    let body = request.body.as_deref();
    match (&expected.body, &expected.body_text) {
        (Some(should), _) => {
            let is: Value = body
                .and_then(|b| serde_json::from_slice(b).ok())
                .unwrap_or_default();
            if is != *should {
                differ("the body", &is.to_string(), &should.to_string());
            }
        }
        (None, text) => {
            let is = body.map(String::from_utf8_lossy).unwrap_or_default();
            differ("the body", &is, text.as_deref().unwrap_or_default());
        }
    }
    differences
}

fn compare_outcome(outcome: &Outcome, expected: &ExampleOutcome, now: jiff::Timestamp) -> Vec<String> {
    let (word, error) = match outcome {
        Outcome::Succeeded { .. } => (OutcomeWord::Succeeded, None),
        Outcome::Rejected(error) => (OutcomeWord::Rejected, Some(error)),
        Outcome::Retry { error, .. } => (OutcomeWord::Retry, Some(error)),
        Outcome::Unauthorized(error) => (OutcomeWord::Unauthorized, Some(error)),
        Outcome::Unknown(error) => (OutcomeWord::Unknown, Some(error)),
    };
    if word != expected.is {
        return vec![format!(
            "the outcome is {outcome:?} and should be {:?}",
            expected.is
        )];
    }
    let mut differences = Vec::new();
    let mut differ = |what: &str, is: Option<&str>, should: Option<&str>| {
        if should.is_some() && is != should {
            let (is, should) = (is.unwrap_or("-"), should.unwrap_or("-"));
            differences.push(format!("{what} is `{is}` and should be `{should}`"));
        }
    };
    if let Outcome::Succeeded { record_id, data } = outcome {
        differ(
            "the record id",
            record_id.as_deref(),
            expected.record_id.as_deref(),
        );
        if let Some(should) = &expected.data
            && data.as_ref() != Some(should)
        {
            let is = data.as_ref().map(Value::to_string);
            differ("the data", is.as_deref(), Some(&should.to_string()));
        }
    }
    if let Some(ProviderError {
        class,
        code,
        message,
        existing_id,
        ..
    }) = error
    {
        differ(
            "the class",
            Some(class.as_str()),
            expected.class.map(|c| c.as_str()),
        );
        differ("the code", code.as_deref(), expected.code.as_deref());
        differ("the message", Some(message), expected.message.as_deref());
        differ(
            "the existing id",
            existing_id.as_deref(),
            expected.existing_id.as_deref(),
        );
    }
    if let Outcome::Retry { after, .. } = outcome {
        let is = after.map(|hint| hint.wait(now).as_secs().to_string());
        differ(
            "the wait",
            is.as_deref(),
            expected.wait_seconds.map(|s| s.to_string()).as_deref(),
        );
    }
    differences
}
