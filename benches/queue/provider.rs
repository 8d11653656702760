//! A provider that answers every create, and remembers when the quiet customer's arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// See the module.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Where it listens.
    pub url: String,
    arrived: Arc<Mutex<HashMap<u64, Instant>>>,
    last: Arc<Mutex<Option<Instant>>>,
}

impl Provider {
    /// Starts one that takes this long to answer everybody but the quiet customer.
    pub async fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let provider = Self {
            url,
            arrived: Arc::default(),
            last: Arc::default(),
        };
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = serving.clone();
                tokio::spawn(async move { provider.answer(stream, delay).await });
            }
        });
        provider
    }

    /// When the quiet write of this number arrived.
    pub fn arrived(&self, number: u64) -> Option<Instant> {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.get(&number).copied()
    }

    /// When a request arrived last.
    pub fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, mut stream: TcpStream, delay: Duration) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::new();
        while let Some(request) = read_message(&mut stream, &mut buffer).await {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let text = String::from_utf8_lossy(&request);
            let number = text
                .split_once("quiet-")
                .and_then(|(_, rest)| rest.split('"').next())
                .and_then(|number| number.parse().ok());
            match number {
                Some(number) => {
                    let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                    arrived.insert(number, Instant::now());
                }
                None => tokio::time::sleep(delay).await,
            }
            let body = r#"{"id":"1","properties":{},"archived":false}"#;
            let answer = format!(
                "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Reads one message with a content-length; `None` at the end.
pub async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(head) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
            let length: usize = String::from_utf8_lossy(&buffer[..head])
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse().ok())?
                })
                .unwrap_or(0);
            let end = head + 4 + length;
            if buffer.len() >= end {
                let rest = buffer.split_off(end);
                return Some(std::mem::replace(buffer, rest));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
