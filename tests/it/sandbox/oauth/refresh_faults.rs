//! The faults of refreshing.

use std::time::{Duration, Instant};

use amp_write::sandbox::{FaultHandle, FaultKind, FaultSpec, Provider};
use serde_json::json;

use super::{BOTH, Flow, text};

/// A connected account, a fault of the token endpoint in force, and the refresh token.
async fn met(
    provider: Provider,
    kind: FaultKind,
    change: impl FnOnce(&mut FaultSpec),
) -> (Flow, String, FaultHandle) {
    let flow = Flow::new(provider).await;
    flow.sandbox.clock().freeze(1_790_000_000_000);
    let refresh = text(&flow.connect("acme").await, "refresh_token");
    let mut spec = FaultSpec::new(kind).action("token");
    change(&mut spec);
    let fault = flow.fault(spec);
    (flow, refresh, fault)
}

async fn error(flow: &Flow, token: &str) -> String {
    let answer = flow.refresh(token).await;
    text(&answer.json(), "error")
}

#[tokio::test]
async fn rotate_refuses_the_old_token_and_keeps_the_grant() {
    for provider in BOTH {
        let (flow, first, _) = met(provider, FaultKind::Rotate, |_| {}).await;
        let second = text(&flow.refresh(&first).await.json(), "refresh_token");
        assert_ne!(first, second);
        assert_eq!(error(&flow, &first).await, "invalid_grant");
        assert_eq!(flow.refresh(&second).await.status, 200, "the grant lives");
    }
}

#[tokio::test]
async fn rotate_refresh_token_revokes_the_family_and_no_other_grant() {
    for provider in BOTH {
        let (flow, first, fault) = met(provider, FaultKind::RotateRefreshToken, |_| {}).await;
        let other = flow.connect("acme").await;
        let tokens = flow.refresh(&first).await.json();
        fault.remove();
        assert_eq!(error(&flow, &first).await, "invalid_grant");
        assert_eq!(
            error(&flow, &text(&tokens, "refresh_token")).await,
            "invalid_grant"
        );
        assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 401);
        assert_eq!(flow.write(&text(&other, "access_token")).await.status, 201);
        assert_eq!(flow.refresh(&text(&other, "refresh_token")).await.status, 200);
    }
}

#[tokio::test]
async fn rotate_with_grace_gives_the_same_pair_until_the_grace_ends() {
    for provider in BOTH {
        let (flow, first, fault) = met(provider, FaultKind::RotateWithGrace, |s| s.seconds = Some(10)).await;
        let pair = flow.refresh(&first).await.json();
        fault.remove();
        flow.sandbox.clock().advance(9_999);
        let again = flow.refresh(&first).await.json();
        for key in ["access_token", "refresh_token"] {
            assert_eq!(again[key], pair[key], "{key}");
        }
        flow.sandbox.clock().advance(1);
        assert_eq!(error(&flow, &first).await, "invalid_grant");
        assert_eq!(
            error(&flow, &text(&pair, "refresh_token")).await,
            "invalid_grant",
            "the grant is dead"
        );
    }
}

#[tokio::test]
async fn rotate_then_drop_loses_the_answer_and_the_grace_brings_it_back() {
    for provider in BOTH {
        let (flow, first, fault) = met(provider, FaultKind::RotateThenDrop, |s| s.seconds = Some(30)).await;
        flow.try_refresh(&first).await.expect_err("the answer is lost");
        fault.remove();
        let second = text(&flow.refresh(&first).await.json(), "refresh_token");
        assert_ne!(first, second);
        assert_eq!(flow.refresh(&second).await.status, 200);
    }
}

#[tokio::test]
async fn rotate_then_drop_without_grace_severs_the_grant() {
    for provider in BOTH {
        let (flow, first, _) = met(provider, FaultKind::RotateThenDrop, |s| s.times = Some(1)).await;
        flow.try_refresh(&first).await.expect_err("the answer is lost");
        assert_eq!(error(&flow, &first).await, "invalid_grant");
    }
}

#[tokio::test]
async fn delay_makes_the_token_endpoint_slow() {
    let (flow, refresh, _) = met(Provider::HubSpot, FaultKind::Delay, |s| s.delay_ms = Some(120)).await;
    let begun = Instant::now();
    assert_eq!(flow.refresh(&refresh).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn ok_with_error_and_ok_empty_are_200_without_tokens() {
    for provider in BOTH {
        let (flow, refresh, fault) = met(provider, FaultKind::OkWithError, |_| {}).await;
        let answer = flow.refresh(&refresh).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (200, &json!("bad_refresh_token"))
        );
        assert!(answer.json().get("access_token").is_none());
        fault.remove();
        let fault = flow.fault(FaultSpec::new(FaultKind::OkEmpty).action("token"));
        let answer = flow.refresh(&refresh).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})));
        fault.remove();
        assert_eq!(flow.refresh(&refresh).await.status, 200, "nothing was used up");
    }
}

