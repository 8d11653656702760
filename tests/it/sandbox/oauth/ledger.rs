//! The ledger of tokens, its auditor, and what a restart leaves of apps, codes and grants.

use std::time::Duration;

use amp_write::sandbox::{
    FaultKind, FaultSpec, FindingKind, LedgerStatus, Options, Provider, Standing, UseKind,
};
use http::Method;
use serde_json::json;

use super::{BOTH, Flow, text};
use crate::sandbox::start;

async fn rotating(provider: Provider) -> (Flow, String) {
    let mut flow = Flow::new(provider).await;
    flow.app(|app| app.rotate = true);
    let first = text(&flow.connect("acme").await, "refresh_token");
    (flow, first)
}

#[tokio::test]
async fn each_presentation_is_entered_with_its_standing_and_its_answer() {
    for provider in BOTH {
        let (flow, first) = rotating(provider).await;
        let second = text(&flow.refresh(&first).await.json(), "refresh_token");
        flow.refresh("nothing").await;
        flow.refresh(&first).await;
        flow.refresh(&second).await;
        let uses = flow.sandbox.token_uses();
        let seen: Vec<_> = uses
            .iter()
            .map(|u| (u.kind, u.standing, u.status, u.error.as_deref()))
            .collect();
        let refused = Some("invalid_grant");
        let (ok, bad) = (LedgerStatus::Answered(200), LedgerStatus::Answered(400));
        assert_eq!(
            seen,
            [
                (UseKind::Code, Standing::Current, ok, None),
                (UseKind::RefreshToken, Standing::Current, ok, None),
                (UseKind::RefreshToken, Standing::Unknown, bad, refused),
                (UseKind::RefreshToken, Standing::Replaced, bad, refused),
                (UseKind::RefreshToken, Standing::Dead, bad, refused),
            ]
        );
        assert_eq!(uses[1].successor.as_deref(), Some(second.as_str()));
        assert_eq!(uses[1].client_id.as_deref(), Some("app-1"));
        let grants: Vec<_> = [0, 1, 3, 4]
            .iter()
            .map(|&at: &usize| uses[at].grant.clone())
            .collect();
        assert!(
            grants[0].is_some() && grants.iter().all(|g| *g == grants[0]),
            "one grant: {grants:?}"
        );
        assert!(
            uses.iter()
                .all(|u| u.delivered.is_some_and(|place| place > u.arrived))
        );
        let entry = flow
            .sandbox
            .ledger()
            .into_iter()
            .find(|e| e.sequence == uses[1].sequence);
        assert_eq!(entry.expect("the request").method, "POST");
    }
}

#[tokio::test]
async fn the_auditor_finds_a_replaced_token_that_is_presented_again() {
    for provider in BOTH {
        let (flow, first) = rotating(provider).await;
        let second = text(&flow.refresh(&first).await.json(), "refresh_token");
        flow.refresh(&second).await;
        assert_eq!(flow.sandbox.token_audit(), []);
        flow.refresh(&first).await;
        let findings = flow.sandbox.token_audit();
        let uses = flow.sandbox.token_uses();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].kind, FindingKind::ReplacedTokenPresented);
        assert_eq!(
            (findings[0].sequence, findings[0].replaced_by),
            (uses[3].sequence, uses[1].sequence)
        );
        let told = flow
            .sandbox
            .control(Method::GET, "/tokens/audit", &json!(null))
            .await
            .expect("findings");
        assert_eq!(told[0]["kind"], json!("replaced_token_presented"));
    }
}

#[tokio::test]
async fn the_auditor_finds_a_code_that_is_presented_again() {
    let flow = Flow::new(Provider::HubSpot).await;
    let code = flow.code("acme").await;
    flow.exchange(&code).await;
    flow.exchange(&code).await;
    assert_eq!(flow.sandbox.token_audit()[0].kind, FindingKind::UsedCodePresented);
}

