//! Stands between a node and Postgres, reads what the node says, and stops it at a chosen commit.
//!
//! So a test can kill a node, or cut its connection, exactly before a commit reaches the database or after the database
//! has committed and before the node hears of it, without a hook in the program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What a commit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Commit {
    /// Asynchronous writes are accepted.
    Accept,
    /// Synchronous writes are recorded.
    Record,
    /// Requests are about to leave that must not be repeated blindly.
    Begin,
    /// Attempts end.
    Settle,
    /// Shards are leased or given back.
    Lease,
    /// Anything else that writes.
    Other,
}

/// On which side of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The database has not heard of it.
    Before,
    /// The database has committed, the node has not heard of it.
    After,
}

#[derive(Debug)]
struct Trap {
    commit: Commit,
    side: Side,
    sprung: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    trap: Mutex<Option<Trap>>,
    /// Grows with each cut: every connection that is older ends.
    cuts: watch::Sender<u64>,
    closed: watch::Sender<bool>,
    /// While true, nothing that a node says is passed on.
    stalled: watch::Sender<bool>,
}

/// A way to Postgres that can be watched and cut.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    url: String,
}

impl Gate {
    /// Opens a gate before the server of this URL.
    pub async fn open(url: &str) -> Self {
        let mut url = url::Url::parse(url).expect("a URL");
        let upstream = format!(
            "{}:{}",
            url.host_str().expect("a host"),
            url.port().unwrap_or(5432)
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        // What is encrypted cannot be read.
        url.set_query(Some("sslmode=disable"));
        let shared = Arc::new(Shared {
            upstream,
            trap: Mutex::default(),
            cuts: watch::Sender::new(0),
            closed: watch::Sender::new(false),
            stalled: watch::Sender::new(false),
        });
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&served), node));
            }
        });
        Self {
            shared,
            url: url.into(),
        }
    }

    /// The URL that leads through the gate.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops the connection that comes to such a commit next; the answer resolves then. It stays stopped until a cut.
    pub fn trap(&self, commit: Commit, side: Side) -> oneshot::Receiver<()> {
        let (sprung, receiver) = oneshot::channel();
        *self.shared.trap() = Some(Trap { commit, side, sprung });
        receiver
    }

    /// Takes a trap away that has not sprung.
    pub fn disarm(&self) {
        *self.shared.trap() = None;
    }

    /// Cuts every connection. New ones are let through.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection, and lets no new one through until [`Gate::reopen`].
    pub fn close(&self) {
        self.shared.closed.send_replace(true);
        self.cut();
    }

    /// Keeps back what nodes say from now on: the network is slow without end.
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Passes on what was kept back.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }

    /// Lets connections through again.
    pub fn reopen(&self) {
        self.shared.closed.send_replace(false);
    }
}

