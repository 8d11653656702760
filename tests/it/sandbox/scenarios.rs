//! All recorded scenarios, as data: arrange the state, send the request over HTTP, compare the answer.

use amp_write::sandbox::{Options, Sandbox};
use http::Method;
use serde_json::{Value, json};

use super::{arrange, compare};

fn load() -> Vec<Value> {
    let lines = [
        include_str!("../../data/hubspot_scenarios.jsonl"),
        include_str!("../../data/salesforce_scenarios.jsonl"),
    ];
    lines
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| serde_json::from_str(line).expect("a scenario per line"))
        .collect()
}

#[tokio::test]
async fn every_recorded_scenario_passes() {
    let scenarios = load();
    let mut failures = Vec::new();
    for scenario in &scenarios {
        let problems = play(scenario).await;
        if !problems.is_empty() {
            failures.push(format!(
                "{} {}:\n    {}",
                scenario["id"],
                scenario["title"],
                problems.join("\n    ")
            ));
        }
    }
    println!("{} of {} pass", scenarios.len() - failures.len(), scenarios.len());
    assert_eq!(scenarios.len(), 142);
    assert!(
        failures.is_empty(),
        "{} scenarios fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Plays one scenario; what went wrong.
async fn play(scenario: &Value) -> Vec<String> {
    let sandbox = super::start(Options {
        seed: 7,
        ..Options::default()
    })
    .await;
    let plan = arrange::plan(scenario);
    let account = format!("/accounts/{}/main", text(&scenario["provider"]));
    for (method, path, body) in &plan.steps {
        let path = path.replacen('@', &account, 1);
        let method: Method = method.parse().expect("a method");
        if let Err(error) = sandbox.control(method, &path, body).await {
            return vec![format!("cannot arrange {path} {body}: {error}")];
        }
    }
    let mut problems = exchange(&sandbox, scenario, &plan.token).await;
    for (path, wanted) in &plan.afterwards {
        let path = path.replacen('@', &account, 1);
        let records = sandbox
            .control(Method::GET, &path, &Value::Null)
            .await
            .expect("records");
        let shown = records.to_string();
        let (there, words) = wanted
            .strip_prefix('!')
            .map_or((true, wanted.as_str()), |w| (false, w));
        if shown.contains(words) != there {
            problems.push(format!(
                "afterwards {path} must {}contain {words}",
                if there { "" } else { "not " }
            ));
        }
    }
    sandbox.shutdown().await;
    problems
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Fills in the texts that a scenario only describes.
fn expand(value: &Value) -> Value {
    match value {
        Value::String(s) if s == "${101 x {properties:{email}}}" => (0..101)
            .map(|i| json!({"properties": {"email": format!("n{i}@x.example")}}))
            .collect(),
        Value::String(s) if s == "${201 x record}" => (0..201)
            .map(|i| json!({"attributes": {"type": "Contact"}, "LastName": format!("N{i}")}))
            .collect(),
        Value::String(s) => json!(s.replace("${'x'*256}", &"x".repeat(256))),
        Value::Array(items) => items.iter().map(expand).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), expand(v))).collect()),
        other => other.clone(),
    }
}

async fn exchange(sandbox: &Sandbox, scenario: &Value, token: &str) -> Vec<String> {
    let (asked, wanted) = (&scenario["request"], &scenario["response"]);
    let url = format!(
        "{}/{}{}",
        sandbox.url(),
        text(&scenario["provider"]),
        text(&asked["path"])
    );
    let method = text(&asked["method"]).parse().expect("a method");
    let mut request = super::http().request(method, url);
    for (name, value) in asked["headers"].as_object().expect("headers") {
        request = request.header(name, text(value).replace("${TOKEN}", token));
    }
    if let Some(form) = asked["form"].as_object() {
        let pairs: Vec<String> = form.iter().map(|(k, v)| format!("{k}={}", text(v))).collect();
        request = request.body(pairs.join("&"));
    } else if !asked["body"].is_null() {
        let body = expand(&asked["body"]);
        request = request.body(body.as_str().map_or_else(|| body.to_string(), str::to_owned));
    }
    let answer = super::finish(request).await;
    if wanted["status"] == json!(0) {
        return if answer.is_err() {
            Vec::new()
        } else {
            vec![format!("answered: {answer:?}")]
        };
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return vec![format!("no answer: {error:?}")],
    };
    let mut problems = Vec::new();
    if json!(answer.status) != wanted["status"] {
        problems.push(format!("status {}, not {}", answer.status, wanted["status"]));
    }
    for (name, value) in wanted["headers"].as_object().expect("headers") {
        let have = answer
            .headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("(absent)");
        if !compare::header(name, text(value), have) {
            problems.push(format!("header {name}: {have}, not {value}"));
        }
    }
    match expand(&wanted["body"]) {
        Value::Null if answer.text.is_empty() => {}
        Value::Null => problems.push(format!("a body: {}", answer.text)),
        Value::String(body) if body == answer.text => {}
        Value::String(body) => problems.push(format!("body {:?}, not {body:?}", answer.text)),
        body => match serde_json::from_str(&answer.text) {
            // A describe is recorded as an excerpt of a very long answer.
            Ok(have) => {
                let excerpt = text(&asked["path"]).ends_with("/describe");
                problems.extend(compare::body(&body, &have, "body", excerpt));
            }
            Err(_) => problems.push(format!("no JSON: {}", answer.text)),
        },
    }
    problems
}
