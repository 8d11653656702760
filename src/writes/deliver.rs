//! Getting requests to the provider with the connection's credentials, a token that is minted for them included.

use std::time::Instant;

use super::Writes;
use super::perform::error;
use super::route::{ConnectionUse, Route};
use crate::connectors::{
    Connector, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal, RetryClass,
};
use crate::metrics::seconds;
use crate::outbound::{Account, CredentialError, Credentials, MintError, SendError, Token, attach};

/// The status of an answer to a request whose credential was not accepted.
const UNAUTHORIZED: u16 = 401;

/// A connection with all that its requests need.
pub(super) struct Access<'a> {
    writes: &'a Writes,
    connector: &'a Connector,
    connection: &'a ConnectionUse,
    /// Minted tokens, the one in use last; none where nothing is minted.
    tokens: Vec<Token>,
}

impl Writes {
    /// Gets a connection ready: fetches a token when its requests carry one and none is there.
    pub(super) async fn access<'a>(
        &'a self,
        connector: &'a Connector,
        connection: &'a ConnectionUse,
    ) -> Result<Access<'a>, SendFailure> {
        let mut access = Access {
            writes: self,
            connector,
            connection,
            tokens: Vec::new(),
        };
        access.fetch_token(None).await?;
        Ok(access)
    }

    /// Sends a request that writes nothing, with the connection's credentials.
    pub(super) async fn send_for(
        &self,
        connector: &Connector,
        connection: &ConnectionUse,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, SendFailure> {
        let mut access = self.access(connector, connection).await?;
        access
            .send(request, |response| response.status == UNAUTHORIZED)
            .await
    }

    /// As [`Writes::send_for`], over a route.
    pub(super) async fn send(
        &self,
        route: &Route,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, SendFailure> {
        self.send_for(&route.connector, &route.connection, request).await
    }
}

impl Access<'_> {
    /// Every secret text that an answer could repeat.
    pub fn secret_texts(&self) -> Vec<&str> {
        let auth = self.connector.auth();
        let minted = self.tokens.iter().map(Token::credentials);
        std::iter::once(&self.connection.credentials)
            .chain(minted)
            .flat_map(|credentials| credentials.secret_texts(auth))
            .collect()
    }

    /// Sends a request. When the provider refuses a token that was in memory, it is replaced and the request sent once more:
    /// `is_refused` says whether an answer means that, and so that nothing was done.
    pub async fn send(
        &mut self,
        request: ProviderRequest,
        is_refused: impl Fn(&ProviderResponse) -> bool,
    ) -> Result<ProviderResponse, SendFailure> {
        let Some(token) = self.tokens.last().filter(|token| token.remembered).cloned() else {
            return self.send_once(request).await;
        };
        let response = self.send_once(request.clone()).await?;
        if !is_refused(&response) {
            return Ok(response);
        }
        self.fetch_token(Some(&token)).await?;
        self.send_once(request).await
    }

    async fn fetch_token(&mut self, refused: Option<&Token>) -> Result<(), SendFailure> {
        let (writes, connector) = (self.writes, self.connector);
        let token = writes
            .outbound
            .token(connector, &self.account(), refused, writes.clock.as_ref())
            .await?;
        self.tokens.extend(token);
        Ok(())
    }

    fn account(&self) -> Account<'_> {
        Account {
            id: self.connection.id,
            credentials_version: self.connection.credentials_version,
            credentials: &self.connection.credentials,
            vars: &self.connection.vars,
        }
    }

    fn credentials(&self) -> &Credentials {
        self.tokens
            .last()
            .map_or(&self.connection.credentials, Token::credentials)
    }

    async fn send_once(&self, mut request: ProviderRequest) -> Result<ProviderResponse, SendFailure> {
        let (writes, connector) = (self.writes, self.connector);
        if let Some(token) = self.tokens.last() {
            request.url = token.moved(connector, &self.account(), request.url)?;
        }
        let now = writes.clock.now();
        let wire = attach(connector, self.credentials(), &self.connection.vars, now, request)?;
        let started = Instant::now();
        let answer = writes.outbound.send(wire).await;
        let kind = match &answer {
            Ok(response) => match response.status {
                200..300 => "2xx",
                300..400 => "3xx",
                429 => "429",
                400..500 => "4xx",
                _ => "5xx",
            },
            Err(SendError::Refused(_)) => "refused",
            Err(SendError::NotSent(_)) => "unreachable",
            Err(SendError::NoAnswer(_)) => "no_answer",
        };
        writes
            .metrics
            .provider_seconds
            .observe(&[connector.provider(), kind], seconds(started.elapsed()));
        Ok(answer?)
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendFailure {
    /// The credentials cannot be put on the request.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// There is no token for it.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The token answer leads to an address that is not called.
    #[error(transparent)]
    Moved(#[from] Refusal),
    /// The network.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl SendFailure {
    /// What it means when the request that failed was a read before the write.
    pub(super) fn before_write(&self) -> Outcome {
        match self.of_write(false) {
            Outcome::Retry { error, class, after } => Outcome::Retry {
                error: ProviderError {
                    class: ErrorClass::Transient,
                    ..error
                },
                class,
                after,
            },
            other => other,
        }
    }

    /// What it means when the request that failed was the write.
    pub(super) fn of_write(&self, unsafe_to_repeat: bool) -> Outcome {
        let message = self.to_string();
        match self {
            Self::Credentials(_) | Self::Moved(_) | Self::Send(SendError::Refused(_)) => {
                Outcome::Rejected(error(ErrorClass::Config, message))
            }
            Self::Mint(failure) => without_token(failure, message),
            Self::Send(SendError::NotSent(_)) => Outcome::Retry {
                error: error(ErrorClass::Transient, message),
                class: RetryClass::Transient,
                after: None,
            },
            Self::Send(SendError::NoAnswer(_)) if unsafe_to_repeat => {
                Outcome::Unknown(error(ErrorClass::Unknown, message))
            }
            Self::Send(SendError::NoAnswer(_)) => Outcome::Retry {
                error: error(ErrorClass::Server, message),
                class: RetryClass::Transient,
                after: None,
            },
        }
    }
}

/// What it means when there is no token: the write was not sent, or refused before.
fn without_token(failure: &MintError, message: String) -> Outcome {
    let told = |class, status| ProviderError {
        status,
        ..error(class, message.clone())
    };
    let later = |class, status, retry, after| Outcome::Retry {
        error: told(class, status),
        class: retry,
        after,
    };
    match failure {
        MintError::Credentials(_) | MintError::Send(SendError::Refused(_)) => {
            Outcome::Rejected(told(ErrorClass::Config, 0))
        }
        MintError::Send(_) => later(ErrorClass::Transient, 0, RetryClass::Transient, None),
        MintError::Refused { status, .. } => Outcome::Unauthorized(told(ErrorClass::Auth, *status)),
        MintError::Later {
            status,
            class: RetryClass::RateLimited,
            after,
            ..
        } => later(ErrorClass::RateLimited, *status, RetryClass::RateLimited, *after),
        MintError::Later { status, after, .. } => {
            later(ErrorClass::Transient, *status, RetryClass::Transient, *after)
        }
    }
}
