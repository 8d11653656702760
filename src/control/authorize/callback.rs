//! A customer comes back from the provider.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::failure::presentable;
use super::open::{cookie_name, verifier_place};
use super::{Asked, Failure, FlowError};
use crate::connectors::{Connector, connection_vars};
use crate::control::{Control, Error, Kind};
use crate::grants::apps::{clients, list};
use crate::grants::{Before, grant_of, variables};
use crate::outbound::oauth::{self, AccountId, ClientApp, FaultKind, Granted};
use crate::outbound::{Credentials, SendError, attach};
use crate::store::{
    Change, ChangeKind, Connection, ConnectionChange, ConnectionFilter, Flow, Grant, NewConnection, NewGrant,
    ProviderApp,
};
use crate::vault::{Secret, sha256};

/// The auth scheme of what is connected here.
const SCHEME: &str = "oauth2/authorizationCode";
/// Scopes that providers take and do not name among those that they have granted.
const SILENT: &[&str] = &[
    "offline_access",
    "offline",
    "refresh_token",
    "openid",
    "email",
    "profile",
];

/// What the provider's redirect brings.
#[derive(Debug)]
pub struct Callback {
    /// All parameters of the query. They hold the code and the state.
    pub query: BTreeMap<String, String>,
    /// The cookies of the browser.
    pub cookies: BTreeMap<String, String>,
}

impl Callback {
    fn text(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A customer who is connected.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub connection: Connection,
    /// The account, as far as the provider names it.
    pub account: Option<AccountId>,
}

/// A flow whose callback has come, with what it needs.
struct Ended {
    flow: Flow,
    asked: Asked,
    app: ProviderApp,
    connector: std::sync::Arc<Connector>,
    clients: Vec<ClientApp>,
    /// The connection's variables as they are known by now.
    metadata: Option<String>,
    read_at: Instant,
}

/// A grant as it was given.
struct Given {
    granted: Granted,
    asked_at: Instant,
    account: Option<AccountId>,
    metadata: Option<String>,
}

impl Control {
    /// Ends a flow: the code becomes tokens, and they a connection. To be run to its end, whether the browser waits or not: the
    /// code is good once.
    ///
    /// # Errors
    /// [`FlowError::Failed`] says in words why nobody is connected.
    pub async fn finish_flow(&self, callback: Callback) -> Result<Connected, FlowError> {
        let done = self.finished(&callback).await;
        if let Err(FlowError::Failed(failure)) = &done {
            tracing::info!(failure = failure.word(), "a customer was not connected");
        }
        done
    }

    async fn finished(&self, callback: &Callback) -> Result<Connected, FlowError> {
        let admin = callback.text("admin_consent");
        if admin.eq_ignore_ascii_case("true") && callback.text("code").is_empty() {
            // It may come days later and from another browser: it connects nobody, so it needs no flow.
            return Err(Failure::AdminApproved.into());
        }
        let ended = self.end(callback).await?;
        let (error, description) = (callback.text("error"), callback.text("error_description"));
        if !error.is_empty() {
            return Err(Failure::of_provider(error, description).into());
        }
        let code = callback.text("code");
        if code.is_empty() {
            let said = "it sent you back without a code".to_owned();
            return Err(Failure::Provider(said).into());
        }
        let told = oauth::callback_vars(&ended.connector, &callback.query);
        let ended = Ended {
            metadata: variables(ended.metadata.as_deref(), &told).or(ended.metadata),
            ..ended
        };
        let given = self.exchange(&ended, &Secret::new(code.to_owned())).await?;
        self.check_scopes(&ended, &given.granted)?;
        let given = self.identified(&ended, given).await?;
        self.connected(&ended, given).await
    }

