//! Runs recorded writes against the connectors: one row of recorded data, and whether we do the same.
//!
//! Two kinds of rows are known, told apart by their keys: a request row (`provider`, `op`, `object`, and `request` or
//! `refused`), and a response row (`providers`, `kind`, `input`, `exchanges`, `result`); its `kind` is `write`, `delete` or
//! `batch`.

mod batch;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::catalog::Catalog;
use super::connector::Connector;
use super::contract::{Command, Outcome, ProviderRequest, ProviderResponse, Refusal, Step};
use crate::action::Action;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same request or the same result.
    Matched,
    /// Refused, as recorded.
    RefusedAsExpected,
    /// Something else: what.
    Differs(String),
    /// Not a write, so nothing to compare.
    NotAWrite,
}

/// The connection variables behind the rows: those for all providers, and what single providers have instead.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    all: BTreeMap<String, String>,
    by_provider: BTreeMap<String, BTreeMap<String, String>>,
}

impl Variables {
    /// Reads `{"default": {…}, "overrides": {"provider": {…}}}`.
    #[must_use]
    pub fn from_json(document: &Value) -> Self {
        let texts = |value: &Value| -> BTreeMap<String, String> {
            let map = value.as_object().into_iter().flatten();
            map.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        };
        let overrides = document["overrides"].as_object().into_iter().flatten();
        Self {
            all: texts(&document["default"]),
            by_provider: overrides.map(|(name, own)| (name.clone(), texts(own))).collect(),
        }
    }

