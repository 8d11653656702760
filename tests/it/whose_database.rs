//! What is not ours is left as it is: databases of other programs, and what the environment of a shell says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::harness::client::PATIENCE;
use crate::harness::process::{command, free_port, start_until};
use crate::harness::service::start_sandbox;
use crate::harness::{Database, Kind, on_both_stores};
use crate::processes::{create_project, serve};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

on_both_stores!(
    a_database_of_another_program_is_refused_by_every_command_and_left_as_it_is,
    another_program_that_keeps_the_same_list_of_migrations_is_another_program,
    a_database_of_ours_with_a_table_of_somebody_else_in_it_stays_ours,
    dev_ignores_the_database_that_the_shell_names,
    commands_that_look_make_no_table,
    a_database_that_is_older_is_migrated_only_on_request,
    a_database_that_is_newer_is_refused_and_left_as_it_is,
    what_is_wrong_with_the_settings_is_told_before_the_database_is_touched,
    a_project_without_a_key_gets_one_on_the_command_line,
);

/// Statements of a test's own, as another program would run them.
async fn execute(database: &Database, statements: &str) {
    let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    if let Some(path) = file(database) {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        statements.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        statements.execute(&mut connection).await.unwrap();
    }
}

fn file(database: &Database) -> Option<PathBuf> {
    database.url.strip_prefix("sqlite://").map(PathBuf::from)
}

/// All that there is: of a file its bytes and what lies beside it, of a server's database the tables and the migrations.
async fn everything(database: &Database) -> Vec<String> {
    if let Some(path) = file(database) {
        let mut all: Vec<String> = std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                format!("{}: {:?}", path.display(), std::fs::read(&path).unwrap())
            })
            .collect();
        all.sort();
        return all;
    }
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let tables = "SELECT table_schema || '.' || table_name FROM information_schema.tables
                  WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let mut all: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    if all.iter().any(|table| table == "public._sqlx_migrations") {
        let migrations = "SELECT version::text || description FROM _sqlx_migrations ORDER BY 1";
        all.extend(
            sqlx::query_scalar::<_, String>(migrations)
                .fetch_all(&mut connection)
                .await
                .unwrap_or_default(),
        );
    }
    all
}

/// Runs the program until it ends by itself; answers whether it succeeded, and all that it printed.
fn ends(args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let mut child = command(args, env)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{args:?} goes on: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// The arguments of a command, and its environment.
type Call<'u> = (Vec<&'u str>, Vec<(&'u str, &'u str)>);

/// Each command that takes a database.
fn commands<'u>(url: &'u str, data: &'u str) -> Vec<Call<'u>> {
    let named = vec![("DATABASE_URL", url)];
    let serving = vec![
        ("DATABASE_URL", url),
        ("AMP_ENCRYPTION_KEY", KEY),
        ("AMP_LISTEN", "localhost:0"),
    ];
    vec![
        (vec!["serve"], serving),
        (vec!["migrate"], named.clone()),
        (vec!["lanes"], named.clone()),
        (vec!["project", "create", "test"], named.clone()),
        (vec!["project", "list"], named.clone()),
        (vec!["project", "key", "list", "test"], named.clone()),
        (vec!["project", "key", "create", "test"], named),
        (
            vec![
                "dev",
                "--data",
                data,
                "--listen",
                "127.0.0.1:0",
                "--sandbox",
                "127.0.0.1:0",
                "--database-url",
                url,
            ],
            vec![],
        ),
    ]
}

async fn all_refuse(database: &Database, named: &str) {
    let before = everything(database).await;
    let folder = tempfile::tempdir().unwrap();
    for (args, env) in commands(&database.url, folder.path().to_str().unwrap()) {
        let (ok, told) = ends(&args, &env);
        assert!(!ok, "{args:?}: {told}");
        assert!(
            told.contains(named) && told.contains("Nothing was changed"),
            "{args:?}: {told}"
        );
        assert!(
            told.contains("of its own"),
            "it says what to do: {args:?}: {told}"
        );
        assert_eq!(everything(database).await, before, "{args:?}");
    }
}

