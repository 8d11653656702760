//! Control calls on faults.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::{ControlError, Outcome, number, parse};
use crate::sandbox::core::Core;
use crate::sandbox::faults::FaultSpec;

/// One call below `/faults`.
pub(super) async fn call(
    core: &Arc<Core>,
    method: &Method,
    words: &[&str],
    query: &[(String, String)],
    body: Value,
) -> Outcome {
    let find = |word: &str| {
        let id = word.parse().ok();
        id.and_then(|id| core.faults.get(id))
            .ok_or_else(|| ControlError::not_found(format!("no fault {word}")))
    };
    match (method.as_str(), words) {
        ("GET", ["faults"]) => Ok(core.faults.list().iter().map(|f| f.show()).collect()),
        ("POST", ["faults"]) => {
            let spec: FaultSpec = parse(body)?;
            if let Some(problem) = spec.problem() {
                return Err(ControlError::invalid(problem));
            }
            Ok(core.faults.add(spec).show())
        }
        ("DELETE", ["faults"]) => {
            core.faults.clear();
            Ok(Value::Null)
        }
        ("DELETE", ["faults", id]) => {
            let fault = find(id)?;
            core.faults.remove(fault.id);
            Ok(Value::Null)
        }
        ("GET", ["faults", id]) => {
            let fault = find(id)?;
            if let Some(hits) = number(query, "wait_hits")? {
                let limit = Duration::from_millis(number(query, "timeout_ms")?.unwrap_or(10_000));
                let waited = tokio::time::timeout(limit, fault.wait_hits(hits)).await;
                waited.map_err(|_| ControlError {
                    status: 408,
                    message: "not hit in time".to_owned(),
                })?;
            }
            Ok(fault.show())
        }
        ("POST", ["faults", word]) if word.ends_with(":release") => {
            let fault = find(word.trim_end_matches(":release"))?;
            fault.release();
            Ok(fault.show())
        }
        _ => Err(ControlError::not_found("no such call on faults")),
    }
}
