//! Hears what other processes tell of new work, for as long as the worker runs. A lost connection is made again; what may
//! have been missed meanwhile is looked for.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{SharedStore, StoreError};
use crate::telemetry::Spell;
use crate::writes::signals::Inbox;

/// The wait after listening has failed, at first and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Listens for ever; ends only where there are no other processes.
pub(super) async fn listen(store: SharedStore, inbox: Arc<Inbox>) {
    let mut wait = WAIT.0;
    let mut failing = Spell::default();
    loop {
        match hear(&store, &inbox, &mut wait, &mut failing).await {
            Ok(()) => return,
            // It has been said, and it is tried again.
            Err(_) if !failing.begins() => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "other processes cannot be heard; new work of theirs is found by looking for it, meanwhile"
            ),
        }
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(WAIT.1);
    }
}

async fn hear(
    store: &SharedStore,
    inbox: &Inbox,
    wait: &mut Duration,
    failing: &mut Spell,
) -> Result<(), StoreError> {
    let Some(mut listener) = store.listen().await? else {
        return Ok(());
    };
    *wait = WAIT.0;
    if failing.ends() {
        tracing::info!("other processes are heard again");
    }
    // Whatever was told before this moment was not heard.
    inbox.lost();
    loop {
        match listener.next().await? {
            Some(message) => inbox.hear(&message),
            None => inbox.lost(),
        }
    }
}