async fn a_database_of_another_program_is_refused_by_every_command_and_left_as_it_is(kind: Kind) {
    let database = Database::empty(kind).await;
    execute(
        &database,
        "CREATE TABLE users (id INTEGER); CREATE TABLE projects (id INTEGER); INSERT INTO users VALUES (7)",
    )
    .await;
    all_refuse(&database, "projects, users").await;
    // A view alone is somebody's, too.
    let database = Database::empty(kind).await;
    execute(&database, "CREATE VIEW figures AS SELECT 1 AS one").await;
    all_refuse(&database, "figures").await;
    if kind == Kind::Postgres {
        let database = Database::empty(kind).await;
        execute(
            &database,
            "CREATE SCHEMA shop; CREATE TABLE shop.orders (id INTEGER)",
        )
        .await;
        all_refuse(&database, "shop.orders").await;
    }
}

async fn another_program_that_keeps_the_same_list_of_migrations_is_another_program(kind: Kind) {
    let bytes = if kind == Kind::Postgres {
        "'\\x0102'"
    } else {
        "x'0102'"
    };
    let binary = if kind == Kind::Postgres { "BYTEA" } else { "BLOB" };
    let list = format!(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum {binary} NOT NULL,
             execution_time BIGINT NOT NULL);"
    );
    let row = |version: &str, name: &str| {
        format!(
            "INSERT INTO _sqlx_migrations VALUES ({version}, '{name}', CURRENT_TIMESTAMP, TRUE, {bytes}, 1);"
        )
    };
    for (statements, named) in [
        (
            format!("{list}{} CREATE TABLE users (id INTEGER);", row("1", "base")),
            "users",
        ),
        (
            format!("{list}{}", row("20240131120000", "create users")),
            "create users",
        ),
        (format!("{list}CREATE TABLE users (id INTEGER);"), "users"),
        (
            "CREATE TABLE _sqlx_migrations (id INTEGER);".to_owned(),
            "_sqlx_migrations",
        ),
    ] {
        let database = Database::empty(kind).await;
        execute(&database, &statements).await;
        all_refuse(&database, named).await;
    }
    // The list alone, with nothing in it, is what a refused start of an earlier version has left.
    let database = Database::empty(kind).await;
    execute(&database, &list).await;
    let (ok, told) = ends(&["migrate"], &[("DATABASE_URL", &database.url)]);
    assert!(ok, "{told}");
}

async fn a_database_of_ours_with_a_table_of_somebody_else_in_it_stays_ours(kind: Kind) {
    let database = Database::empty(kind).await;
    create_project(&database);
    execute(&database, "CREATE TABLE notes_of_the_operator (id INTEGER)").await;
    for args in [&["migrate"][..], &["lanes"], &["project", "create", "other"]] {
        let (ok, told) = ends(args, &[("DATABASE_URL", &database.url)]);
        assert!(ok, "{args:?}: {told}");
    }
}

