//! The HubSpot simulator: CRM objects, batches, associations, properties, search and OAuth.
//!
//! Behaviour follows HubSpot's documentation and recorded answers; where neither settles a text, the
//! simulator keeps to one form so that tests stay stable.

mod account;
mod asked;
mod associations;
mod batch;
mod clash;
mod defaults;
pub(crate) mod errors;
mod limits;
mod links;
mod oauth;
mod objects;
mod properties;
mod render;
mod schema;
mod schemas;
mod search;
mod search_body;
mod seed;
mod validate;

use serde_json::Value;

pub(crate) use account::Account;
pub use account::HubSpotSettings;
pub use schema::{Labels, ObjectType, Property, PropertyGroup, PropertyOption};

use self::errors::{Failure, JSON};
use super::faults::Mods;
use super::ledger::{Change, ChangeCounter, ChangeKind};
use super::message::{Reply, Request};
use super::tokens::Access;
pub(crate) use oauth::answer as oauth;
pub(crate) use seed::seed;

/// What a handler needs beside the account and the request.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub now_ms: i64,
    /// The action that [`place`] names.
    pub action: &'static str,
    pub mods: &'a Mods,
    pub counter: &'a ChangeCounter,
    /// Random numbers of the account, for ids that nobody compares.
    pub rng: fastrand::Rng,
    pub changes: Vec<Change>,
}

impl Context<'_> {
    /// A random UUID from the account's seed.
    pub fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes())
            .into_uuid()
            .to_string()
    }

    /// Records a change.
    pub fn changed(
        &mut self,
        kind: ChangeKind,
        object: &str,
        id: &str,
        values: serde_json::Map<String, Value>,
    ) {
        let order = self.counter.next();
        self.changes.push(Change {
            order,
            kind,
            object: object.to_owned(),
            id: id.to_owned(),
            values,
        });
    }
}

type Outcome = Result<Reply, Failure>;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The object word in the path.
    pub object: Option<String>,
    /// The ledger's and the faults' word for what is asked.
    pub action: &'static str,
}

/// Names the object and the action of a request, for faults.
pub(crate) fn place(request: &Request) -> Place {
    let segments = request.segments();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    let (object, action) = match words.as_slice() {
        ["oauth", ..] => (None, oauth::action(&words)),
        ["crm", "v3", "objects", rest @ ..] | ["crm", "objects", _, rest @ ..] => match rest {
            [object, "batch", "read"] => (Some(*object), "read"),
            [object, "batch", "create"] => (Some(*object), "create"),
            [object, "batch", "update"] => (Some(*object), "update"),
            [object, "batch", "upsert"] => (Some(*object), "upsert"),
            [object, "batch", "archive"] => (Some(*object), "delete"),
            [object, "search"] => (Some(*object), "search"),
            [object] if method == "POST" => (Some(*object), "create"),
            [object, ..] if method == "PATCH" => (Some(*object), "update"),
            [object, ..] if method == "DELETE" => (Some(*object), "delete"),
            [object, ..] if method == "GET" => (Some(*object), "read"),
            [object, ..] => (Some(*object), "other"),
            [] => (None, "other"),
        },
        ["crm", "v4", "associations", from, _, "labels"] if method == "GET" => (Some(*from), "read"),
        ["crm", "v4", "associations", from, ..] => (Some(*from), "associate"),
        ["crm", "v4", "objects", from, ..] => {
            (Some(*from), if method == "GET" { "read" } else { "associate" })
        }
        ["crm", "v3", "properties" | "schemas", object, ..]
        | ["crm", "properties", _, object, ..]
        | ["crm-object-schemas", _, "schemas", object, ..] => (Some(*object), "other"),
        _ => (None, "other"),
    };
    Place {
        object: object.map(str::to_owned),
        action,
    }
}

/// Answers one request of an account.
pub(crate) fn handle(
    account: &mut Account,
    request: &Request,
    scopes: Option<&[String]>,
    mut cx: Context<'_>,
) -> Reply {
    let search = cx.action == "search";
    if let Err(policy) = limits::count(account, search, cx.now_ms) {
        let failure = errors::rate_limited(policy, &mut cx);
        let reply = failure.reply(&mut cx);
        account.rng = cx.rng;
        return limits::headers(account, search, Some(policy), reply);
    }
    let outcome = route(account, request, scopes, &mut cx);
    let reply = match outcome {
        Ok(reply) => reply,
        Err(failure) => failure.reply(&mut cx),
    };
    let changes = std::mem::take(&mut cx.changes);
    account.rng = cx.rng;
    limits::headers(account, search, None, reply).with_changes(changes)
}

fn route(
    account: &mut Account,
    request: &Request,
    scopes: Option<&[String]>,
    cx: &mut Context<'_>,
) -> Outcome {
    let url = request.path.len() + request.raw_query.as_deref().map_or(0, str::len);
    if url > 16_384 {
        return Err(Failure::new(414, "URI Too Long"));
    }
    let segments = request.segments();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["crm", "v3", "objects", rest @ ..] => objects_route(account, request, scopes, cx, "v3", rest),
        ["crm", "objects", version, rest @ ..] if is_dated(version) => {
            objects_route(account, request, scopes, cx, version, rest)
        }
        ["crm", "v4", "associations" | "objects", ..] => associations::route(account, request, &words, cx),
        ["crm", "v3", "properties", object, rest @ ..] => {
            properties::route(account, request, object, rest, cx)
        }
        ["crm", "properties", version, object, rest @ ..] if is_dated(version) => {
            properties::route(account, request, object, rest, cx)
        }
        ["crm" | "crm-object-schemas", "v3", "schemas", rest @ ..] => {
            schemas::route(account, request, rest, cx)
        }
        ["crm-object-schemas", version, "schemas", rest @ ..] if is_dated(version) => {
            schemas::route(account, request, rest, cx)
        }
        ["integrations", "v1", "me"] if request.method == http::Method::GET => Ok(about(account)),
        _ => Err(Failure::not_found()),
    }
}

