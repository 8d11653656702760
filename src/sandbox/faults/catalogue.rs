//! What goes wrong with connecting and refreshing elsewhere, each as a fault of the sandbox.

use super::kind::FaultKind;
use super::spec::FaultSpec;

/// The 24 faults of OAuth that were seen at real providers: a name, and the fault that shows it, always in force.
///
/// Those of the consent page match the action `authorize`, `app_not_installed` matches `token` (match `authorize`
/// for the consent page's part of it), all others `token`.
#[must_use]
pub fn token_faults() -> Vec<(&'static str, FaultSpec)> {
    use FaultKind as F;
    let token = |kind| FaultSpec::new(kind).action("token");
    let page = |kind| FaultSpec::new(kind).action("authorize");
    vec![
        ("rotate", token(F::Rotate)),
        (
            "rotate and revoke the family on reuse",
            token(F::RotateRefreshToken),
        ),
        (
            "rotate with grace",
            FaultSpec {
                seconds: Some(30),
                ..token(F::RotateWithGrace)
            },
        ),
        ("rotate, then drop", token(F::RotateThenDrop)),
        (
            "slow token endpoint",
            FaultSpec {
                delay_ms: Some(3_000),
                ..token(F::Delay)
            },
        ),
        ("200 with error", token(F::OkWithError)),
        ("200 empty", token(F::OkEmpty)),
        ("no expires_in", token(F::NoExpiresIn)),
        ("expires_in as text", token(F::ExpiresInText)),
        ("expires_in in milliseconds", token(F::ExpiresInMs)),
        ("omit refresh_token", token(F::OmitRefreshToken)),
        ("refuse while valid", token(F::RefuseWhileValid)),
        (
            "429 with Retry-After",
            FaultSpec {
                retry_after: Some(2),
                ..token(F::RateLimit)
            },
        ),
        ("HTML 502", token(F::ServerError)),
        ("16 KiB token", token(F::LongToken)),
        ("changed instance_url", token(F::ChangeInstanceUrl)),
        ("hostile instance_url", token(F::HostileInstanceUrl)),
        ("scope narrowed at refresh", token(F::NarrowScope)),
        ("app not installed", token(F::AppNotInstalled)),
        ("invalid_client", token(F::InvalidClient)),
        (
            "hard expiry",
            FaultSpec {
                seconds: Some(3_600),
                ..token(F::HardExpiry)
            },
        ),
        ("admin_consent without code", page(F::AdminConsent)),
        ("COOP on the consent page", page(F::IsolateConsentPage)),
        ("other account chosen", page(F::OtherAccount)),
    ]
}
