//! `GET /v1/projects/{project}/integrations/{integration}/revisions/{revision}:hydrate`

use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::OpenScope;
use crate::api::extract::{Params, Segments};
use crate::api::problem::{Code, Problem};
use crate::api::v1::object_metadata::{self, aged, wanted};
use crate::api::v1::writes::answer::of_error;
use crate::app::AppState;
use crate::clock::Time;
use crate::connectors::Connector;
use crate::control::{Error, Kind};
use crate::writes::fields::{DescribeError, Described, Known};
use crate::writes::route::ConnectionUse;
use crate::writes::{WriteError, Writes};

/// So many objects are asked for at the same time.
const AT_ONCE: usize = 4;
const NOT_FOUND: &str = "Revision not found for the given revision ID.";

/// Whose account is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    connection_id: Option<String>,
}

/// A revision with what the customer's account says about its objects.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HydratedRevision {
    /// Its id.
    pub id: String,
    /// The manifest's specVersion.
    pub spec_version: String,
    /// When it was deployed.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// The integration as written in amp.yaml, each object with `displayName` and, under `read`, with `allFieldsMetadata`. What
    /// the provider did not tell is in the object's `error`.
    #[schema(value_type = Object)]
    pub content: Value,
}

/// Get a hydrated revision
///
/// The integration, enriched with the fields of the customer's account (HubSpot and Salesforce), for pickers. Send `{revisionId}:hydrate` as the last segment. Descriptions are remembered for five minutes; the header `Age` says how old the oldest is, and `Cache-Control: no-cache` asks again.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}/revisions/{revision}", tag = "Revision", operation_id = "getHydratedRevision",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("revision" = String, Path, description = "`{revisionId}:hydrate`."),
           ("connectionId" = String, Query, description = "The connection whose account is asked.")),
    responses((status = 200, description = "The revision.", body = HydratedRevision), (status = 404, description = "No such revision.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_hydrated_revision(
    State(app): State<AppState>,
    scope: OpenScope,
    headers: HeaderMap,
    segments: Segments<(String, String, String)>,
    Params(options): Params<Options>,
) -> Result<Response, Problem> {
    let Segments((_, integration, revision)) = segments;
    let project_id = scope.project().id;
    let Some(revision) = revision.strip_suffix(":hydrate") else {
        return Err(
            Problem::new(Code::NotServed, "this server does not serve this path")
                .remedy("A revision can be read hydrated: send `{revisionId}:hydrate` with connectionId."),
        );
    };
    let integration = app.control.integration(project_id, &integration).await?;
    let revision = crate::api::extract::id(revision, NOT_FOUND)?;
    let revision = app
        .store
        .get_revision(project_id, integration.id, revision)
        .await?
        .ok_or_else(|| Problem::not_found(NOT_FOUND))?;
    let nothing = || {
        Problem::new(
            Code::InvalidRequest,
            "the query parameter connectionId names no connection of this project",
        )
    };
    let named = options.connection_id.as_deref().map(Uuid::try_parse);
    let Some(Ok(named)) = named else {
        return Err(nothing());
    };
    let connection = match app.control.connection(scope.actor(), project_id, named).await {
        Err(Error::Refused(refused)) if refused.kind == Kind::NotFound => return Err(nothing()),
        found => found?,
    };
    if connection.provider != integration.provider {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!(
                "connectionId is a connection to {}, but the integration is for {}",
                connection.provider, integration.provider
            ),
        ));
    }
    let mut content: Value = serde_json::from_str(&revision.content).unwrap_or_default();
    let module = content.get("module").and_then(Value::as_str).map(str::to_owned);
    let (connector, connection) = app
        .writes
        .routes
        .connection(project_id, &connection, module.as_deref())
        .map_err(|error| of_error(WriteError::Route(error)))?;
    let described = describe_all(&app.writes, &connector, &connection, &content, wanted(&headers)).await;
    let age = described
        .iter()
        .filter_map(|(_, found)| found.as_ref().ok().map(|found| found.age))
        .max()
        .unwrap_or_default();
    for (part, is_read) in [("read", true), ("write", false)] {
        for object in objects_mut(&mut content, part) {
            hydrate(object, &described, is_read);
        }
    }
    Ok(aged(
        age,
        HydratedRevision {
            id: revision.id.to_string(),
            spec_version: revision.spec_version,
            create_time: revision.create_time,
            content,
        },
    ))
}

type Found = Vec<(String, Result<Described, DescribeError>)>;

/// Each object of the revision once, with what its account says.
async fn describe_all(
    writes: &Writes,
    connector: &Connector,
    connection: &ConnectionUse,
    content: &Value,
    known: Known,
) -> Found {
    let mut names: Vec<String> = Vec::new();
    for part in ["read", "write"] {
        let objects = content.get(part).and_then(|part| part.get("objects")?.as_array());
        for object in objects.into_iter().flatten() {
            if let Some(name) = name_of(object)
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
    }
    futures_util::stream::iter(names)
        .map(|name| async move {
            let described = writes.describe(connector, connection, &name, known).await;
            (name, described)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

fn name_of(object: &Value) -> Option<&str> {
    object.get("objectName").and_then(Value::as_str)
}

fn objects_mut<'v>(content: &'v mut Value, part: &str) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    content
        .get_mut(part)
        .and_then(|part| part.get_mut("objects"))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Adds what is known to one object of the revision.
fn hydrate(object: &mut Map<String, Value>, described: &Found, is_read: bool) {
    let Some(name) = object
        .get("objectName")
        .and_then(Value::as_str)
        .map(str::to_owned)
    else {
        return;
    };
    let found = described
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, found)| found);
    let display_name = match found {
        Some(Ok(described)) => described.object.display_name.clone(),
        _ => None,
    };
    object.insert(
        "displayName".to_owned(),
        display_name.unwrap_or_else(|| name.clone()).into(),
    );
    if !is_read {
        return;
    }
    let described = match found {
        Some(Ok(described)) => described,
        Some(Err(error)) => {
            object.insert("error".to_owned(), error.to_string().into());
            return;
        }
        None => return,
    };
    for list in ["requiredFields", "optionalFields"] {
        let fields = object.get_mut(list).and_then(Value::as_array_mut);
        for field in fields.into_iter().flatten().filter_map(Value::as_object_mut) {
            // A field that the customer chooses has no name yet.
            let Some(name) = field.get("fieldName").and_then(Value::as_str) else {
                continue;
            };
            let known = described.object.field(name);
            let display_name = known.map_or(name, |known| known.display_name.as_str()).to_owned();
            field.insert("displayName".to_owned(), display_name.into());
        }
    }
    let all = described
        .object
        .fields
        .iter()
        .map(|field| json!({"fieldName": field.name, "displayName": field.display_name}));
    object.insert("allFields".to_owned(), all.collect());
    let metadata = object_metadata::fields(&described.object, false);
    object.insert("allFieldsMetadata".to_owned(), metadata.into());
}
