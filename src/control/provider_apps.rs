//! Provider apps: with what a project asks customers at a provider. Their secrets are sealed and never shown again.

use uuid::Uuid;

use super::{Actor, Control, Error, Kind, check_text};
use crate::grants::apps::{AppError, AppMetadata, AppSecrets, list};
use crate::store::{Change, ChangeKind, NewProviderApp, ProviderApp, ProviderAppChange};
use crate::vault::Secret;
use crate::writes::request::text_fault;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 4 << 10;
/// So many scopes at most.
const MAX_SCOPES: usize = 200;
/// The largest `metadata`, in bytes.
const MAX_METADATA_BYTES: usize = 16 << 10;
/// Parameters of the authorisation URL that belong to the flow.
const RESERVED: &[&str] = &[
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "state",
];

/// An app to be made.
#[derive(Debug)]
pub struct NewApp {
    /// The provider.
    pub provider: String,
    /// The provider's own id of the app.
    pub external_ref: Option<String>,
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: Secret,
    /// What customers are asked for.
    pub scopes: Vec<String>,
    /// What they are asked for where their account has it.
    pub optional_scopes: Vec<String>,
    /// Further parameters.
    pub metadata: Option<AppMetadata>,
}

/// New values of an app; what is `None` stays.
#[derive(Debug, Default)]
pub struct AppPatch {
    /// The provider: it cannot change.
    pub provider: Option<String>,
    /// The provider's own id of the app.
    pub external_ref: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// The client secret; the one before is tried for a day where the provider does not take the new one yet.
    pub client_secret: Option<Secret>,
    /// What customers are asked for.
    pub scopes: Option<Vec<String>>,
    /// What they are asked for where their account has it.
    pub optional_scopes: Option<Vec<String>>,
    /// Further parameters.
    pub metadata: Option<AppMetadata>,
}

/// An app as it may be shown.
#[derive(Debug)]
pub struct ShownApp {
    /// What is stored.
    pub row: ProviderApp,
    /// What customers are asked for.
    pub scopes: Vec<String>,
    /// What they are asked for where their account has it.
    pub optional_scopes: Vec<String>,
    /// Further parameters.
    pub metadata: AppMetadata,
}

impl Control {
    /// Makes an app.
    ///
    /// # Errors
    /// When something is missing or wrong, who asks may not do this, or the store fails.
    pub async fn create_provider_app(
        &self,
        actor: &Actor,
        project_id: Uuid,
        new: NewApp,
    ) -> Result<ShownApp, Error> {
        actor.require_full()?;
        self.check_consenting(&new.provider)?;
        check_text(&new.client_id, "clientId")?;
        check_secret(&new.client_secret)?;
        if let Some(external_ref) = &new.external_ref
            && !external_ref.is_empty()
        {
            check_text(external_ref, "externalRef")?;
        }
        let id = self.clock.new_id();
        let secrets = AppSecrets {
            current: new.client_secret,
            previous: None,
        };
        let row = NewProviderApp {
            id,
            provider: new.provider,
            external_ref: new.external_ref.filter(|text| !text.is_empty()),
            client_id: new.client_id,
            secrets: secrets.seal(&self.vault, project_id, id).map_err(defect)?,
            scopes: scope_list(&new.scopes, "scopes")?,
            optional_scopes: scope_list(&new.optional_scopes, "optionalScopes")?,
            metadata: new.metadata.as_ref().map(metadata_text).transpose()?,
        };
        let made = self.store.create_provider_app(project_id, &row).await?;
        self.done.note(actor, &[]);
        shown(made)
    }

    /// The apps of a project.
    ///
    /// # Errors
    /// When the store fails, or holds what cannot be read.
    pub async fn provider_apps(&self, project_id: Uuid) -> Result<Vec<ShownApp>, Error> {
        let apps = self.store.list_provider_apps(project_id, None).await?;
        apps.into_iter().map(shown).collect()
    }