/// The hub id of an account: eight digits, the same in each run.
pub(crate) const fn hub_id(hash: u64) -> u64 {
    10_000_000 + hash % 90_000_000
}

/// Which account the token belongs to.
fn about(account: &Account) -> Reply {
    let body = serde_json::json!({
        "portalId": account.settings.hub_id,
        "timeZone": "Europe/Vienna",
        "accountType": "STANDARD",
        "currency": "EUR",
        "utcOffset": "+01:00",
        "utcOffsetMilliseconds": 3_600_000,
    });
    json_reply(200, &body)
}

/// API versions by date, such as `2026-03`.
fn is_dated(version: &str) -> bool {
    version.len() == 7
        && version
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_digit() })
}

fn objects_route(
    account: &mut Account,
    request: &Request,
    scopes: Option<&[String]>,
    cx: &mut Context<'_>,
    version: &str,
    rest: &[&str],
) -> Outcome {
    let Some((word, rest)) = rest.split_first() else {
        return Err(Failure::not_found());
    };
    if account.settings.lenient && request.method == http::Method::POST {
        account.make_lenient(word, &[]);
    }
    let Some(object) = account.resolve(word) else {
        return Err(Failure::new(
            400,
            format!("Unable to infer object type from: {word}"),
        ));
    };
    let name = object.name.clone();
    let writes = !matches!(cx.action, "read" | "search");
    let scope = object.scope(writes);
    if let Some(scopes) = scopes
        && !scopes
            .iter()
            .any(|s| *s == scope || !writes && *s == object.scope(true))
    {
        return Err(missing_scope(&scope));
    }
    match (request.method.as_str(), rest) {
        ("POST", []) => objects::create(account, request, &name, version, cx),
        ("GET", []) => objects::list(account, request, &name),
        // Not an id, though it stands where ids do.
        (_, ["gdpr-delete"]) => Err(Failure::not_found()),
        ("POST", ["search"]) => search::search(account, request, &name, cx),
        ("POST", ["merge"]) => objects::merge(account, request, &name, cx),
        ("POST", ["batch", "create"]) => batch::create(account, request, &name, version, cx),
        ("POST", ["batch", "update"]) => batch::update(account, request, &name, version, cx),
        ("POST", ["batch", "upsert"]) => batch::upsert(account, request, &name, version, cx),
        ("POST", ["batch", "read"]) => batch::read(account, request, &name, version, cx),
        ("POST", ["batch", "archive"]) => batch::archive(account, request, &name, cx),
        ("GET", [id]) => objects::read(account, request, &name, id),
        ("PATCH", [id]) => objects::update(account, request, &name, id, cx),
        ("DELETE", [id]) => objects::delete(account, request, &name, id, cx),
        (_, [] | [_] | ["batch", "create" | "update" | "upsert" | "read" | "archive"]) => {
            Err(Failure::new(405, "HTTP 405 Method Not Allowed"))
        }
        _ => Err(Failure::not_found()),
    }
}

fn missing_scope(scope: &str) -> Failure {
    let link = "https://developers.hubspot.com/scopes";
    Failure::new(
        403,
        format!(
            "This app hasn't been granted all required scopes to make this call. Read more about required \
             scopes here: {link}."
        ),
    )
    .category("MISSING_SCOPES")
    .errors(vec![serde_json::json!({
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": [scope]},
    })])
    .extra("links", serde_json::json!({"scopes": link}))
}

/// The answer to a token that opens nothing.
pub(crate) fn unauthorized(access: &Access, cx: &mut Context<'_>) -> Reply {
    let failure = match access {
        Access::Expired { at_ms, .. } => {
            let ago = cx.now_ms.saturating_sub(*at_ms) / 1000;
            Failure::new(401, format!("The OAuth token used to make this call expired {ago} second(s) ago."))
                .category("EXPIRED_AUTHENTICATION")
                .context(serde_json::json!({"expire time": [super::clock::iso(*at_ms)]}))
        }
        _ => Failure::new(
            401,
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find \
             more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        )
        .category("INVALID_AUTHENTICATION"),
    };
    failure.reply(cx)
}

/// An answer with a JSON body.
fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::json(status, JSON, body)
}

/// Reads the body as a JSON object.
fn body_object(request: &Request) -> Result<Value, Failure> {
    if !request.is_json() {
        return Err(Failure::new(415, "HTTP 415 Unsupported Media Type"));
    }
    let text = String::from_utf8_lossy(&request.body);
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Failure::bad_json(
            1,
            1,
            "Cannot deserialize value of type `object` from another JSON kind",
        )),
        Err(error) if error.is_eof() => {
            let (line, column) = super::json_place::line_column(&text, text.len());
            Err(Failure::bad_json(line, column, "Unexpected end-of-input"))
        }
        Err(error) => Err(Failure::bad_json(
            error.line(),
            error.column(),
            "Unexpected character",
        )),
    }
}

/// Adds the limit headers of an answer that the account did not count.
pub(crate) fn limit_headers(account: &Account, reply: Reply) -> Reply {
    limits::headers(account, false, None, reply)
}

/// Adds the limit headers of an answer that this policy refused.
pub(crate) fn refused_headers(account: &Account, policy: &str, reply: Reply) -> Reply {
    limits::headers(account, false, Some(policy), reply)
}
