//! One refresh, from taking the grant to giving it back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::apps::clients;
use super::ask::Asked;
use super::schedule::{refresh_in, retry_in};
use super::tokens::{Before, grant_of, variables};
use super::{Grants, Renewal, Renewed, Wanted, later};
use crate::clock::Time;
use crate::connectors::{Connector, RetryClass, RetryHint, connection_vars};
use crate::outbound::oauth::{ClientApp, Granted};
use crate::outbound::{Credentials, MintError};
use crate::store::{
    AfterFailure, Change, ChangeKind, ConnectionStatus, GrantFailure, GrantToRefresh, HeldGrant, NewTokens,
    ProviderApp, StoreError, TakeGrant,
};
use crate::vault::Secret;

/// How long a grant is taken for. It is taken again before that is over, for as long as asking takes.
const LEASE: Duration = Duration::from_secs(20);
/// How long another process is waited for that has a grant.
const BUSY: Duration = Duration::from_secs(40);
/// How often it is looked whether it has done.
const LOOK: Duration = Duration::from_millis(100);
/// How long tokens that were answered are tried to be stored. Nobody uses them before.
const STORE_PATIENCE: Duration = Duration::from_secs(600);
/// How long an app that a provider does not accept is not tried again.
const APP_PAUSE: Duration = Duration::from_secs(60);
/// When it is looked again whether there is an app for a grant.
const WITHOUT_APP: Duration = Duration::from_secs(24 * 3600);

/// A grant that this process has taken, with all that refreshing it needs.
struct Hold {
    held: HeldGrant,
    row: GrantToRefresh,
    connector: Arc<Connector>,
    vars: BTreeMap<String, String>,
    app: ProviderApp,
    clients: Vec<ClientApp>,
    before: Before,
    refresh_token: Secret,
    /// When the store's clock said `row.store_now`.
    read_at: Instant,
}

impl Hold {
    /// The time by the store's clock.
    fn now(&self) -> Time {
        self.row.store_now.after(self.read_at.elapsed())
    }
}

