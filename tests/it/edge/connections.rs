//! Connections: silent ones, many of them, all at work, and a stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_write::listen::{self, Limits};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Raw;
use crate::harness::client::PATIENCE;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);
const LARGE: usize = 32 << 20;
const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server with nothing but the listener under test: `/hello` answers, `/held` when the test lets it, `/drops` in pieces that
/// the test lets go, and `/endless` without an end.
struct Server {
    url: String,
    gate: Arc<Semaphore>,
    arrived: Arc<Semaphore>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (gate, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
        let pass = |gate: Arc<Semaphore>| async move { gate.acquire_owned().await.expect("open").forget() };
        let arrived = Arc::new(Semaphore::new(0));
        let at_work = Arc::clone(&arrived);
        let (held, drops) = (Arc::clone(&gate), Arc::clone(&gate));
        let pieces = move || {
            let drops = Arc::clone(&drops);
            let pieces = futures_util::stream::unfold(0, move |count| {
                let passed = pass(Arc::clone(&drops));
                async move {
                    passed.await;
                    (count < 2).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"drop")), count + 1))
                }
            });
            async move { Body::from_stream(pieces) }
        };
        let endless = || async {
            let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 16]));
            Body::from_stream(futures_util::stream::repeat_with(piece))
        };
        let router = Router::new()
            .route("/hello", get(|| async { "hello" }))
            .route("/drops", get(pieces))
            .route("/endless", get(endless))
            .route("/large", get(|| async { vec![b'x'; LARGE] }))
            .route(
                "/held",
                get(move || {
                    at_work.add_permits(1);
                    let passed = pass(Arc::clone(&held));
                    async move {
                        passed.await;
                        "held"
                    }
                }),
            );
        let serving = tokio::spawn(listen::serve(listener, router, limits, stop.clone()));
        Self {
            url,
            gate,
            arrived,
            stop,
            serving,
        }
    }

    async fn connect(&self) -> Raw {
        Raw::connect(&self.url).await
    }

    /// A connection on which a request is being answered.
    async fn busy(&self) -> Raw {
        let mut raw = self.connect().await;
        raw.send(HELD).await;
        self.arrived.acquire().await.expect("open").forget();
        raw
    }

    async fn answers(&self) {
        let mut raw = self.connect().await;
        raw.send(HELLO).await;
        raw.read_until("\r\n\r\nhello").await;
    }
}

const fn limits(connections: usize, read: Duration, idle: Duration) -> Limits {
    Limits {
        connections,
        read,
        idle,
    }
}

