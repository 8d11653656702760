//! The kinds of faults.

use serde::{Deserialize, Serialize};

/// What goes wrong. In JSON the names in snake case, such as `drop_after_commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is closed; nothing was written.
    DropBeforeCommit,
    /// The write takes effect, then the connection is closed without an answer.
    DropAfterCommit,
    /// The request waits `delay_ms`, before the commit or (`phase`) after it.
    Delay,
    /// The request waits until the fault is released, before the commit or (`phase`) after it.
    Hold,
    /// The provider's own rate-limit answer for `policy`; nothing was written.
    RateLimit,
    /// A 5xx (`status`, 502 by default) with an HTML body. `phase: after_commit` writes first.
    ServerError,
    /// Any error in the provider's own form: `status`, `code`, `message`, `fields`.
    Error,
    /// Exactly this answer: `status`, `headers`, `body`.
    Answer,
    /// HubSpot's 477 during a data-centre migration, with `retry_after` seconds.
    Migrating,
    /// A record lock: 423 at HubSpot, `UNABLE_TO_LOCK_ROW` at Salesforce. Counted per locked record.
    RowLock,
    /// The results of a HubSpot batch come in a random order (Salesforce guarantees the order).
    ShuffleResults,
    /// A HubSpot batch answer repeats no `objectWriteTraceId` in its results.
    DropTraceIds,
    /// Chosen items of a batch fail, the others succeed.
    Partial,
    /// Searches and queries do not see what was written in the last `lag_ms`.
    LagSearch,
    /// Another client makes the same record between a Salesforce upsert's look and its insert.
    UpsertRace,
    /// A refresh answers with a new refresh token; the old one is refused, and the grant lives on.
    Rotate,
    /// A refresh answers with a new refresh token; using the old one again revokes the whole grant.
    RotateRefreshToken,
    /// A refresh answers with a new refresh token; for `seconds` (30) the old one gives the same pair again, after
    /// that using it revokes the grant.
    RotateWithGrace,
    /// A refresh rotates and the connection is closed without an answer. With `seconds` the old token gives the same
    /// pair for that long; without, using it again revokes the grant.
    RotateThenDrop,
    /// The token endpoint answers 200 with an error in it: `code` (`bad_refresh_token`), `message`.
    OkWithError,
    /// The token endpoint answers 200 with neither token nor error.
    OkEmpty,
    /// A token answer without `expires_in`.
    NoExpiresIn,
    /// A token answer whose `expires_in` is text.
    ExpiresInText,
    /// A token answer whose `expires_in` counts milliseconds.
    ExpiresInMs,
    /// A token answer without `refresh_token`.
    OmitRefreshToken,
    /// A refresh is refused while an access token of the grant is good for more than 30 seconds.
    RefuseWhileValid,
    /// The access token has `bytes` characters (16,384), and is good.
    LongToken,
    /// A token answer whose `instance_url` is `instance` (`https://evil.example`), which is only told.
    HostileInstanceUrl,
    /// The access token has fewer scopes than were granted: `scopes`, or all that let nobody write.
    NarrowScope,
    /// The app is not installed in the account: `app_not_found` at the token endpoint, and `OAUTH_EC_APP_NOT_FOUND`
    /// at the redirect URI after the customer has allowed it.
    AppNotInstalled,
    /// The token endpoint takes the client's secret for wrong.
    InvalidClient,
    /// The grant ends `seconds` (3600) after this request, whatever is refreshed; `refresh_token_expires_in` says it.
    HardExpiry,
    /// The consent page sends the browser back with `admin_consent` and `tenant`, without a code (Microsoft).
    AdminConsent,
    /// The consent page has `Cross-Origin-Opener-Policy: same-origin`, which cuts `window.opener`.
    IsolateConsentPage,
    /// Another account is chosen than the one asked for: `instead`, or `<account>-other`.
    OtherAccount,
    /// A Salesforce refresh answers with another `instance_url`; the old one answers 420 from then on.
    ChangeInstanceUrl,
    /// The access token counts as expired from this request on, until it is refreshed.
    ExpireToken,
    /// The grant is revoked by this request: the access token and the refresh token are dead.
    RevokeGrant,
    /// The write takes effect and the JSON answer ends in the middle (`cut: true` also cuts the connection).
    TruncateJson,
    /// The write takes effect and the answer is JSON of `bytes` bytes (100 MB by default).
    HugeBody,
    /// The write takes effect and the answer comes `chunk_bytes` at a time, `delay_ms` apart.
    SlowDrip,
}

impl FaultKind {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}
