//! The real program, out of file descriptors.

use std::time::Duration;

use super::Raw;
use crate::harness::client::PATIENCE;
use crate::harness::process::{Process, command, free_port};
use crate::harness::{Database, Kind};

/// How often the log says this.
fn said(log: &std::path::Path, text: &str) -> usize {
    std::fs::read_to_string(log).expect("a log").matches(text).count()
}

async fn is_ready(url: &str) -> bool {
    let address = url.trim_start_matches("http://");
    let Ok(stream) = tokio::net::TcpStream::connect(address).await else {
        return false;
    };
    let mut raw = Raw(stream);
    raw.send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    raw.read_to_end().await.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn a_process_without_file_descriptors_says_so_once_and_serves_on() {
    let database = Database::create(Kind::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let key = amp_write::vault::generate_key().expect("random");
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_ENCRYPTION_KEY", key.expose()),
        ("AMP_LISTEN", listen.as_str()),
    ];
    let file = std::fs::File::create(&log).expect("a file");
    let child = command(&["serve"], &env)
        .stdout(std::process::Stdio::null())
        .stderr(file)
        .spawn()
        .expect("the program starts");
    let process = Process { child };
    let ready = async {
        while !is_ready(&url).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("it becomes ready");
    let pid = process.child.id();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its files")
        .count();
    let limit = format!("--nofile={}", open + 8);
    let lowered = std::process::Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(lowered.expect("prlimit runs (package util-linux)").success());
    let told = "connections cannot be accepted";
    let mut silent = Vec::new();
    for _ in 0..4 {
        for _ in 0..20 {
            silent.push(Raw::connect(&url).await);
        }
        // It is answered, although more came than there is room for.
        let answered = tokio::time::timeout(PATIENCE, is_ready(&url)).await;
        assert!(answered.expect("an answer"));
    }
    assert_eq!(
        said(&log, told),
        1,
        "{}",
        std::fs::read_to_string(&log).expect("a log")
    );
    drop(silent);
    assert!(is_ready(&url).await);
}
