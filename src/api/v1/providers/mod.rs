//! The catalogue of providers, as the connector files describe them.

pub mod auth;
pub mod get;
pub mod list;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use self::auth::{ApiKeyOpts, AuthHealthCheck, BasicOpts, CustomOpts, OAuth2Opts};
use crate::action::Action;
use crate::connectors::{Connector, ProviderSummary};

/// A provider: how customers authenticate, and what can be done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderInfo {
    /// The name that manifests and connections use.
    #[schema(example = "hubspot")]
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// `oauth2`, `apiKey`, `basic`, `custom` or `none`.
    pub auth_type: &'static str,
    /// What every path starts from; `{{.name}}` stands for a variable of the connection.
    #[serde(rename = "baseURL")]
    #[schema(example = "https://{{.workspace}}.my.salesforce.com")]
    pub base_url: String,
    /// The module that is meant when a manifest names none; empty when there are no modules.
    pub default_module: String,
    /// For `oauth2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2_opts: Option<OAuth2Opts>,
    /// For `apiKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_opts: Option<ApiKeyOpts>,
    /// For `basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_opts: Option<BasicOpts>,
    /// For `custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_opts: Option<CustomOpts>,
    /// What this server can do there.
    pub support: Support,
    /// A call that says whether a credential works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_health_check: Option<AuthHealthCheck>,
    /// Whether something has to be found out after authorisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_auth_info_needed: Option<bool>,
    /// Always empty; older clients insist on it.
    pub provider_opts: BTreeMap<String, String>,
    /// The parts of the provider.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, ModuleInfo>,
    /// The variables of a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// A part of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleInfo {
    /// The name for people.
    pub display_name: String,
    /// What every path starts from.
    #[serde(rename = "baseURL")]
    pub base_url: String,
    /// What this server can do there.
    pub support: Support,
}

/// What this server can do.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Support {
    /// Which actions can be done on several records in one call.
    pub bulk_write: BulkWrite,
    /// Always false: nothing is passed through.
    pub proxy: bool,
    /// Always false: nothing is read.
    pub read: bool,
    /// Always false: nothing is subscribed to.
    pub subscribe: bool,
    /// Whether records can be made or changed.
    pub write: bool,
    /// Whether records can be removed.
    pub delete: bool,
    /// Always without operators: nothing is searched.
    pub search: Search,
}

/// Several records in one call.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct BulkWrite {
    /// Making records.
    pub insert: bool,
    /// Changing records.
    pub update: bool,
    /// Always false: nothing is made or changed by what is there.
    pub upsert: bool,
    /// Always false: records are removed one by one.
    pub delete: bool,
}

/// Searching.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Search {
    /// The operators.
    pub operators: SearchOperators,
}

/// Operators of a search.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct SearchOperators {
    /// Equality.
    pub equals: bool,
}

/// The variables of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Asked of the customer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<MetadataInput>,
    /// Found out after authorisation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_authentication: Vec<MetadataFound>,
}

/// A variable that the customer is asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataInput {
    /// Its name.
    pub name: String,
    /// The name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What to enter, and where to find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The value when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<String>,
    /// Where to read more.
    #[serde(rename = "docsURL", skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// The modules that need it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub module_dependencies: BTreeMap<String, ModuleDependency>,
}

/// A variable that is found out after authorisation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataFound {
    /// Its name.
    pub name: String,
    /// The modules that need it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub module_dependencies: BTreeMap<String, ModuleDependency>,
}

/// That a module needs something.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct ModuleDependency {}

impl ProviderInfo {
    /// A provider of the catalogue; `None` for one without connectors.
    #[must_use]
    pub fn of(summary: &ProviderSummary) -> Option<Self> {
        let named = |name: &Option<String>| summary.modules.iter().find(|c| c.module() == name.as_deref());
        let main = named(&summary.default_module).or_else(|| summary.modules.first())?;
        let scheme = auth::Blocks::of(main);
        let modules = summary.modules.iter().filter_map(|connector| {
            let name = connector.module()?.to_owned();
            let module = ModuleInfo {
                display_name: connector.module_display_name().unwrap_or(&name).to_owned(),
                base_url: template(connector.base_url()),
                support: Support::of(connector),
            };
            Some((name, module))
        });
        Some(Self {
            name: summary.provider.clone(),
            display_name: summary.display_name.clone(),
            auth_type: main.auth().kind(),
            base_url: template(main.base_url()),
            default_module: summary.default_module.clone().unwrap_or_default(),
            oauth2_opts: scheme.oauth2,
            api_key_opts: scheme.api_key,
            basic_opts: scheme.basic,
            custom_opts: scheme.custom,
            support: Support::of(main),
            auth_health_check: auth::health(main),
            post_auth_info_needed: main.found_only().next().is_some().then_some(true),
            provider_opts: BTreeMap::new(),
            modules: modules.collect(),
            metadata: Metadata::of(summary, main),
        })
    }
}

impl Support {
    /// What works: the actions that the file has.
    fn of(connector: &Connector) -> Self {
        let can = |action| connector.supports_action(action);
        Self {
            bulk_write: BulkWrite {
                insert: connector.batches(Action::Create),
                update: connector.batches(Action::Update),
                upsert: false,
                delete: false,
            },
            proxy: false,
            read: false,
            subscribe: false,
            write: can(Action::Create) || can(Action::Update),
            delete: can(Action::Delete),
            search: Search::default(),
        }
    }
}

impl Metadata {
    fn of(summary: &ProviderSummary, main: &Connector) -> Option<Self> {
        let needing = |name: &str| -> BTreeMap<String, ModuleDependency> {
            let need = summary.modules.iter().filter(|c| c.needs_variable(name));
            need.filter_map(|c| Some((c.module()?.to_owned(), ModuleDependency {})))
                .collect()
        };
        let input = main.variables().iter().map(|variable| MetadataInput {
            name: variable.name.clone(),
            display_name: variable.display_name.clone(),
            prompt: variable.description.clone(),
            default_value: variable.default.clone(),
            docs_url: main.docs().map(str::to_owned),
            module_dependencies: needing(&variable.name),
        });
        let found = main.found_only().map(|discovery| MetadataFound {
            name: discovery.name.clone(),
            module_dependencies: needing(&discovery.name),
        });
        let metadata = Self {
            input: input.collect(),
            post_authentication: found.collect(),
        };
        (!metadata.input.is_empty() || !metadata.post_authentication.is_empty()).then_some(metadata)
    }
}

/// A text of a connector file in the catalogue's own notation: `{conn.x}` becomes `{{.x}}`.
fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{conn.") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        let name = name.split(':').next().unwrap_or_default();
        out.push_str(before);
        out.push_str("{{.");
        out.push_str(name);
        out.push_str("}}");
        rest = after;
    }
    out.push_str(rest);
    out
}