#[tokio::test]
async fn a_token_that_stays_good_and_one_within_its_grace_are_sound() {
    let flow = Flow::new(Provider::HubSpot).await;
    flow.sandbox.clock().freeze(1_790_000_000_000);
    let refresh = text(&flow.connect("acme").await, "refresh_token");
    for _ in 0..3 {
        assert_eq!(flow.refresh(&refresh).await.status, 200);
    }
    let grace = FaultSpec {
        seconds: Some(5),
        ..FaultSpec::new(FaultKind::RotateWithGrace).action("token").once()
    };
    flow.fault(grace);
    flow.refresh(&refresh).await;
    flow.sandbox.clock().advance(4_999);
    flow.refresh(&refresh).await;
    assert_eq!(
        flow.sandbox.token_uses().pop().expect("a use").standing,
        Standing::Grace
    );
    assert_eq!(flow.sandbox.token_audit(), []);
    flow.sandbox.clock().advance(1);
    flow.refresh(&refresh).await;
    assert_eq!(flow.sandbox.token_audit().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_excuses_the_same_token() {
    for spec in [
        FaultSpec::new(FaultKind::DropAfterCommit),
        FaultSpec::new(FaultKind::TruncateJson),
        FaultSpec::new(FaultKind::ServerError).after_commit(),
    ] {
        let (flow, first) = rotating(Provider::Salesforce).await;
        flow.fault(spec.action("token").once());
        let _ = flow.try_refresh(&first).await;
        let lost = flow.sandbox.token_uses().pop().expect("a use");
        assert!(lost.successor.is_some() && lost.delivered.is_none(), "{lost:?}");
        flow.refresh(&first).await;
        assert_eq!(flow.sandbox.token_audit(), []);
    }
}

#[tokio::test]
async fn an_answer_whose_client_had_left_is_not_delivered() {
    let (flow, first) = rotating(Provider::Salesforce).await;
    let hold = flow.fault(FaultSpec::new(FaultKind::Hold).action("token").once());
    let call = tokio::time::timeout(Duration::from_millis(200), flow.try_refresh(&first)).await;
    call.expect_err("the client gives up");
    // The sandbox runs on this thread too: it sees the closed connection before the pause is over.
    tokio::time::sleep(Duration::from_millis(100)).await;
    hold.release();
    let answered = |e: &amp_write::sandbox::LedgerEntry| {
        e.path.ends_with("/token") && e.status == LedgerStatus::Answered(200)
    };
    flow.sandbox
        .wait_ledger(|entries| entries.last().is_some_and(answered))
        .await;
    let lost = flow.sandbox.token_uses().pop().expect("a use");
    assert!(lost.successor.is_some() && lost.delivered.is_none(), "{lost:?}");
}

#[tokio::test]
async fn the_ledger_of_tokens_is_read_and_cleared_over_http() {
    let flow = Flow::new(Provider::HubSpot).await;
    flow.connect("acme").await;
    let read = async || {
        flow.sandbox
            .control(Method::GET, "/tokens/ledger", &json!(null))
            .await
            .expect("uses")
    };
    let uses = read().await;
    assert_eq!(
        (&uses[0]["kind"], &uses[0]["standing"], &uses[0]["status"]),
        (&json!("code"), &json!("current"), &json!(200))
    );
    flow.sandbox
        .control(Method::DELETE, "/tokens/ledger", &json!(null))
        .await
        .expect("cleared");
    assert_eq!(read().await, json!([]));
}

#[tokio::test]
async fn apps_codes_grants_and_uses_survive_a_restart() {
    let file = std::env::temp_dir().join(format!("amp-sandbox-oauth-{}.jsonl", uuid::Uuid::new_v4()));
    let open = || {
        start(Options {
            journal: Some(file.clone()),
            ..Options::default()
        })
    };
    let mut flow = Flow::over(open().await, Provider::Salesforce);
    flow.app(|app| app.rotate = true);
    flow.with_pkce();
    let used = flow.code("acme").await;
    let waiting = flow.code("northpeak").await;
    let exchange = async |flow: &Flow, code: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", super::REDIRECT),
            ("code_verifier", super::VERIFIER),
        ];
        flow.token(&fields).await
    };
    let tokens = exchange(&flow, &used).await.json();
    let first = text(&tokens, "refresh_token");
    let second = text(&flow.refresh(&first).await.json(), "refresh_token");
    let before = flow.sandbox.token_uses();
    flow.sandbox.shutdown().await;

    flow.sandbox = open().await;
    assert_eq!(flow.sandbox.token_uses(), before);
    let health = flow
        .sandbox
        .control(Method::GET, "/health", &json!(null))
        .await
        .expect("health");
    assert_eq!(health["accounts"]["salesforce"], json!(["acme", "northpeak"]));
    let other = exchange(&flow, &waiting).await;
    assert_eq!(other.status, 200, "a code waits over a restart: {}", other.text);
    assert_ne!(other.json()["id"], tokens["id"]);
    let third = flow.refresh(&second).await;
    assert_eq!(third.status, 200, "{}", third.text);
    assert_eq!(exchange(&flow, &used).await.status, 400, "a used code stays used");
    assert_eq!(
        flow.refresh(&text(&third.json(), "refresh_token")).await.status,
        400,
        "and revokes its grant"
    );
    assert_eq!(flow.sandbox.token_audit().len(), 1);
    flow.sandbox.shutdown().await;
    let _ = std::fs::remove_file(&file);
}
