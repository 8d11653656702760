//! A migrated database to copy, made once per build and day: migrating costs more than most tests.
//!
//! The first process that wants it makes it, whichever runner started it. It gets its name when it is whole, so that what a
//! process that died has left is never taken for it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use amp_write::clock::{Clock as _, SystemClock};
use amp_write::store::connect;
use amp_write::vault::sha256;
use sqlx::{AssertSqlSafe, PgConnection};

/// One number for all processes: only one of them makes the template of a server.
const ADVISORY_LOCK: i64 = 0x616d_702d_7465_6d70;

/// What each template of this program's tests begins with, and the rest of the name of the one of this build and day: its
/// partitions begin with that day.
static NAME: LazyLock<(String, String)> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("its path");
    let built = std::fs::metadata(&program).and_then(|program| program.modified());
    let day = SystemClock.now().to_string();
    let short = |text: String| {
        sha256(text.as_bytes())[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let prefix: String = short(program.display().to_string());
    let rest: String = short(format!("{:?} {}", built.expect("its time"), &day[..10]));
    (format!("amp_template_{prefix}_"), rest)
});

/// Makes this new database on the server, as a copy.
pub async fn copy_on(admin: &mut PgConnection, server: &url::Url, name: &str) {
    let (prefix, rest) = &*NAME;
    // Copying files is twice as fast as going through the log; before version 15 it was the only way, and had no name.
    let strategy = match admin.server_version_num() {
        Some(150_000..) => " STRATEGY FILE_COPY",
        _ => "",
    };
    let copy = format!("CREATE DATABASE {name} TEMPLATE {prefix}{rest}{strategy}");
    match sqlx::query(AssertSqlSafe(copy.clone()))
        .execute(&mut *admin)
        .await
    {
        // 3D000: there is no such template.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("3D000") => {
            make_on(admin, server).await;
            execute(admin, copy).await;
        }
        copied => _ = copied.expect("the template can be copied"),
    }
}

async fn make_on(admin: &mut PgConnection, server: &url::Url) {
    let (prefix, rest) = &*NAME;
    execute(admin, format!("SELECT pg_advisory_lock({ADVISORY_LOCK})")).await;
    let known: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)")
            .bind(prefix)
            .fetch_all(&mut *admin)
            .await
            .expect("listed");
    let whole = format!("{prefix}{rest}");
    if !known.contains(&whole) {
        // Those of earlier builds, and what a process left that died here.
        for old in known {
            execute(admin, format!("DROP DATABASE {old} WITH (FORCE)")).await;
        }
        let unfinished = format!("{prefix}unfinished");
        execute(admin, format!("CREATE DATABASE {unfinished}")).await;
        let mut url = server.clone();
        url.set_path(&unfinished);
        migrate(url.as_str()).await;
        // The server may still be ending the connections of the migration.
        let others =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{unfinished}'");
        execute(admin, others).await;
        execute(admin, format!("ALTER DATABASE {unfinished} RENAME TO {whole}")).await;
    }
    execute(admin, format!("SELECT pg_advisory_unlock({ADVISORY_LOCK})")).await;
}

async fn execute(admin: &mut PgConnection, statement: String) {
    let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(admin).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn migrate(url: &str) {
    let store = connect(url, 2, Arc::new(SystemClock))
        .await
        .expect("the store opens");
    store.close().await;
}

/// Makes this new file, as a copy.
pub async fn copy_to(path: &Path) {
    let (prefix, rest) = &*NAME;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let whole = folder.join(format!("{prefix}{rest}.db"));
    if !whole.exists() {
        for old in std::fs::read_dir(folder)
            .expect("the folder of the build")
            .flatten()
        {
            let is_earlier = old.file_name().to_string_lossy().starts_with(prefix) && old.path() != whole;
            if is_earlier {
                // Another process may be doing the same.
                let _ = std::fs::remove_file(old.path());
            }
        }
        let unfinished = tempfile::tempdir_in(folder).expect("a folder");
        let file = unfinished.path().join("template.db");
        migrate(&format!("sqlite://{}", file.display())).await;
        std::fs::rename(file, &whole).expect("renamed");
    }
    std::fs::copy(whole, path).expect("copied");
}