async fn dev_ignores_the_database_that_the_shell_names(kind: Kind) {
    let (named, folder) = (Database::empty(kind).await, tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let (api, sandbox) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let args = [
        "dev",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        &api,
        "--sandbox",
        &sandbox,
    ];
    let before = everything(&named).await;
    let (_process, shown) = start_until(&args, &[("DATABASE_URL", &named.url)], "Ctrl-C stops it");
    assert_eq!(everything(&named).await, before);
    assert!(shown.contains("DATABASE_URL is set; dev ignores it"), "{shown}");
    let embedded = format!("sqlite://{}", data.join("amp.db").display());
    assert!(shown.contains(&format!("database   {embedded}\n")), "{shown}");
    // Named for it, it is taken, and told.
    let (api, sandbox) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let args = [
        "dev",
        "--data",
        folder.path().to_str().unwrap(),
        "--listen",
        &api,
        "--sandbox",
        &sandbox,
    ];
    let (_process, shown) = start_until(&args, &[("AMP_DEV_DATABASE_URL", &named.url)], "Ctrl-C stops it");
    assert!(!shown.contains("dev ignores it"), "{shown}");
    assert_ne!(everything(&named).await, before);
}

async fn commands_that_look_make_no_table(kind: Kind) {
    let database = Database::empty(kind).await;
    let before = everything(&database).await;
    for args in [
        &["lanes"][..],
        &["lanes", "--json"],
        &["project", "list"],
        &["project", "key", "list", "test"],
    ] {
        let (ok, told) = ends(args, &[("DATABASE_URL", &database.url)]);
        assert!(
            !ok && told.contains("is empty") && told.contains("amp-write migrate"),
            "{args:?}: {told}"
        );
        assert_eq!(everything(&database).await, before, "{args:?}");
    }
    // Nor does one in a database that there is.
    create_project(&database);
    let before = everything(&database).await;
    for args in [
        &["lanes"][..],
        &["project", "list"],
        &["project", "key", "list", "test"],
    ] {
        let (ok, told) = ends(args, &[("DATABASE_URL", &database.url)]);
        assert!(ok, "{args:?}: {told}");
        if kind == Kind::Postgres {
            assert_eq!(everything(&database).await, before, "{args:?}");
        }
    }
}

const LAST: &str = "(SELECT max(version) FROM _sqlx_migrations)";

async fn a_database_that_is_older_is_migrated_only_on_request(kind: Kind) {
    let database = Database::empty(kind).await;
    create_project(&database);
    // As if the last migration had not been run: it is only counted here.
    execute(
        &database,
        &format!("DELETE FROM _sqlx_migrations WHERE version = {LAST}"),
    )
    .await;
    let before = everything(&database).await;
    for args in [
        &["lanes"][..],
        &["project", "list"],
        &["project", "create", "other"],
        &["project", "key", "create", "test"],
    ] {
        let (ok, told) = ends(args, &[("DATABASE_URL", &database.url)]);
        assert!(
            !ok && told.contains("older than this program") && told.contains("amp-write migrate"),
            "{args:?}: {told}"
        );
        assert_eq!(everything(&database).await, before, "{args:?}");
    }
}

async fn a_database_that_is_newer_is_refused_and_left_as_it_is(kind: Kind) {
    let database = Database::empty(kind).await;
    create_project(&database);
    let newer =
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, execution_time
                 FROM _sqlx_migrations WHERE version = 1";
    execute(&database, newer).await;
    let before = everything(&database).await;
    let folder = tempfile::tempdir().unwrap();
    for (args, env) in commands(&database.url, folder.path().to_str().unwrap()) {
        let (ok, told) = ends(&args, &env);
        assert!(
            !ok && told.contains("newer than this program") && told.contains("9999"),
            "{args:?}: {told}"
        );
        assert_eq!(everything(&database).await, before, "{args:?}");
    }
}

async fn what_is_wrong_with_the_settings_is_told_before_the_database_is_touched(kind: Kind) {
    let database = Database::empty(kind).await;
    let before = everything(&database).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("mine.yaml"),
        "provider: mine\nauth: nonsense\n",
    )
    .unwrap();
    let connectors = folder.path().to_str().unwrap();
    for (name, value, part) in [
        ("AMP_CONNECTORS_DIR", "/no/such/folder", "/no/such/folder"),
        ("AMP_CONNECTORS_DIR", connectors, "mine.yaml"),
        ("AMP_PROVIDER_URLS", "hubspt=http://127.0.0.1:1", "hubspt"),
        ("AMP_PROVIDER_URLS", "hubspot=127.0.0.1:1", "AMP_PROVIDER_URLS"),
        ("AMP_LISTEN", &taken, "AMP_LISTEN"),
        ("AMP_METRICS_LISTEN", &taken, "AMP_METRICS_LISTEN"),
        ("AMP_METRICS_LISTEN", "localhost", "AMP_METRICS_LISTEN"),
        ("AMP_ENCRYPTION_KEY", "short", "AMP_ENCRYPTION_KEY"),
        ("AMP_PUBLIC_URL", "write.example.com", "AMP_PUBLIC_URL"),
        ("AMP_LEASE_SECONDS", "0", "AMP_LEASE_SECONDS"),
        ("AMP_LOG", "chatty", "chatty"),
    ] {
        let mut env = vec![
            ("DATABASE_URL", database.url.as_str()),
            ("AMP_ENCRYPTION_KEY", KEY),
            ("AMP_LISTEN", "127.0.0.1:0"),
        ];
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
        let (ok, told) = ends(&["serve"], &env);
        assert!(!ok && told.contains(part), "{name}={value}: {told}");
        assert_eq!(everything(&database).await, before, "{name}={value}");
    }
}

