//! `PATCH /v1/projects/{project}/connections/{connection}:oauth-update`

use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::auth::OpenScope;
use crate::api::extract::{JsonBody, id};
use crate::api::problem::Problem;
use crate::app::App;

/// What to ask for; no body is as good.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OAuthUpdateRequest {
    /// Whether the customer may choose another account than the connection has. What waits would then be written into that
    /// one.
    pub allow_account_change: bool,
}

/// Generate OAuth authorization URL for existing connection
///
/// A URL of this server that a browser of the customer opens: good once, for ten minutes. The connection keeps its id and gets the new grant, and writes that were held go on. Another account is refused unless `allowAccountChange` is set.
#[utoipa::path(patch, path = "/v1/projects/{project}/connections/{connection}:oauth-update", tag = "OAuth", operation_id = "oauthUpdate",
    params(("project" = String, Path, description = "The project's id or name."), ("connection" = String, Path, description = "The connection's id.")),
    request_body(content = Option<OAuthUpdateRequest>),
    responses((status = 200, description = "The URL.", body = String, content_type = "text/plain"), (status = 404, description = "No such connection."),
              (status = 503, description = "`AMP_PUBLIC_URL` is not set.")),
    security(("apiKey" = []), ("jwt" = [])))]
#[expect(
    dead_code,
    reason = "only the description; the PATCH of a connection finds the verb"
)]
pub(crate) fn oauth_update() {}

pub(in crate::api::v1) async fn update(
    app: &App,
    scope: &OpenScope,
    connection: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let connection_id = id(connection, "Connection not found for the given connection ID.")?;
    let request: OAuthUpdateRequest = if body.is_empty() {
        OAuthUpdateRequest::default()
    } else {
        JsonBody::from_bytes(body)?
    };
    if request.allow_account_change {
        scope.actor().require_full()?;
    }
    let link = app
        .control
        .reauthorize(
            scope.actor(),
            scope.project().id,
            connection_id,
            request.allow_account_change,
        )
        .await?;
    Ok(link.expose().to_owned().into_response())
}
