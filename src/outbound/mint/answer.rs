//! Reading what a token endpoint answers. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{MintError, Minted};
use crate::clock::Time;
use crate::connectors::{Connector, Mint, ProviderResponse, RetryClass, retry_hint};
use crate::outbound::credentials::Credentials;
use crate::vault::Secret;

/// How long a token lives when neither the answer nor the file says so. One that ends sooner is noticed by its refusal.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// No token is kept longer than this.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// So long before its end a token is replaced, or a fifth of its life when that is less.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest token answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The longest token, in bytes: it has to fit into a header.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How much of what a token endpoint says is told, in characters.
const SAID_CHARS: usize = 300;

/// What a token endpoint answered. `secrets` are those of the request.
pub(super) fn read(
    connector: &Connector,
    mint: &Mint,
    secrets: &[Secret],
    response: &ProviderResponse,
    now: Time,
) -> Result<Minted, MintError> {
    let status = response.status;
    let short = response.body.len() <= MAX_ANSWER_BYTES;
    let answer = response
        .json()
        .ok()
        .flatten()
        .filter(|_| short)
        .unwrap_or_default();
    let error = said(&answer, secrets);
    if (200..300).contains(&status)
        && error.is_none()
        && let Some(token) = answer.get("access_token").and_then(Value::as_str)
        && is_token(token)
    {
        let given = answer.get("expires_in").and_then(seconds);
        let life = given
            .or(mint.expires_in.map(Duration::from_secs))
            .unwrap_or(LIFE)
            .min(LONGEST_LIFE);
        return Ok(Minted {
            credentials: Credentials::of_token(Secret::new(token.to_owned())),
            found: found(connector, &answer),
            until: now.after(life - MARGIN.min(life / 5)),
        });
    }
    let text = error.as_ref().map_or_else(
        || format!("the token endpoint answered {status} without a token"),
        |(code, text)| {
            if text.is_empty() {
                code.clone()
            } else {
                format!("{code}: {text}")
            }
        },
    );
    let class = match (status, &error) {
        (429, _) => Some(RetryClass::RateLimited),
        (_, Some((code, text))) if is_rate_limit(code, text) => Some(RetryClass::RateLimited),
        (_, Some((code, _))) if is_passing(code) => Some(RetryClass::Transient),
        // An answer that says neither yes nor no.
        (200..400, None) | (408 | 425 | 500.., _) => Some(RetryClass::Transient),
        _ => None,
    };
    Err(match class {
        Some(class) => MintError::Later {
            said: text,
            status,
            class,
            after: retry_hint(response, now.to_timestamp()),
        },
        None => MintError::Refused { said: text, status },
    })
}

/// The error of an answer: its code, and what is said about it. Some providers tell it with status 200.
fn said(answer: &Value, secrets: &[Secret]) -> Option<(String, String)> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let first = |of: &Value, keys: &[&str]| keys.iter().find_map(|key| text(of.get(key)));
    let (code, more) = match answer.get("error")? {
        Value::Null | Value::Bool(false) => return None,
        inner @ Value::Object(_) => (
            first(inner, &["code", "status", "type"]),
            first(inner, &["message", "description"]),
        ),
        other => (
            text(Some(other)),
            first(answer, &["error_description", "message"]),
        ),
    };
    let presentable = |text: String| {
        let hidden = secrets
            .iter()
            .fold(text, |text, secret| text.replace(secret.expose(), "***"));
        let plain = hidden.chars().map(|c| if c.is_control() { ' ' } else { c });
        plain.take(SAID_CHARS).collect::<String>()
    };
    let code = code.unwrap_or_else(|| "error".to_owned());
    Some((presentable(code), presentable(more.unwrap_or_default())))
}

fn is_rate_limit(code: &str, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // Salesforce says `invalid_grant` with the text "login rate exceeded".
    matches!(code, "slow_down" | "rate_limit_exceeded" | "too_many_requests")
        || text.contains("rate exceeded")
}

