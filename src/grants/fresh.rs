//! Refreshing what will be due, so that nobody has to wait for it and nothing lapses unused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Grants, Wanted};
use crate::store::DueGrant;

/// So many are read at a time.
const AT_ONCE: i64 = 200;
/// How long nothing is asked at most while nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// How long after something was due it is looked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Refreshes that wait or run, by provider.
#[derive(Default)]
struct Queued {
    of: std::sync::Mutex<HashMap<String, Arc<AtomicUsize>>>,
    less: Notify,
}

impl Queued {
    fn at(&self, provider: &str) -> Arc<AtomicUsize> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(of.entry(provider.to_owned()).or_default())
    }

    /// Providers that have enough to do.
    fn full(&self, limit: usize) -> Vec<String> {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let full = of
            .iter()
            .filter(|(_, count)| count.load(Ordering::SeqCst) >= limit);
        full.map(|(provider, _)| provider.clone()).collect()
    }
}

impl Grants {
    /// Refreshes what is due, until `stop`. At each provider one place is left for those who wait for a token.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let queued = Arc::new(Queued::default());
        let places = (self.at_once - 1).max(1);
        loop {
            let wait = match self.store.due_grants(AT_ONCE, &queued.full(places)).await {
                Ok(due) if due.is_empty() => self.until_next().await,
                Ok(due) => {
                    for grant in due {
                        self.start(grant, &queued, places);
                    }
                    PAUSE
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the store does not say which tokens are due"
                    );
                    LONGEST_SLEEP
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = queued.less.notified() => {}
            }
        }
    }

    async fn until_next(&self) -> Duration {
        let next = self.store.next_due_grant().await.ok().flatten();
        next.unwrap_or(LONGEST_SLEEP).clamp(PAUSE, LONGEST_SLEEP)
    }

    fn start(self: &Arc<Self>, due: DueGrant, queued: &Arc<Queued>, places: usize) {
        let count = queued.at(&due.provider);
        if count.load(Ordering::SeqCst) >= places
            || self.is_flying(due.connection_id, due.credentials_version)
        {
            return;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let (grants, queued) = (Arc::clone(self), Arc::clone(queued));
        self.running.spawn(async move {
            let wanted = Wanted {
                project_id: due.project_id,
                connection_id: due.connection_id,
                credentials_version: due.credentials_version,
                provider: due.provider,
            };
            // What went wrong has been logged, and stands with the grant.
            let _ = grants.flight(wanted).await;
            count.fetch_sub(1, Ordering::SeqCst);
            queued.less.notify_one();
        });
    }
}
