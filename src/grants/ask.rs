//! Asking for new tokens. What was sent and not answered is asked again with the same token, at once: servers that have
//! rotated it meanwhile take the old one for a moment, if at all. What was refused is never asked again.

use std::time::{Duration, Instant};

use super::Grants;
use crate::clock::Time;
use crate::connectors::{Connector, RetryClass, RetryHint};
use crate::outbound::SendError;
use crate::outbound::oauth::{self, ClientApp, FaultKind, GrantFault, Granted};
use crate::vault::Secret;

/// How long the same token is asked with again and again after an answer was lost.
const BUDGET: Duration = Duration::from_secs(20);
/// The waits between: the last one is repeated.
const WAITS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What asking came to.
#[derive(Debug)]
pub(super) enum Asked {
    /// New tokens; how long ago the request left that brought them.
    Granted(Box<Granted>, Instant),
    /// The provider does not accept the grant any more.
    Dead(String, u16),
    /// It does not accept the app.
    App(String),
    /// The old tokens are still good.
    StillValid,
    /// Something else went wrong.
    Later {
        said: String,
        status: u16,
        class: RetryClass,
        after: Option<RetryHint>,
        /// Whether a request may have been taken whose answer was lost.
        in_doubt: bool,
    },
}

impl Grants {
    /// Asks for new tokens with this refresh token, as each of these clients in turn until the provider knows one.
    pub(super) async fn ask(
        &self,
        connector: &Connector,
        clients: &[ClientApp],
        vars: &std::collections::BTreeMap<String, String>,
        refresh_token: &Secret,
        now: impl Fn() -> Time,
    ) -> Asked {
        let begun = Instant::now();
        let (mut tries, mut client) = (0_usize, 0_usize);
        let mut in_doubt = false;
        loop {
            let Some(app) = clients.get(client) else {
                return Asked::App("the app has no secret".to_owned());
            };
            let request = match oauth::refresh(connector, app, vars, refresh_token) {
                Ok(request) => request,
                Err(error) => return unusable(error.to_string(), in_doubt),
            };
            let left = Instant::now();
            let (said, status, class, after, lost) = match self.outbound.send(request.wire).await {
                Ok(response) => match oauth::read(connector, &request.secrets, &response, now()) {
                    Ok(granted) => return Asked::Granted(Box::new(granted), left),
                    Err(GrantFault {
                        kind, said, status, ..
                    }) => match kind {
                        FaultKind::Dead if in_doubt => {
                            let said = format!(
                                "{said} (the answer to an earlier refresh was lost, and the provider does not take the old refresh token any more)"
                            );
                            return Asked::Dead(said, status);
                        }
                        FaultKind::Dead => return Asked::Dead(said, status),
                        FaultKind::App if client + 1 < clients.len() => {
                            client += 1;
                            continue;
                        }
                        FaultKind::App => return Asked::App(said),
                        FaultKind::StillValid => return Asked::StillValid,
                        FaultKind::Hostile | FaultKind::Refused => {
                            return Asked::Later {
                                said,
                                status,
                                class: RetryClass::Transient,
                                after: None,
                                in_doubt,
                            };
                        }
                        // A 429 was not performed; a 5xx, or a 2xx that cannot be read, may have been.
                        FaultKind::Passing { class, after } => (said, status, class, after, status != 429),
                    },
                },
                Err(SendError::Refused(error)) => return unusable(error.to_string(), in_doubt),
                Err(error @ SendError::NotSent(_)) => {
                    (error.to_string(), 0, RetryClass::Transient, None, false)
                }
                Err(error @ SendError::NoAnswer(_)) => {
                    (error.to_string(), 0, RetryClass::Transient, None, true)
                }
            };
            in_doubt |= lost;
            let named = after.map(|hint| hint.wait(now().to_timestamp()));
            let wait = named.unwrap_or(WAITS[tries.min(WAITS.len() - 1)]);
            tries += 1;
            if begun.elapsed() + wait > BUDGET {
                return Asked::Later {
                    said,
                    status,
                    class,
                    after,
                    in_doubt,
                };
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// It cannot be asked for, with what this process knows.
fn unusable(said: String, in_doubt: bool) -> Asked {
    Asked::Later {
        said,
        status: 0,
        class: RetryClass::Transient,
        after: None,
        in_doubt,
    }
}
