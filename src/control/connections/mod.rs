//! Connections: customers' credentials, checked and sealed before they are stored.

mod credentials;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Actor, Control, Error, Kind, check_text};
use crate::connectors::{Connector, connection_vars};
use crate::store::{Change, ChangeKind, Connection, ConnectionChange, ConnectionFilter, NewConnection};
pub use credentials::{CLIENT_CREDENTIALS, Given};

/// A customer who connects.
#[derive(Debug)]
pub struct Connecting {
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
    /// The credentials: one set.
    pub credentials: Vec<Given>,
}

/// New values of a connection; what is `None` or empty stays.
#[derive(Debug, Default)]
pub struct ConnectionPatch {
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    pub provider_metadata: Option<Map<String, Value>>,
    /// New credentials: one set.
    pub credentials: Vec<Given>,
}

impl Control {
    /// One connection.
    ///
    /// # Errors
    /// When there is none, it is not for who asks, or the store fails.
    pub async fn connection(
        &self,
        actor: &Actor,
        project_id: Uuid,
        connection_id: Uuid,
    ) -> Result<Connection, Error> {
        let found = self.store.get_connection(project_id, connection_id).await?;
        let found = found.ok_or_else(not_found)?;
        actor.confine(&found.group_ref)?;
        Ok(found)
    }

    /// The connections that fit, oldest first, as far as they are for who asks.
    ///
    /// # Errors
    /// When another's are asked for, or the store fails.
    pub async fn connections(
        &self,
        actor: &Actor,
        project_id: Uuid,
        mut filter: ConnectionFilter,
    ) -> Result<Vec<Connection>, Error> {
        filter.group_ref = actor.group(filter.group_ref)?;
        Ok(self.store.list_connections(project_id, &filter).await?)
    }

    /// The connection that a group's writes to a provider use by default: the newest.
    ///
    /// # Errors
    /// When the group is not for who asks, or the store fails.
    pub async fn newest_connection(
        &self,
        actor: &Actor,
        project_id: Uuid,
        provider: &str,
        group_ref: &str,
    ) -> Result<Option<Connection>, Error> {
        let filter = ConnectionFilter {
            provider: Some(provider.to_owned()),
            group_ref: Some(group_ref.to_owned()),
            consumer_ref: None,
        };
        Ok(self.connections(actor, project_id, filter).await?.pop())
    }

