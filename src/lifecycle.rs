//! Starting and stopping: one soft signal to finish what is in flight, a second one to stop at once.

use tokio_util::sync::CancellationToken;

/// Resolves when the process is asked to stop; `stop` is cancelled then. A second signal ends the process at once.
pub async fn stop_on_signal(stop: CancellationToken) {
    wait_for_signal().await;
    tracing::info!("stopping: finishing what is in flight; a second signal stops at once");
    stop.cancel();
    tokio::spawn(async {
        wait_for_signal().await;
        tracing::warn!("second signal: stopping at once");
        std::process::exit(130);
    });
}

/// SIGHUPs that this process gets. While it exists, the signal does not end the process.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Listens from now on; `None` where there are no such signals.
    #[must_use]
    pub fn listen() -> Option<Self> {
        #[cfg(unix)]
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            Ok(signals) => Some(Self { signals }),
            Err(error) => {
                tracing::error!(%error, "SIGHUP cannot be received: changed connector files need a restart");
                None
            }
        }
        #[cfg(not(unix))]
        None
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signals.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received; stop the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
