//! Getting requests to the provider with the connection's credentials: a token that is minted with them, or renewed, included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Writes;
use super::outcome::{error, of_read};
use super::route::{ConnectionUse, Route};
use crate::connectors::{
    Connector, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal, RetryClass,
};
use crate::grants::{Renewal, Wanted, schedule};
use crate::metrics::seconds;
use crate::outbound::{Account, CredentialError, Credentials, MintError, SendError, Token, attach};

/// The status of an answer to a request whose credential was not accepted.
const UNAUTHORIZED: u16 = 401;

/// A connection with all that its requests need.
pub(super) struct Access<'a> {
    writes: &'a Writes,
    connector: &'a Connector,
    connection: &'a ConnectionUse,
    /// Tokens that were fetched, the one in use last; none while the connection's own credentials are.
    tokens: Vec<Fetched>,
}

/// A token that was fetched.
#[derive(Debug, Clone)]
enum Fetched {
    /// Minted with the customer's credentials.
    Minted(Token),
    /// Of the customer's grant.
    Renewed(Arc<Renewal>),
}

impl Fetched {
    fn credentials(&self) -> &Credentials {
        match self {
            Self::Minted(token) => token.credentials(),
            Self::Renewed(renewal) => &renewal.credentials,
        }
    }
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
        if access.tokens.is_empty() {
            access.renew_in_time().await?;
        }
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
        let again = access.may_renew().then(|| request.clone());
        let response = access.send_once(request).await?;
        match again {
            Some(request) if response.status == UNAUTHORIZED => {
                if !access.renew().await? {
                    return Ok(response);
                }
                access.send_once(request).await
            }
            _ => Ok(response),
        }
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
        let fetched = self.tokens.iter().map(Fetched::credentials);
        std::iter::once(&self.connection.credentials)
            .chain(fetched)
            .flat_map(|credentials| credentials.secret_texts(auth))
            .collect()
    }

    /// The version of the credentials in use.
    pub fn credentials_version(&self) -> i64 {
        match self.tokens.last() {
            Some(Fetched::Renewed(renewal)) => renewal.credentials_version,
            Some(Fetched::Minted(_)) | None => self.connection.credentials_version,
        }
    }

    /// Whether the token in use may have ended: then its refusal is no reason to give up.
    pub fn may_renew(&self) -> bool {
        match self.tokens.last() {
            Some(Fetched::Minted(token)) => token.remembered,
            Some(Fetched::Renewed(_)) => false,
            None => self.is_renewable(),
        }
    }

    /// Replaces the token in use, which the provider has refused; false when there is nothing to replace it with.
    pub async fn renew(&mut self) -> Result<bool, SendFailure> {
        match self.tokens.last().cloned() {
            Some(Fetched::Minted(refused)) => self.fetch_token(Some(&refused)).await.map(|()| true),
            Some(Fetched::Renewed(_)) => Ok(false),
            None => self.renew_grant().await,
        }
    }

    async fn fetch_token(&mut self, refused: Option<&Token>) -> Result<(), SendFailure> {
        let (writes, connector) = (self.writes, self.connector);
        let token = writes
            .outbound
            .token(connector, &self.account(), refused, writes.clock.as_ref())
            .await?;
        self.tokens.extend(token.map(Fetched::Minted));
        Ok(())
    }

    fn is_renewable(&self) -> bool {
        let renewable = matches!(
            self.connection.credentials,
            Credentials::OAuth2 {
                refresh_token: Some(_),
                ..
            }
        );
        renewable && self.connector.auth().oauth2().is_some()
    }

    /// Renews the customer's grant when its token is about to end. One that has not ended yet is used when that fails.
    async fn renew_in_time(&mut self) -> Result<(), SendFailure> {
        let Credentials::OAuth2 {
            access_token_expires: Some(expires),
            ..
        } = self.connection.credentials
        else {
            return Ok(());
        };
        let now = self.connection.store_now();
        let life = self.connector.auth().expires_in();
        if !self.is_renewable()
            || !schedule::is_ending(expires, life.map(std::time::Duration::from_secs), now)
        {
            return Ok(());
        }
        match self.renew_grant().await {
            Ok(_) => Ok(()),
            Err(SendFailure::Mint(MintError::Refused { .. })) if now < expires => Ok(()),
            Err(SendFailure::Mint(MintError::Later { .. })) if now < expires => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn renew_grant(&mut self) -> Result<bool, SendFailure> {
        let wanted = Wanted {
            project_id: self.connection.project_id,
            connection_id: self.connection.id,
            credentials_version: self.connection.credentials_version,
            provider: self.connector.provider().to_owned(),
        };
        let renewed = self.writes.grants.renew(wanted).await?;
        let found = renewed.is_some();
        self.tokens.extend(renewed.map(Fetched::Renewed));
        Ok(found)
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
            .map_or(&self.connection.credentials, Fetched::credentials)
    }

    /// The variables of the connection, as they are with the token in use.
    fn vars(&self) -> &BTreeMap<String, String> {
        match self.tokens.last() {
            Some(Fetched::Renewed(renewal)) => &renewal.vars,
            Some(Fetched::Minted(_)) | None => &self.connection.vars,
        }
    }

    /// Sends a write. When it is refused with a token that was in memory it leaves once more with a new one, if `still` says
    /// that it may: fetching takes its time.
    pub async fn send_write(
        &mut self,
        request: ProviderRequest,
        is_unauthorized: impl Fn(&ProviderResponse) -> bool,
        still: impl Fn() -> bool,
    ) -> Result<ProviderResponse, SendFailure> {
        let again = self.may_renew().then(|| request.clone());
        let response = self.send_once(request).await?;
        match again {
            Some(request) if is_unauthorized(&response) => {
                if !self.renew().await? {
                    return Ok(response);
                }
                if !still() {
                    return Err(SendFailure::Lost);
                }
                self.send_once(request).await
            }
            _ => Ok(response),
        }
    }

    /// Sends a request.
    pub async fn send_once(&self, mut request: ProviderRequest) -> Result<ProviderResponse, SendFailure> {
        let (writes, connector) = (self.writes, self.connector);
        match self.tokens.last() {
            Some(Fetched::Minted(token)) => {
                request.url = token.moved(connector, &self.account(), request.url)?;
            }
            Some(Fetched::Renewed(renewal)) => {
                request.url = connector.moved(request.url, &self.connection.vars, &renewal.vars)?;
            }
            None => {}
        }
        let now = writes.clock.now();
        let wire = attach(connector, self.credentials(), self.vars(), now, request)?;
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
    /// Another worker has it by now.
    #[error(
        "the write was refused with a token that had ended, and is no longer this worker's to send again"
    )]
    Lost,
    /// The network.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl SendFailure {
    /// What it means when the request that failed was a read before the write.
    pub(super) fn before_write(&self) -> Outcome {
        of_read(self.of_write(false))
    }

    /// What it means when the request that failed was the write.
    pub(super) fn of_write(&self, unsafe_to_repeat: bool) -> Outcome {
        let message = self.to_string();
        match self {
            Self::Credentials(_) | Self::Moved(_) | Self::Send(SendError::Refused(_)) => {
                Outcome::Rejected(error(ErrorClass::Config, message))
            }
            Self::Mint(failure) => without_token(failure, message),
            Self::Lost | Self::Send(SendError::NotSent(_)) => Outcome::Retry {
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
