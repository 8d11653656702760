//! Who is asking: an API key, and the project that it opens.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::extract::header_once;
use super::problem::{Code, Problem};
use crate::app::AppState;
use crate::store::{ApiKey, Project};
use crate::vault::sha256;

/// The header of the key.
pub const API_KEY: &str = "x-api-key";
/// The longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// A valid key and its project.
#[derive(Debug, Clone)]
pub struct Caller(Arc<(ApiKey, Project)>);

impl Caller {
    /// The project that the key opens.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.0.1
    }

    /// What attribution a change by this key gets when the request names none.
    #[must_use]
    pub fn attribution(&self) -> String {
        format!("api:{}", self.0.0.id)
    }

    /// Whether the key has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.0.scopes.split(',').any(|held| held == scope)
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
        let hash = sha256(key.as_bytes());
        let generation = app.writes.routes.generation();
        if app.writes.routes.is_fresh()
            && let Some((known, cached)) = app.keys.get(&hash)
            && known == generation
        {
            return Ok(Self(cached));
        }
        let found = Arc::new(app.store.find_key(&hash).await?.ok_or_else(wrong)?);
        app.keys.insert(hash, (generation, Arc::clone(&found)));
        Ok(Self(found))
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

    /// Lets only `full` keys pass: a `frontend` key lies in browsers.
    ///
    /// # Errors
    /// 403.
    pub fn require_full(&self) -> Result<(), Problem> {
        if self.caller.has_scope("full") {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            "this API key has the scope frontend, which cannot do this",
        )
        .remedy("Use a key with the scope full, from your backend."))
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
}
