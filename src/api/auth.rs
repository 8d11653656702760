//! Who is asking: an API key or a JWT, and the project that it opens.
//!
//! What a handler takes decides who may call it, and the narrow way is the short one. [`Scope`] and [`Caller`] let only keys
//! with the scope `full` pass: those of an app's backend. [`OpenScope`] and [`OpenCaller`] let pass what lies open in browsers
//! as well, `frontend` keys and JWTs; such a handler hands [`OpenScope::actor`] on to the use cases of `control`, which keep a
//! JWT inside its group.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::extract::header_once;
use super::problem::{Code, Problem};
use crate::app::AppState;
use crate::control::Actor;
use crate::control::jwt::{Fault, Verifier};
use crate::control::keys::{KeyHolder, NotHeld};
use crate::store::{KeyScope, Project};

/// The header of the key.
pub const API_KEY: &str = "x-api-key";
/// The longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// What has opened the project.
#[derive(Debug, Clone)]
enum Held {
    Key(Arc<KeyHolder>),
    Jwt(Arc<Verifier>),
}

/// Whoever has a valid credential, be it one that lies in browsers, and its project.
#[derive(Debug, Clone)]
pub struct OpenCaller {
    held: Held,
    actor: Actor,
}

impl OpenCaller {
    /// The project that the credential opens.
    #[must_use]
    pub fn project(&self) -> &Project {
        match &self.held {
            Held::Key(holder) => &holder.project,
            Held::Jwt(verifier) => &verifier.project,
        }
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The caller inside the project that was asked for, by id or name: for who is told it elsewhere than in the path.
    ///
    /// # Errors
    /// 401, 403 or 404 when the credential opens another one, or the store fails.
    pub async fn inside(self, app: &AppState, asked: &str) -> Result<OpenScope, Problem> {
        let own = self.project();
        if own.id.to_string().eq_ignore_ascii_case(asked) || own.name.to_lowercase() == asked.to_lowercase() {
            return Ok(OpenScope(self));
        }
        // Keys of other projects do not verify here, as if there were none.
        if let Held::Jwt(_) = self.held {
            return Err(unopened(Fault::NotSigned.into()));
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

    async fn of_key(app: &AppState, key: &[u8]) -> Result<Self, Problem> {
        if key.len() > MAX_KEY_BYTES {
            return Err(unopened(NotHeld::Unknown));
        }
        let holder = app.control.projects.holder(key).await.map_err(unopened)?;
        Ok(Self {
            actor: Actor::Key {
                id: holder.key.id,
                full: holder.has_scope(KeyScope::Full),
            },
            held: Held::Key(holder),
        })
    }

    async fn of_jwt(app: &AppState, token: &str) -> Result<Self, Problem> {
        let found = app.control.projects.consumer(token).await;
        let (consumer, verifier) = found.map_err(unopened)?;
        Ok(Self {
            held: Held::Jwt(verifier),
            actor: Actor::Consumer(consumer),
        })
    }
}

impl FromRequestParts<AppState> for OpenCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let key = header_once(&parts.headers, API_KEY, "X-Api-Key")?;
        match (key, bearer(&parts.headers)?) {
            (Some(key), None) => Self::of_key(app, key.as_bytes()).await,
            (None, Some(token)) => Self::of_jwt(app, token).await,
            // Which of them is meant? One that is ignored would be one that somebody relies on.
            (Some(_), Some(_)) => Err(Problem::header(
                "Authorization",
                "carries a JWT beside the API key in X-Api-Key; send one of the two",
            )),
            (None, None) => Err(Problem::new(
                Code::Unauthenticated,
                "the request carries no API key and no JWT",
            )
            .remedy(
                "Send the project's API key in the header X-Api-Key, or a JWT as `Authorization: Bearer …`.",
            )),
        }
    }
}

/// The token of `Authorization: Bearer`. Other schemes are for whoever stands in between, such as a proxy.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = header_once(headers, AUTHORIZATION.as_str(), "Authorization")? else {
        return Ok(None);
    };
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer")) {
        return Ok(None);
    }
    // What is not ASCII is no token: an empty one is as wrong.
    let text = value.to_str().unwrap_or_default();
    Ok(Some(text.split_once(' ').map_or("", |(_, token)| token.trim())))
}

/// A credential that opens nothing.
fn unopened(why: NotHeld) -> Problem {
    let problem = |why: &NotHeld| Problem::new(Code::Unauthenticated, why.to_string());
    match why {
        NotHeld::Store(error) => error.into(),
        NotHeld::Unknown => problem(&why).remedy(
            "Check the key in X-Api-Key; `amp-write project create` prints a new project's first key once.",
        ),
        NotHeld::Expired(_) => {
            problem(&why).remedy("Make a new key (POST …/api-keys, or `amp-write project key create`).")
        }
        NotHeld::Token(Fault::NotSigned) => problem(&why).remedy(
            "Check that kid is the id of an active key of this project (GET …/jwt-keys), and that its private half has signed the JWT.",
        ),
        NotHeld::Token(_) => problem(&why).remedy(
            "Sign a JWT with RS256, the kid of a key of the project and the claims groupRef, consumerRef, iat and exp, good for 10 minutes at most. An API key goes into the header X-Api-Key.",
        ),
    }
}

/// Whoever has a key with the scope `full`, and its project.
#[derive(Debug, Clone)]
pub struct Caller(OpenCaller);

impl Caller {
    /// The project that the key opens.
    #[must_use]
    pub fn project(&self) -> &Project {
        self.0.project()
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        self.0.actor()
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let caller = OpenCaller::from_request_parts(parts, app).await?;
        caller.actor().require_full()?;
        Ok(Self(caller))
    }
}

/// A caller inside the project of the path, be it with a credential that lies in browsers: a `frontend` key, or a JWT, which
/// sees and changes its own group only. The use cases see to that: they get [`OpenScope::actor`].
#[derive(Debug, Clone)]
pub struct OpenScope(OpenCaller);

impl OpenScope {
    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        self.0.project()
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        self.0.actor()
    }
}

impl FromRequestParts<AppState> for OpenScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let caller = OpenCaller::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("the path cannot be read"))?;
        let asked = params
            .iter()
            .find(|(name, _)| *name == "project")
            .map_or("", |(_, value)| value);
        caller.inside(app, asked).await
    }
}

/// A caller with a key of the scope `full` inside the project of the path.
#[derive(Debug, Clone)]
pub struct Scope(OpenScope);

impl Scope {
    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        self.0.project()
    }

    /// Who asks, for the use cases.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        self.0.actor()
    }
}

impl FromRequestParts<AppState> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let scope = OpenScope::from_request_parts(parts, app).await?;
        scope.actor().require_full()?;
        Ok(Self(scope))
    }
}