async fn a_project_without_a_key_gets_one_on_the_command_line(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    create_project(&database);
    let env = [("DATABASE_URL", database.url.as_str())];
    let (ok, told) = ends(
        &["project", "key", "create", "TEST", "--label", "found again"],
        &env,
    );
    assert!(ok, "{told}");
    let line = told.lines().find(|line| line.starts_with("API key")).unwrap();
    let key = line.split_whitespace().last().unwrap();
    let served = serve(&database, &sandbox, key).ready().await;
    served.client.get("").await.expect(200);
    // Looking goes beside the process that serves.
    let (ok, told) = ends(&["project", "list"], &env);
    assert!(ok && told.contains("test"), "{told}");
    let (ok, told) = ends(&["project", "key", "list", "test"], &env);
    assert!(
        ok && told.contains("found again") && told.contains("first key"),
        "{told}"
    );
    assert!(!told.contains(key), "masked: {told}");
    let day = [
        "project",
        "key",
        "create",
        "test",
        "--label",
        "for a day",
        "--days",
        "1",
    ];
    let (ok, told) = ends(&day, &[("DATABASE_URL", database.url.as_str())]);
    match kind {
        Kind::Postgres => assert!(ok && told.contains("until "), "{told}"),
        Kind::Sqlite => assert!(!ok && told.contains("in use"), "{told}"),
    }
    let (ok, told) = ends(&["lanes"], &env);
    assert!(ok && told.contains("no lane has work"), "{told}");
    let (ok, told) = ends(&["project", "key", "list", "nobody"], &env);
    assert!(
        !ok && told.contains("no project `nobody`") && told.contains("project list"),
        "{told}"
    );
}