    fn of(&self, provider: &str) -> BTreeMap<String, String> {
        let mut vars = self.all.clone();
        vars.extend(
            self.by_provider
                .get(provider)
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        vars
    }
}

/// The provider and the case of a row, for people.
#[must_use]
pub fn describe(row: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    if row.get("exchanges").is_some() {
        let case = format!(
            "{} {}: {}",
            text(&row["kind"]),
            text(&row["input"]["ObjectName"]),
            text(&row["name"])
        );
        let provider = if row["providers"][0].is_string() {
            &row["providers"][0]
        } else {
            &row["package"]
        };
        let provider = text(provider);
        return (provider.split('/').next().unwrap_or_default().to_owned(), case);
    }
    let module = row["module"]
        .as_str()
        .map(|m| format!("{m} "))
        .unwrap_or_default();
    (
        text(&row["provider"]),
        format!("{module}{} {}", text(&row["op"]), text(&row["object"])),
    )
}

/// Checks one row. `now` is the time at which its answers arrive.
#[must_use]
pub fn verify(catalog: &Catalog, variables: &Variables, row: &Value, now: jiff::Timestamp) -> Verdict {
    let (provider, _) = describe(row);
    let mut vars = variables.of(&provider);
    add_base_url(catalog, &provider, row, &mut vars);
    let unknown = || Verdict::Differs("there is no such provider or module".into());
    if row.get("exchanges").is_none() {
        let connector = catalog.get_module(&provider, row["module"].as_str());
        return connector.map_or_else(unknown, |connector| request_row(&connector, &vars, row));
    }
    // These rows name no module: it is the one that does the same.
    let mut first = None;
    for connector in catalog.modules(&provider) {
        match response_row(&connector, &vars, row, now) {
            Verdict::Differs(why) => first = first.or(Some(Verdict::Differs(why))),
            verdict => return verdict,
        }
    }
    first.unwrap_or_else(unknown)
}

/// A base URL that is one variable which nobody gave: that of the recording, since there is no other way to know it.
fn add_base_url(catalog: &Catalog, provider: &str, row: &Value, vars: &mut BTreeMap<String, String>) {
    let Some(connector) = catalog.get(provider) else {
        return;
    };
    let whole = connector
        .base_url()
        .strip_prefix("{conn.")
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(name) = whole.filter(|name| !name.contains(['{', '}']) && !vars.contains_key(*name)) else {
        return;
    };
    let recorded = row["request"]["url"]
        .as_str()
        .and_then(|url| url::Url::parse(url).ok());
    let base = recorded.map_or_else(
        || "https://recorded.example".to_owned(),
        |url| url.origin().ascii_serialization(),
    );
    vars.insert(name.to_owned(), base);
}

fn request_row(connector: &Connector, vars: &BTreeMap<String, String>, row: &Value) -> Verdict {
    let Ok(action) = serde_json::from_value::<Action>(row["op"].clone()) else {
        return Verdict::Differs("the row has no `op`".into());
    };
    let none = Map::new();
    let recorded = &row["request"];
    let headers: Vec<(String, String)> = recorded["headers"]["x-probe"]
        .as_str()
        .map(|value| ("X-Probe".to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let command = Command {
        action,
        object: row["object"].as_str().unwrap_or_default(),
        record_id: row["id"].as_str(),
        record: row["record"].as_object().unwrap_or(&none),
        associations: &[],
        headers: &headers,
        vars,
        idempotency_key: Some("key"),
        repeated: false,
    };
    let empty = ProviderResponse {
        status: 200,
        headers: Vec::new(),
        body: b"{}".to_vec(),
        truncated: false,
    };
    let prepare = |command: &Command<'_>| -> Result<ProviderRequest, Refusal> {
        match connector.prepare_as_given(command, &[])? {
            Step::Lookup(_) => match connector.prepare_as_given(command, std::slice::from_ref(&empty))? {
                Step::Lookup(request) | Step::Send(request) => Ok(request),
            },
            Step::Send(request) => Ok(request),
        }
    };
    let refused = row["refused"].as_bool() == Some(true);
    match prepare(&command) {
        Err(_) if refused => Verdict::RefusedAsExpected,
        Err(refusal) => Verdict::Differs(format!("refused: {}", refusal.message)),
        Ok(request) if refused => Verdict::Differs(format!(
            "sent {} {} where a refusal is recorded",
            request.method, request.url
        )),
        Ok(request) => match compare(&request, recorded) {
            Ok(()) => Verdict::Matched,
            // A key for repeating safely is ours to add: a recording may be without.
            Err(why) => match prepare(&Command {
                idempotency_key: None,
                ..command
            }) {
                Ok(request) if compare(&request, recorded).is_ok() => Verdict::Matched,
                _ => Verdict::Differs(why),
            },
        },
    }
}

fn compare(request: &ProviderRequest, recorded: &Value) -> Result<(), String> {
    same(
        "method",
        request.method.as_str(),
        recorded["method"].as_str().unwrap_or_default(),
    )?;
    same_url(&request.url, recorded["url"].as_str().unwrap_or_default())?;
    let content_type = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
    let is = content_type(request.content_type.as_deref().unwrap_or_default());
    same(
        "content type",
        &is,
        &content_type(recorded["content_type"].as_str().unwrap_or_default()),
    )?;
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        let found = request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        let found = found.map_or("-", |(_, value)| value.as_str());
        same(
            &format!("header {name}"),
            found,
            value.as_str().unwrap_or_default(),
        )?;
    }
    let body = request.body.as_deref().unwrap_or_default();
    if let Some(text) = recorded["body_text"].as_str() {
        return same("body", &String::from_utf8_lossy(body), text);
    }
    let is: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(variables) = recorded.get("graphql_variables") {
        let own = is.get("variables").cloned().unwrap_or_default();
        // Values that were spliced into the text of the operation are recorded without variables.
        return if variables.is_null() || alike(&own, variables, None) {
            Ok(())
        } else {
            Err(format!("variables are {own} and recorded are {variables}"))
        };
    }
    let recorded = recorded.get("body").cloned().unwrap_or_default();
    if alike(&is, &recorded, None) {
        Ok(())
    } else {
        Err(format!("body is {is} and recorded is {recorded}"))
    }
}

fn same(what: &str, is: &str, recorded: &str) -> Result<(), String> {
    if is == recorded {
        Ok(())
    } else {
        Err(format!("{what} is `{is}` and recorded is `{recorded}`"))
    }
}

/// The same host, the same path, and the same parameters in any order; escapes of the same text are alike.
fn same_url(is: &str, recorded: &str) -> Result<(), String> {
    let differs = || Err(format!("URL is `{is}` and recorded is `{recorded}`"));
    let (Ok(a), Ok(b)) = (url::Url::parse(is), url::Url::parse(recorded)) else {
        return differs();
    };
    let path = |url: &url::Url| percent_encoding::percent_decode_str(url.path()).collect::<Vec<u8>>();
    let pairs = |url: &url::Url| {
        let mut all: Vec<_> = url
            .query_pairs()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        all.sort();
        all
    };
    let trimmed = |path: Vec<u8>| if path == b"/" { Vec::new() } else { path };
    let alike = a.origin() == b.origin() && trimmed(path(&a)) == trimmed(path(&b)) && pairs(&a) == pairs(&b);
    if alike { Ok(()) } else { differs() }
}

/// Equal, where a member that is null is as good as absent and `$uuid` stands for any text.
///
/// `elsewhere` are our connection variables where the recording was made with others: a text that is one of them may be
/// any text. Numbers are the same when their values are (`1.50` and `1.5`); those recordings passed integers through
/// floating point too, others have to have every digit.
fn alike(is: &Value, recorded: &Value, elsewhere: Option<&BTreeMap<String, String>>) -> bool {
    match (is, recorded) {
        (Value::String(_), Value::String(text)) if text == "$uuid" => true,
        (Value::String(own), Value::String(_)) if elsewhere.is_some_and(|vars| is_variable(vars, own)) => {
            true
        }
        (Value::Number(a), Value::Number(b)) => {
            let whole =
                |n: &serde_json::Number| n.to_string().bytes().all(|c| c == b'-' || c.is_ascii_digit());
            a == b || (a.as_f64() == b.as_f64() && (elsewhere.is_some() || !(whole(a) && whole(b))))
        }
        (Value::Object(a), Value::Object(b)) => {
            let there = |map: &Map<String, Value>| map.values().filter(|v| !v.is_null()).count();
            there(a) == there(b)
                && b.iter()
                    .filter(|(_, v)| !v.is_null())
                    .all(|(k, v)| a.get(k).is_some_and(|own| alike(own, v, elsewhere)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, elsewhere))
        }
        _ => is == recorded,
    }
}

/// Whether a text is the value of one of these variables. Short values are in many texts by chance.
fn is_variable(vars: &BTreeMap<String, String>, text: &str) -> bool {
    text.len() > 2 && vars.values().any(|value| value == text)
}

fn response_row(
    connector: &Connector,
    vars: &BTreeMap<String, String>,
    row: &Value,
    now: jiff::Timestamp,
) -> Verdict {
    let input = &row["input"];
    let id = input["RecordId"].as_str().filter(|id| !id.is_empty());
    let action = match (row["kind"].as_str(), id) {
        (Some("batch"), _) => return batch::row(connector, vars, row, now),
        (Some("delete"), _) => Action::Delete,
        (Some("write"), None) => Action::Create,
        (Some("write"), Some(_)) => Action::Update,
        _ => return Verdict::NotAWrite,
    };
    let none = Map::new();
    let record = input["RecordData"].as_object();
    let associations = input["Associations"].as_array().map_or(&[][..], Vec::as_slice);
    let command = Command {
        action,
        object: input["ObjectName"].as_str().unwrap_or_default(),
        record_id: id,
        record: record.unwrap_or(&none),
        associations,
        headers: &[],
        vars,
        idempotency_key: Some("key"),
        repeated: false,
    };
    let exchanges = row["exchanges"].as_array().map_or(&[][..], Vec::as_slice);
    let succeeded = row["result"]["success"].as_bool() == Some(true);
    let Some((last, before)) = exchanges.split_last() else {
        return match connector.prepare_as_given(&command, &[]) {
            Err(_) if !succeeded => Verdict::RefusedAsExpected,
            Err(refusal) => Verdict::Differs(format!("refused: {}", refusal.message)),
            Ok(_) => Verdict::Differs("sent where a refusal is recorded".into()),
        };
    };
    let looked_up: Vec<ProviderResponse> = before.iter().map(answer).collect();
    match connector.prepare_as_given(&command, &looked_up) {
        Err(refusal) => return Verdict::Differs(format!("refused: {}", refusal.message)),
        Ok(Step::Lookup(request) | Step::Send(request)) => {
            if let Err(why) = same_exchange(&request, last, vars, record.is_some()) {
                return Verdict::Differs(why);
            }
        }
    }
    let outcome = connector.interpret(&command, &answer(last), now);
    match (&outcome, succeeded) {
        (Outcome::Succeeded { record_id, data }, true) => {
            let recorded = row["result"]["recordId"].as_str();
            if recorded.is_some() && record_id.as_deref() != recorded {
                return Verdict::Differs(format!("record id is {record_id:?} and recorded is {recorded:?}"));
            }
            match (data, row["result"].get("data")) {
                (Some(own), Some(theirs)) if theirs.is_object() && !alike(own, theirs, Some(vars)) => {
                    Verdict::Differs(format!("data is {own} and recorded is {theirs}"))
                }
                (None, Some(theirs)) if theirs.is_object() => {
                    Verdict::Differs(format!("there is no data and recorded is {theirs}"))
                }
                _ => Verdict::Matched,
            }
        }
        (Outcome::Succeeded { .. }, false) => {
            Verdict::Differs("a success where a failure is recorded".into())
        }
        (_, true) => Verdict::Differs(format!("{outcome:?} where a success is recorded")),
        (_, false) => Verdict::Matched,
    }
}

fn answer(exchange: &Value) -> ProviderResponse {
    let headers = exchange["res_headers"].as_object().into_iter().flatten();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value[0].as_str().unwrap_or_default().to_owned(), str::to_owned)
    };
    ProviderResponse {
        status: exchange["status"]
            .as_u64()
            .and_then(|s| u16::try_from(s).ok())
            .unwrap_or(200),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
            .collect(),
        body: exchange["res_body"]
            .as_str()
            .unwrap_or_default()
            .as_bytes()
            .to_vec(),
        truncated: false,
    }
}

