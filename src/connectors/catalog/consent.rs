//! What is wrong in what a file says about consent and tokens, and would not be noticed before a customer connects.

use std::collections::BTreeSet;

use crate::connectors::auth::{Account, Auth, Grant, OAuth2, Revoke, RevokeAuth, names};
use crate::connectors::declarative::compile::Problem;
use crate::connectors::declarative::definition::File;
use crate::connectors::declarative::text::{Source, Text};
use crate::connectors::discover::Discovery;

/// Parameters that are made for each request: a file that set one of them would break it.
const OWN_AUTH_PARAMS: [&str; 7] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];
const OWN_TOKEN_PARAMS: [&str; 6] = [
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
];

/// The problems of a file.
pub(super) fn problems(file: &File, auth: &Auth, discover: &[Discovery]) -> Vec<Problem> {
    let asked = file.connection.vars.iter().map(|(name, _)| name);
    let found = discover.iter().map(|one| one.name.as_str());
    let mut check = Check {
        vars: asked.chain(found).collect(),
        problems: Vec::new(),
    };
    check.variables(file);
    check.discoveries(file, auth, discover);
    if let Some(oauth2) = auth.oauth2() {
        check.oauth2(oauth2, discover);
    }
    check.problems
}

struct Check<'f> {
    vars: BTreeSet<&'f str>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn say(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    fn variables(&mut self, file: &File) {
        for (name, def) in file.connection.vars.iter() {
            if let Some(other) = def.unless.as_deref().filter(|other| !self.vars.contains(other)) {
                let message = format!("there is no variable `{other}`");
                self.say(format!("connection.vars.{name}.unless"), message);
            }
        }
    }

    fn discoveries(&mut self, file: &File, auth: &Auth, discover: &[Discovery]) {
        let has_consent = auth.oauth2().is_some_and(|oauth2| oauth2.grant.has_consent());
        let account = auth.oauth2().and_then(|oauth2| oauth2.account.as_ref());
        let asked = account.and_then(|account| account.get.as_deref());
        let mut urls: BTreeSet<&str> = discover.iter().filter_map(|one| one.get.as_deref()).collect();
        urls.extend(asked);
        if urls.len() > 1 {
            self.say(
                "connection.discover",
                "names several URLs with that of `account`: one call is made after authorisation",
            );
        }
        let modules = file.modules.0.iter().map(|(_, module)| &module.base_url_variable);
        let bases: BTreeSet<&str> = modules
            .chain([&file.base_url_variable])
            .filter_map(Option::as_deref)
            .collect();
        for (index, one) in discover.iter().enumerate() {
            let path = format!("connection.discover[{index}]");
            if one.callback.is_some() && !has_consent {
                self.say(
                    &path,
                    "has `callback`, but nobody comes back: `auth` has no consent page",
                );
            }
            let pinned = one.pattern.is_some()
                || file
                    .connection
                    .vars
                    .get(&one.name)
                    .is_some_and(|def| def.pattern.is_some());
            if bases.contains(one.name.as_str()) && !pinned {
                let message = "needs a `pattern` that ends in the vendor's domains: requests, and their token, go to \
                               this address";
                self.say(&path, message);
            }
        }
    }

    fn oauth2(&mut self, oauth2: &OAuth2, discover: &[Discovery]) {
        let at = |key: &str| format!("auth.oauth2.{key}");
        if oauth2.token_url.0.is_empty() {
            self.say(at("token_url"), "is empty");
        }
        if let Some(field) = &oauth2.instance_url_field
            && !discover.iter().any(|one| one.is_token_field(field))
        {
            let message =
                format!("no entry of `connection.discover` has `token_field: {field}`, so that it is lost");
            self.say(at("instance_url_field"), message);
        }
        for (key, urls) in [
            ("auth_url", &oauth2.auth_url),
            ("token_url", &oauth2.token_url),
            ("refresh_url", &oauth2.refresh_url),
        ] {
            urls.iter().for_each(|url| self.url(&at(key), url));
        }
        if !oauth2.grant.has_consent() {
            self.without_consent(oauth2);
            return;
        }
        if oauth2.auth_url.0.is_empty() {
            self.say(at("auth_url"), "is missing: there customers agree");
        }
        for (key, params, own) in [
            ("auth_params", &oauth2.auth_params, OWN_AUTH_PARAMS.as_slice()),
            ("token_params", &oauth2.token_params, OWN_TOKEN_PARAMS.as_slice()),
            (
                "refresh_params",
                &oauth2.refresh_params,
                OWN_TOKEN_PARAMS.as_slice(),
            ),
        ] {
            for (name, text) in params {
                let path = format!("{}.{name}", at(key));
                if own.contains(&name.as_str()) {
                    self.say(&path, "is made for each request: leave it out");
                }
                self.text(&path, text);
            }
        }
        for (name, text) in &oauth2.scope_names {
            self.text(&format!("{}.{name}", at("scope_names")), text);
        }
        if let Some(revoke) = &oauth2.revoke {
            self.revoke(revoke);
        }
        if let Some(account) = &oauth2.account {
            self.account(account);
        }
    }

    /// Keys that say what nobody does.
    fn without_consent(&mut self, oauth2: &OAuth2) {
        let useless = [
            ("auth_url", !oauth2.auth_url.0.is_empty()),
            ("refresh_url", !oauth2.refresh_url.0.is_empty()),
            ("auth_params", !oauth2.auth_params.is_empty()),
            ("refresh_params", !oauth2.refresh_params.is_empty()),
            ("scopes_added", !oauth2.scopes_added.is_empty()),
            ("optional_scope_param", oauth2.optional_scope_param.is_some()),
            ("pkce", oauth2.pkce),
            ("refresh_client_auth", oauth2.refresh_client_auth.is_some()),
            ("refresh_days", oauth2.refresh_days.is_some()),
            ("grant_days", oauth2.grant_days.is_some()),
            ("revoke", oauth2.revoke.is_some()),
            ("account", oauth2.account.is_some()),
        ];
        let grant = match oauth2.grant {
            Grant::ClientCredentials => "client_credentials",
            _ => "password",
        };
        for (key, _) in useless.into_iter().filter(|(_, given)| *given) {
            let message =
                format!("has no effect with `grant: {grant}`: no customer agrees, and nothing is refreshed");
            self.say(format!("auth.oauth2.{key}"), message);
        }
    }

    fn revoke(&mut self, revoke: &Revoke) {
        let path = "auth.oauth2.revoke";
        if revoke.url.0.is_empty() {
            self.say(format!("{path}.url"), "is empty");
        }
        for url in revoke.url.iter() {
            self.url(&format!("{path}.url"), &url.replace("{client_id}", "id"));
        }
        if revoke.param.as_deref() == Some("") && revoke.auth != RevokeAuth::Bearer {
            self.say(
                format!("{path}.param"),
                "is empty, so that no token is sent: give `auth: bearer`, or its name",
            );
        }
        for (name, text) in &revoke.params {
            self.text(&format!("{path}.params.{name}"), text);
        }
    }

    fn account(&mut self, account: &Account) {
        let path = "auth.oauth2.account";
        match (&account.variable, account.id.is_empty()) {
            (None, true) => self.say(path, "has neither `id` nor `variable`"),
            (Some(_), false) => self.say(path, "has both `id` and `variable`"),
            (Some(name), true) => {
                if !self.vars.contains(name.as_str()) {
                    self.say(
                        format!("{path}.variable"),
                        format!("there is no variable `{name}`"),
                    );
                }
                if account.get.is_some() || account.taken.is_some() || !account.name.is_empty() {
                    self.say(path, "takes `get`, `match` and `name` with `id` only");
                }
            }
            (None, false) => {}
        }
        if let Some(pattern) = &account.taken {
            match regex_lite::Regex::new(pattern) {
                Ok(pattern) if pattern.captures_len() > 1 => {}
                Ok(_) => self.say(format!("{path}.match"), "has no group: the first one is the id"),
                Err(why) => self.say(format!("{path}.match"), why.to_string()),
            }
        }
        if let Some(get) = &account.get {
            self.url(&format!("{path}.get"), get);
        }
    }

    /// A URL is one, and names no variable that there is not.
    fn url(&mut self, path: &str, url: &str) {
        let text = match Text::parse(url) {
            Ok(text) => text,
            Err(why) => return self.say(path, why),
        };
        if !url.starts_with("https://") && !url.starts_with('/') {
            self.say(path, format!("`{url}` is no https URL"));
        }
        for source in text.sources() {
            match source {
                Source::Conn(name) if self.vars.contains(name.as_str()) => {}
                Source::Conn(name) => self.say(path, format!("`{url}`: there is no variable `{name}`")),
                _ => self.say(
                    path,
                    format!("`{url}` has a place that is no variable of the connection"),
                ),
            }
        }
    }

    /// A text names variables that there are, or parameters of the app.
    fn text(&mut self, path: &str, text: &str) {
        let Some(names) = names(text) else {
            return self.say(path, format!("`{text}` has a brace without its other half"));
        };
        for name in names {
            let known = match name.split_once('.') {
                Some(("conn", name)) => self.vars.contains(name),
                Some(("app", name)) => !name.is_empty(),
                _ => false,
            };
            if !known {
                let message = format!(
                    "`{text}`: `{name}` is neither a variable (`conn.x`) nor a parameter of the app (`app.x`)"
                );
                self.say(path, message);
            }
        }
    }
}
