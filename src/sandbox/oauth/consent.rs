//! The consent page: it asks, and sends the browser back with the customer's answer.

use super::asked::{self, Asked, Wrong};
use super::{page, scopes};
use crate::sandbox::core::Core;
use crate::sandbox::faults::{FaultKind, Mods};
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::tokens::{CODE_LIFE_MS, Code, TokenEvent, Tokens};

/// Answers a request to the consent page; what the journal must keep.
pub(crate) fn authorize(
    core: &Core,
    provider: Provider,
    request: &Request,
    mods: &Mods,
    now_ms: i64,
) -> (Reply, Vec<TokenEvent>) {
    let (reply, events) = answer(core, provider, request, mods, now_ms);
    if mods.oauth.find(FaultKind::IsolateConsentPage).is_some() {
        return (
            reply.with_header("Cross-Origin-Opener-Policy", "same-origin"),
            events,
        );
    }
    (reply, events)
}

fn answer(
    core: &Core,
    provider: Provider,
    request: &Request,
    mods: &Mods,
    now_ms: i64,
) -> (Reply, Vec<TokenEvent>) {
    let asked = match asked::read(&core.tokens, provider, request) {
        Ok(asked) => asked,
        Err(Wrong::Page(text)) => return (page::error(provider, 400, &text), Vec::new()),
        Err(Wrong::Told(back, error, text)) => {
            let url = back.with(&[("error", error), ("error_description", &text)]);
            return (redirect(url), Vec::new());
        }
    };
    let accounts = || core.account_names(provider);
    if request.method == http::Method::GET {
        return (page::question(provider, &asked, &accounts(), None), Vec::new());
    }
    if request.method != http::Method::POST {
        let text = "The page is read with GET and answered with POST.";
        return (page::error(provider, 405, text), Vec::new());
    }
    let form = request.form();
    match field(&form, "decision") {
        Some("deny") => {
            let text = match provider {
                Provider::HubSpot => "The user denied the request",
                _ => "end-user denied authorization",
            };
            let url = asked
                .back
                .with(&[("error", "access_denied"), ("error_description", text)]);
            (redirect(url), Vec::new())
        }
        Some("allow") => match account_chosen(&form) {
            Ok(account) => allow(core, provider, &asked, account, &form, mods, now_ms),
            Err(problem) => (
                page::question(provider, &asked, &accounts(), Some(problem)),
                Vec::new(),
            ),
        },
        _ => {
            let problem = "Choose Allow or Deny (decision=allow or decision=deny).";
            let reply = page::question(provider, &asked, &accounts(), Some(problem));
            (reply, Vec::new())
        }
    }
}

/// The account in the form: the field for a new one counts when it is filled in.
pub(crate) fn account_chosen(form: &[(String, String)]) -> Result<&str, &'static str> {
    let filled = |name| field(form, name).map(str::trim).filter(|v| !v.is_empty());
    let account = filled("new_account").or_else(|| filled("account"));
    let account = account.ok_or("Choose an account, or name a new one.")?;
    if account.chars().count() > 100 || account.chars().any(char::is_control) {
        return Err("An account's name has 100 characters at most, and no control characters.");
    }
    Ok(account)
}

fn redirect(url: String) -> Reply {
    Reply::empty(302).with_header("Location", url)
}

fn allow(
    core: &Core,
    provider: Provider,
    asked: &Asked,
    account: &str,
    form: &[(String, String)],
    mods: &Mods,
    now_ms: i64,
) -> (Reply, Vec<TokenEvent>) {
    let faults = &mods.oauth;
    let account = match faults.find(FaultKind::OtherAccount) {
        Some(spec) => spec.instead.clone().unwrap_or_else(|| format!("{account}-other")),
        None => account.to_owned(),
    };
    if faults.find(FaultKind::AdminConsent).is_some() {
        let url = asked
            .back
            .with(&[("admin_consent", "True"), ("tenant", &account)]);
        return (redirect(url), Vec::new());
    }
    if let Some(spec) = faults.find(FaultKind::AppNotInstalled) {
        let text = spec
            .message
            .as_deref()
            .unwrap_or("External client app is not installed in this org");
        let url = asked
            .back
            .with(&[("error", "OAUTH_EC_APP_NOT_FOUND"), ("error_description", text)]);
        return (redirect(url), Vec::new());
    }
    let lacks = open(core, provider, &account);
    if let Some(scope) = asked.scopes.iter().find(|s| lacks.contains(s)) {
        let text =
            format!("Authorization failed: the account {account} does not have access to the scope {scope}");
        return (page::error(provider, 403, &text), Vec::new());
    }
    let wanted = field(form, "scopes").map(scopes::words);
    let allowed = |s: &&String| wanted.as_ref().is_none_or(|w| w.contains(s)) && !lacks.contains(s);
    let all = asked.scopes.iter().chain(&asked.optional);
    let code = Code {
        code: Tokens::new_code(provider),
        provider,
        account,
        client_id: asked.app.client_id.clone(),
        redirect_uri: asked.back.uri.clone(),
        challenge: asked.challenge.clone(),
        scopes: all.filter(allowed).cloned().collect(),
        expires_at_ms: now_ms.saturating_add(CODE_LIFE_MS),
        rotate: asked.app.rotate,
        grant: None,
    };
    core.tokens.put_code(code.clone());
    let url = asked.back.with(&[("code", &code.code)]);
    (redirect(url), vec![TokenEvent::Code(code)])
}

/// Makes the account when absent; the scopes it cannot give.
fn open(core: &Core, provider: Provider, name: &str) -> Vec<String> {
    let (lines, lacks) = match provider {
        Provider::HubSpot => {
            let shared = core.hubspot(name);
            let mut account = lock(&shared);
            account.keep_meta();
            (account.take_dirty(), account.settings.missing_scopes.clone())
        }
        _ => {
            let shared = core.salesforce(name);
            let mut account = lock(&shared);
            account.keep_meta();
            (account.take_dirty(), Vec::new())
        }
    };
    if let Err(error) = core.keep(&lines) {
        tracing::error!(%error, "the journal could not be written");
    }
    lacks
}
