//! What an error of a token endpoint means.

use serde_json::Value;

use super::{FaultKind, GrantFault};
use crate::clock::Time;
use crate::connectors::{FaultClass, FaultRule, ProviderResponse, RetryClass, retry_hint};
use crate::vault::Secret;

/// How much of what a token endpoint says is told, in characters.
pub(super) const SAID_CHARS: usize = 500;

/// What is told of an answer: one line, without what we sent, not at length.
pub(super) fn presentable(text: &str, secrets: &[Secret], limit: usize) -> String {
    let hidden = secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.expose(), "***")
    });
    let plain = hidden.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(limit).collect()
}

/// The error that an answer tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Its codes, the most telling one first.
    pub codes: Vec<String>,
    /// What is said about it.
    pub text: String,
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Told {
    /// The error of an answer; `None` when it tells none. Some providers tell it with a 2xx status: then only what can be
    /// nothing else counts.
    pub fn of(answer: &Value, is_2xx: bool) -> Option<Self> {
        let mut told = Self::default();
        let mut said: Vec<Option<String>> = Vec::new();
        let is_false = |key: &str| answer.get(key) == Some(&Value::Bool(false));
        match answer.get("error") {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(inner @ Value::Object(_)) => {
                let keys = ["code", "status", "type"];
                told.codes
                    .extend(keys.iter().filter_map(|key| text(inner.get(key))));
                said.extend(["message", "description", "error_description"].map(|key| text(inner.get(key))));
                if told.codes.is_empty() {
                    told.codes.push("error".to_owned());
                }
            }
            Some(other) => told
                .codes
                .push(text(Some(other)).unwrap_or_else(|| "error".to_owned())),
        }
        let denied = is_false("ok") || is_false("success");
        if told.codes.is_empty() && is_2xx && !denied {
            return None;
        }
        let first = answer.get("errors").and_then(|errors| errors.get(0));
        for key in [
            "code",
            "errorCode",
            "error_code",
            "status",
            "category",
            "name",
            "title",
        ] {
            told.codes
                .extend(
                    [Some(answer), first]
                        .into_iter()
                        .flatten()
                        .filter_map(|of| match of.get(key) {
                            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
                            _ => None,
                        }),
                );
        }
        for key in ["error_description", "message", "errorMessage", "detail", "title"] {
            said.extend(
                [Some(answer), first]
                    .into_iter()
                    .flatten()
                    .map(|of| text(of.get(key))),
            );
        }
        told.text = said.into_iter().flatten().next().unwrap_or_default();
        if told.codes.is_empty() && told.text.is_empty() && denied {
            told.codes.push("error".to_owned());
        }
        (!told.codes.is_empty() || !told.text.is_empty()).then_some(told)
    }

    fn fits(&self, rule: &FaultRule, status: u16) -> bool {
        let has_code = |code: &String| self.codes.iter().any(|own| own.eq_ignore_ascii_case(code));
        let text = self.text.to_lowercase();
        let says = |part: &String| text.contains(&part.to_lowercase());
        (rule.code.is_empty() || rule.code.iter().any(has_code))
            && (rule.message.is_empty() || rule.message.iter().any(says))
            && (rule.status.is_empty() || rule.status.contains(&status))
    }

    /// What it means at any provider.
    fn usual(&self) -> FaultClass {
        let text = self.text.to_ascii_lowercase();
        // Exact Online: "Rate limit exceeded: access_token not expired".
        let still_valid = [
            "access_token not expired",
            "access token not expired",
            "access token is still valid",
        ];
        if still_valid.iter().any(|words| text.contains(words)) {
            return FaultClass::StillValid;
        }
        // Salesforce says `invalid_grant` with the text "login rate exceeded".
        if text.contains("rate exceeded") {
            return FaultClass::RateLimited;
        }
        let classes = self.codes.iter().map(|code| of_code(&code.to_ascii_lowercase()));
        classes.flatten().next().unwrap_or_default()
    }
}

/// Codes of RFC 6749 and those that are common beside them.
fn of_code(code: &str) -> Option<FaultClass> {
    Some(match code {
        "invalid_grant"
        | "bad_refresh_token"
        | "invalid_refresh_token"
        | "token_revoked"
        | "token_expired"
        | "app_not_found"
        | "oauth_ec_app_not_found"
        | "unauthorized_client"
        | "interaction_required"
        | "consent_required"
        | "login_required" => FaultClass::Dead,
        "invalid_client"
        | "invalid_client_id"
        | "bad_client_id"
        | "bad_client_secret"
        | "invalid_client_credentials"
        | "incorrect_client_credentials"
        | "redirect_uri_mismatch"
        | "unsupported_grant_type" => FaultClass::App,
        "slow_down" | "rate_limit_exceeded" | "too_many_requests" | "ratelimited" => FaultClass::RateLimited,
        // Salesforce says `unknown_error` with the text "retry your request".
        "temporarily_unavailable" | "server_error" | "unknown_error" => FaultClass::Transient,
        _ => return None,
    })
}

fn is_wordless(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.is_empty() || body.starts_with(b"{")
}

/// What a failed answer means.
pub(super) fn fault(
    told: Option<&Told>,
    rules: &[FaultRule],
    secrets: &[Secret],
    response: &ProviderResponse,
    otherwise: &str,
    now: Time,
) -> GrantFault {
    let status = response.status;
    let class = match told {
        Some(told) => {
            let rule = rules.iter().find(|rule| told.fits(rule, status));
            Some(rule.map_or_else(|| told.usual(), |rule| rule.class))
        }
        // A refusal without words is the token endpoint's own; a page is that of whatever stands before it.
        None if matches!(status, 400 | 401) && is_wordless(&response.body) => Some(FaultClass::Refused),
        None => None,
    };
    let passing = |class| FaultKind::Passing {
        class,
        after: retry_hint(response, class, now.to_timestamp()),
    };
    let kind = match (status, class) {
        (429, _) | (_, Some(FaultClass::RateLimited)) => passing(RetryClass::RateLimited),
        // An answer that says neither yes nor no, a gateway's say.
        (_, None | Some(FaultClass::Transient)) | (300..400 | 408 | 425 | 500.., _) => {
            passing(RetryClass::Transient)
        }
        (_, Some(FaultClass::Dead)) => FaultKind::Dead,
        (_, Some(FaultClass::App)) => FaultKind::App,
        (_, Some(FaultClass::StillValid)) => FaultKind::StillValid,
        (_, Some(FaultClass::Refused)) => FaultKind::Refused,
    };
    let code = told.and_then(|told| told.codes.first());
    let code = code.map(|code| presentable(code, secrets, 100));
    let said = match (&code, told.map(|told| told.text.as_str())) {
        (Some(code), None | Some("")) => code.clone(),
        (Some(code), Some(text)) => format!("{code}: {}", presentable(text, secrets, SAID_CHARS)),
        (None, Some(text)) => presentable(text, secrets, SAID_CHARS),
        (None, None) => otherwise.to_owned(),
    };
    GrantFault {
        code,
        said,
        status,
        kind,
    }
}
