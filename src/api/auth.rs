//! Who is asking: an API key, and the project that it opens.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::extract::header_once;
use super::problem::{Code, Problem};
use crate::app::AppState;
use crate::control::Actor;
use crate::control::keys::KeyHolder;
use crate::store::{KeyScope, Project};

/// The header of the key.
pub const API_KEY: &str = "x-api-key";
/// The longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// A valid key and its project.
#[derive(Debug, Clone)]
pub struct Caller(Arc<KeyHolder>);

impl Caller {
    /// The project that the key opens.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.0.project
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Key {
            id: self.0.key.id,
            full: self.0.has_scope(KeyScope::Full),
        }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let Some(key) = header_once(&parts.headers, API_KEY, "X-Api-Key")? else {
            let problem = Problem::new(Code::Unauthenticated, "the request carries no API key");
            return Err(if parts.headers.contains_key(http::header::AUTHORIZATION) {
                problem.remedy("This version takes API keys only: send one in the header X-Api-Key instead of Authorization.")
            } else {
                problem.remedy("Send the project's API key in the header X-Api-Key.")
            });
        };
        let wrong = || {
            Problem::new(Code::Unauthenticated, "the API key is unknown or inactive")
                .remedy("Check the key in X-Api-Key; `amp-write project create` prints a new project's first key once.")
        };
        if key.len() > MAX_KEY_BYTES {
            return Err(wrong());
        }
        let holder = app.control.projects.holder(key.as_bytes()).await?;
        holder.map(Self).ok_or_else(wrong)
    }
}

/// A caller inside the project of the path.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Who is asking.
    pub caller: Caller,
}

impl Scope {
    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        self.caller.project()
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// A caller inside the project that a request names elsewhere than in its path.
    ///
    /// # Errors
    /// 403 when the caller belongs to another project, 404 when there is no such project.
    pub async fn within(caller: Caller, app: &AppState, asked: &str) -> Result<Self, Problem> {
        let own = caller.project();
        if own.id.to_string().eq_ignore_ascii_case(asked) || own.name.to_lowercase() == asked.to_lowercase() {
            return Ok(Self { caller });
        }
        if app.store.find_project(asked).await?.is_some() {
            return Err(Problem::new(
                Code::Forbidden,
                "this API key belongs to another project",
            ));
        }
        Err(Problem::not_found(
            "Project not found for the given project ID or name.",
        ))
    }

    /// Lets only `full` keys pass: a `frontend` key lies in browsers.
    ///
    /// # Errors
    /// 403.
    pub fn require_full(&self) -> Result<(), Problem> {
        Ok(self.actor().require_full()?)
    }
}

impl FromRequestParts<AppState> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("the path cannot be read"))?;
        let asked = params
            .iter()
            .find(|(name, _)| *name == "project")
            .map_or("", |(_, value)| value);
        Self::within(caller, app, asked).await
    }
}
