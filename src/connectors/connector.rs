//! A provider's connector: the file behind it, compiled, and what callers ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Map;

use super::auth::{Auth, Place, Scheme, Urls};
use super::contract::{
    Command, ErrorClass, Limits, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal,
    RefusalKind, Step,
};
use super::declarative::compile::Compiled;
use super::declarative::interpret::interpret;
use super::declarative::prepare::{IdKeys, find_plan, prepare, repeat_safe};
use super::declarative::scope::Scope;
use super::declarative::surroundings::Surroundings;
use super::declarative::text::{Source, Text};
use super::declarative::url::{base_into, moved, own_base_into, rebased};
use super::discover::Discovery;
use crate::action::Action;
use crate::record_rules::RecordRules;

/// A variable of a connection that the user is asked for.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name in the connection.
    pub name: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What to enter, and where to find it.
    pub description: Option<String>,
    /// The value when none is given.
    pub default: Option<String>,
    /// A value to show as an example.
    pub example: Option<String>,
    /// What the whole value has to match.
    pub(super) pattern: Option<regex_lite::Regex>,
    /// Another variable that stands for it where the connection has that one.
    pub unless: Option<String>,
}

/// One provider, or one module of it. Pure and cheap to share.
#[derive(Debug)]
pub struct Connector {
    pub(super) provider: String,
    pub(super) display_name: String,
    pub(super) module_name: Option<String>,
    pub(super) docs: Option<String>,
    pub(super) notes: Option<String>,
    pub(super) auth: Auth,
    pub(super) limits: Limits,
    pub(super) variables: Vec<Variable>,
    pub(super) discover: Vec<Discovery>,
    pub(super) var_defaults: BTreeMap<String, String>,
    pub(super) credential_headers: Vec<String>,
    pub(super) base_url: String,
    pub(super) rebase: Option<String>,
    pub(super) module: Compiled,
}

