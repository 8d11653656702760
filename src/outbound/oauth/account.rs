//! Whose grant it is, and the variables that only the provider knows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AccountId, Granted};
use crate::connectors::{Account, Connector, ProviderRequest, ProviderResponse};

/// The account that a document names as the file says.
pub(super) fn named(account: &Account, document: &Value) -> Option<AccountId> {
    let text = account.id.text(document)?;
    let id = match &account.taken {
        None => text,
        Some(pattern) => {
            let pattern = regex_lite::Regex::new(pattern).ok()?;
            pattern.captures(&text)?.get(1)?.as_str().to_owned()
        }
    };
    let name = account
        .name
        .text(document)
        .map(|name| super::fault::presentable(&name, &[], 200));
    (!id.is_empty() && id.len() <= 300 && !id.chars().any(char::is_control)).then_some(AccountId { id, name })
}

/// The account that the connection's variables name, where the file says that one of them does.
#[must_use]
pub fn account_of(connector: &Connector, vars: &BTreeMap<String, String>) -> Option<AccountId> {
    let account = connector.auth().oauth2()?.account.as_ref()?;
    let id = vars.get(account.variable.as_deref()?)?.clone();
    Some(AccountId { id, name: None })
}

/// What is asked with a new token, to know the account and the variables that the token answer did not tell; `None` when the
/// file asks nothing, or a variable that the URL needs is not there. Credentials are attached to it as to any request.
#[must_use]
pub fn who(
    connector: &Connector,
    vars: &BTreeMap<String, String>,
    granted: &Granted,
) -> Option<ProviderRequest> {
    let template = connector.asked_after_token()?;
    let mut all = vars.clone();
    all.extend(granted.found.clone());
    Some(ProviderRequest {
        method: http::Method::GET,
        url: connector.other_url(template, &all).ok()?,
        headers: vec![("Accept".to_owned(), "application/json".to_owned())],
        content_type: None,
        body: None,
    })
}

/// Reads the answer to [`who`]. `vars` are the connection's, with those that have been found until now.
#[must_use]
pub fn read_who(
    connector: &Connector,
    vars: &BTreeMap<String, String>,
    response: &ProviderResponse,
) -> (Option<AccountId>, BTreeMap<String, String>) {
    let answer = match response.json() {
        Ok(Some(answer)) if (200..300).contains(&response.status) => answer,
        _ => return (None, BTreeMap::new()),
    };
    let found = connector.found_in_answer(vars, &answer);
    let account = connector
        .auth()
        .oauth2()
        .and_then(|oauth2| oauth2.account.as_ref());
    let by_answer = account
        .filter(|account| account.get.is_some())
        .and_then(|account| named(account, &answer));
    (by_answer.or_else(|| account_of(connector, &found)), found)
}

/// The variables that a customer's browser brings back beside the code, as the file names them.
#[must_use]
pub fn callback_vars(connector: &Connector, query: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    connector.found_in_callback(query)
}