impl Shared {
    fn trap(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the trap when it is for this commit.
    fn spring(&self, commit: Commit) -> Option<Trap> {
        self.trap().take_if(|trap| trap.commit == commit)
    }
}

async fn serve(shared: Arc<Shared>, node: TcpStream) {
    let mut cuts = shared.cuts.subscribe();
    if *shared.closed.borrow() {
        return;
    }
    let Ok(server) = TcpStream::connect(&shared.upstream).await else {
        return;
    };
    let _ = (node.set_nodelay(true), server.set_nodelay(true));
    let (from_node, to_node) = node.into_split();
    let (from_server, to_server) = server.into_split();
    // Set while the server's answer must not reach the node.
    let (hush, hushed) = watch::channel(None);
    tokio::select! {
        _ = cuts.changed() => {}
        () = upwards(&shared, from_node, to_server, hush) => {}
        () = downwards(from_server, to_node, hushed) => {}
    }
}

/// A shared place for the sender that tells the test that the server has answered.
type Hush = Option<Arc<Mutex<Option<oneshot::Sender<()>>>>>;

async fn upwards(
    shared: &Shared,
    mut node: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    hush: watch::Sender<Hush>,
) {
    let (mut buffer, mut reading) = (Vec::new(), Reading::default());
    let mut chunk = [0_u8; 16 << 10];
    let mut stalled = shared.stalled.subscribe();
    loop {
        while let Some(length) = reading.message_length(&buffer) {
            if stalled.wait_for(|stalled| !stalled).await.is_err() {
                return;
            }
            let message: Vec<u8> = buffer.drain(..length).collect();
            if let Some(commit) = reading.note(&message)
                && let Some(trap) = shared.spring(commit)
            {
                if trap.side == Side::Before {
                    let _ = trap.sprung.send(());
                    return std::future::pending().await;
                }
                hush.send_replace(Some(Arc::new(Mutex::new(Some(trap.sprung)))));
            }
            if server.write_all(&message).await.is_err() {
                return;
            }
        }
        match node.read(&mut chunk).await {
            Ok(count) if count > 0 => buffer.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
}

async fn downwards(mut server: OwnedReadHalf, mut node: OwnedWriteHalf, hushed: watch::Receiver<Hush>) {
    let mut chunk = [0_u8; 16 << 10];
    let mut kept = Vec::new();
    while let Ok(count) = server.read(&mut chunk).await {
        if count == 0 {
            return;
        }
        let hush = hushed.borrow().clone();
        let Some(sprung) = hush else {
            if node.write_all(&chunk[..count]).await.is_err() {
                return;
            }
            continue;
        };
        // ReadyForQuery ends the answer: the server is through with the commit.
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() >= 6 && kept[kept.len() - 6..kept.len() - 1] == [b'Z', 0, 0, 0, 5] {
            let sprung = sprung.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(sprung) = sprung {
                let _ = sprung.send(());
            }
        }
    }
}

/// What a connection has said so far, as far as it matters.
#[derive(Debug, Default)]
struct Reading {
    started: bool,
    statements: HashMap<Vec<u8>, String>,
    in_transaction: bool,
    written: Vec<&'static str>,
}

/// The tables that tell commits apart.
const TABLES: [&str; 7] = [
    "operations",
    "operation_results",
    "queue_items",
    "attempts",
    "shards",
    "workers",
    "lanes",
];

impl Reading {
    /// The length of the first message, once all of it is there.
    fn message_length(&self, buffer: &[u8]) -> Option<usize> {
        // The first message of a connection has no type.
        let at = usize::from(self.started);
        let length: [u8; 4] = buffer.get(at..at + 4)?.try_into().ok()?;
        let whole = at + usize::try_from(u32::from_be_bytes(length)).ok()?;
        (buffer.len() >= whole).then_some(whole)
    }

    /// Takes note of a message; a commit when this message is one.
    fn note(&mut self, message: &[u8]) -> Option<Commit> {
        if !self.started {
            self.started = true;
            return None;
        }
        let (kind, body) = (message[0], &message[5..]);
        let mut texts = body.split(|byte| *byte == 0);
        match kind {
            // Parse: name, SQL.
            b'P' => {
                let name = texts.next()?.to_vec();
                let sql = String::from_utf8_lossy(texts.next()?).into_owned();
                self.statements.insert(name, sql);
                None
            }
            // Bind: portal, name.
            b'B' => {
                texts.next()?;
                let sql = self.statements.get(texts.next()?)?;
                let written = written_tables(sql);
                self.written.extend(written);
                None
            }
            // Sync ends a statement, which outside of a transaction commits by itself.
            b'S' if !self.in_transaction => self.commit(),
            b'Q' => {
                let sql = String::from_utf8_lossy(texts.next()?).into_owned();
                if sql.starts_with("BEGIN") {
                    self.in_transaction = true;
                    self.written.clear();
                    None
                } else if sql.starts_with("ROLLBACK") {
                    self.in_transaction = false;
                    self.written.clear();
                    None
                } else if sql.starts_with("COMMIT") {
                    self.in_transaction = false;
                    self.commit()
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn commit(&mut self) -> Option<Commit> {
        let written = std::mem::take(&mut self.written);
        let wrote = |table: &str| written.contains(&table);
        if written.is_empty() {
            None
        } else if wrote("operations") && wrote("operation_results") {
            Some(Commit::Record)
        } else if wrote("operations") {
            Some(Commit::Accept)
        } else if wrote("queue_items") || wrote("operation_results") {
            Some(Commit::Settle)
        } else if wrote("attempts") {
            Some(Commit::Begin)
        } else if wrote("shards") || wrote("workers") {
            Some(Commit::Lease)
        } else {
            Some(Commit::Other)
        }
    }
}

/// The tables that a statement writes; `other` for one that is not known.
fn written_tables(sql: &str) -> Vec<&'static str> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let mut written = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let verb = word.trim_start_matches('(');
        let target = match verb {
            "INSERT" | "DELETE" => words.get(index + 2),
            // `FOR UPDATE`, `DO UPDATE` and `ON UPDATE` name no table.
            "UPDATE" if index == 0 || !matches!(words[index - 1], "FOR" | "DO" | "ON" | "KEY") => {
                words.get(index + 1)
            }
            _ => None,
        };
        if let Some(target) = target {
            let name = target.split('(').next().unwrap_or_default();
            written.push(TABLES.into_iter().find(|table| *table == name).unwrap_or("other"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_by_the_tables_that_they_write() {
        assert_eq!(
            written_tables("INSERT INTO operations (id) SELECT 1"),
            ["operations"]
        );
        assert_eq!(
            written_tables(
                "WITH gone AS (DELETE FROM queue_items q RETURNING 1) INSERT INTO operation_results (a) SELECT 1"
            ),
            ["queue_items", "operation_results"]
        );
        assert_eq!(
            written_tables(
                "INSERT INTO workers (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen_at = now()"
            ),
            ["workers"]
        );
        assert!(written_tables("SELECT 1 FROM shards FOR UPDATE SKIP LOCKED").is_empty());
    }
}
