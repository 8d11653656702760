//! The echo provider: records any request and answers from a script. For connectors that are data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::message::{Reply, Request};

/// One answer of the echo provider and the requests it is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoRule {
    /// The HTTP method, in any case; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path and query after `/echo`, `*` for any text; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The HTTP status; 200 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Extra headers, text values.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The body: a JSON value is sent as JSON, a string with `raw: true` as it is; `{}` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Sends a string `body` as it is, without quotes and as `text/plain`.
    #[serde(default)]
    pub raw: bool,
    /// How many requests it answers; all when absent. Rules that are used up are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// The script of the echo provider.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    rules: Vec<(EchoRule, u64)>,
}

impl Echo {
    pub fn add(&mut self, rules: impl IntoIterator<Item = EchoRule>) {
        self.rules.extend(rules.into_iter().map(|r| (r, 0)));
    }

    pub fn rules(&self) -> Value {
        self.rules
            .iter()
            .map(|(rule, used)| json!({"rule": rule, "used": used}))
            .collect()
    }

    /// The answer of the first rule that fits and is not used up; 200 `{}` when there is none.
    pub fn answer(&mut self, request: &Request, path_and_query: &str) -> Reply {
        let fits = |(rule, used): &&mut (EchoRule, u64)| {
            rule.method
                .as_deref()
                .is_none_or(|m| m.eq_ignore_ascii_case(request.method.as_str()))
                && rule
                    .path
                    .as_deref()
                    .is_none_or(|p| super::faults::glob(p, path_and_query))
                && rule.times.is_none_or(|times| *used < times)
        };
        let Some((rule, used)) = self.rules.iter_mut().find(fits) else {
            return Reply::json(200, "application/json", &json!({}));
        };
        *used += 1;
        let status = rule.status.unwrap_or(200);
        let mut reply = match &rule.body {
            Some(Value::String(text)) if rule.raw => Reply::text(status, "text/plain", text.clone()),
            Some(body) => Reply::json(status, "application/json", body),
            None if status == 204 || status == 304 => Reply::empty(status),
            None => Reply::json(status, "application/json", &json!({})),
        };
        for (name, value) in &rule.headers {
            reply.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            reply = reply.with_header(
                name,
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            );
        }
        reply
    }
}
