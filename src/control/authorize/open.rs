//! A browser sets out with a link.

use std::sync::Arc;

use std::collections::BTreeMap;

use super::{Asked, Failure, FlowError, random_token};
use crate::connectors::{Connector, connection_vars};
use crate::control::{Control, Error, Kind};
use crate::grants::apps::clients;
use crate::outbound::oauth;
use crate::store::{OpenedFlow, ProviderApp};
use crate::vault::{Secret, random_bytes, sha256};
use uuid::Uuid;

/// Where a browser goes from a link, and what it takes along.
#[derive(Debug)]
pub struct SetOut {
    /// The provider's page: it holds the state.
    pub url: Secret,
    /// The name of the flow's cookie.
    pub cookie_name: String,
    /// The cookie.
    pub cookie: Secret,
    /// Whether browsers may send it over encrypted connections only.
    pub secure: bool,
}

/// The cookie of a flow.
pub(super) fn cookie_name(flow_id: Uuid) -> String {
    format!("amp_flow_{}", &flow_id.simple().to_string()[16..])
}

/// The place of a flow's verifier in the vault.
pub(super) fn verifier_place(project_id: Uuid, flow_id: Uuid) -> String {
    format!("oauth_flow/{project_id}/{flow_id}")
}

impl Control {
    /// The connector of a provider that was known when the flow began.
    pub(super) fn connector_of(&self, provider: &str) -> Result<Arc<Connector>, Error> {
        self.catalog.get(provider).ok_or_else(|| {
            let detail = format!("the provider `{provider}` is not in this server's catalogue");
            Error::new(Kind::NotFound, detail)
        })
    }

    pub(super) fn authorize_url(
        &self,
        connector: &Connector,
        app: &ProviderApp,
        vars: &BTreeMap<String, String>,
        state: &Secret,
        verifier: Option<&Secret>,
    ) -> Result<String, Error> {
        let redirect = self.callback_url().unwrap_or_default();
        let client = clients(&self.vault, app, self.clock.now())?.into_iter().next();
        let client = client.ok_or_else(|| Error::new(Kind::Defect, "the provider app has no secret"))?;
        let url = oauth::authorize_url(connector, &client, vars, &redirect, state, verifier);
        url.map_err(|error| Error::about("providerWorkspaceRef", error.to_string()))
    }

    /// A browser has opened a link. It may do so again until its callback comes: the last time counts.
    ///
    /// # Errors
    /// [`FlowError::Failed`] when the link leads nowhere any more.
    pub async fn open_link(&self, link: &str) -> Result<SetOut, FlowError> {
        let found = self.store.find_flow(&sha256(link.as_bytes())).await?;
        let flow = found.ok_or(Failure::Unknown)?;
        if flow.end_time.is_some() {
            return Err(Failure::Replayed.into());
        }
        if flow.expired {
            return Err(Failure::Expired.into());
        }
        let asked: Asked = serde_json::from_str(&flow.request)
            .map_err(|_| Error::new(Kind::Defect, "the stored flow cannot be read"))?;
        let connector = self.connector_of(&asked.provider)?;
        let app = self
            .store
            .get_provider_app(flow.project_id, flow.provider_app_id)
            .await?;
        let gone = || Failure::Gone("The app that wanted to connect was removed.".to_owned());
        let app = app.ok_or_else(gone)?;
        let (state, cookie) = (random_token()?, random_token()?);
        let verifier = oauth::uses_pkce(&connector)
            .then(|| random_bytes::<32>().map(oauth::new_verifier))
            .transpose()
            .map_err(|error| Error::new(Kind::Defect, error.to_string()))?;
        let vars = connection_vars(asked.workspace.as_deref(), asked.metadata.as_deref());
        let url = self.authorize_url(&connector, &app, &vars, &state, verifier.as_ref())?;
        let sealed = verifier.map(|verifier| {
            let place = verifier_place(flow.project_id, flow.id);
            self.vault.seal(&place, verifier.expose().as_bytes())
        });
        let opened = OpenedFlow {
            state_hash: sha256(state.expose().as_bytes()),
            cookie_hash: sha256(cookie.expose().as_bytes()),
            verifier: sealed
                .transpose()
                .map_err(|error| Error::new(Kind::Defect, error.to_string()))?,
        };
        if !self.store.open_flow(flow.id, &opened).await? {
            return Err(Failure::Replayed.into());
        }
        Ok(SetOut {
            url: Secret::new(url),
            cookie_name: cookie_name(flow.id),
            cookie,
            secure: self
                .public_url
                .as_deref()
                .is_some_and(|url| url.starts_with("https://")),
        })
    }
}
