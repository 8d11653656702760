//! The faults of connecting and refreshing, as the token endpoint and the consent page act them out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::Fault;
use super::kind::FaultKind;
use super::spec::FaultSpec;
use crate::sandbox::tokens::{Issued, Narrowed, OnReuse, Rotation, Terms};

/// The instance that a `hostile_instance_url` names unless told otherwise.
const HOSTILE: &str = "https://evil.example";

/// The faults of one request to the token endpoint or the consent page.
#[derive(Debug, Default, Clone)]
pub(crate) struct OAuthFaults(Vec<Arc<Fault>>);

/// An OAuth error that a fault wants, before each provider puts it in its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub status: u16,
    pub error: String,
    pub description: String,
}

impl OAuthFaults {
    /// Takes over a fault; false when it is none of these.
    pub fn take(&mut self, fault: &Arc<Fault>) -> bool {
        let ours = matches!(
            fault.spec.fault,
            FaultKind::Rotate
                | FaultKind::RotateRefreshToken
                | FaultKind::RotateWithGrace
                | FaultKind::RotateThenDrop
                | FaultKind::OkWithError
                | FaultKind::OkEmpty
                | FaultKind::NoExpiresIn
                | FaultKind::ExpiresInText
                | FaultKind::ExpiresInMs
                | FaultKind::OmitRefreshToken
                | FaultKind::RefuseWhileValid
                | FaultKind::LongToken
                | FaultKind::HostileInstanceUrl
                | FaultKind::NarrowScope
                | FaultKind::AppNotInstalled
                | FaultKind::InvalidClient
                | FaultKind::HardExpiry
                | FaultKind::AdminConsent
                | FaultKind::IsolateConsentPage
                | FaultKind::OtherAccount
        );
        if ours {
            self.0.push(Arc::clone(fault));
        }
        ours
    }

    /// The settings of a fault that acts.
    pub fn find(&self, kind: FaultKind) -> Option<&FaultSpec> {
        self.0.iter().map(|f| &f.spec).find(|s| s.fault == kind)
    }

    /// What the tokens issued now must be like.
    pub fn terms(&self) -> Terms {
        let seconds = |spec: &FaultSpec, usual| spec.seconds.unwrap_or(usual);
        let grace = |spec: &FaultSpec, usual| {
            let seconds = i64::try_from(seconds(spec, usual)).unwrap_or(i64::MAX);
            Some(seconds.saturating_mul(1000)).filter(|ms| *ms > 0)
        };
        let rotation = self.0.iter().find_map(|fault| {
            let (on_reuse, grace_ms) = match fault.spec.fault {
                FaultKind::Rotate => (OnReuse::Refuse, None),
                FaultKind::RotateRefreshToken => (OnReuse::Revoke, None),
                FaultKind::RotateWithGrace => (OnReuse::Revoke, grace(&fault.spec, 30)),
                FaultKind::RotateThenDrop => (OnReuse::Revoke, grace(&fault.spec, 0)),
                _ => return None,
            };
            Some(Rotation { on_reuse, grace_ms })
        });
        Terms {
            rotation,
            token_bytes: self.find(FaultKind::LongToken).map(|spec| {
                let wanted = spec.bytes.and_then(|b| usize::try_from(b).ok());
                wanted.unwrap_or(16 * 1024)
            }),
            scopes: self.find(FaultKind::NarrowScope).map(|spec| match &spec.scopes {
                Some(scopes) => Narrowed::To(scopes.clone()),
                None => Narrowed::WithoutWriting,
            }),
            ends_in: self.find(FaultKind::HardExpiry).map(|spec| seconds(spec, 3600)),
            refuse_while_valid: self.find(FaultKind::RefuseWhileValid).is_some(),
        }
    }

    /// The error that the token endpoint must answer with, before anything is issued.
    pub fn error(&self) -> Option<Wanted> {
        self.0.iter().find_map(|fault| {
            let spec = &fault.spec;
            let (status, error, description) = match spec.fault {
                FaultKind::OkWithError => (
                    200,
                    "bad_refresh_token",
                    "The refresh token passed is incorrect or expired.",
                ),
                FaultKind::InvalidClient => (400, "invalid_client", "invalid client credentials"),
                FaultKind::AppNotInstalled => (
                    400,
                    "app_not_found",
                    "External client app is not installed in this org",
                ),
                _ => return None,
            };
            let text = |given: &Option<String>, usual: &str| given.as_deref().unwrap_or(usual).to_owned();
            Some(Wanted {
                status: spec.status.unwrap_or(status),
                error: text(&spec.code, error),
                description: text(&spec.message, description),
            })
        })
    }

    /// Changes the JSON of a token answer.
    pub fn reshape(&self, body: &mut Value, issued: &Issued) {
        let Some(fields) = body.as_object_mut() else {
            return;
        };
        for fault in &self.0 {
            match fault.spec.fault {
                FaultKind::NoExpiresIn => {
                    fields.shift_remove("expires_in");
                }
                FaultKind::ExpiresInText => {
                    fields.insert("expires_in".to_owned(), json!(issued.expires_in.to_string()));
                }
                FaultKind::ExpiresInMs => {
                    let ms = issued.expires_in.saturating_mul(1000);
                    fields.insert("expires_in".to_owned(), json!(ms));
                }
                FaultKind::OmitRefreshToken => {
                    fields.shift_remove("refresh_token");
                }
                FaultKind::HostileInstanceUrl => {
                    let url = fault.spec.instance.as_deref().unwrap_or(HOSTILE);
                    fields.insert("instance_url".to_owned(), json!(url));
                }
                _ => {}
            }
        }
    }
}