    /// Makes a connection, for a group and a consumer that may be new.
    ///
    /// # Errors
    /// When something is missing or wrong, it is not for who asks, or the store fails.
    pub async fn connect(
        &self,
        actor: &Actor,
        project_id: Uuid,
        asked: Connecting,
    ) -> Result<Connection, Error> {
        actor.confine_person(&asked.group_ref, &asked.consumer_ref)?;
        for (text, field) in [
            (Some(&asked.group_ref), "groupRef"),
            (Some(&asked.consumer_ref), "consumerRef"),
            (asked.group_name.as_ref(), "groupName"),
            (asked.consumer_name.as_ref(), "consumerName"),
            (asked.provider_workspace_ref.as_ref(), "providerWorkspaceRef"),
        ] {
            // An SDK may send an empty text for "none"; what is required may not be empty.
            let required = matches!(field, "groupRef" | "consumerRef");
            if let Some(text) = text
                && (required || !text.is_empty())
            {
                check_text(text, field)?;
            }
        }
        if let Some(metadata) = &asked.provider_metadata {
            check_metadata(metadata)?;
        }
        let Some(connector) = self.catalog.get(&asked.provider) else {
            let detail = "is not a provider of this server's catalogue";
            return Err(Error::invalid("provider", detail));
        };
        let given = Given::one(asked.credentials)?.ok_or_else(|| {
            Error::invalid(
                "apiKey",
                "is missing: send one of apiKey, basicAuth, oauth2AuthorizationCode, oauth2ClientCredentials and customAuth",
            )
        })?;
        let metadata = asked
            .provider_metadata
            .map(|metadata| Value::Object(metadata).to_string());
        let workspace = asked
            .provider_workspace_ref
            .filter(|workspace| !workspace.is_empty());
        let vars = connection_vars(workspace.as_deref(), metadata.as_deref());
        check_variables(&connector, &vars)?;
        given.check(&connector, &vars)?;
        let id = self.clock.new_id();
        let new = NewConnection {
            id,
            provider: asked.provider,
            group_ref: asked.group_ref,
            group_name: asked.group_name.filter(|name| !name.is_empty()),
            consumer_ref: asked.consumer_ref,
            consumer_name: asked.consumer_name.filter(|name| !name.is_empty()),
            provider_workspace_ref: workspace,
            provider_metadata: metadata,
            auth_scheme: given.scheme.to_owned(),
            credentials: self.seal(project_id, id, &given)?,
            grant: given.brought_grant(&connector, id, self.clock.now()),
        };
        let made = self.store.create_connection(project_id, &new).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::Connection, id)]);
        Ok(made)
    }

    /// Changes a connection. New credentials must be of its auth scheme; what waits because the old ones were refused goes on.
    ///
    /// # Errors
    /// When a value is wrong or who asks may not set it, there is no such connection, or the store fails.
    pub async fn update_connection(
        &self,
        actor: &Actor,
        project_id: Uuid,
        connection_id: Uuid,
        patch: ConnectionPatch,
    ) -> Result<Connection, Error> {
        let current = self.connection(actor, project_id, connection_id).await?;
        if let Some(workspace) = &patch.provider_workspace_ref {
            check_text(workspace, "providerWorkspaceRef")?;
        }
        if let Some(metadata) = &patch.provider_metadata {
            check_metadata(metadata)?;
        }
        let given = Given::one(patch.credentials)?;
        let mut change = ConnectionChange {
            provider_workspace_ref: patch.provider_workspace_ref,
            provider_metadata: patch
                .provider_metadata
                .map(|metadata| Value::Object(metadata).to_string()),
            ..ConnectionChange::default()
        };
        let changes_vars = change.provider_workspace_ref.is_some() || change.provider_metadata.is_some();
        if given.is_none() && changes_vars {
            // They say where requests go: a key that lies in browsers must not send somebody's credentials elsewhere.
            actor.require_full()?;
        }
        let connector = self.catalog.get(&current.provider);
        let workspace = change.provider_workspace_ref.as_ref();
        let metadata = change.provider_metadata.as_ref();
        let vars = connection_vars(
            workspace
                .or(current.provider_workspace_ref.as_ref())
                .map(String::as_str),
            metadata
                .or(current.provider_metadata.as_ref())
                .map(String::as_str),
        );
        if let Some(connector) = connector.as_ref().filter(|_| changes_vars) {
            check_variables(connector, &vars)?;
        }
        if let Some(given) = given {
            if given.scheme != current.auth_scheme {
                let detail = format!(
                    "the connection's auth scheme is {}, and it cannot change to {}",
                    current.auth_scheme, given.scheme
                );
                return Err(Error::invalid(AUTH_SCHEME, detail)
                    .remedy("Make a new connection for another auth scheme."));
            }
            if let Some(connector) = &connector {
                given.check(connector, &vars)?;
            }
            change.credentials = Some(self.seal(project_id, connection_id, &given)?);
            change.grant = connector
                .as_ref()
                .and_then(|connector| given.brought_grant(connector, connection_id, self.clock.now()));
        }
        let changed = self
            .store
            .update_connection(project_id, connection_id, &change)
            .await?
            .ok_or_else(not_found)?;
        let touched = Change::of(project_id, ChangeKind::Connection, connection_id);
        self.done.note(actor, &[touched]);
        self.writes.new_work.changed(connection_id);
        Ok(changed)
    }

    /// Removes a connection that no installation uses.
    ///
    /// # Errors
    /// When there is none, an installation uses it, or the store fails.
    pub async fn delete_connection(
        &self,
        actor: &Actor,
        project_id: Uuid,
        connection_id: Uuid,
    ) -> Result<(), Error> {
        self.connection(actor, project_id, connection_id).await?;
        let gone = self.store.delete_connection(project_id, connection_id).await?;
        let touched = Change::of(project_id, ChangeKind::Connection, connection_id);
        self.done.note(actor, &[touched]);
        if gone { Ok(()) } else { Err(not_found()) }
    }

    fn seal(&self, project_id: Uuid, connection_id: Uuid, given: &Given) -> Result<Vec<u8>, Error> {
        let sealed = given.credentials.seal(&self.vault, project_id, connection_id);
        sealed.map_err(|error| {
            Error::new(
                Kind::Defect,
                format!("the credentials could not be sealed: {error}"),
            )
        })
    }
}

/// What is wrong when credentials of another auth scheme are given.
pub const AUTH_SCHEME: &str = "authScheme";

/// Checks `providerMetadata`: texts, or objects with a text in `value`.
pub(super) fn check_metadata(metadata: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in metadata {
        let fault = match value.get("value").unwrap_or(value).as_str() {
            Some(text) if text.contains('\0') => "holds a NUL character",
            Some(_) => continue,
            None => "must be {\"value\": \"…\", \"source\": \"input\"}",
        };
        return Err(Error::invalid(format!("providerMetadata.{name}"), fault));
    }
    Ok(())
}

/// Checks the variables of a connection.
fn check_variables(connector: &Connector, vars: &BTreeMap<String, String>) -> Result<(), Error> {
    match connector.check_variables(vars).into_iter().next() {
        Some(problem) => Err(Error::about("providerMetadata", problem)),
        None => Ok(()),
    }
}

fn not_found() -> Error {
    Error::not_found("Connection not found for the given connection ID.")
}