    /// The flow of a callback, ended: with its state and its cookie, once.
    async fn end(&self, callback: &Callback) -> Result<Ended, FlowError> {
        let state_hash = sha256(callback.text("state").as_bytes());
        let found = self.store.find_flow_of_state(&state_hash).await?;
        let found = found.ok_or(Failure::Unknown)?;
        if found.end_time.is_some() {
            return Err(Failure::Replayed.into());
        }
        if found.expired {
            return Err(Failure::Expired.into());
        }
        let cookie = callback.cookies.get(&cookie_name(found.id));
        let cookie = cookie.ok_or(Failure::OtherBrowser)?;
        let read_at = Instant::now();
        let Some(flow) = self
            .store
            .end_flow(&state_hash, &sha256(cookie.as_bytes()))
            .await?
        else {
            let again = self.store.find_flow_of_state(&state_hash).await?;
            let replayed = again.is_some_and(|flow| flow.end_time.is_some());
            return Err(if replayed {
                Failure::Replayed
            } else {
                Failure::OtherBrowser
            }
            .into());
        };
        // What it sealed was read before it was wiped.
        let flow = Flow {
            verifier: found.verifier,
            ..flow
        };
        let asked: Asked = serde_json::from_str(&flow.request)
            .map_err(|_| Error::new(Kind::Defect, "the stored flow cannot be read"))?;
        let app = self
            .store
            .get_provider_app(flow.project_id, flow.provider_app_id)
            .await?;
        let gone = || Failure::Gone("The app that wanted to connect was removed.".to_owned());
        let app = app.ok_or_else(gone)?;
        Ok(Ended {
            connector: self.connector_of(&asked.provider)?,
            clients: clients(&self.vault, &app, flow.store_now).map_err(Error::from)?,
            metadata: asked.metadata.clone(),
            flow,
            asked,
            app,
            read_at,
        })
    }

    /// Tokens for the code, as each of the app's secrets in turn until the provider knows one.
    async fn exchange(&self, ended: &Ended, code: &Secret) -> Result<Given, FlowError> {
        let redirect = self.callback_url().unwrap_or_default();
        let verifier = match &ended.flow.verifier {
            Some(sealed) => {
                let place = verifier_place(ended.flow.project_id, ended.flow.id);
                let opened = self.vault.open(&place, sealed);
                let opened = opened.map_err(|error| Error::new(Kind::Defect, error.to_string()))?;
                Some(Secret::new(String::from_utf8_lossy(&opened).into_owned()))
            }
            None => None,
        };
        let vars = connection_vars(ended.asked.workspace.as_deref(), ended.metadata.as_deref());
        let mut refused = Failure::App("it has no secret".to_owned());
        for client in &ended.clients {
            let request = oauth::exchange(
                &ended.connector,
                client,
                &vars,
                &redirect,
                code,
                verifier.as_ref(),
            );
            let request = request.map_err(|error| Failure::Gone(format!("{error}.")))?;
            let asked_at = Instant::now();
            let response = match self.writes.grants.outbound().send(request.wire).await {
                Ok(response) => response,
                Err(error @ SendError::Refused(_)) => {
                    return Err(Failure::Provider(presentable(&error.to_string())).into());
                }
                Err(error) => return Err(Failure::NoAnswer(presentable(&error.to_string())).into()),
            };
            match oauth::read(&ended.connector, &request.secrets, &response, self.clock.now()) {
                Ok(granted) => {
                    for warning in &granted.warnings {
                        tracing::warn!(provider = ended.asked.provider, warning, "an odd token answer");
                    }
                    return Ok(Given {
                        granted,
                        asked_at,
                        account: None,
                        metadata: ended.metadata.clone(),
                    });
                }
                Err(fault) if fault.kind == FaultKind::Hostile => {
                    tracing::error!(
                        provider = ended.asked.provider,
                        said = fault.said,
                        "a token answer was refused"
                    );
                    let said = "it named an address that is not its own, so nothing of its answer was used";
                    return Err(Failure::Provider(said.to_owned()).into());
                }
                Err(fault) if fault.kind == FaultKind::App => {
                    refused = Failure::App(presentable(&fault.said));
                }
                Err(fault) => {
                    let code = fault.code.as_deref().unwrap_or_default();
                    let failure = match Failure::of_provider(code, &fault.said) {
                        // What a token endpoint refuses nobody has cancelled.
                        Failure::Cancelled => Failure::Provider(presentable(&fault.said)),
                        other => other,
                    };
                    return Err(failure.into());
                }
            }
        }
        tracing::error!(provider_app.id = %ended.app.id, provider = ended.asked.provider,
            "the provider does not accept the provider app: check its client id, secret and redirect URL");
        Err(refused.into())
    }

    /// A customer may leave out what the app cannot do without. Only names of the provider's own making are compared: one that
    /// calls them otherwise in its answer says nothing.
    fn check_scopes(&self, ended: &Ended, granted: &Granted) -> Result<(), FlowError> {
        let wanted = list(&ended.app.scopes).map_err(Error::from)?;
        let Some(got) = granted
            .scopes
            .as_ref()
            .filter(|got| got.iter().any(|scope| wanted.contains(scope)))
        else {
            return Ok(());
        };
        let missing: Vec<&str> = wanted
            .iter()
            .map(String::as_str)
            .filter(|scope| !SILENT.contains(scope) && !got.iter().any(|had| had == scope))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::Scope(presentable(&missing.join(", "))).into())
    }

