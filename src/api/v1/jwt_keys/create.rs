//! `POST /v1/projects/{project}/jwt-keys`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::jwt::AddingJwtKey;

/// A public key to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateJwtKeyRequest {
    /// A name for people.
    pub label: Option<String>,
    /// The same, as some clients call it.
    pub name: Option<String>,
    /// `RS256`.
    pub algorithm: String,
    /// An RSA public key of 2048 to 8192 bits, as PEM.
    pub public_key_pem: String,
}

/// What a new key is called.
#[derive(Debug, Serialize, ToSchema)]
pub struct JwtKeyResponse {
    /// Its id: to be sent as `kid` in the header of its tokens.
    pub kid: String,
}

/// Add a JWT key
///
/// The public half of an RSA key, whose private half stays on your backend and signs JWTs for customers' browsers. A private key is refused.
#[utoipa::path(post, path = "/v1/projects/{project}/jwt-keys", tag = "JWT Key", operation_id = "createJWTKey",
    params(("project" = String, Path, description = "The project's id or name.")), request_body = CreateJwtKeyRequest,
    responses((status = 201, description = "It verifies from now on.", body = JwtKeyResponse), (status = 400, description = "It cannot be verified with; the answer says why.")))]
pub async fn create_jwt_key(
    State(app): State<AppState>,
    scope: Scope,
    JsonBody(request): JsonBody<CreateJwtKeyRequest>,
) -> Result<(StatusCode, Json<JwtKeyResponse>), Problem> {
    let label = request.label.or(request.name);
    let asked = AddingJwtKey {
        label: label.ok_or_else(|| Problem::invalid("label", "is missing"))?,
        algorithm: request.algorithm,
        public_key_pem: request.public_key_pem,
    };
    let projects = &app.control.projects;
    let made = projects.create_jwt_key(scope.actor(), scope.project().id, asked);
    let kid = made.await?.id.to_string();
    Ok((StatusCode::CREATED, Json(JwtKeyResponse { kid })))
}
