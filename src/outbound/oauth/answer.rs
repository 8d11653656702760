//! Reading what a token endpoint answers: of an exchange, a refresh, or a minted token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::fault::{SAID_CHARS, Told, fault, presentable};
use super::{FaultKind, GrantFault, Granted, Life, account};
use crate::clock::Time;
use crate::connectors::{Connector, ExpiresUnit, ProviderResponse, TokenAnswer};
use crate::vault::Secret;

/// The longest token answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 256 << 10;
/// The longest token, in bytes. Real ones have had 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 64 << 10;
/// A longer lifetime of an access token is a mistake: of the unit, say.
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 86_400);

/// What a token endpoint answered. `secrets` are those of the request, `now` is the time before it was sent.
///
/// # Errors
/// Why there is no token that may be used.
pub fn read(
    connector: &Connector,
    secrets: &[Secret],
    response: &ProviderResponse,
    now: Time,
) -> Result<Granted, GrantFault> {
    let usual = TokenAnswer::default();
    let oauth2 = connector.auth().oauth2();
    let shape = oauth2.map_or(&usual, |oauth2| &oauth2.answer);
    let is_2xx = (200..300).contains(&response.status);
    let answer = document(response, is_2xx);
    let told = answer.as_ref().and_then(|answer| Told::of(answer, is_2xx));
    if is_2xx
        && told.is_none()
        && let Some(answer) = &answer
        && let Some((place, token)) = token(shape, answer)
    {
        let token = Secret::new(token.to_owned());
        return granted(connector, shape, answer, place, token, response.status, now);
    }
    let otherwise = nothing(response, answer.as_ref(), secrets);
    Err(fault(
        told.as_ref(),
        &shape.faults,
        secrets,
        response,
        &otherwise,
        now,
    ))
}

/// The answer as JSON, whatever its content type says: an object as it is, a form as an object of texts.
fn document(response: &ProviderResponse, is_2xx: bool) -> Option<Value> {
    if response.body.len() > MAX_ANSWER_BYTES {
        return None;
    }
    let json = if is_2xx {
        response.json().ok().flatten()
    } else {
        response.json_so_far()
    };
    json.filter(|json| json.is_object() || json.is_array())
        .or_else(|| form(response))
}

/// A form: only one that has what a token answer has.
fn form(response: &ProviderResponse) -> Option<Value> {
    let body = response.body.trim_ascii();
    let odd = |byte: &u8| byte.is_ascii_control() || *byte == b'<';
    if response.truncated || body.iter().any(odd) {
        return None;
    }
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        fields
            .entry(name.into_owned())
            .or_insert_with(|| value.into_owned().into());
    }
    let telling = fields.contains_key("access_token") || fields.contains_key("error");
    telling.then_some(Value::Object(fields))
}

