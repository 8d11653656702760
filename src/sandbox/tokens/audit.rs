//! The auditor of tokens: no refresh token is presented again after its successor was answered, unless within its
//! grace; no code is presented again after it was answered.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{TokenUse, UseKind};
use crate::sandbox::message::Provider;

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A refresh token was presented although the client had been given its successor, and no grace was left.
    ReplacedTokenPresented,
    /// A code was presented although the client had been given its tokens.
    UsedCodePresented,
}

/// A rule that was broken, and by which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub kind: FindingKind,
    /// Where.
    pub provider: Provider,
    /// Number of the request that presented the token again.
    pub sequence: u64,
    /// Number of the request whose answer had replaced it.
    pub replaced_by: u64,
    /// The token or code.
    pub token: String,
    /// Its account.
    pub account: Option<String>,
    /// Its grant.
    pub grant: Option<String>,
    /// The client that presented it again.
    pub client_id: Option<String>,
}

/// Compares all uses with the rules.
#[must_use]
pub fn audit(uses: &[TokenUse]) -> Vec<Finding> {
    let mut earlier: HashMap<(Provider, UseKind, &str), Vec<&TokenUse>> = HashMap::new();
    let mut findings = Vec::new();
    for again in uses {
        let known = earlier
            .entry((again.provider, again.kind, &again.token))
            .or_default();
        if let Some(first) = known.iter().find(|first| forbids(first, again)) {
            findings.push(Finding {
                kind: match again.kind {
                    UseKind::RefreshToken => FindingKind::ReplacedTokenPresented,
                    UseKind::Code => FindingKind::UsedCodePresented,
                },
                provider: again.provider,
                sequence: again.sequence,
                replaced_by: first.sequence,
                token: again.token.clone(),
                account: again.account.clone(),
                grant: again.grant.clone(),
                client_id: again.client_id.clone(),
            });
        }
        known.push(again);
    }
    findings
}

/// Whether what `first` was answered forbids `again`.
fn forbids(first: &TokenUse, again: &TokenUse) -> bool {
    let told = first.delivered.is_some_and(|place| place < again.arrived);
    let graced = first.grace_until_ms.is_some_and(|end| again.at_ms < end);
    first.successor.is_some() && told && !graced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ledger::LedgerStatus;
    use crate::sandbox::tokens::Standing;

    /// A refresh that gave `successor`, arrived and delivered at those places.
    fn used(sequence: u64, token: &str, successor: Option<&str>, places: (u64, Option<u64>)) -> TokenUse {
        TokenUse {
            sequence,
            at_ms: i64::try_from(sequence).unwrap() * 1_000,
            provider: Provider::Salesforce,
            kind: UseKind::RefreshToken,
            token: token.to_owned(),
            client_id: Some("c".to_owned()),
            account: Some("acme".to_owned()),
            grant: Some("g".to_owned()),
            standing: Standing::Current,
            status: LedgerStatus::Answered(200),
            error: None,
            successor: successor.map(str::to_owned),
            grace_until_ms: None,
            arrived: places.0,
            delivered: places.1,
        }
    }

    #[test]
    fn a_token_presented_after_its_successor_was_answered_is_found() {
        let uses = [
            used(1, "a", Some("b"), (1, Some(2))),
            used(2, "b", Some("c"), (3, Some(4))),
            used(3, "a", None, (5, Some(6))),
        ];
        let findings = audit(&uses);
        assert_eq!(findings.len(), 1);
        let found = &findings[0];
        assert_eq!(
            (
                found.kind,
                found.sequence,
                found.replaced_by,
                found.token.as_str()
            ),
            (FindingKind::ReplacedTokenPresented, 3, 1, "a")
        );
    }

    #[test]
    fn each_further_time_is_found_too() {
        let first = used(1, "a", Some("b"), (1, Some(2)));
        let uses = [
            first,
            used(2, "a", None, (3, Some(4))),
            used(3, "a", None, (5, None)),
        ];
        assert_eq!(audit(&uses).len(), 2);
    }

    #[test]
    fn a_lost_answer_allows_the_same_token_again() {
        let uses = [
            used(1, "a", Some("b"), (1, None)),
            used(2, "a", None, (2, Some(3))),
        ];
        assert_eq!(audit(&uses), []);
    }

    #[test]
    fn a_request_that_came_before_the_answer_is_no_reuse() {
        let uses = [
            used(1, "a", Some("b"), (1, Some(3))),
            used(2, "a", None, (2, Some(4))),
        ];
        assert_eq!(audit(&uses), []);
    }

    #[test]
    fn a_token_that_stays_good_may_be_presented_for_ever() {
        let uses = [used(1, "a", None, (1, Some(2))), used(2, "a", None, (3, Some(4)))];
        assert_eq!(audit(&uses), []);
    }

    #[test]
    fn the_grace_ends_to_the_millisecond() {
        let mut first = used(1, "a", Some("b"), (1, Some(2)));
        first.grace_until_ms = Some(2_500);
        let mut within = used(2, "a", Some("b"), (3, Some(4)));
        within.grace_until_ms = Some(2_500);
        let mut last = used(3, "a", None, (5, Some(6)));
        last.at_ms = 2_499;
        let mut after = used(4, "a", None, (7, Some(8)));
        after.at_ms = 2_500;
        let found: Vec<u64> = audit(&[first, within, last, after])
            .iter()
            .map(|f| f.sequence)
            .collect();
        assert_eq!(found, [4]);
    }

    #[test]
    fn the_same_text_elsewhere_is_another_token() {
        let mut elsewhere = used(2, "a", None, (3, Some(4)));
        elsewhere.provider = Provider::HubSpot;
        let mut code = used(3, "a", None, (5, Some(6)));
        code.kind = UseKind::Code;
        assert_eq!(
            audit(&[used(1, "a", Some("b"), (1, Some(2))), elsewhere, code]),
            []
        );
    }

    #[test]
    fn a_code_presented_again_after_its_tokens_were_answered_is_found() {
        let code = |sequence, successor, places| TokenUse {
            kind: UseKind::Code,
            ..used(sequence, "code", successor, places)
        };
        let found = audit(&[code(1, Some("a"), (1, Some(2))), code(2, None, (3, Some(4)))]);
        assert_eq!(found[0].kind, FindingKind::UsedCodePresented);
        assert_eq!(
            audit(&[code(1, Some("a"), (1, None)), code(2, None, (3, Some(4)))]),
            []
        );
    }
}