#[tokio::test]
async fn the_lifetime_comes_in_every_wrong_form() {
    for (provider, seconds) in [(Provider::HubSpot, 1_800), (Provider::Salesforce, 7_200)] {
        for (kind, told) in [
            (FaultKind::NoExpiresIn, None),
            (FaultKind::ExpiresInText, Some(json!(seconds.to_string()))),
            (FaultKind::ExpiresInMs, Some(json!(seconds * 1_000))),
        ] {
            let (flow, refresh, _) = met(provider, kind, |_| {}).await;
            let tokens = flow.refresh(&refresh).await.json();
            assert_eq!(tokens.get("expires_in").cloned(), told, "{kind:?}");
            assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 201);
        }
    }
}

#[tokio::test]
async fn omit_refresh_token_leaves_it_out_and_it_stays_good() {
    for provider in BOTH {
        let (flow, refresh, _) = met(provider, FaultKind::OmitRefreshToken, |_| {}).await;
        for _ in 0..2 {
            let answer = flow.refresh(&refresh).await;
            assert_eq!((answer.status, answer.json().get("refresh_token")), (200, None));
        }
    }
}

#[tokio::test]
async fn refuse_while_valid_lasts_until_30_seconds_before_the_end() {
    for (provider, seconds) in [(Provider::HubSpot, 1_800), (Provider::Salesforce, 7_200)] {
        let (flow, refresh, _) = met(provider, FaultKind::RefuseWhileValid, |_| {}).await;
        let answer = flow.refresh(&refresh).await;
        assert_eq!(
            (answer.status, text(&answer.json(), "error").as_str()),
            (400, "access_denied")
        );
        flow.sandbox.clock().advance((seconds - 30) * 1_000 - 1);
        assert_eq!(error(&flow, &refresh).await, "access_denied");
        flow.sandbox.clock().advance(1);
        assert_eq!(flow.refresh(&refresh).await.status, 200);
    }
}

#[tokio::test]
async fn too_many_token_calls_are_429_and_a_gateway_in_trouble_502() {
    for provider in BOTH {
        let (flow, refresh, fault) = met(provider, FaultKind::RateLimit, |s| s.retry_after = Some(2)).await;
        let answer = flow.refresh(&refresh).await;
        assert_eq!(
            (answer.status, answer.headers["retry-after"].to_str().ok()),
            (429, Some("2"))
        );
        fault.remove();
        flow.fault(FaultSpec::new(FaultKind::ServerError).action("token"));
        let answer = flow.refresh(&refresh).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].to_str().ok()),
            (502, Some("text/html"))
        );
    }
}

#[tokio::test]
async fn narrow_scope_succeeds_at_refresh_and_fails_at_the_write() {
    let (flow, refresh, fault) = met(Provider::HubSpot, FaultKind::NarrowScope, |_| {}).await;
    let tokens = flow.refresh(&refresh).await.json();
    assert_eq!(tokens["scopes"], json!(["oauth", "crm.objects.contacts.read"]));
    assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 403);
    fault.remove();
    let whole = flow.refresh(&refresh).await.json();
    assert_eq!(flow.write(&text(&whole, "access_token")).await.status, 201);

    let set = |s: &mut FaultSpec| s.scopes = Some(vec!["id".to_owned()]);
    let (flow, refresh, _) = met(Provider::Salesforce, FaultKind::NarrowScope, set).await;
    let tokens = flow.refresh(&refresh).await.json();
    assert_eq!(tokens["scope"], json!("id"));
    assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 401);
}

#[tokio::test]
async fn invalid_client_refuses_a_right_secret_and_uses_nothing_up() {
    for provider in BOTH {
        let (flow, refresh, fault) = met(provider, FaultKind::InvalidClient, |_| {}).await;
        assert_eq!(error(&flow, &refresh).await, "invalid_client");
        fault.remove();
        assert_eq!(flow.refresh(&refresh).await.status, 200);
    }
}

#[tokio::test]
async fn hard_expiry_is_told_and_no_refresh_moves_it() {
    for provider in BOTH {
        let (flow, refresh, _) = met(provider, FaultKind::HardExpiry, |s| s.seconds = Some(100)).await;
        let told = |left: u64| json!(left);
        assert_eq!(
            flow.refresh(&refresh).await.json()["refresh_token_expires_in"],
            told(100)
        );
        flow.sandbox.clock().advance(99_999);
        assert_eq!(
            flow.refresh(&refresh).await.json()["refresh_token_expires_in"],
            told(0)
        );
        flow.sandbox.clock().advance(1);
        assert_eq!(error(&flow, &refresh).await, "invalid_grant");
    }
}

#[tokio::test]
async fn a_moved_org_is_told_by_its_refresh() {
    let (flow, refresh, _) = met(Provider::Salesforce, FaultKind::ChangeInstanceUrl, |s| {
        s.times = Some(1)
    })
    .await;
    let tokens = flow.refresh(&refresh).await.json();
    assert_ne!(tokens["instance_url"], json!(flow.base()));
    assert_eq!(
        flow.write(&text(&tokens, "access_token")).await.status,
        420,
        "its old home says so"
    );
}
