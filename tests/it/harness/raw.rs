//! A provider that answers byte for byte what it is told, as no server library would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running one. Each connection takes one request, gets the next answer, and is closed.
#[derive(Debug, Clone)]
pub struct Raw {
    pub url: String,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let raw = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            answers: Arc::default(),
            seen: Arc::default(),
        };
        let own = raw.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.serve(stream).await });
            }
        });
        raw
    }

    /// The next answer: a status, header lines, and a body whose length is told.
    pub fn answer(&self, status: u16, headers: &[&str], body: &[u8]) {
        let length = format!("Content-Length: {}", body.len());
        let lines: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
        self.answer_exactly(status, &lines, body);
    }

    /// The next answer, with no header but these.
    pub fn answer_exactly(&self, status: u16, headers: &[&str], body: &[u8]) {
        let mut bytes = format!("HTTP/1.1 {status} Status\r\n").into_bytes();
        for line in headers.iter().chain(&["Connection: close", ""]) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(body);
        self.answers.lock().expect("whole").push_back(bytes);
    }

    /// The first lines of the requests, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("whole").clone()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut piece = [0; 4_096];
        while !is_whole(&request) {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => request.extend_from_slice(&piece[..read]),
            }
        }
        let text = String::from_utf8_lossy(&request);
        let line = text.lines().next().unwrap_or_default().to_owned();
        self.seen.lock().expect("whole").push(line);
        let answer = self.answers.lock().expect("whole").pop_front();
        let answer = answer.unwrap_or_else(|| b"HTTP/1.1 500 None\r\nContent-Length: 0\r\n\r\n".to_vec());
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    request.len() >= head.len() + 4 + length.unwrap_or(0)
}
