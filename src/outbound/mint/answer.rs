//! Reading what a token endpoint answers. Pure.

use std::time::Duration;

use super::{MintError, Minted};
use crate::clock::Time;
use crate::connectors::{Connector, ProviderResponse};
use crate::outbound::credentials::Credentials;
use crate::outbound::oauth::{self, FaultKind, GrantFault};
use crate::vault::Secret;

/// How long a token lives when neither the answer nor the file says so. One that ends sooner is noticed by its refusal.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// No token is kept longer than this.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// So long before its end a token is replaced, or a fifth of its life when that is less.
const MARGIN: Duration = Duration::from_secs(60);

/// What a token endpoint answered. `secrets` are those of the request.
pub(super) fn read(
    connector: &Connector,
    secrets: &[Secret],
    response: &ProviderResponse,
    now: Time,
) -> Result<Minted, MintError> {
    let granted = oauth::read(connector, secrets, response, now)?;
    let life = granted.life.or_default(connector);
    let life = life.unwrap_or(LIFE).min(LONGEST_LIFE);
    Ok(Minted {
        credentials: Credentials::of_token(granted.access_token),
        found: granted.found,
        until: now.after(life - MARGIN.min(life / 5)),
    })
}

impl From<GrantFault> for MintError {
    fn from(fault: GrantFault) -> Self {
        let GrantFault { said, status, .. } = fault;
        match fault.kind {
            FaultKind::Passing { class, after } => Self::Later {
                said,
                status,
                class,
                after,
            },
            _ => Self::Refused { said, status },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::vars;
    use super::*;
    use crate::connectors::{Catalog, RetryClass, RetryHint};

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
        read(&connector, &[Secret::new("assert10n".to_owned())], &response, NOW)
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        for (given, lives) in [
            ("3600", 3_540),
            ("\"3600\"", 3_540),
            ("100", 80),
            ("0", 0),
            ("9999999", 86_340),
            ("99999999", 840),
            ("null", 840),
            ("-5", 840),
            ("\"soon\"", 840),
            ("1e400", 840),
        ] {
            let body = format!(
                r#"{{"access_token":"t0ken","expires_in":{given},"instance_url":"https://x.my.salesforce.com"}}"#
            );
            let minted = answer(200, &body).unwrap_or_else(|why| panic!("{given}: {why}"));
            assert_eq!(minted.until.since(NOW), Duration::from_secs(lives), "{given}");
            assert_eq!(
                minted.credentials,
                Credentials::of_token(Secret::new("t0ken".to_owned()))
            );
            assert_eq!(
                minted.found,
                vars(&[("instance_url", "https://x.my.salesforce.com")])
            );
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
            // Whoever answers so, it is not the token endpoint.
            (403, "<html>no</html>", false),
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
            "x".repeat(oauth::MAX_ANSWER_BYTES)
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
            text.contains("invalid_grant: *** is  bad x") && text.len() < 700,
            "{text}"
        );
    }
}
