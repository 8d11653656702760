//! A Postgres that is thrown away.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A server, and how to reach it.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    child: Option<Child>,
    _folder: Option<tempfile::TempDir>,
}

impl Cluster {
    /// The one that `BENCH_DATABASE_URL` names, or a new one.
    pub async fn start() -> Result<Self, String> {
        if let Ok(url) = std::env::var("BENCH_DATABASE_URL") {
            return Ok(Self {
                url,
                child: None,
                _folder: None,
            });
        }
        let programs = find_programs()
            .ok_or("there are no Postgres server programs; install them or set BENCH_DATABASE_URL")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let as_root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
        let command = |program: &str| {
            // The server refuses to run as root, and ends when this program does.
            if as_root {
                let mut command = Command::new("setpriv");
                command
                    .args([
                        "--reuid=postgres",
                        "--regid=postgres",
                        "--init-groups",
                        "--pdeathsig=QUIT",
                        "--",
                    ])
                    .arg(programs.join(program));
                command
            } else {
                Command::new(programs.join(program))
            }
        };
        if as_root {
            output(Command::new("chown").arg("postgres").arg(folder.path()))
                .ok_or("there is no user `postgres` that the server could run as")?;
        }
        let data = folder.path().join("data");
        let mut initdb = command("initdb");
        initdb
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .current_dir(folder.path());
        output(&mut initdb).ok_or("initdb failed")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let mut server = command("postgres");
        server.arg("-D").arg(&data).current_dir(folder.path());
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.path().display()),
            "shared_buffers=2GB".to_owned(),
            "max_wal_size=4GB".to_owned(),
            "synchronous_commit=on".to_owned(),
        ] {
            server.args(["-c", &setting]);
        }
        let child = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("postgres does not start: {error}"))?;
        let cluster = Self {
            url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            child: Some(child),
            _folder: Some(folder),
        };
        let started = Instant::now();
        while PgConnection::connect(&cluster.url).await.is_err() {
            if started.elapsed() > Duration::from_secs(60) {
                return Err("the Postgres that was started does not answer".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(cluster)
    }

    /// The URL of a database.
    pub fn database(&self, name: &str) -> String {
        let mut url = url::Url::parse(&self.url).expect("a URL");
        url.set_path(name);
        url.into()
    }

    /// A connection to a database.
    pub async fn connect(&self, name: &str) -> PgConnection {
        PgConnection::connect(&self.database(name))
            .await
            .expect("the database answers")
    }

    /// Runs a statement that no request has a part in.
    pub async fn run(&self, database: &str, sql: String) {
        let mut connection = self.connect(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .expect("the statement works");
    }

    /// Makes a database, as a copy of another one when given.
    pub async fn create(&self, name: &str, like: Option<&str>) {
        self.run("postgres", format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await;
        let like = like.map_or_else(String::new, |like| format!(" TEMPLATE {like}"));
        self.run("postgres", format!("CREATE DATABASE {name}{like}"))
            .await;
    }

    /// What it is.
    pub async fn version(&self) -> String {
        sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut self.connect("postgres").await)
            .await
            .expect("it answers")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = Command::new("kill")
                .args(["-QUIT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }
}

/// What a program prints; `None` when it fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folder of the newest server programs.
fn find_programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .collect();
    folders.extend(output(Command::new("pg_config").arg("--bindir")).map(|path| PathBuf::from(path.trim())));
    let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    packaged.sort();
    packaged.reverse();
    folders.extend(packaged);
    let has = |folder: &Path, program: &str| folder.join(program).is_file();
    folders
        .into_iter()
        .find(|folder| has(folder, "initdb") && has(folder, "postgres"))
}

/// `pgbench`, wherever it is.
pub fn pgbench() -> Option<PathBuf> {
    if output(Command::new("pgbench").arg("--version")).is_some() {
        return Some(PathBuf::from("pgbench"));
    }
    find_programs()
        .map(|folder| folder.join("pgbench"))
        .filter(|path| path.is_file())
}