impl Grants {
    /// Takes the grant, or finds out what became of it.
    pub(super) async fn refresh(&self, wanted: &Wanted) -> Renewed {
        // Before it is taken: who waits for a place has nothing that others would wait for.
        let _place = self.place_at(&wanted.provider).await;
        let begun = Instant::now();
        let take = TakeGrant {
            project_id: wanted.project_id,
            connection_id: wanted.connection_id,
            credentials_version: wanted.credentials_version,
            owner: self.owner,
            lease: LEASE,
        };
        loop {
            let read_at = Instant::now();
            let row = match self.store.take_grant(&take).await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(None),
                Err(error) => return Err(not_stored(&error)),
            };
            if row.taken {
                return self.taken(row, read_at).await;
            }
            if row.credentials_version != wanted.credentials_version {
                return self.opened(&row).map(|renewal| Some(Arc::new(renewal)));
            }
            if row.status == ConnectionStatus::BadCredentials {
                let said = row
                    .last_error
                    .unwrap_or_else(|| "the customer has to connect again".to_owned());
                return Err(MintError::Refused { said, status: 0 });
            }
            if !row.busy {
                let wait = row.retry_time.map(|time| time.since(row.store_now));
                return Err(MintError::Later {
                    said: row
                        .last_error
                        .unwrap_or_else(|| "the last refresh has failed".to_owned()),
                    status: 0,
                    class: RetryClass::Transient,
                    after: wait.map(RetryHint::After),
                });
            }
            if begun.elapsed() > BUSY {
                return Err(later(
                    "another process has been refreshing the token for too long",
                ));
            }
            tokio::time::sleep(LOOK.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// The tokens that are there.
    fn opened(&self, row: &GrantToRefresh) -> Result<Renewal, MintError> {
        let credentials =
            Credentials::open(&self.vault, row.project_id, row.connection_id, &row.credentials)?;
        Ok(Renewal {
            credentials,
            credentials_version: row.credentials_version,
            vars: vars_of(row, row.provider_metadata.as_deref()),
        })
    }

    /// Refreshes a grant that this process has taken.
    async fn taken(&self, row: GrantToRefresh, read_at: Instant) -> Renewed {
        let held = HeldGrant {
            project_id: row.project_id,
            connection_id: row.connection_id,
            owner: self.owner,
            epoch: row.epoch,
            credentials_version: row.credentials_version,
        };
        let in_doubt = row.sent_time.is_some();
        let hold = match self.prepared(held, row, read_at).await {
            Ok(Some(hold)) => hold,
            Ok(None) => {
                let then = AfterFailure::StillGood(WITHOUT_APP);
                self.give_back(&held, then, String::new(), in_doubt).await;
                return Ok(None);
            }
            Err(error) => {
                let then = AfterFailure::Retry(retry_in(1, fastrand::f64()));
                self.give_back(&held, then, error.to_string(), in_doubt).await;
                return Err(error);
            }
        };
        // One question for all grants of an app that the provider does not accept.
        let pause = hold
            .app
            .fault_time
            .map(|time| APP_PAUSE.saturating_sub(hold.now().since(time)));
        if let (Some(fault), Some(pause)) = (&hold.app.fault, pause)
            && !pause.is_zero()
        {
            return self.app_refused(&hold, fault.clone(), pause, in_doubt).await;
        }
        let asked = tokio::select! {
            asked = self.ask(&hold.connector, &hold.clients, &hold.vars, &hold.refresh_token, || hold.now()) => asked,
            () = self.keep(&held) => return Err(later("the grant was lost")),
        };
        self.answered(&hold, asked, in_doubt).await
    }

    /// Everything that asking needs; `None` when there is nothing to ask with.
    async fn prepared(
        &self,
        held: HeldGrant,
        row: GrantToRefresh,
        read_at: Instant,
    ) -> Result<Option<Hold>, MintError> {
        let credentials =
            Credentials::open(&self.vault, row.project_id, row.connection_id, &row.credentials)?;
        let Credentials::OAuth2 {
            refresh_token: Some(refresh_token),
            scopes,
            ..
        } = credentials
        else {
            return Ok(None);
        };
        let Some(connector) = self.catalog.get(&row.provider) else {
            return Err(later(format!(
                "the provider `{}` is not in this server's catalogue",
                row.provider
            )));
        };
        let Some(app) = self.app_of(&row).await.map_err(|error| not_stored(&error))? else {
            return Ok(None);
        };
        let now = row.store_now;
        let clients = clients(&self.vault, &app, now).map_err(|error| later(error.to_string()))?;
        let seconds = row.life_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Some(Hold {
            held,
            connector,
            vars: vars_of(&row, row.provider_metadata.as_deref()),
            clients,
            before: Before {
                provider_app_id: Some(app.id),
                refresh_token: Some(refresh_token.clone()),
                life: seconds.map(Duration::from_secs),
                scopes,
            },
            app,
            refresh_token,
            row,
            read_at,
        }))
    }

    /// The app of a grant; for tokens that were brought from elsewhere the project's first app of the provider.
    async fn app_of(&self, row: &GrantToRefresh) -> Result<Option<ProviderApp>, StoreError> {
        match row.provider_app_id {
            Some(app_id) => self.store.get_provider_app(row.project_id, app_id).await,
            None => {
                let apps = self
                    .store
                    .list_provider_apps(row.project_id, Some(&row.provider))
                    .await?;
                Ok(apps.into_iter().next())
            }
        }
    }

    /// Goes on having the grant, for as long as it is waited for. Never ends: what was sent has to be waited for, also when
    /// another process has the grant by now.
    async fn keep(&self, held: &HeldGrant) {
        loop {
            tokio::time::sleep(LEASE / 4).await;
            if let Err(error) = self.store.keep_grant(held, LEASE).await {
                tracing::warn!(connection.id = %held.connection_id, error = &error as &dyn std::error::Error,
                    "the refresh of a token could not be announced further");
            }
        }
    }

    async fn answered(&self, hold: &Hold, asked: Asked, in_doubt: bool) -> Renewed {
        match asked {
            Asked::Granted(granted, left) => self.granted(hold, &granted, left).await,
            Asked::StillValid => {
                // As good as new: the provider has refused for no other reason.
                let wait = refresh_in(hold.row.connection_id, Some(Duration::from_secs(300)), None);
                self.give_back(&hold.held, AfterFailure::StillGood(wait), String::new(), false)
                    .await;
                self.opened(&hold.row).map(|renewal| Some(Arc::new(renewal)))
            }
            Asked::Dead(said, status) => {
                tracing::warn!(connection.id = %hold.row.connection_id, provider = hold.row.provider, said,
                    "the provider does not accept a customer's grant any more: the customer has to connect again, and what waits is held until then");
                let marked = self
                    .give_back(&hold.held, AfterFailure::Dead, said.clone(), false)
                    .await;
                if marked {
                    self.note(&hold.held);
                    return Err(MintError::Refused { said, status });
                }
                self.read_again(hold).await
            }
            Asked::App(said) => {
                let fault = self
                    .store
                    .set_provider_app_fault(hold.row.project_id, hold.app.id, Some(&said));
                if let Err(error) = fault.await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the fault of a provider app could not be stored"
                    );
                }
                tracing::error!(provider_app.id = %hold.app.id, provider = hold.row.provider, said,
                    "the provider does not accept the provider app: check its client id and secret; what waits for its connections is held until then");
                self.app_refused(hold, said, APP_PAUSE, in_doubt).await
            }
            Asked::Later {
                said,
                status,
                class,
                after,
                in_doubt: lost,
            } => {
                let named = after.map(|hint| hint.wait(hold.now().to_timestamp()));
                let own = retry_in(hold.row.failures.saturating_add(1), fastrand::f64());
                let wait = named.map_or(own, |named| named.max(own.min(Duration::from_secs(1))));
                tracing::warn!(connection.id = %hold.row.connection_id, provider = hold.row.provider, said, status,
                    "a token could not be refreshed; it is tried again");
                self.give_back(
                    &hold.held,
                    AfterFailure::Retry(wait),
                    said.clone(),
                    lost || in_doubt,
                )
                .await;
                Err(MintError::Later {
                    said,
                    status,
                    class,
                    after: Some(RetryHint::After(wait)),
                })
            }
        }
    }

    /// The provider does not accept the app. That is not the customer's fault, who is not asked to connect again.
    async fn app_refused(&self, hold: &Hold, said: String, pause: Duration, in_doubt: bool) -> Renewed {
        let said = format!(
            "the provider does not accept the provider app {}: {said}",
            hold.app.id
        );
        // Its grants do not all come back at the same moment.
        let wait = pause + pause.mul_f64(fastrand::f64());
        let then = AfterFailure::Hold(hold.app.id, wait);
        if self.give_back(&hold.held, then, said.clone(), in_doubt).await {
            self.note(&hold.held);
        }
        Err(MintError::Later {
            said,
            status: 0,
            class: RetryClass::Transient,
            after: Some(RetryHint::After(wait)),
        })
    }

    /// Stores the new tokens, and only then lets them be used.
    async fn granted(&self, hold: &Hold, granted: &Granted, left: Instant) -> Renewed {
        let asked = hold.row.store_now.after(left.duration_since(hold.read_at));
        let id = hold.row.connection_id;
        let (credentials, grant) =
            grant_of(&hold.connector, id, granted, asked, left.elapsed(), &hold.before);
        for warning in &granted.warnings {
            tracing::warn!(connection.id = %id, provider = hold.row.provider, warning, "an odd token answer");
        }
        let metadata = variables(hold.row.provider_metadata.as_deref(), &granted.found);
        let tokens = NewTokens {
            credentials: credentials.seal(&self.vault, hold.row.project_id, id)?,
            provider_metadata: metadata.clone(),
            grant,
        };
        let Some(version) = self.stored(hold, &tokens).await? else {
            return self.read_again(hold).await;
        };
        self.note(&hold.held);
        if hold.app.fault.is_some()
            && let Err(error) = self
                .store
                .set_provider_app_fault(hold.row.project_id, hold.app.id, None)
                .await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the fault of a provider app could not be cleared"
            );
        }
        let metadata = metadata.as_deref().or(hold.row.provider_metadata.as_deref());
        Ok(Some(Arc::new(Renewal {
            credentials,
            credentials_version: version,
            vars: vars_of(&hold.row, metadata),
        })))
    }

    /// Stores what was answered: it exists nowhere else, so a store that fails is asked again.
    async fn stored(&self, hold: &Hold, tokens: &NewTokens) -> Result<Option<i64>, MintError> {
        let begun = Instant::now();
        let mut wait = Duration::from_millis(50);
        loop {
            match self.store.store_grant(&hold.held, tokens).await {
                Ok(version) => return Ok(version),
                Err(error) => {
                    tracing::error!(connection.id = %hold.row.connection_id, error = &error as &dyn std::error::Error,
                        "new tokens could not be stored; trying again");
                    if begun.elapsed() > STORE_PATIENCE {
                        return Err(not_stored(&error));
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
            // It stays ours meanwhile, if the store can be told.
            let _ = self.store.keep_grant(&hold.held, LEASE).await;
        }
    }

    /// Somebody else has replaced the tokens meanwhile: theirs count.
    async fn read_again(&self, hold: &Hold) -> Renewed {
        let take = TakeGrant {
            project_id: hold.row.project_id,
            connection_id: hold.row.connection_id,
            credentials_version: -1,
            owner: self.owner,
            lease: LEASE,
        };
        match self.store.take_grant(&take).await {
            Ok(Some(row)) if row.credentials_version != hold.row.credentials_version => {
                self.opened(&row).map(|renewal| Some(Arc::new(renewal)))
            }
            Ok(Some(_)) => Err(later("another process refreshes the token")),
            Ok(None) => Ok(None),
            Err(error) => Err(not_stored(&error)),
        }
    }

    /// Gives the grant back without new tokens; whether it was still ours.
    async fn give_back(&self, held: &HeldGrant, then: AfterFailure, said: String, in_doubt: bool) -> bool {
        let failure = GrantFailure { said, then, in_doubt };
        match self.store.fail_grant(held, &failure).await {
            Ok(was_ours) => was_ours,
            Err(error) => {
                // Its lease ends by itself.
                tracing::warn!(connection.id = %held.connection_id, error = &error as &dyn std::error::Error,
                    "what became of the refresh of a token could not be stored");
                true
            }
        }
    }

    /// What is cached of the connection here is old.
    fn note(&self, held: &HeldGrant) {
        let touched = Change::of(held.project_id, ChangeKind::Connection, held.connection_id);
        self.changes.note(&[touched]);
    }
}

fn vars_of(row: &GrantToRefresh, metadata: Option<&str>) -> BTreeMap<String, String> {
    connection_vars(row.provider_workspace_ref.as_deref(), metadata)
}

fn not_stored(error: &StoreError) -> MintError {
    later(format!("the token could not be refreshed: {error}"))
}