/// Codes of failures that pass: those of RFC 6749, and Salesforce's `unknown_error` ("retry your request").
fn is_passing(code: &str) -> bool {
    matches!(code, "temporarily_unavailable" | "server_error" | "unknown_error")
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number of seconds, as a number or a text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The variables that the answer holds.
fn found(connector: &Connector, answer: &Value) -> BTreeMap<String, String> {
    let discoveries = connector.discoveries().iter();
    let value = |field: &str| answer.get(field)?.as_str().map(str::to_owned);
    discoveries
        .filter_map(|one| Some((one.name.clone(), value(one.token_field.as_deref()?)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{mint_of, vars};
    use super::*;
    use crate::connectors::{Catalog, RetryHint};

    const NOW: Time = Time::from_micros(1_700_000_000_000_000);

    fn answer(status: u16, body: &str) -> Result<Minted, MintError> {
        answer_with(status, body, &[])
    }

    fn answer_with(status: u16, body: &str, headers: &[(&str, &str)]) -> Result<Minted, MintError> {
        let connector = Catalog::builtin().get("salesforceJWT").expect("built in");
        let response = ProviderResponse {
            status,
            headers: headers
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec(),
            truncated: false,
        };
        read(
            &connector,
            mint_of(&connector),
            &[Secret::new("assert10n".to_owned())],
            &response,
            NOW,
        )
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        for (given, lives) in [
            ("3600", 3_540),
            ("\"3600\"", 3_540),
            ("100", 80),
            ("0", 0),
            ("99999999", 86_340),
            ("null", 840),
            ("-5", 840),
            ("\"soon\"", 840),
            ("1e400", 840),
        ] {
            let body = format!(
                r#"{{"access_token":"t0ken","expires_in":{given},"instance_url":"https://x.example"}}"#
            );
            let minted = answer(200, &body).unwrap_or_else(|why| panic!("{given}: {why}"));
            assert_eq!(minted.until.since(NOW), Duration::from_secs(lives), "{given}");
            assert_eq!(
                minted.credentials,
                Credentials::of_token(Secret::new("t0ken".to_owned()))
            );
            assert_eq!(minted.found, vars(&[("instance_url", "https://x.example")]));
        }
    }

    #[test]
    fn an_odd_character_beside_a_token_does_not_hide_it() {
        for body in [
            "\u{feff}{\"access_token\":\"t0ken\"}",
            r#"{"access_token":"t0ken","name":"Hi \ud83d"}"#,
            "{\"name\":\"one\ntwo\",\"access_token\":\"t0ken\"}",
        ] {
            assert!(answer(200, body).is_ok(), "{body}");
        }
        // Of a token that was not read whole nothing is used.
        for body in [
            r#"{"access_token":"t0\ud83dken"}"#,
            r#"{"access_token":"t0k"#,
            "[]",
            "{}",
            "",
        ] {
            assert!(
                matches!(answer(200, body), Err(MintError::Later { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn refusals_and_passing_failures_are_told_apart_whatever_the_status() {
        for (status, body) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"user hasn't approved this consumer"}"#,
            ),
            (401, r#"{"error":"invalid_client"}"#),
            (200, r#"{"error":"invalid_client"}"#),
            (200, r#"{"access_token":"t0ken","error":"invalid_grant"}"#),
            (403, "<html>no</html>"),
            (400, r#"{"error":{"code":"bad_key","message":"no such key"}}"#),
        ] {
            let error = answer(status, body).expect_err("refused");
            assert!(
                matches!(error, MintError::Refused { .. }),
                "{status} {body}: {error:?}"
            );
        }
        for (status, body, limited) in [
            (429, "", true),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"login rate exceeded"}"#,
                true,
            ),
            (503, "<html>down</html>", false),
            (500, r#"{"error":"invalid_grant"}"#, false),
            (400, r#"{"error":"temporarily_unavailable"}"#, false),
            (
                400,
                r#"{"error":"unknown_error","error_description":"retry your request"}"#,
                false,
            ),
            (200, "<html>hello</html>", false),
            (200, r#"{"access_token":""}"#, false),
            (200, r#"{"access_token":"a b\r\nX-Evil: 1"}"#, false),
            (200, r#"{"access_token":7}"#, false),
            (302, "", false),
        ] {
            let error = answer(status, body).expect_err("later");
            let class = if limited {
                RetryClass::RateLimited
            } else {
                RetryClass::Transient
            };
            assert!(
                matches!(&error, MintError::Later { class: got, .. } if *got == class),
                "{status} {body}: {error:?}"
            );
        }
        let endless = format!(
            r#"{{"access_token":"t0ken","x":"{}"}}"#,
            "x".repeat(MAX_ANSWER_BYTES)
        );
        assert!(answer(200, &endless).is_err());
        let later = answer_with(429, "", &[("retry-after", "7")]).expect_err("later");
        assert!(
            matches!(later, MintError::Later { after: Some(RetryHint::After(wait)), .. } if wait == Duration::from_secs(7)),
            "{later:?}"
        );
    }

    #[test]
    fn what_a_token_endpoint_says_is_told_without_what_we_sent_and_not_at_length() {
        let body = format!(
            r#"{{"error":"invalid_grant","error_description":"assert10n is\n bad {}"}}"#,
            "x".repeat(9_000)
        );
        let text = answer(400, &body).expect_err("refused").to_string();
        assert!(
            text.contains("invalid_grant: *** is  bad x") && text.len() < 500,
            "{text}"
        );
    }
}