#[tokio::test]
async fn a_request_whose_headers_do_not_arrive_ends_the_connection() {
    let server = Server::start(limits(100, SHORT, LONG)).await;
    for beginning in [
        "",
        "G",
        "POST /hello HTTP/1.1\r\nHost: x\r\nX-A",
        "GET /hello HTTP/1.1\r\n",
    ] {
        let started = Instant::now();
        let mut raw = server.connect().await;
        raw.send(beginning).await;
        let seen = raw.read_to_end().await;
        assert!(!seen.contains("200"), "{beginning:?}: {seen}");
        assert!(started.elapsed() >= SHORT, "{beginning:?}");
    }
    // Also those of a second request on a connection that may be idle for longer, and those that trickle in.
    let mut raw = server.connect().await;
    raw.send(HELLO).await;
    raw.read_until("hello").await;
    assert!(raw.is_open_for(SHORT * 2).await, "it may be idle");
    raw.send("GET /hello").await;
    raw.read_to_end().await;
    let mut raw = server.connect().await;
    let trickling = async {
        loop {
            use tokio::io::AsyncWriteExt as _;
            let sent = raw.0.write_all(b"GET /hello HTTP/1.1\r\nX-A: b\r\n").await;
            if sent.is_err() || !raw.is_open_for(SHORT / 4).await {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, trickling)
        .await
        .expect("it is closed");
    server.answers().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_and_one_with_a_request_never_is() {
    let server = Server::start(limits(100, LONG, SHORT)).await;
    let mut raw = server.connect().await;
    for _ in 0..3 {
        raw.send(HELLO).await;
        raw.read_until("hello").await;
    }
    assert_eq!(raw.read_to_end().await, "");
    // An answer that takes long, in its beginning and between its parts.
    let server = Server::start(limits(100, SHORT, SHORT)).await;
    let (mut held, mut drops) = (server.busy().await, server.connect().await);
    drops.send("GET /drops HTTP/1.1\r\nHost: x\r\n\r\n").await;
    drops.read_until("\r\n\r\n").await;
    assert!(held.is_open_for(SHORT * 4).await);
    server.gate.add_permits(1);
    let mut open = drops.is_open_for(SHORT * 4).await;
    server.gate.add_permits(100);
    open |= drops.read_until("0\r\n\r\n").await.contains("drop");
    assert!(open);
    held.read_until("\r\n\r\nheld").await;
    held.read_to_end().await;
    drops.read_to_end().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_left() {
    let server = Server::start(limits(1, SHORT, SHORT)).await;
    let mut raw = server.connect().await;
    raw.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.read_until("200 OK").await;
    // It has the only place, and nobody reads on.
    tokio::time::timeout(PATIENCE, server.answers())
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
    use tokio::io::AsyncReadExt as _;
    let server = Server::start(limits(1, LONG, SHORT)).await;
    let mut raw = server.connect().await;
    raw.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = raw.read_until("\r\n\r\n").await;
    let mut got = head.len() - head.find("\r\n\r\n").expect("a head") - 4;
    let (started, mut piece) = (Instant::now(), vec![0; LARGE / 32]);
    while got < LARGE {
        let read = raw.0.read(&mut piece).await.expect("more of it");
        assert!(read > 0, "cut off after {got} bytes and {:?}", started.elapsed());
        got += read;
        // A network that is no faster.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        started.elapsed() > SHORT,
        "it took longer than a connection may be idle"
    );
    assert_eq!(raw.read_to_end().await, "");
}

/// How many connections a test opens here: both ends of each are in this process.
fn many(wanted: usize) -> usize {
    let room = limits(4 * wanted, LONG, LONG).within_system().connections;
    let possible = wanted.min(room.saturating_sub(100));
    if possible < wanted {
        println!("the limit of open files leaves room for {possible} connections instead of {wanted}");
    }
    possible
}

#[tokio::test]
async fn thousands_of_silent_connections_leave_service_unharmed() {
    let count = many(2_000);
    for places in [2 * count, count / 4] {
        let server = Server::start(limits(places, LONG, LONG)).await;
        let mut working = server.busy().await;
        let mut silent = Vec::new();
        for number in 0..count {
            let mut raw = server.connect().await;
            if number % 2 == 0 {
                raw.send("GET /hello HTTP/1.1\r\nX-A").await;
            }
            silent.push(raw);
        }
        for _ in 0..20 {
            server.answers().await;
        }
        // Who makes room is who was silent, and for longest.
        server.gate.add_permits(1);
        working.read_until("\r\n\r\nheld").await;
        let first = silent.first_mut().expect("many");
        if places > count {
            assert!(first.is_open_for(SHORT).await, "there was room");
        } else {
            first.read_to_end().await;
        }
        let last = silent.last_mut().expect("many");
        assert!(last.is_open_for(SHORT).await, "it came last");
    }
}

#[tokio::test]
async fn when_all_are_at_work_new_clients_wait_for_their_turn() {
    let server = Server::start(limits(3, LONG, LONG)).await;
    let mut working = Vec::new();
    for _ in 0..3 {
        working.push(server.busy().await);
    }
    let mut waiting = server.connect().await;
    waiting.send(HELLO).await;
    assert!(waiting.is_open_for(SHORT).await, "it waits");
    server.gate.add_permits(1);
    // The one that is done is idle now, and leaves.
    waiting.read_until("\r\n\r\nhello").await;
    server.gate.add_permits(2);
    let mut done = 0;
    for raw in &mut working {
        done += usize::from(raw.read_to_end_or(SHORT).await.contains("held"));
    }
    assert_eq!(done, 3, "nobody at work was cut off");
}

impl Raw {
    /// What arrives until it is closed or silent for this long.
    async fn read_to_end_or(&mut self, silence: Duration) -> String {
        use tokio::io::AsyncReadExt as _;
        let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(silence, self.0.read(&mut piece)).await {
            seen.extend_from_slice(&piece[..read]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}

#[tokio::test]
async fn a_stop_waits_for_answers_and_not_for_requests_that_do_not_arrive() {
    let server = Server::start(limits(100, LONG, LONG)).await;
    let (mut silent, mut idle) = (server.connect().await, server.connect().await);
    idle.send(HELLO).await;
    idle.read_until("hello").await;
    let mut half = server.connect().await;
    half.send("POST /hello HTTP/1.1\r\nHost: x\r\nX-A").await;
    let mut finishing = server.connect().await;
    finishing.send("GET /hello HTTP/1.1\r\nX-A").await;
    let mut working = server.busy().await;
    let mut also = server.connect().await;
    also.send("GET /drops HTTP/1.1\r\nHost: x\r\n\r\n").await;
    also.read_until("\r\n\r\n").await;
    server.answers().await;
    server.stop.cancel();
    silent.read_to_end().await;
    idle.read_to_end().await;
    // A request that is on its way still has a moment.
    finishing.send(": b\r\n\r\n").await;
    finishing.read_until("\r\n\r\nhello").await;
    half.read_to_end().await;
    assert!(working.is_open_for(SHORT).await && !server.serving.is_finished());
    let address = server.url.trim_start_matches("http://");
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nothing new"
    );
    server.gate.add_permits(100);
    assert!(working.read_to_end().await.ends_with("held"));
    assert!(also.read_to_end().await.ends_with("0\r\n\r\n"));
    tokio::time::timeout(PATIENCE, server.serving)
        .await
        .expect("it ends")
        .expect("without a panic");
}
