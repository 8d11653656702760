//! The edge to clients, seen from their sockets: connections that say nothing, requests that do not arrive, encodings.

mod bodies;
mod connections;
#[cfg(target_os = "linux")]
mod files;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::client::PATIENCE;

/// A client that sends exactly these bytes, at these times.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.expect("sent");
    }

    /// Reads until what was read holds `until`.
    pub async fn read_until(&mut self, until: &str) -> String {
        let mut seen = Vec::new();
        let reading = async {
            let mut piece = [0; 4096];
            loop {
                let text = String::from_utf8_lossy(&seen).into_owned();
                if text.contains(until) {
                    return text;
                }
                let read = self.0.read(&mut piece).await.unwrap_or(0);
                assert!(read > 0, "closed before `{until}`: {text}");
                seen.extend_from_slice(&piece[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer")
    }

    /// Reads until the other side closes the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut seen = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut seen)).await;
        // Closed by a reset is closed.
        let _ = reading.expect("the connection is closed");
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Whether the connection is open and silent for this long.
    pub async fn is_open_for(&mut self, time: Duration) -> bool {
        let mut piece = [0; 1];
        tokio::time::timeout(time, self.0.read(&mut piece)).await.is_err()
    }
}