#[tokio::test]
async fn a_schema_of_its_own_in_a_database_of_another_program_is_taken() {
    let database = Database::empty(Kind::Postgres).await;
    execute(
        &database,
        "CREATE TABLE projects (id INTEGER); CREATE SCHEMA amp_write",
    )
    .await;
    let url = format!("{}?options=-csearch_path%3Damp_write", database.url);
    for args in [
        &["migrate"][..],
        &["project", "create", "test"],
        &["lanes"],
        &["project", "list"],
    ] {
        let (ok, told) = ends(args, &[("DATABASE_URL", &url)]);
        assert!(ok, "{args:?}: {told}");
    }
    let there = everything(&database).await;
    let in_public = there.iter().filter(|table| table.starts_with("public."));
    assert_eq!(in_public.count(), 1, "{there:?}");
    assert!(there.contains(&"amp_write.projects".to_owned()));
    let nowhere = format!("{}?options=-csearch_path%3Dno_such_schema", database.url);
    let (ok, told) = ends(&["migrate"], &[("DATABASE_URL", &nowhere)]);
    assert!(!ok && told.contains("names no schema"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is_and_no_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("letter.txt");
    std::fs::write(&text, "Dear Ada,\n".repeat(200)).unwrap();
    let before = std::fs::read(&text).unwrap();
    for path in [
        text.clone(),
        folder.path().join("missing/x.db"),
        folder.path().to_owned(),
    ] {
        let url = format!("sqlite://{}", path.display());
        for args in [&["migrate"][..], &["lanes"], &["project", "create", "test"]] {
            let (ok, told) = ends(args, &[("DATABASE_URL", &url)]);
            assert!(
                !ok && told.contains("cannot open the SQLite file"),
                "{args:?} {url}: {told}"
            );
        }
    }
    assert_eq!(std::fs::read(&text).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// What a second process is told that opens the running one's database by another name.
async fn by_another_name(make: impl FnOnce(&Path, &Path)) -> String {
    let (database, sandbox) = (Database::empty(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let _served = serve(&database, &sandbox, &key).ready().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    make(&file(&database).unwrap(), &link);
    let url = format!("sqlite://{}", link.display());
    let mut told = String::new();
    for args in [&["project", "create", "other"][..], &["migrate"], &["serve"]] {
        let env = [
            ("DATABASE_URL", url.as_str()),
            ("AMP_ENCRYPTION_KEY", KEY),
            ("AMP_LISTEN", "127.0.0.1:0"),
        ];
        let (ok, text) = ends(args, &env);
        assert!(!ok, "{args:?}: {text}");
        assert!(
            text.contains("in use by another amp-write process"),
            "{args:?}: {text}"
        );
        told.push_str(&text);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbolic_link_to_a_database_in_use_is_the_same_database() {
    by_another_name(|file, link| std::os::unix::fs::symlink(file, link).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_to_a_database_in_use_is_the_same_database() {
    by_another_name(|file, link| std::fs::hard_link(file, link).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_that_was_moved_is_the_same_database() {
    by_another_name(|file, link| std::fs::rename(file, link).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_database_that_is_not_in_use_can_be_used() {
    let (database, sandbox) = (Database::empty(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let link = file(&database).unwrap().with_file_name("link.db");
    std::os::unix::fs::symlink(file(&database).unwrap(), &link).unwrap();
    let through_the_link = Database::at(format!("sqlite://{}", link.display()));
    let served = serve(&through_the_link, &sandbox, &key).ready().await;
    served.client.get("").await.expect(200);
}

#[test]
fn a_variable_that_is_no_setting_is_named_in_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("x.db").display());
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("AMP_RETENTION_DAY", "3"),
        ("AMP_LEASE_SECS", "x"),
        ("AMP_LOG", "warn"),
    ];
    let (ok, told) = ends(&["migrate"], &env);
    assert!(ok, "{told}");
    assert!(
        told.contains("AMP_RETENTION_DAY ") && told.contains("did you mean AMP_RETENTION_DAYS?"),
        "{told}"
    );
    assert!(told.contains("AMP_LEASE_SECS"), "{told}");
    assert!(!told.contains("AMP_LOG "), "{told}");
}

#[test]
fn nothing_that_may_hold_a_password_is_printed() {
    let urls = [
        "password=hunter2 host=x",
        "host=x user=u password=hunter2",
        "mysql://root:hunter2@h/db",
        "postgres://u:p@hunter2#rd@127.0.0.1:1/db",
        "postgres://u:hunter2#rd@127.0.0.1:1/db",
        "postgres://u:1/hunter2@127.0.0.1:1/db",
        "postgres://u:hunter2@127.0.0.1:1/db",
        "postgres://u:x@127.0.0.1:1/db?password=hunter2",
        "postgres://u:x@127.0.0.1:1/db?pasword=hunter2",
        "postgres://u:x@127.0.0.1:1/db?sslmode=hunter2",
        "sqlite://x.db?hunter2=1",
        "sqlite://x.db?mode=hunter2",
    ];
    for url in urls {
        for args in [&["migrate"][..], &["lanes"], &["project", "list"], &["serve"]] {
            let env = [
                ("DATABASE_URL", url),
                ("AMP_ENCRYPTION_KEY", KEY),
                ("AMP_LISTEN", "127.0.0.1:0"),
                ("AMP_LOG", "trace"),
            ];
            let (ok, told) = ends(args, &env);
            assert!(!ok && !told.contains("hunter2"), "{args:?} {url}: {told}");
        }
        let (ok, told) = ends(&["migrate", url], &[]);
        assert!(!ok && !told.contains("hunter2"), "{url}: {told}");
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let dev = [
            "dev",
            "--data",
            data,
            "--listen",
            "127.0.0.1:0",
            "--sandbox",
            "127.0.0.1:0",
        ];
        let (ok, told) = ends(&dev, &[("AMP_DEV_DATABASE_URL", url)]);
        assert!(!ok && !told.contains("hunter2"), "{url}: {told}");
    }
    let url = "http://u:hunter2@127.0.0.1:1";
    for (args, variable) in [
        (&["serve"][..], "AMP_PROVIDER_URLS"),
        (&["serve"], "AMP_PUBLIC_URL"),
        (&["serve"], "AMP_LISTEN"),
        (&["serve"], "AMP_LANE_WEIGHTS"),
        (&["serve"], "AMP_ROLE"),
        (&["serve"], "AMP_LOG"),
        (&["serve"], "AMP_ENCRYPTION_KEY"),
        (&["lanes"], "AMP_LANE_CONCURRENCY"),
        (&["deploy", "-", "--project", "x", "--api-key", "k"], "AMP_URL"),
        (
            &["operations", "list", "--project", "x", "--api-key", "k"],
            "AMP_URL",
        ),
    ] {
        let (ok, told) = ends(args, &[(variable, url)]);
        assert!(!ok && !told.contains("hunter2"), "{variable}: {told}");
        let (_, told) = ends(&[args[0], "--help"], &[(variable, url)]);
        assert!(!told.contains("hunter2"), "{variable}: {told}");
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/amp.example.yaml");
    let env = [("AMP_URL", url), ("AMP_PROJECT", "x"), ("AMP_API_KEY", "k")];
    let (ok, told) = ends(&["deploy", manifest], &env);
    assert!(
        !ok && told.contains("127.0.0.1:1") && !told.contains("hunter2"),
        "{told}"
    );
}
