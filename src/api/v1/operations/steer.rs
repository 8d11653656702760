//! `POST /v1/projects/{project}/operations/{operation}:{verb}`: to the endpoint of the verb.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::{NOT_FOUND, cancel, release, replay, resolve};
use crate::api::auth::Scope;
use crate::api::extract::{Body, Segments, id};
use crate::api::problem::{Code, Problem};
use crate::app::AppState;

/// Finds the verb.
pub async fn steer_operation(
    State(app): State<AppState>,
    scope: Scope,
    headers: http::HeaderMap,
    segments: Segments<(String, String)>,
    Body(body): Body,
) -> Result<Response, Problem> {
    let Segments((_, segment)) = segments;
    let Some((operation, verb)) = segment.rsplit_once(':') else {
        return Err(Problem::new(
            Code::MethodNotAllowed,
            "this path does not take this method",
        ));
    };
    let project_id = scope.project().id;
    let found = id(operation, NOT_FOUND);
    let actor = scope.actor();
    match verb {
        "cancel" => Ok(cancel::cancel(&app, actor, project_id, found?)
            .await?
            .into_response()),
        "release" => {
            let answer = release::release(&app, actor, project_id, found?).await?;
            Ok(answer.into_response())
        }
        "replay" => {
            let answer = replay::replay(&app, actor, project_id, found?, &headers, &body).await?;
            Ok(answer.into_response())
        }
        "resolve" => {
            let answer = resolve::resolve(&app, actor, project_id, found?, &body).await?;
            Ok(answer.into_response())
        }
        _ => Err(
            Problem::new(Code::NotServed, "this server does not serve this path")
                .remedy("An operation takes :cancel, :release, :replay and :resolve."),
        ),
    }
}