    /// Finds out whose grant it is, and what else the provider tells of the account.
    async fn identified(&self, ended: &Ended, given: Given) -> Result<Given, FlowError> {
        let workspace = ended.asked.workspace.as_deref();
        let metadata = variables(given.metadata.as_deref(), &given.granted.found).or(given.metadata);
        let mut account = given.granted.account.clone();
        let mut metadata = metadata;
        let vars = connection_vars(workspace, metadata.as_deref());
        if let Some(request) = oauth::who(&ended.connector, &vars, &given.granted) {
            let credentials = Credentials::of_access_token(given.granted.access_token.clone());
            let now = self.clock.now();
            let wire = attach(&ended.connector, &credentials, &vars, now, request);
            let wire = wire.map_err(|error| Failure::Provider(presentable(&error.to_string())))?;
            match self.writes.grants.outbound().send(wire).await {
                Ok(response) => {
                    let (told, found) = oauth::read_who(&ended.connector, &vars, &response);
                    account = account.or(told);
                    metadata = variables(metadata.as_deref(), &found).or(metadata);
                }
                // It is connected all the same.
                Err(error) => {
                    tracing::warn!(provider = ended.asked.provider, %error, "the provider does not say whose account it is");
                }
            }
        }
        let vars = connection_vars(workspace, metadata.as_deref());
        let missing: Vec<&str> = ended.connector.missing_found(&vars).collect();
        if !missing.is_empty() {
            let said = format!(
                "it does not say {}, without which nothing can be written",
                missing.join(", ")
            );
            return Err(Failure::Provider(said).into());
        }
        let account = account.or_else(|| oauth::account_of(&ended.connector, &vars));
        Ok(Given {
            account,
            metadata,
            ..given
        })
    }

    /// Stores the grant: in the connection that asked for it, in one of the same customer and account, or in a new one.
    async fn connected(&self, ended: &Ended, given: Given) -> Result<Connected, FlowError> {
        let project_id = ended.flow.project_id;
        let (id, known) = match ended.flow.connection_id {
            Some(id) => {
                let grant = self.store.get_grant(project_id, id).await?;
                same_account(
                    grant.as_ref(),
                    given.account.as_ref(),
                    ended.asked.allow_account_change,
                )?;
                (id, true)
            }
            None => match self.connection_of(ended, given.account.as_ref()).await? {
                Some(id) => (id, true),
                None => (self.clock.new_id(), false),
            },
        };
        let asked = ended
            .flow
            .store_now
            .after(given.asked_at.duration_since(ended.read_at));
        let before = Before {
            provider_app_id: Some(ended.app.id),
            ..Before::default()
        };
        let since = given.asked_at.elapsed();
        let (credentials, grant) = grant_of(&ended.connector, id, &given.granted, asked, since, &before);
        let lasts = oauth::grant_life(&ended.connector).or(given.granted.grant_life);
        let grant = NewGrant {
            account_id: given.account.as_ref().map(|account| account.id.clone()),
            account_name: given.account.as_ref().and_then(|account| account.name.clone()),
            refresh_expires_in: [grant.refresh_expires_in, lasts].into_iter().flatten().min(),
            ..grant
        };
        if grant.refresh_in.is_none() && grant.life_seconds.is_some() {
            tracing::warn!(connection.id = %id, provider = ended.asked.provider,
                "the provider gave no refresh token: the connection ends with its access token. Look at the scopes of the provider app");
        }
        let sealed = credentials.seal(&self.vault, project_id, id);
        let sealed = sealed.map_err(|error| Error::new(Kind::Defect, error.to_string()))?;
        let connection = if known {
            let change = ConnectionChange {
                provider_metadata: given.metadata.clone(),
                credentials: Some(sealed),
                grant: Some(grant),
                ..ConnectionChange::default()
            };
            let changed = self.store_granted(project_id, id, &change).await?;
            changed.ok_or_else(|| Failure::Gone("The connection was deleted meanwhile.".to_owned()))?
        } else {
            let asked = &ended.asked;
            let new = NewConnection {
                id,
                provider: asked.provider.clone(),
                group_ref: asked.group_ref.clone(),
                group_name: asked.group_name.clone(),
                consumer_ref: asked.consumer_ref.clone(),
                consumer_name: asked.consumer_name.clone(),
                provider_workspace_ref: asked.workspace.clone(),
                provider_metadata: given.metadata.clone(),
                auth_scheme: SCHEME.to_owned(),
                credentials: sealed,
                grant: Some(grant),
            };
            self.store_made(project_id, &new).await?
        };
        let touched = Change::of(project_id, ChangeKind::Connection, id);
        self.done.note_attributed(&ended.asked.actor, &[touched]);
        self.writes.new_work.changed(id);
        tracing::info!(connection.id = %id, provider = ended.asked.provider, again = known, "a customer is connected");
        Ok(Connected {
            connection,
            account: given.account,
        })
    }

