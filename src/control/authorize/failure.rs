//! Why a customer is not connected, in words for the customer and for the app.

use crate::control::Error;
use crate::store::StoreError;

/// How much of what a provider says is shown, in characters.
const SAID_CHARS: usize = 300;

/// Why a customer is not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The link or the callback belongs to no flow that is known.
    Unknown,
    /// Its time is over.
    Expired,
    /// It has ended already.
    Replayed,
    /// It was begun in another browser.
    OtherBrowser,
    /// The customer said no.
    Cancelled,
    /// A scope is not granted, or does not exist.
    Scope(String),
    /// The app is not installed in the customer's account.
    NotInstalled(String),
    /// An administrator has to agree.
    AdminApproval(String),
    /// An administrator has agreed, which connects nobody yet.
    AdminApproved,
    /// Another account was chosen than the connection had.
    OtherAccount {
        /// The account that the connection has.
        had: String,
        /// The one that was chosen.
        got: String,
    },
    /// The provider does not accept the app.
    App(String),
    /// The provider answered something else.
    Provider(String),
    /// The provider did not answer.
    NoAnswer(String),
    /// What was to be connected is gone, or not usable.
    Gone(String),
}

impl Failure {
    /// One word, for logs and metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::OtherBrowser => "other_browser",
            Self::Cancelled => "cancelled",
            Self::Scope(_) => "scope",
            Self::NotInstalled(_) => "not_installed",
            Self::AdminApproval(_) => "admin_approval",
            Self::AdminApproved => "admin_approved",
            Self::OtherAccount { .. } => "other_account",
            Self::App(_) => "app",
            Self::Provider(_) => "provider",
            Self::NoAnswer(_) => "no_answer",
            Self::Gone(_) => "gone",
        }
    }

    /// What happened, and what to do.
    #[must_use]
    pub fn words(&self) -> (String, &'static str) {
        let begin_again = "Go back to the app and connect again from there.";
        match self {
            Self::Unknown => ("This link is not known.".to_owned(), begin_again),
            Self::Expired => (
                "This link is too old: it was good for ten minutes.".to_owned(),
                begin_again,
            ),
            Self::Replayed => ("This link has been used already.".to_owned(), begin_again),
            Self::OtherBrowser => (
                "This connection was begun in another browser, or this browser does not keep cookies."
                    .to_owned(),
                "Go back to the app and connect from the same browser. Never continue a connection that somebody else has begun.",
            ),
            Self::Cancelled => (
                "Access was not allowed, so nothing was connected.".to_owned(),
                "Connect again from the app if this was not intended.",
            ),
            Self::Scope(said) => (
                format!("A permission that the app needs was not granted: {said}"),
                "Connect again and allow all permissions, or ask an administrator of your account whether it has them.",
            ),
            Self::NotInstalled(said) => (
                format!("The app is not installed in your account: {said}"),
                "Ask an administrator of your account to install or approve the app, then connect again.",
            ),
            Self::AdminApproval(said) => (
                format!("An administrator of your account must approve the app first: {said}"),
                "Ask an administrator to approve it, then connect again.",
            ),
            Self::AdminApproved => (
                "The app is approved for your organisation. Nobody is connected by that yet.".to_owned(),
                "Go back to the app and connect.",
            ),
            Self::OtherAccount { had, got } => (
                format!("This connection belongs to {had}, but you have chosen {got}. Nothing was changed."),
                "Connect again and choose the same account, or make a new connection for the other one.",
            ),
            Self::App(said) => (
                format!("The provider does not accept this app: {said}"),
                "This is not your fault: whoever runs the app has to mend its client id, secret or redirect URL.",
            ),
            Self::Provider(said) => (format!("The provider answered: {said}"), begin_again),
            Self::NoAnswer(said) => (format!("The provider did not answer: {said}"), begin_again),
            Self::Gone(said) => (said.clone(), begin_again),
        }
    }

    /// What the provider told the customer's browser: an error and what it says about it.
    pub(super) fn of_provider(error: &str, description: &str) -> Self {
        let said = presentable(if description.is_empty() {
            error
        } else {
            description
        });
        let is = |words: &[&str]| words.iter().any(|word| error.eq_ignore_ascii_case(word));
        let says = |words: &[&str]| {
            let text = description.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        // Microsoft: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
        if says(&["aadsts65001", "aadsts90094", "aadsts90095"])
            || is(&["consent_required", "interaction_required"])
        {
            return Self::AdminApproval(said);
        }
        if is(&["OAUTH_EC_APP_NOT_FOUND", "app_not_found", "OAUTH_APP_BLOCKED"])
            || says(&["oauth_ec_app_not_found"])
        {
            return Self::NotInstalled(said);
        }
        if is(&["access_denied", "user_denied", "consent_denied"]) {
            return Self::Cancelled;
        }
        if is(&["invalid_scope", "insufficient_scope"]) {
            return Self::Scope(said);
        }
        if is(&["unauthorized_client", "invalid_client", "redirect_uri_mismatch"]) {
            return Self::App(said);
        }
        Self::Provider(said)
    }
}

/// What somebody else said, cut and in one line.
pub(super) fn presentable(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SAID_CHARS).collect::<String>().trim().to_owned()
}

/// Why a flow does not go on.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The customer is not connected.
    #[error("{}", .0.words().0)]
    Failed(Failure),
    /// This server could not do it.
    #[error(transparent)]
    Server(#[from] Error),
}

impl From<Failure> for FlowError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for FlowError {
    fn from(error: StoreError) -> Self {
        Self::Server(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_providers_tell_a_browser_is_told_apart() {
        let denied = Failure::of_provider("access_denied", "end-user denied authorization");
        assert_eq!(denied, Failure::Cancelled);
        for (error, description, word) in [
            ("ACCESS_DENIED", "", "cancelled"),
            (
                "access_denied",
                "AADSTS65001: The user or administrator has not consented",
                "admin_approval",
            ),
            ("interaction_required", "", "admin_approval"),
            (
                "OAUTH_EC_APP_NOT_FOUND",
                "External client app is not installed",
                "not_installed",
            ),
            ("invalid_scope", "the scope x is unknown", "scope"),
            ("unauthorized_client", "", "app"),
            ("server_error", "try again", "provider"),
            ("", "", "provider"),
        ] {
            assert_eq!(
                Failure::of_provider(error, description).word(),
                word,
                "{error} {description}"
            );
        }
        let long = Failure::of_provider("x", &"y\n".repeat(9_000)).words().0;
        assert!(long.len() < 400 && !long.contains('\n'));
    }
}
