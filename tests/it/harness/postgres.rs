//! A Postgres server of a test's own, which may be stopped and crashed.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _};

use super::client::PATIENCE;
use super::process::free_port;

/// A private server. Gone, with its data, when it is dropped.
pub struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// The user that owns the data: Postgres does not run as root.
    user: Option<(u32, u32)>,
    port: u16,
    password: String,
    child: Option<Child>,
}

/// Where the server's programs are: in `PATH`, or where distributions put them.
fn programs() -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .expect("this test restarts a Postgres of its own, but initdb and postgres are not on this machine: install the package postgresql")
}

/// The number that `id` answers.
fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

impl Server {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        let user = (id(&["-u"]) == Some(0)).then(|| {
            let numbers = |name| Some((id(&["-u", name])?, id(&["-g", name])?));
            ["postgres", "nobody"]
                .into_iter()
                .find_map(numbers)
                .expect("Postgres does not run as root, and there is neither a user postgres nor nobody")
        });
        let folder = tempfile::Builder::new()
            .prefix("amp-write-pg.")
            .tempdir_in("/tmp")
            .expect("a folder");
        let password = uuid::Uuid::new_v4().simple().to_string();
        std::fs::write(folder.path().join("password"), &password).expect("written");
        if let Some((uid, gid)) = user {
            for path in [folder.path().to_owned(), folder.path().join("password")] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("the owner is changed");
            }
        }
        let mut server = Self {
            folder,
            programs: programs(),
            user,
            port: free_port(),
            password,
            child: None,
        };
        let data = server.folder.path().join("data");
        let output = server
            .command("initdb")
            .args(["-U", "postgres", "--auth-local=trust", "--auth-host=password"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync", "--pwfile"])
            .arg(server.folder.path().join("password"))
            .arg("-D")
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        server.launch().await;
        server
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        for (name, _) in std::env::vars() {
            if name.starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// Starts the server, which is down, and waits until it answers.
    pub async fn launch(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("server.log")).expect("a log");
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.folder.path().display()
            ))
            // A process that dies loses nothing that the system has; only a power cut needs fsync.
            .args(["-c", "fsync=off", "-c", "max_connections=100"])
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        self.child = Some(child);
        let started = Instant::now();
        while sqlx::PgConnection::connect(&self.url("postgres")).await.is_err() {
            if started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.folder.path().join("server.log"));
                panic!("the server does not start: {}", log.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the server: `INT` ends its connections and shuts down in order, `QUIT` is a crash.
    pub async fn stop(&mut self, signal: &str) {
        let mut child = self.child.take().expect("it runs");
        let status = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
        tokio::task::spawn_blocking(move || child.wait().expect("it ends"))
            .await
            .expect("no panic");
    }

    /// Runs a statement on a database of it.
    pub async fn execute(&self, database: &str, statement: &str) {
        let mut connection = sqlx::PgConnection::connect(&self.url(database))
            .await
            .expect("connected");
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .expect("executed");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill")
                .args(["-s", "QUIT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }
}