    /// The code is used up: what it gave is tried to be stored as long as somebody waits.
    async fn store_granted(
        &self,
        project_id: Uuid,
        id: Uuid,
        change: &ConnectionChange,
    ) -> Result<Option<Connection>, Error> {
        let mut tries = 0;
        loop {
            match self.store.update_connection(project_id, id, change).await {
                Err(error) if error.is_transient() && tries < STORE_TRIES => tries += 1,
                done => return Ok(done?),
            }
            tokio::time::sleep(STORE_WAIT).await;
        }
    }

    async fn store_made(&self, project_id: Uuid, new: &NewConnection) -> Result<Connection, Error> {
        let mut tries = 0;
        loop {
            match self.store.create_connection(project_id, new).await {
                Err(error) if error.is_transient() && tries < STORE_TRIES => tries += 1,
                done => return Ok(done?),
            }
            tokio::time::sleep(STORE_WAIT).await;
            // The commit before may have been made without being told.
            if let Some(made) = self.store.get_connection(project_id, new.id).await? {
                return Ok(made);
            }
        }
    }

    /// A connection of the same customer and person to the same account: that one gets the grant, instead of a second one.
    async fn connection_of(
        &self,
        ended: &Ended,
        account: Option<&AccountId>,
    ) -> Result<Option<Uuid>, FlowError> {
        let Some(account) = account else { return Ok(None) };
        let filter = ConnectionFilter {
            provider: Some(ended.asked.provider.clone()),
            group_ref: Some(ended.asked.group_ref.clone()),
            consumer_ref: Some(ended.asked.consumer_ref.clone()),
        };
        for connection in self
            .store
            .list_connections(ended.flow.project_id, &filter)
            .await?
        {
            let grant = self.store.get_grant(ended.flow.project_id, connection.id).await?;
            let same = grant.and_then(|grant| grant.account_id).as_ref() == Some(&account.id);
            if same && connection.auth_scheme == SCHEME {
                return Ok(Some(connection.id));
            }
        }
        Ok(None)
    }
}

/// How often, and how far apart, a store that fails is asked to keep what a provider gave.
const STORE_TRIES: usize = 40;
const STORE_WAIT: Duration = Duration::from_millis(250);

/// A connection keeps its account, unless another one is asked for: what waits for it was meant for that account.
fn same_account(known: Option<&Grant>, got: Option<&AccountId>, may_change: bool) -> Result<(), Failure> {
    let had = known.and_then(|grant| Some((grant.account_id.as_ref()?, grant.account_name.as_ref())));
    let (Some((had, had_name)), Some(got)) = (had, got) else {
        return Ok(());
    };
    if *had == got.id || may_change {
        return Ok(());
    }
    let named = |id: &str, name: Option<&String>| match name {
        Some(name) if name != id => presentable(&format!("{name} ({id})")),
        _ => presentable(id),
    };
    Err(Failure::OtherAccount {
        had: named(had, had_name),
        got: named(&got.id, got.name.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: Option<&str>) -> Grant {
        Grant {
            connection_id: Uuid::nil(),
            provider_app_id: None,
            account_id: id.map(str::to_owned),
            account_name: Some("Acme".to_owned()),
            scopes: None,
            life_seconds: None,
            refresh_time: None,
            refresh_expire_time: None,
            failures: 0,
            retry_time: None,
            last_error: None,
            last_error_time: None,
            last_refresh_time: None,
        }
    }

    #[test]
    fn a_connection_keeps_its_account_unless_another_is_asked_for() {
        let got = AccountId {
            id: "2".to_owned(),
            name: Some("Other".to_owned()),
        };
        let refused = same_account(Some(&grant(Some("1"))), Some(&got), false).expect_err("another account");
        let (said, _) = refused.words();
        assert!(said.contains("Acme (1)") && said.contains("Other (2)"), "{said}");
        assert!(same_account(Some(&grant(Some("1"))), Some(&got), true).is_ok());
        assert!(same_account(Some(&grant(Some("2"))), Some(&got), false).is_ok());
        // Of tokens that were brought from elsewhere the account may not be known.
        assert!(same_account(Some(&grant(None)), Some(&got), false).is_ok());
        assert!(same_account(None, Some(&got), false).is_ok());
    }
}