/// The object with the token, and the token.
fn token<'v>(shape: &TokenAnswer, answer: &'v Value) -> Option<(&'v Value, &'v str)> {
    let mut tokens = shape.at.all(answer).filter_map(|place| {
        let token = shape.access_token.first(place)?.as_str()?;
        Some((place, token))
    });
    tokens.find(|(_, token)| is_token(token))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn granted(
    connector: &Connector,
    shape: &TokenAnswer,
    answer: &Value,
    place: &Value,
    access_token: Secret,
    status: u16,
    now: Time,
) -> Result<Granted, GrantFault> {
    let found = connector.found_in_token(answer).map_err(|refusal| GrantFault {
        code: None,
        said: presentable(&refusal.message, &[], SAID_CHARS),
        status,
        kind: FaultKind::Hostile,
    })?;
    let mut warnings = Vec::new();
    // Of two tokens in one answer the one that ends first counts.
    let lives = shape
        .at
        .all(answer)
        .filter(|at| shape.access_token.first(at).is_some());
    let lives = lives.filter_map(|at| life(shape, at, now, &mut warnings));
    let life = lives.min().map_or(Life::Unknown, Life::Told);
    let refresh_token = refresh_token(shape, place, &mut warnings);
    let oauth2 = connector.auth().oauth2();
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let told_life = |paths: &crate::connectors::Paths| {
        let seconds = paths
            .first(place)
            .or_else(|| paths.first(answer))
            .and_then(number);
        let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let file_life = oauth2.and_then(|oauth2| oauth2.refresh_days).map(days);
    let account = oauth2.and_then(|oauth2| oauth2.account.as_ref());
    let account = account.filter(|account| account.get.is_none());
    Ok(Granted {
        account: account.and_then(|account| account::named(account, &with_claims(answer))),
        access_token,
        life,
        refresh_life: told_life(&shape.refresh_expires_in).or(file_life),
        grant_life: told_life(&shape.grant_expires_in),
        refresh_token,
        scopes: shape.scope.first(place).and_then(scopes),
        found,
        warnings,
    })
}

/// How long the token of an object lives.
fn life(shape: &TokenAnswer, place: &Value, now: Time, warnings: &mut Vec<String>) -> Option<Duration> {
    let mut told = |seconds: f64, what: &str| {
        let life = Duration::try_from_secs_f64(seconds).ok();
        let life = life.filter(|life| *life <= LONGEST_LIFE);
        if life.is_none() {
            warnings.push(format!(
                "{what} of the token answer makes a lifetime of {seconds} seconds, which cannot be"
            ));
        }
        life
    };
    if let Some(value) = shape.expires_in.first(place) {
        let unit = match shape.expires_unit {
            ExpiresUnit::Seconds => 1.0,
            ExpiresUnit::Milliseconds => 1_000.0,
        };
        return match number(value) {
            Some(number) => told(number / unit, "`expires_in`"),
            None => {
                warnings.push("`expires_in` of the token answer is no number".to_owned());
                None
            }
        };
    }
    let at = shape.expires_at.first(place)?;
    match moment(at) {
        Some(end) => told(end - now.as_micros() as f64 / 1e6, "the end"),
        None => {
            warnings.push("the end of the token in the token answer is no time".to_owned());
            None
        }
    }
}

/// A time in seconds since 1970.
fn moment(value: &Value) -> Option<f64> {
    if let Some(number) = number(value) {
        return Some(if number > 1e11 { number / 1_000.0 } else { number });
    }
    let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(time.as_microsecond() as f64 / 1e6)
}

fn number(value: &Value) -> Option<f64> {
    let number: f64 = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn refresh_token(shape: &TokenAnswer, place: &Value, warnings: &mut Vec<String>) -> Option<Secret> {
    let value = shape.refresh_token.first(place)?;
    let text = value.as_str().filter(|text| {
        text.len() <= MAX_TOKEN_BYTES && !text.trim().is_empty() && !text.chars().any(char::is_control)
    });
    if text.is_none() {
        warnings.push("the refresh token of the token answer cannot be one, and was left".to_owned());
    }
    text.map(|text| Secret::new(text.to_owned()))
}

fn scopes(value: &Value) -> Option<Vec<String>> {
    let parts = |text: &str| -> Vec<String> {
        let parts = text.split(|c: char| c.is_whitespace() || c == ',');
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    match value {
        Value::String(text) => Some(parts(text)),
        Value::Array(items) => Some(
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        _ => None,
    }
}

/// The answer with the claims of its tokens in their place, where these are JSON Web Tokens. They came from the provider
/// itself, so that their signatures need no check.
fn with_claims(answer: &Value) -> Value {
    let mut all = answer.clone();
    for name in ["id_token", "access_token"] {
        let claims = answer.get(name).and_then(Value::as_str).and_then(claims);
        if let (Some(claims), Some(fields)) = (claims, all.as_object_mut()) {
            fields.insert(name.to_owned(), claims);
        }
    }
    all
}

fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let bytes = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// What is said of an answer without a token and without an error.
fn nothing(response: &ProviderResponse, answer: Option<&Value>, secrets: &[Secret]) -> String {
    let status = response.status;
    if (200..300).contains(&status) {
        // A token may be in it, under whatever name: only names of keys are told.
        let keys: Vec<&str> = answer
            .and_then(Value::as_object)
            .map(|fields| fields.keys().map(String::as_str).take(20).collect())
            .unwrap_or_default();
        let keys = presentable(&keys.join(", "), secrets, SAID_CHARS);
        return match answer {
            _ if response.body.len() > MAX_ANSWER_BYTES => {
                format!("the token endpoint answered {status} at more length than is read")
            }
            None => format!("the token endpoint answered {status} without a token, with what cannot be read"),
            Some(_) => format!("the token endpoint answered {status} without a token; its keys: {keys}"),
        };
    }
    let text = String::from_utf8_lossy(&response.body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match presentable(&text, secrets, SAID_CHARS) {
        text if text.is_empty() => format!("the token endpoint answered {status} without a token"),
        text => format!("the token endpoint answered {status}: {text}"),
    }
}
