//! Asking a customer: from the link that an app hands out to the connection that the provider's answer makes.
//!
//! The link is ours. Who opens it gets a cookie of this flow and is sent on to the provider; the callback counts only with the
//! state *and* that cookie, once. So nobody can make a customer agree to a flow that somebody else began in another browser.

mod callback;
mod failure;
mod open;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;

use super::connections::check_metadata;
use super::{Actor, Control, Error, Kind, check_text};
use crate::connectors::connection_vars;
use crate::store::{NewFlow, ProviderApp};
use crate::vault::{Secret, VaultError, random_bytes, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use callback::{Callback, Connected};
pub use failure::{Failure, FlowError};
pub use open::SetOut;

/// How long a link, and the flow that begins with it, is good.
pub const LIFE: Duration = Duration::from_secs(600);
/// How long a flow is remembered after that, so that a late callback is told what happened.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Where providers send customers back to.
pub const CALLBACK: &str = "/callbacks/v1/oauth";
/// Where links lead; the secret of the link follows.
pub const LINK: &str = "/connect/";

/// A customer to be asked.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// The provider.
    pub provider: String,
    /// The customer.
    pub group_ref: String,
    /// The customer's name.
    pub group_name: Option<String>,
    /// The person who connects.
    pub consumer_ref: String,
    /// The person's name.
    pub consumer_name: Option<String>,
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    pub provider_metadata: Option<Map<String, Value>>,
    /// The app that asks; the project's first one of the provider when absent.
    pub provider_app_id: Option<Uuid>,
}

/// What a flow is for, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    provider: String,
    group_ref: String,
    #[serde(default)]
    group_name: Option<String>,
    consumer_ref: String,
    #[serde(default)]
    consumer_name: Option<String>,
    #[serde(default)]
    workspace: Option<String>,
    /// JSON text.
    #[serde(default)]
    metadata: Option<String>,
    /// Whether a connection may get a grant of another account than it had.
    #[serde(default)]
    allow_account_change: bool,
    /// Who asked for the link.
    actor: String,
}

