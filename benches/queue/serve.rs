//! The real program, and an app that writes through it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::data::{FILLER, QUIET, World};
use crate::provider::{Provider, read_message};

/// A running `amp-write serve`.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Its address.
    pub address: String,
}

impl Served {
    /// Starts it on a database, and waits until it is ready.
    pub async fn start(
        cluster: &Cluster,
        world: &World,
        database: &str,
        role: &str,
        provider: &Provider,
    ) -> Self {
        Self::start_on(&cluster.database(database), world, role, provider).await
    }

    /// Starts it on the database with this URL, and waits until it is ready.
    pub async fn start_on(database: &str, world: &World, role: &str, provider: &Provider) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_amp-write"))
            .arg("serve")
            .env("DATABASE_URL", database)
            .env("AMP_LISTEN", &address)
            .env("AMP_ENCRYPTION_KEY", world.vault_key.expose())
            .env("AMP_PROVIDER_URLS", format!("hubspot={}", provider.url))
            .env("AMP_PROVIDER_LIMITS", "false")
            .env("AMP_ROLE", role)
            .env("AMP_SHUTDOWN_SECONDS", "5")
            .env("AMP_LOG", "error")
            // More is accepted here than any customer may have waiting.
            .env("AMP_QUEUE_LIMIT_INSTALLATION", "100000000")
            .env("AMP_QUEUE_LIMIT_PROJECT", "100000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let served = Self { child, address };
        let started = Instant::now();
        loop {
            if let Ok(mut app) = App::connect(&served.address).await
                && app
                    .get("/readyz")
                    .await
                    .is_some_and(|answer| answer.contains(" 200 "))
            {
                return served;
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it does not become ready"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it keeps in memory, in MiB.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|line| line.split_whitespace().next())
            .and_then(|kib| kib.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1024.0
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it end by itself.
    pub fn stop(mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection of an app. It does nothing that costs, so that the service is what is measured.
#[derive(Debug)]
pub struct App {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl App {
    /// Connects.
    pub async fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    async fn get(&mut self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.send(request.as_bytes()).await
    }

    /// Sends a request as it is; answers the answer as it is.
    pub async fn send(&mut self, request: &[u8]) -> Option<String> {
        self.stream.write_all(request).await.ok()?;
        let answer = read_message(&mut self.stream, &mut self.buffer).await?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl App {
    /// Sends a request as it is; whether the answer is a 200.
    pub async fn is_accepted(&mut self, request: &[u8]) -> Option<bool> {
        self.stream.write_all(request).await.ok()?;
        self.buffer.clear();
        loop {
            if let Some(end) = end_of_message(&self.buffer)
                && self.buffer.len() >= end
            {
                return Some(self.buffer.starts_with(b"HTTP/1.1 200"));
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// Where the first message ends, once its head is there.
fn end_of_message(buffer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")?;
    let name = b"content-length: ";
    let start = memchr::memmem::find(&buffer[..head], name)? + name.len();
    let digits = buffer[start..head]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Some(head + 4 + length)
}

/// An asynchronous create of the quiet customer, about 1 KiB.
pub fn write_request(world: &World, name: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"groupRef":"{QUIET}","type":"create","mode":"asynchronous","record":{{"name":"{name}","description":"{}"}}}}"#,
        "x".repeat(FILLER)
    );
    format!(
        "POST /v1/projects/{}/integrations/hs/objects/companies HTTP/1.1\r\nhost: bench\r\nx-api-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.project,
        world.api_key,
        body.len()
    )
    .into_bytes()
}
