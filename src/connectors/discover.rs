//! Variables of a connection that the provider tells: in its token answers, when the user comes back, or when it is asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::auth::{Paths, fill};
use super::connector::Connector;
use super::contract::{Refusal, RefusalKind};
use super::declarative::definition::DiscoverDef;
use super::declarative::json_path::JsonPath;
use super::declarative::url::same_origin;

/// The longest value that is taken, in bytes.
const MAX_VALUE: usize = 2_048;

/// A variable that the provider tells when the user has agreed.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Its name in the connection.
    pub name: String,
    /// What the value is.
    pub description: Option<String>,
    /// The URL to GET, with places for variables.
    pub get: Option<String>,
    /// The parameter with which the user comes back that holds it.
    pub callback: Option<String>,
    token_field: Option<JsonPath>,
    path: Option<JsonPath>,
    each: Option<JsonPath>,
    wanted: Vec<(JsonPath, String)>,
    taken: Option<regex_lite::Regex>,
    prefix: String,
    /// What the whole value has to match.
    pub(super) pattern: Option<regex_lite::Regex>,
}

impl Discovery {
    /// Reads what a file says of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(def: &DiscoverDef, pattern: Option<regex_lite::Regex>) -> Result<Self, String> {
        let path = |text: &Option<String>| text.as_deref().map(JsonPath::parse).transpose();
        let wanted = def.wanted.iter();
        let wanted = wanted.map(|(path, text)| Ok((JsonPath::parse(path)?, text.clone())));
        let taken = def.taken.as_deref().map(regex_lite::Regex::new).transpose();
        if def.get.is_some() != def.path.is_some() {
            return Err("`get` and `path` go together".to_owned());
        }
        if !def.wanted.is_empty() && def.each.is_none() {
            return Err("`where` chooses among the items of `each`, which is missing".to_owned());
        }
        Ok(Self {
            name: def.name.clone(),
            description: def.description.clone(),
            get: def.get.clone(),
            callback: def.callback.clone(),
            token_field: path(&def.token_field)?,
            path: path(&def.path)?,
            each: path(&def.each)?,
            wanted: wanted.collect::<Result<_, String>>()?,
            taken: taken.map_err(|why| format!("`match`: {why}"))?,
            prefix: def.prefix.clone(),
            pattern,
        })
    }

    /// Whether the provider tells it unasked, before anything can be written.
    pub(super) const fn is_told(&self) -> bool {
        self.token_field.is_some() || self.callback.is_some() || self.get.is_some()
    }

    /// Whether this field of a token answer holds it.
    pub(super) fn is_token_field(&self, field: &str) -> bool {
        self.token_field.is_some() && self.token_field == JsonPath::parse(field).ok()
    }

    /// The value that is made of a text of the provider; `None` when the text is not in the form that the file names.
    fn value(&self, text: &str) -> Option<String> {
        let taken = match &self.taken {
            Some(pattern) => pattern.captures(text)?.get(1)?.as_str(),
            None => text,
        };
        let odd = taken.is_empty() || taken.len() > MAX_VALUE || taken.chars().any(char::is_control);
        (!odd).then(|| format!("{}{taken}", self.prefix))
    }

    /// The value in the answer to the `get`.
    fn in_answer(
        &self,
        connector: &Connector,
        vars: &BTreeMap<String, String>,
        answer: &Value,
    ) -> Option<String> {
        let path = self.path.as_ref()?;
        let found = match &self.each {
            None => path.first(answer)?,
            Some(each) => {
                let fits = |item: &&Value| {
                    self.wanted.iter().all(|(at, text)| {
                        let wanted = fill(text, |name| {
                            let name = name.strip_prefix("conn.")?;
                            connector.variable(vars, name).map(Into::into)
                        });
                        // A variable that the connection lacks chooses nothing.
                        wanted.is_ok_and(|wanted| at.first(item).is_some_and(|v| same(v, &wanted)))
                    })
                };
                path.first(each.all(answer).into_iter().find(fits)?)?
            }
        };
        self.value(&Paths::as_text(found)?)
    }
}

/// Whether a value is this text; case and a `/` at the end do not count.
fn same(value: &Value, wanted: &str) -> bool {
    let text = Paths::as_text(value).unwrap_or_default();
    let plain = |text: &str| text.trim_end_matches('/').to_lowercase();
    plain(&text) == plain(wanted)
}

impl Connector {
    /// The variables that a token answer tells, only those that it has.
    ///
    /// # Errors
    /// When one of them is not what the file allows, such as an address that is not the provider's: nothing of the answer may
    /// be used.
    pub fn found_in_token(&self, answer: &Value) -> Result<BTreeMap<String, String>, Refusal> {
        let mut found = BTreeMap::new();
        for one in &self.discover {
            let Some(path) = &one.token_field else { continue };
            let Some(text) = path.first(answer).and_then(Paths::as_text) else {
                continue;
            };
            let value = one.value(&text).ok_or_else(|| self.not_ours(&one.name))?;
            found.insert(one.name.clone(), value);
        }
        self.check_found(&found)?;
        Ok(found)
    }

    /// The variables that the parameters tell with which a user comes back. Others than those that the file names, and values
    /// that it does not allow, are left out.
    #[must_use]
    pub fn found_in_callback(&self, query: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let found = self.discover.iter().filter_map(|one| {
            let value = one.value(query.get(one.callback.as_deref()?)?)?;
            Some((one.name.clone(), value))
        });
        self.fitting(found)
    }

    /// The variables that the answer to [`Connector::asked_after_token`] tells.
    #[must_use]
    pub fn found_in_answer(
        &self,
        vars: &BTreeMap<String, String>,
        answer: &Value,
    ) -> BTreeMap<String, String> {
        let found = self
            .discover
            .iter()
            .filter_map(|one| Some((one.name.clone(), one.in_answer(self, vars, answer)?)));
        self.fitting(found)
    }

    /// The URL, as the file writes it, that is asked once there is a token.
    #[must_use]
    pub fn asked_after_token(&self) -> Option<&str> {
        let account = self.auth().oauth2().and_then(|oauth2| oauth2.account.as_ref());
        let account = account.and_then(|account| account.get.as_deref());
        account.or_else(|| self.discover.iter().find_map(|one| one.get.as_deref()))
    }

    fn fitting(&self, found: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
        let fits = |(name, value): &(String, String)| {
            let alone = BTreeMap::from([(name.clone(), value.clone())]);
            self.check_found(&alone).is_ok()
        };
        found.filter(fits).collect()
    }

    /// Says whether these variables are such as the file allows; what lies at the origin that the operator has put in the
    /// provider's place is.
    pub(super) fn check_found(&self, found: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let rebase = self.rebase.as_deref();
        let operators = |value: &str| rebase.is_some_and(|rebase| same_origin(value, rebase));
        let others = found.iter().filter(|(_, value)| !operators(value));
        let others = others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match self.misfits(&others).next() {
            None => Ok(()),
            Some(misfit) => {
                let text = format!(
                    "the provider's answer names what is not of {}: {misfit}",
                    self.display_name
                );
                Err(Refusal::new(RefusalKind::InvalidVariable, text))
            }
        }
    }

    fn not_ours(&self, name: &str) -> Refusal {
        let text = format!(
            "the provider's answer names what is not of {}: the variable `{name}` is not in the form that it has there",
            self.display_name
        );
        Refusal::new(RefusalKind::InvalidVariable, text)
    }
}