impl Connector {
    /// The provider's name, such as `hubspot`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The provider's name for people.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// The module this connector speaks to, where the provider has modules.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        self.module_name.as_deref()
    }

    /// The module's name for people.
    #[must_use]
    pub fn module_display_name(&self) -> Option<&str> {
        self.module.display_name.as_deref().or(self.module())
    }

    /// Which names and ids mean one field, object or record to the provider.
    #[must_use]
    pub const fn record_rules(&self) -> &Arc<RecordRules> {
        &self.module.records
    }

    /// A link to the provider's documentation.
    #[must_use]
    pub fn docs(&self) -> Option<&str> {
        self.docs.as_deref()
    }

    /// What a user should know and cannot guess.
    #[must_use]
    pub fn notes(&self) -> Option<&str> {
        self.notes.as_deref()
    }

    /// The base URL as the file writes it, with places such as `{conn.workspace}`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The variables that the user is asked for.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The variables that are found out after authorisation.
    #[must_use]
    pub fn discoveries(&self) -> &[Discovery] {
        &self.discover
    }

    /// The variables that only the provider can tell, that requests need, and that a connection lacks.
    pub fn missing_found<'c>(&'c self, vars: &'c BTreeMap<String, String>) -> impl Iterator<Item = &'c str> {
        let base = self.any_plan().and_then(|plan| plan.base_url_variable.as_deref());
        let missing = self.found_only().map(|one| one.name.as_str());
        missing
            .filter(move |name| !vars.contains_key(*name) && Some(*name) != base && self.needs_variable(name))
    }

    /// The variables that are found out and never asked for.
    pub fn found_only(&self) -> impl Iterator<Item = &Discovery> {
        let asked = |one: &&Discovery| self.variables.iter().any(|variable| variable.name == one.name);
        self.discover.iter().filter(move |one| !asked(one))
    }

    /// Whether a request of this connector, or its credential, has this variable in it.
    #[must_use]
    pub fn needs_variable(&self, name: &str) -> bool {
        let place = |text: &str| {
            text.match_indices("{conn.").any(|(at, start)| {
                let rest = &text[at + start.len()..];
                rest.strip_prefix(name)
                    .is_some_and(|after| after.starts_with(['}', ':']))
            })
        };
        let in_auth = match &self.auth.scheme {
            Scheme::OAuth2(oauth2) => oauth2.urls().any(place),
            Scheme::Mint(mint) => mint.token_url.iter().any(place) || mint.texts().any(place),
            Scheme::AwsSigV4(aws) => place(&aws.region),
            _ => false,
        };
        in_auth || place(&self.base_url) || self.module.needs_variable(name)
    }

    /// Checks the variables of a connection: names that are missing, and values that do not match their pattern. Empty
    /// when all is well.
    #[must_use]
    pub fn check_variables(&self, vars: &BTreeMap<String, String>) -> Vec<String> {
        self.missing(vars).chain(self.misfits(vars)).collect()
    }

    /// As [`Connector::check_variables`], for a connection that is about to be authorised: what the provider will tell does
    /// not have to be there.
    #[must_use]
    pub fn check_variables_to_authorise(&self, vars: &BTreeMap<String, String>) -> Vec<String> {
        let mut coming = vars.clone();
        for discovery in self.discover.iter().filter(|one| one.is_told()) {
            // A place for it: only names count here.
            coming.entry(discovery.name.clone()).or_default();
        }
        self.missing(&coming).chain(self.misfits(vars)).collect()
    }

    fn missing(&self, vars: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
        let missing = self.variables.iter().filter(|v| {
            let stands_for_it = v.unless.as_ref().is_some_and(|other| vars.contains_key(other));
            v.default.is_none() && !vars.contains_key(&v.name) && !stands_for_it
        });
        missing.map(|variable| format!("the variable `{}` is missing", variable.name))
    }

    /// The values that do not match the pattern of their variable, be it asked for or found out.
    pub(super) fn misfits(&self, vars: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
        let asked = self.variables.iter().map(|v| (&v.name, &v.pattern));
        let found = self.discover.iter().map(|d| (&d.name, &d.pattern));
        asked.chain(found).filter_map(|(name, pattern)| {
            let (value, pattern) = (vars.get(name)?, pattern.as_ref()?);
            let text = || format!("the variable `{name}` has to match `{}`", pattern.as_str());
            (!pattern.is_match(value)).then(text)
        })
    }

    /// How credentials are obtained and attached.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The value of a connection's variable, or the default that the file gives it.
    #[must_use]
    pub fn variable<'v>(&'v self, vars: &'v BTreeMap<String, String>, name: &str) -> Option<&'v str> {
        vars.get(name)
            .or_else(|| self.var_defaults.get(name))
            .map(String::as_str)
    }

    /// The URL of a request once a token answer has said where the account is: `found` are the variables that
    /// [`Connector::discoveries`] took from it. Other URLs than those after the base URL stay.
    ///
    /// # Errors
    /// When what was found is not a URL that may be called.
    pub fn moved(
        &self,
        url: String,
        vars: &BTreeMap<String, String>,
        found: &BTreeMap<String, String>,
    ) -> Result<String, Refusal> {
        let Some(plan) = self.any_plan() else {
            return Ok(url);
        };
        self.check_found(found)?;
        let scope = Scope {
            plan,
            object: "",
            id: None,
            record: &Map::new(),
            vars,
            var_defaults: &self.var_defaults,
            extra: &[],
        };
        moved(plan, &scope, url, found, self.rebase.as_deref())
    }

    /// Where tokens are exchanged, for a connection; `None` when this credential has no token URL.
    ///
    /// # Errors
    /// When a variable is missing or not acceptable.
    pub fn token_url(&self, vars: &BTreeMap<String, String>) -> Result<Option<String>, Refusal> {
        match &self.auth.scheme {
            Scheme::OAuth2(oauth2) => self.first_url(&oauth2.token_url, vars),
            Scheme::Mint(mint) => self.first_url(&mint.token_url, vars),
            _ => Ok(None),
        }
    }

    /// Where the user agrees, for a connection; `None` when there is no such page.
    ///
    /// # Errors
    /// When a variable is missing or not acceptable.
    pub fn auth_url(&self, vars: &BTreeMap<String, String>) -> Result<Option<String>, Refusal> {
        match &self.auth.scheme {
            Scheme::OAuth2(oauth2) => self.first_url(&oauth2.auth_url, vars),
            _ => Ok(None),
        }
    }

    /// The first of several URLs of the file whose variables the connection has; `None` of none.
    ///
    /// # Errors
    /// When all of them lack a variable, what the first one lacks; or when a variable is not acceptable.
    pub fn first_url(
        &self,
        templates: &Urls,
        vars: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Refusal> {
        let has_all = |template: &&str| {
            let text = Text::parse(template);
            text.is_ok_and(|text| {
                text.sources().all(|source| match source {
                    Source::Conn(name) => self.variable(vars, name).is_some(),
                    _ => true,
                })
            })
        };
        let Some(template) = templates.iter().find(has_all).or(templates.first()) else {
            return Ok(None);
        };
        self.other_url(template, vars).map(Some)
    }

    /// A URL of the file beside those of writes, with its variables put in and its host replaced where asked.
    ///
    /// # Errors
    /// When a variable is missing or not acceptable.
    pub fn other_url(&self, template: &str, vars: &BTreeMap<String, String>) -> Result<String, Refusal> {
        let text = Text::parse(template).map_err(|why| Refusal::new(RefusalKind::InvalidVariable, why))?;
        let record = Map::new();
        let Some(plan) = self.any_plan() else {
            return Err(Refusal::new(
                RefusalKind::UnknownObject,
                format!("{} has no actions", self.provider),
            ));
        };
        let scope = Scope {
            plan,
            object: "",
            id: None,
            record: &record,
            vars,
            var_defaults: &self.var_defaults,
            extra: &[],
        };
        let mut url = String::new();
        let rebase = self.rebase.as_deref();
        if template.starts_with('/') {
            let rebase = own_base_into(&mut url, plan, &scope, rebase)?;
            url.push_str(&text.render(&scope, super::declarative::text::Mode::Path)?);
            return Ok(rebase.map_or_else(|| url.clone(), |rebase| rebased(&url, rebase)));
        }
        base_into(&mut url, &text, &scope)?;
        Ok(rebase.map_or_else(|| url.clone(), |rebase| rebased(&url, rebase)))
    }

    /// A request that says whether a credential works and changes nothing, where the provider has one.
    ///
    /// # Errors
    /// When a variable is missing or not acceptable.
    pub fn health(&self, vars: &BTreeMap<String, String>) -> Result<Option<ProviderRequest>, Refusal> {
        let Some(health) = &self.auth.health else {
            return Ok(None);
        };
        Ok(Some(ProviderRequest {
            method: http::Method::GET,
            url: self.other_url(&health.get, vars)?,
            headers: vec![("Accept".into(), "application/json".into())],
            content_type: None,
            body: None,
        }))
    }

    /// Whether this action can be done on this object.
    #[must_use]
    pub fn supports(&self, action: Action, object: &str) -> bool {
        self.module.plan(action, object).is_some()
    }

    /// Whether this action can be done on any object.
    #[must_use]
    pub fn supports_action(&self, action: Action) -> bool {
        let at = super::declarative::compile::index(action);
        self.module.open_plans[at].is_some()
            || self.module.listed.values().any(|actions| actions[at])
            || self.module.objects.values().any(|plans| plans[at].is_some())
    }

    /// The objects that the file names, in its order.
    #[must_use]
    pub fn objects(&self) -> &[String] {
        &self.module.names
    }

    /// Whether objects that the file does not name can be written too.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.module.open
    }

    /// Whether the caller's headers are passed on, on any action.
    #[must_use]
    pub fn passes_headers(&self) -> bool {
        !self.module.headers_passthrough.is_empty()
    }

    /// Whether the caller's headers are passed on, on this action.
    #[must_use]
    pub fn passes_headers_on(&self, action: Action) -> bool {
        self.module.headers_passthrough.contains(&action)
    }

    /// Whether associations are taken, on any action.
    #[must_use]
    pub fn takes_associations(&self) -> bool {
        !self.module.associations.is_empty()
    }

    /// Whether associations are taken, on this action.
    #[must_use]
    pub fn takes_associations_on(&self, action: Action) -> bool {
        self.module.associations.contains(&action)
    }

    /// How much the provider takes from one connection.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the same write may be sent twice without a second effect. True for update and delete by id; for a create
    /// only where the provider knows keys for that and the command carries one.
    #[must_use]
    pub fn repeat_safe(&self, action: Action, object: &str) -> bool {
        self.module
            .plan(action, object)
            .is_some_and(|plan| repeat_safe(plan, action, Some("key")))
    }

    /// The request for a command, or the read that has to come first: then call again with its answer in `looked_up`.
    ///
    /// # Errors
    /// When the command does not fit this connector; nothing was sent.
    pub fn prepare(&self, command: &Command<'_>, looked_up: &[ProviderResponse]) -> Result<Step, Refusal> {
        let record = self.module.records.as_sent(command.record);
        let command = &Command {
            record: &record,
            ..*command
        };
        prepare(&self.surroundings(), command, looked_up, IdKeys::Added)
    }

    /// As [`Connector::prepare`], for replaying a recording: keys that repeat the record id are not put into the record,
    /// since in a recording whoever called has done that, or has not.
    pub(super) fn prepare_as_given(
        &self,
        command: &Command<'_>,
        looked_up: &[ProviderResponse],
    ) -> Result<Step, Refusal> {
        prepare(&self.surroundings(), command, looked_up, IdKeys::AsGiven)
    }

    /// What an answer says about the command it answers. `now` turns times in headers into waits.
    #[must_use]
    pub fn interpret(&self, command: &Command<'_>, response: &ProviderResponse, now: Timestamp) -> Outcome {
        let plan = match find_plan(&self.surroundings(), command) {
            Ok(plan) => &plan.for_record(command.record),
            // An answer to a command that could not have been prepared: whoever calls has mixed two up.
            Err(refusal) => {
                return Outcome::Unknown(ProviderError {
                    class: ErrorClass::Unknown,
                    code: None,
                    message: refusal.message,
                    status: response.status,
                    existing_id: None,
                });
            }
        };
        let scope = Scope::of(plan, &self.var_defaults, command, &[]);
        interpret(&self.module, plan, &scope, command, response, now)
    }

    pub(super) fn any_plan(&self) -> Option<&super::declarative::plan::Plan> {
        let module = &self.module;
        let shared = module
            .listed_plans
            .iter()
            .chain(&module.open_plans)
            .flatten()
            .next();
        shared.or_else(|| module.objects.values().flatten().flatten().next())
    }

    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            module: &self.module,
            provider: &self.display_name,
            rebase: self.rebase.as_deref(),
            var_defaults: &self.var_defaults,
            credential_headers: &self.credential_headers,
        }
    }
}

/// Names of headers that carry credentials, in lower case: callers may not set them.
pub(super) fn credential_headers(auth: &Auth) -> Vec<String> {
    let headers = auth.attach.iter().filter(|a| a.place == Place::Header);
    headers.map(|a| a.name.to_ascii_lowercase()).collect()
}