/// The same parts of a path from its end on, compared backwards: some recordings were made with a base URL without its
/// path, or with a variable that was empty, so that its part is not there.
fn same_parts(own: &[String], recorded: &[String], vars: &BTreeMap<String, String>) -> bool {
    let free = |part: &str| vars.values().any(|v| v.len() > 2 && part.contains(v.as_str()));
    match (own.split_last(), recorded.split_last()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some((own_last, own)), Some((recorded_last, recorded_rest))) => {
            ((own_last == recorded_last || free(own_last)) && same_parts(own, recorded_rest, vars))
                || (vars.values().any(|v| v == own_last) && same_parts(own, recorded, vars))
        }
    }
}

/// The same method and path, and the same JSON body where the record is known. The recorded connections differ from
/// ours, so a part of a path that comes from a variable may be anything.
fn same_exchange(
    request: &ProviderRequest,
    recorded: &Value,
    vars: &BTreeMap<String, String>,
    record_known: bool,
) -> Result<(), String> {
    same(
        "method",
        request.method.as_str(),
        recorded["method"].as_str().unwrap_or_default(),
    )?;
    let own = url::Url::parse(&request.url).map_err(|why| why.to_string())?;
    let uri = recorded["uri"].as_str().unwrap_or_default();
    let theirs = url::Url::parse(&format!("https://h.example{uri}")).map_err(|why| why.to_string())?;
    let decode = |s: &str| {
        percent_encoding::percent_decode_str(s)
            .decode_utf8_lossy()
            .into_owned()
    };
    let parts = |url: &url::Url| -> Vec<String> {
        url.path()
            .split('/')
            .filter(|p| !p.is_empty())
            .map(decode)
            .collect()
    };
    let (own_parts, their_parts) = (parts(&own), parts(&theirs));
    if !same_parts(&own_parts, &their_parts, vars) {
        return Err(format!("path is `{}` and recorded is `{uri}`", own.path()));
    }
    let text = recorded["req_body"].as_str().unwrap_or_default();
    if record_known
        && let Ok(theirs) = serde_json::from_str::<Value>(text)
        && theirs.get("query").is_none()
    {
        let own: Value =
            serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap_or_default();
        if !alike(&own, &theirs, Some(vars)) {
            return Err(format!("body is {own} and recorded is {theirs}"));
        }
    }
    Ok(())
}