impl Control {
    /// Where providers send customers back to: to be registered with each app, to the letter. `None` while `AMP_PUBLIC_URL` is
    /// not set.
    #[must_use]
    pub fn callback_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{url}{CALLBACK}"))
    }

    fn public_url(&self) -> Result<&str, Error> {
        self.public_url.as_deref().ok_or_else(|| {
            Error::new(
                Kind::NotSetUp,
                "this server does not know its own address, so providers could not send customers back to it",
            )
            .remedy("Set AMP_PUBLIC_URL to where browsers reach this server, such as https://write.example.com, and register its /callbacks/v1/oauth with the provider app.")
        })
    }

    /// A link at which a customer is asked to connect. It is a secret, good once and for [`LIFE`].
    ///
    /// # Errors
    /// When something is missing or wrong, there is no app to ask with, or the store fails.
    pub async fn authorize(&self, actor: &Actor, project_id: Uuid, asking: Asking) -> Result<Secret, Error> {
        actor.confine_person(&asking.group_ref, &asking.consumer_ref)?;
        let base = self.public_url()?.to_owned();
        for (text, field) in [
            (Some(&asking.group_ref), "groupRef"),
            (Some(&asking.consumer_ref), "consumerRef"),
            (asking.group_name.as_ref(), "groupName"),
            (asking.consumer_name.as_ref(), "consumerName"),
            (asking.provider_workspace_ref.as_ref(), "providerWorkspaceRef"),
        ] {
            let required = matches!(field, "groupRef" | "consumerRef");
            if let Some(text) = text
                && (required || !text.is_empty())
            {
                check_text(text, field)?;
            }
        }
        self.check_consenting(&asking.provider)?;
        if let Some(metadata) = &asking.provider_metadata {
            check_metadata(metadata)?;
        }
        let metadata = asking
            .provider_metadata
            .filter(|metadata| !metadata.is_empty())
            .map(|metadata| Value::Object(metadata).to_string());
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let workspace = filled(asking.provider_workspace_ref);
        let connector = self.connector_of(&asking.provider)?;
        let vars = connection_vars(workspace.as_deref(), metadata.as_deref());
        if let Some(problem) = connector.check_variables_to_authorise(&vars).into_iter().next() {
            return Err(Error::about("providerMetadata", problem));
        }
        let app = self
            .app_for(project_id, &asking.provider, asking.provider_app_id)
            .await?;
        let asked = Asked {
            provider: asking.provider,
            group_ref: asking.group_ref,
            group_name: filled(asking.group_name),
            consumer_ref: asking.consumer_ref,
            consumer_name: filled(asking.consumer_name),
            workspace,
            metadata,
            allow_account_change: false,
            actor: actor.attribution(),
        };
        self.begin(&base, project_id, &app, None, &asked).await
    }

    /// A link at which the customer of a connection agrees once more: the connection stays, and what waits for it goes on.
    ///
    /// # Errors
    /// When there is no such connection, it is not connected through OAuth, there is no app to ask with, or the store fails.
    pub async fn reauthorize(
        &self,
        actor: &Actor,
        project_id: Uuid,
        connection_id: Uuid,
        allow_account_change: bool,
    ) -> Result<Secret, Error> {
        let connection = self.connection(actor, project_id, connection_id).await?;
        let base = self.public_url()?.to_owned();
        self.check_consenting(&connection.provider)?;
        let grant = self.store.get_grant(project_id, connection_id).await?;
        let app_id = grant.and_then(|grant| grant.provider_app_id);
        let app = self.app_for(project_id, &connection.provider, app_id).await?;
        let asked = Asked {
            provider: connection.provider,
            group_ref: connection.group_ref,
            group_name: None,
            consumer_ref: connection.consumer_ref,
            consumer_name: None,
            workspace: connection.provider_workspace_ref,
            metadata: connection.provider_metadata,
            allow_account_change,
            actor: actor.attribution(),
        };
        self.begin(&base, project_id, &app, Some(connection_id), &asked)
            .await
    }

    /// The app that asks: the named one, or the project's first one of the provider.
    async fn app_for(
        &self,
        project_id: Uuid,
        provider: &str,
        app_id: Option<Uuid>,
    ) -> Result<ProviderApp, Error> {
        if let Some(app_id) = app_id {
            let found = self.store.get_provider_app(project_id, app_id).await?;
            let app =
                found.ok_or_else(|| Error::invalid("providerAppId", "is not an app of this project"))?;
            if app.provider != provider {
                let detail = format!("is an app of {}, not of {provider}", app.provider);
                return Err(Error::invalid("providerAppId", detail));
            }
            return Ok(app);
        }
        let apps = self.store.list_provider_apps(project_id, Some(provider)).await?;
        apps.into_iter().next().ok_or_else(|| {
            let detail = format!(
                "the project has no provider app for {provider}, so there is nothing to ask customers with"
            );
            Error::about("provider", detail)
                .remedy("Register an app at the provider and make it known: POST …/provider-apps.")
        })
    }

    async fn begin(
        &self,
        base: &str,
        project_id: Uuid,
        app: &ProviderApp,
        connection_id: Option<Uuid>,
        asked: &Asked,
    ) -> Result<Secret, Error> {
        // What the URLs of the provider need is missed here, by who can supply it, and not by the customer.
        let connector = self.connector_of(&asked.provider)?;
        let vars = connection_vars(asked.workspace.as_deref(), asked.metadata.as_deref());
        let probe = Secret::new("state".to_owned());
        self.authorize_url(&connector, app, &vars, &probe, None)?;
        let token = random_token()?;
        let flow = NewFlow {
            id: self.clock.new_id(),
            project_id,
            provider_app_id: app.id,
            connection_id,
            link_hash: sha256(token.expose().as_bytes()),
            request: serde_json::to_string(asked)
                .map_err(|error| Error::new(Kind::Defect, error.to_string()))?,
        };
        self.store.create_flow(&flow, LIFE).await?;
        Ok(Secret::new(format!("{base}{LINK}{}", token.expose())))
    }
}

/// A text that nobody can guess.
fn random_token() -> Result<Secret, Error> {
    let random =
        random_bytes::<32>().map_err(|error: VaultError| Error::new(Kind::Defect, error.to_string()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random)))
}
