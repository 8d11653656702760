//! What HubSpot and Salesforce answer, scenario by scenario, and what the connectors make of it.

use std::collections::BTreeMap;

use amp_write::action::Action;
use amp_write::connectors::{Catalog, Command, ErrorClass, Outcome, ProviderResponse};
use serde_json::{Map, Value};

use crate::harness::shared;

/// `(action, object, id)` of a request for a single record.
fn single(method: &str, path: &str) -> Option<(Action, String, Option<String>)> {
    let path = path.split('?').next()?;
    let rest = path
        .strip_prefix("/crm/v3/objects/")
        .or_else(|| path.strip_prefix("/crm/objects/2026-03/"))
        .or_else(|| path.strip_prefix("/services/data/v60.0/sobjects/"))?;
    let parts: Vec<&str> = rest.split('/').collect();
    let id = parts.get(1).map(|id| (*id).to_owned());
    let action = match (method, parts.len()) {
        ("POST", 1) => Action::Create,
        ("PATCH" | "POST", 2) if parts[1] != "search" => Action::Update,
        ("DELETE", 2) => Action::Delete,
        _ => return None,
    };
    Some((action, parts[0].to_owned(), id))
}

fn check(file: &str, provider: &str) {
    let Some(folder) = shared::recorded("providers") else {
        return;
    };
    let connector = Catalog::builtin().get(provider).unwrap();
    let vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for row in shared::rows(&folder.join(file)) {
        let request = &row["request"];
        let (method, path) = (
            request["method"].as_str().unwrap(),
            request["path"].as_str().unwrap(),
        );
        let status = row["response"]["status"].as_u64().unwrap() as u16;
        let Some((action, object, id)) = single(method, path).filter(|_| status > 0) else {
            continue;
        };
        let body = match &row["response"]["body"] {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            body => body.to_string().into_bytes(),
        };
        let record = Map::new();
        let command = Command {
            action,
            object: &object,
            record_id: id.as_deref(),
            record: &record,
            associations: &[],
            headers: &[],
            vars: &vars,
            idempotency_key: None,
            repeated: false,
        };
        let response = ProviderResponse {
            status,
            headers: Vec::new(),
            body,
            truncated: false,
        };
        let outcome = connector.interpret(&command, &response, now);
        let fits = match (row["client_class"].as_str().unwrap(), &outcome) {
            ("success", Outcome::Succeeded { .. }) => true,
            ("validation", Outcome::Rejected(e)) => {
                matches!(e.class, ErrorClass::Validation | ErrorClass::Forbidden)
            }
            ("conflict", Outcome::Rejected(e)) => e.class == ErrorClass::Conflict,
            ("not_found", Outcome::Rejected(e)) => e.class == ErrorClass::NotFound,
            ("auth_refresh", Outcome::Unauthorized(_)) => true,
            ("auth_terminal", Outcome::Rejected(e)) => {
                matches!(e.class, ErrorClass::Forbidden | ErrorClass::Config)
            }
            ("rate_limited", Outcome::Retry { error, .. }) => {
                matches!(error.class, ErrorClass::RateLimited | ErrorClass::Quota)
            }
            ("transient", Outcome::Retry { .. }) => true,
            // Nobody knows whether the record was made: never to be repeated blindly.
            ("transient", Outcome::Unknown(_)) => action == Action::Create,
            ("transient", Outcome::Unauthorized(_)) => status == 420,
            _ => false,
        };
        seen += 1;
        if !fits {
            wrong.push(format!(
                "{} {}: {} but {outcome:?}",
                row["id"], row["title"], row["client_class"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "only {seen} scenarios were for single records");
}

#[test]
fn hubspot_answers_mean_what_the_scenarios_say() {
    check("hubspot_scenarios.jsonl", "hubspot");
}

#[test]
fn salesforce_answers_mean_what_the_scenarios_say() {
    check("salesforce_scenarios.jsonl", "salesforce");
}
