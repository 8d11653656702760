//! Where the database is: a `DATABASE_URL`, checked before anything is opened. Nothing of it is ever repeated in an error
//! but its scheme: any part may hold a password that was not written as a URL wants it.

use std::fmt;

use url::Url;

use super::ConnectError;
use crate::redact;

/// How to write it.
const FORM: &str = "Its form is postgres://user:password@host:5432/database. In the user and the password every character but \
    letters, digits and - . _ ~ has to be percent-encoded: @ is %40, # is %23, / is %2F, : is %3A, ? is %3F, % is %25.";

/// A database URL of a known kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'u> {
    /// A Postgres server; the whole URL.
    Postgres(&'u str),
    /// An SQLite file; the whole URL.
    Sqlite(&'u str),
}

impl<'u> Location<'u> {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`ConnectError::UnknownScheme`] and [`ConnectError::BadUrl`], which repeat nothing but the scheme.
    pub fn parse(url: &'u str) -> Result<Self, ConnectError> {
        if url.starts_with("sqlite:") {
            return sqlite(url).map(|()| Self::Sqlite(url));
        }
        match redact::scheme(url) {
            Some("postgres" | "postgresql") => postgres(url).map(|()| Self::Postgres(url)),
            Some(other) => Err(ConnectError::UnknownScheme(format!("`{other}://`"))),
            None => Err(ConnectError::UnknownScheme(
                "something that is not a URL (what it is is not shown: it may hold a password)".to_owned(),
            )),
        }
    }
}

/// For logs and errors: without password and query.
impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(url) => f.write_str(url.split('?').next().unwrap_or_default()),
            Self::Postgres(url) => {
                let user = Url::parse(url).map(|parsed| parsed.username().to_owned());
                let user = user.unwrap_or_default();
                let shown = redact::url(url);
                match shown.split_once("://") {
                    Some((scheme, rest)) if !user.is_empty() => write!(f, "{scheme}://{user}@{rest}"),
                    _ => f.write_str(&shown),
                }
            }
        }
    }
}

fn postgres(url: &str) -> Result<(), ConnectError> {
    let bad = |why: &str| ConnectError::BadUrl(format!("{why}. {FORM}"));
    if redact::is_ambiguous(url) {
        return Err(bad(
            "it holds a # or, behind the host, an @ (a password with such a character?)",
        ));
    }
    // The parser's words repeat nothing of what it reads.
    let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
    if parsed.path().trim_start_matches('/').contains('/') {
        return Err(bad("the database's name holds a / (or the password does?)"));
    }
    Ok(())
}

/// The parameters that the driver knows; it would log any other one with its value.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// The URL of a Postgres server as its driver takes it, and the names of the parameters that were left out because they have
/// no meaning here.
pub(super) fn for_driver(url: &str) -> (String, Vec<String>) {
    let Ok(mut parsed) = Url::parse(url) else {
        return (url.to_owned(), Vec::new());
    };
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    let known =
        |key: &str| PARAMETERS.contains(&key) || key == "application_name" || key.starts_with("options[");
    let (kept, ignored): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| known(key));
    if ignored.is_empty() {
        return (url.to_owned(), Vec::new());
    }
    parsed.set_query(None);
    if !kept.is_empty() {
        parsed.query_pairs_mut().extend_pairs(kept);
    }
    let names = ignored
        .iter()
        .map(|(key, _)| redact::word(key).to_owned())
        .collect();
    (parsed.into(), names)
}

fn sqlite(url: &str) -> Result<(), ConnectError> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.is_empty() {
        return Err(ConnectError::BadUrl(
            "it names no file. Its form is sqlite://path/to/file".to_owned(),
        ));
    }
    if path == ":memory:" || query.contains("mode=memory") {
        return Err(ConnectError::BadUrl(
            "a database in memory would be lost with the process. Name a file: sqlite://path/to/file"
                .to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_bad_url_is_repeated_but_its_scheme() {
        for bad in [
            "password=hunter2 host=x dbname=y",
            "host=x password=hunter2",
            "host=x:5432 password=hunter2",
            "password=hunter2://x",
            "hunter2",
            "",
            "mysql://root:hunter2@h/db",
            "postgres:hunter2",
            "postgres://u:p@hunter2#rd@h/db",
            "postgres://u:hunter2#rd@h/db",
            "postgres://u:1/hunter2@h/db",
            "postgres://u:1?hunter2@h/db",
            "postgres://u:hunter2/x@h/db",
            "postgres://u:hunter2",
            "postgres://u:1/hunter2/h",
            "sqlite:",
            "sqlite::memory:",
            "sqlite://x.db?mode=memory&key=hunter2",
        ] {
            let error = Location::parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{bad}: {error}");
            assert!(error.contains("DATABASE_URL"), "{bad}: {error}");
        }
        let error = Location::parse("postgres://u:p@w#rd@h/db")
            .expect_err("a #")
            .to_string();
        assert!(error.contains("%23") && error.contains("%40"), "{error}");
        assert!(!error.contains("w#rd") && !error.contains("p@w"), "{error}");
    }

    #[test]
    fn a_good_url_is_shown_without_password_and_query() {
        for (url, shown) in [
            (
                "postgres://amp:secret@db.example.com:5433/amp?sslmode=require",
                "postgres://amp@db.example.com:5433/amp",
            ),
            ("postgresql://amp@h/amp", "postgresql://amp@h/amp"),
            ("postgres://amp:p%40w%23rd@h/amp", "postgres://amp@h/amp"),
            ("postgres://amp:p@w@h/amp?password=secret", "postgres://amp@h/amp"),
            ("sqlite://amp.db?mode=rwc", "sqlite://amp.db"),
            ("sqlite:amp.db", "sqlite:amp.db"),
        ] {
            assert_eq!(Location::parse(url).expect(url).to_string(), shown);
        }
    }

    #[test]
    fn a_parameter_that_the_driver_does_not_know_is_left_out_and_its_value_is_not_told() {
        let (url, ignored) =
            for_driver("postgres://u:p@h/db?sslmode=require&pasword=hunter2&options=-c%20a%3Db");
        assert_eq!(url, "postgres://u:p@h/db?sslmode=require&options=-c+a%3Db");
        assert_eq!(ignored, ["pasword"]);
        let plain = "postgres://u:p@h/db?sslmode=require";
        assert_eq!(for_driver(plain), (plain.to_owned(), Vec::new()));
    }
}