    /// One app.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn provider_app(&self, project_id: Uuid, app_id: Uuid) -> Result<ShownApp, Error> {
        let found = self.store.get_provider_app(project_id, app_id).await?;
        shown(found.ok_or_else(not_found)?)
    }

    /// Changes an app. With another secret what was held because the provider did not accept the app goes on.
    ///
    /// # Errors
    /// When a value is wrong, who asks may not do this, there is no such app, or the store fails.
    pub async fn update_provider_app(
        &self,
        actor: &Actor,
        project_id: Uuid,
        app_id: Uuid,
        patch: AppPatch,
    ) -> Result<ShownApp, Error> {
        actor.require_full()?;
        let current = self.store.get_provider_app(project_id, app_id).await?;
        let current = current.ok_or_else(not_found)?;
        if patch
            .provider
            .is_some_and(|provider| provider != current.provider)
        {
            let detail = format!("is {} and cannot change", current.provider);
            return Err(Error::invalid("provider", detail).remedy("Make another app for another provider."));
        }
        if let Some(client_id) = &patch.client_id {
            check_text(client_id, "clientId")?;
        }
        if let Some(external_ref) = &patch.external_ref
            && !external_ref.is_empty()
        {
            check_text(external_ref, "externalRef")?;
        }
        let secrets = match patch.client_secret {
            Some(secret) => {
                check_secret(&secret)?;
                let known = AppSecrets::open(&self.vault, &current).map_err(defect)?;
                let replaced = known.replaced(secret, self.clock.now());
                Some(replaced.seal(&self.vault, project_id, app_id).map_err(defect)?)
            }
            None => None,
        };
        let scopes = |scopes: Option<Vec<String>>, field| match scopes {
            Some(scopes) => scope_list(&scopes, field).map(Some),
            None => Ok(None),
        };
        let change = ProviderAppChange {
            external_ref: patch.external_ref,
            client_id: patch.client_id,
            secrets,
            scopes: scopes(patch.scopes, "scopes")?,
            optional_scopes: scopes(patch.optional_scopes, "optionalScopes")?,
            metadata: patch.metadata.as_ref().map(metadata_text).transpose()?,
        };
        let changed = self
            .store
            .update_provider_app(project_id, app_id, &change)
            .await?;
        let (changed, go_on) = changed.ok_or_else(not_found)?;
        let touched = go_on
            .iter()
            .map(|id| Change::of(project_id, ChangeKind::Connection, *id));
        self.done.note(actor, &touched.collect::<Vec<_>>());
        for connection_id in go_on {
            self.writes.new_work.changed(connection_id);
        }
        shown(changed)
    }

    /// Removes an app from which no connection has its grant.
    ///
    /// # Errors
    /// When there is none, connections need it, who asks may not do this, or the store fails.
    pub async fn delete_provider_app(
        &self,
        actor: &Actor,
        project_id: Uuid,
        app_id: Uuid,
    ) -> Result<(), Error> {
        actor.require_full()?;
        let gone = self.store.delete_provider_app(project_id, app_id).await?;
        self.done.note(actor, &[]);
        if gone { Ok(()) } else { Err(not_found()) }
    }

    /// Checks that customers of a provider agree in a browser.
    pub(super) fn check_consenting(&self, provider: &str) -> Result<(), Error> {
        let Some(connector) = self.catalog.get(provider) else {
            let detail = "is not a provider of this server's catalogue";
            return Err(Error::invalid("provider", detail));
        };
        let oauth2 = connector.auth().oauth2();
        if oauth2.is_some_and(|oauth2| oauth2.grant.has_consent()) {
            return Ok(());
        }
        let detail = "is not connected through OAuth with a customer's consent";
        Err(Error::invalid("provider", detail)
            .remedy("Connect it with its credentials: POST …/connections:generate."))
    }
}

fn shown(row: ProviderApp) -> Result<ShownApp, Error> {
    Ok(ShownApp {
        scopes: list(&row.scopes).map_err(defect)?,
        optional_scopes: list(&row.optional_scopes).map_err(defect)?,
        metadata: AppMetadata::of(&row).map_err(defect)?,
        row,
    })
}

fn check_secret(secret: &Secret) -> Result<(), Error> {
    let text = secret.expose();
    let fault = text_fault(text, MAX_SECRET_BYTES).or_else(|| {
        let odd = text.chars().any(char::is_control);
        odd.then(|| "holds a control character, such as a line break".to_owned())
    });
    fault.map_or(Ok(()), |fault| Err(Error::invalid("clientSecret", fault)))
}

/// Checks scopes and writes them as they are stored.
fn scope_list(scopes: &[String], field: &str) -> Result<String, Error> {
    if scopes.len() > MAX_SCOPES {
        return Err(Error::invalid(
            field,
            format!("must have at most {MAX_SCOPES} scopes"),
        ));
    }
    for (index, scope) in scopes.iter().enumerate() {
        let place = format!("{field}[{index}]");
        check_text(scope, &place)?;
        if scope.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::invalid(
                place,
                "holds a blank: send one scope in each place",
            ));
        }
    }
    serde_json::to_string(scopes).map_err(defect)
}

fn metadata_text(metadata: &AppMetadata) -> Result<String, Error> {
    for (name, values) in &metadata.auth_query_params {
        if RESERVED.contains(&name.to_lowercase().as_str()) {
            let place = format!("metadata.authQueryParams.{name}");
            return Err(Error::invalid(place, "is set by this server for each customer"));
        }
        for value in values {
            check_text(value, &format!("metadata.authQueryParams.{name}"))?;
        }
    }
    let text = serde_json::to_string(metadata).map_err(defect)?;
    if text.len() > MAX_METADATA_BYTES || text.contains("\\u0000") {
        let detail = format!("must have at most {MAX_METADATA_BYTES} bytes and no NUL character");
        return Err(Error::invalid("metadata", detail));
    }
    Ok(text)
}

fn defect(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Defect, error.to_string())
}

pub(super) fn not_found() -> Error {
    Error::not_found("Provider app not found for the given provider app ID.")
}

impl From<AppError> for Error {
    fn from(error: AppError) -> Self {
        defect(error)
    }
}
