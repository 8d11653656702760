//! The real program as a process of its own, killed when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// A running program. SIGKILL on drop.
pub struct Process {
    pub child: Child,
}

impl Process {
    /// Starts `amp-write` with these arguments and environment; its output goes to the test's.
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let child = command(args, env)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self { child }
    }

    /// Starts `amp-write serve` so that no file of it can grow beyond this many bytes: a disk that is full.
    pub fn serve_on_a_small_disk(bytes: u64, env: &[(&str, &str)]) -> Self {
        // Without the trap the system would end the process instead of refusing the write.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" serve", bytes / 512);
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_amp-write")])
            .envs(env.iter().copied());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self { child }
    }

    /// Lets its files grow again.
    pub fn enlarge_disk(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("prlimit")
            .args(["--pid", &pid, "--fsize=unlimited"])
            .status();
        assert!(status.expect("prlimit runs (package util-linux)").success());
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// A signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state is known") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, with a clean environment.
pub fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amp-write"));
    for (name, _) in std::env::vars() {
        if name.starts_with("AMP_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the program to its end and answers its status, standard output and standard error.
pub fn run(args: &[&str], env: &[(&str, &str)]) -> (std::process::ExitStatus, String, String) {
    let output = command(args, env).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

/// Starts the program and reads its standard output until a line holds `until`; answers what was read.
pub fn start_until(args: &[&str], env: &[(&str, &str)], until: &str) -> (Process, String) {
    let mut child = command(args, env)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = child.stdout.take().expect("piped");
    let process = Process { child };
    let mut seen = String::new();
    let mut lines = BufReader::new(stdout);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("it prints") == 0 {
            panic!("it ended before it printed `{until}`:\n{seen}");
        }
        seen.push_str(&line);
        if line.contains(until) {
            break;
        }
    }
    // Whatever else it prints must not block it.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (process, seen)
}

/// A port that is free now, below the range from which systems take the ports of outgoing connections: a process that is started
/// again on it finds it free.
pub fn free_port() -> u16 {
    loop {
        let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        let port = 11_000 + u16::from_be_bytes([high, low]) % 9_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
