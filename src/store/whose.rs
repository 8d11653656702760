//! Whose database it is, and how old: decided from what lies in it before anything is written to it. What belongs to another
//! program is left as it is.

use sqlx::migrate::Migrator;

use super::ConnectError;

/// So many names of what was found are told.
const NAMES: usize = 5;

/// What opening a database may do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Bring it up to date: make the tables, run the migrations that are missing.
    Migrate,
    /// Make the tables when it is empty; one that is older than this program is refused. For commands that write a row or two.
    Use,
    /// Change nothing at all.
    Look,
}

/// What was found in a database.
#[derive(Debug, Default)]
pub(super) struct FoundTables {
    /// Its tables and views, without the list of migrations. Extensions' are not among them.
    pub tables: Vec<String>,
    /// The list of migrations.
    pub applied: Vec<AppliedMigration>,
}

/// A row of the list of migrations.
#[derive(Debug, Clone)]
pub(super) struct AppliedMigration {
    pub version: i64,
    pub name: String,
    pub checksum: Vec<u8>,
}

/// What a database is to this program.
#[derive(Debug, PartialEq, Eq)]
enum Ownership {
    Empty,
    Current,
    Older,
    Newer(i64),
    Altered(i64),
    Foreign(Vec<String>),
}

/// Whether there are migrations to be run, when a database may be opened so.
///
/// `place` and `advice` are for the error: where it is, and what to do when it is another program's.
pub(super) fn to_migrate(
    found: &FoundTables,
    ours: &Migrator,
    opening: Opening,
    place: &str,
    advice: &str,
) -> Result<bool, ConnectError> {
    let place = place.to_owned();
    let known = ours
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    let at = found
        .applied
        .iter()
        .map(|applied| applied.version)
        .max()
        .unwrap_or_default();
    match (standing(found, ours), opening) {
        (Ownership::Current, _) => Ok(false),
        (Ownership::Empty, Opening::Migrate | Opening::Use) | (Ownership::Older, Opening::Migrate) => {
            Ok(true)
        }
        (Ownership::Empty, Opening::Look) => Err(ConnectError::Empty { place }),
        (Ownership::Older, Opening::Use | Opening::Look) => Err(ConnectError::Older { place, at, known }),
        (Ownership::Newer(at), _) => Err(ConnectError::Newer { place, at, known }),
        (Ownership::Altered(version), _) => Err(ConnectError::Altered { place, version }),
        (Ownership::Foreign(names), _) => Err(ConnectError::NotOurs {
            place,
            names: listed(&names),
            advice: advice.to_owned(),
        }),
    }
}

/// The mark of our own is the first migration, letter for letter: other programs that keep such a list have others in it.
fn standing(found: &FoundTables, ours: &Migrator) -> Ownership {
    let checksum = |version: i64| {
        let known = ours.iter().find(|migration| migration.version == version);
        known.map(|migration| migration.checksum.as_ref())
    };
    let is_first =
        |applied: &AppliedMigration| applied.version == 1 && checksum(1) == Some(applied.checksum.as_slice());
    if !found.applied.iter().any(is_first) {
        return match (found.tables.as_slice(), found.applied.as_slice()) {
            ([], []) => Ownership::Empty,
            // A list of migrations and no tables.
            ([], applied) => Ownership::Foreign(
                applied
                    .iter()
                    .map(|one| format!("migration {}", one.name))
                    .collect(),
            ),
            (tables, _) => Ownership::Foreign(tables.to_vec()),
        };
    }
    let unknown = found
        .applied
        .iter()
        .find(|applied| checksum(applied.version).is_none());
    if let Some(unknown) = unknown {
        return Ownership::Newer(unknown.version);
    }
    let altered = found
        .applied
        .iter()
        .find(|applied| checksum(applied.version) != Some(applied.checksum.as_slice()));
    if let Some(altered) = altered {
        return Ownership::Altered(altered.version);
    }
    let applied = |version: i64| found.applied.iter().any(|applied| applied.version == version);
    if ours.iter().all(|migration| applied(migration.version)) {
        Ownership::Current
    } else {
        Ownership::Older
    }
}

/// A few names, and how many more.
fn listed(names: &[String]) -> String {
    let printable = |name: &String| -> String {
        let name = name.chars().take(60);
        name.map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect()
    };
    let shown: Vec<String> = names.iter().take(NAMES).map(printable).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations;

    fn applied(count: usize) -> Vec<AppliedMigration> {
        migrations::sqlite()
            .iter()
            .take(count)
            .map(|migration| AppliedMigration {
                version: migration.version,
                name: migration.description.to_string(),
                checksum: migration.checksum.to_vec(),
            })
            .collect()
    }

    fn tables(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_database_is_ours_by_its_first_migration() {
        let ours = migrations::sqlite();
        let all = ours.iter().count();
        let is = |tables: Vec<String>, applied: Vec<AppliedMigration>| {
            standing(&FoundTables { tables, applied }, &ours)
        };
        assert_eq!(is(vec![], vec![]), Ownership::Empty);
        assert_eq!(
            is(tables(&["projects", "mine"]), applied(all)),
            Ownership::Current
        );
        assert_eq!(is(tables(&["projects"]), applied(all - 1)), Ownership::Older);
        assert_eq!(
            is(tables(&["projects"]), vec![]),
            Ownership::Foreign(tables(&["projects"]))
        );

        // Another program with the same tool.
        let mut foreign = applied(1);
        foreign[0].checksum = vec![1; 48];
        assert_eq!(
            is(tables(&["users"]), foreign.clone()),
            Ownership::Foreign(tables(&["users"]))
        );
        foreign[0].name = "create users".to_owned();
        assert_eq!(
            is(vec![], foreign),
            Ownership::Foreign(vec!["migration create users".to_owned()])
        );
        let mut dated = applied(1);
        dated[0].version = 20_240_131_120_000;
        assert_eq!(
            is(tables(&["users"]), dated),
            Ownership::Foreign(tables(&["users"]))
        );

        let mut newer = applied(all);
        newer.push(AppliedMigration {
            version: 9_999,
            name: "later".to_owned(),
            checksum: vec![2; 48],
        });
        assert_eq!(is(vec![], newer), Ownership::Newer(9_999));
        let mut altered = applied(all);
        altered[1].checksum = vec![3; 48];
        assert_eq!(is(vec![], altered), Ownership::Altered(2));
    }

    #[test]
    fn only_who_may_migrates_and_who_looks_changes_nothing() {
        let ours = migrations::sqlite();
        let all = ours.iter().count();
        let asked = |count: usize, opening: Opening| {
            let found = FoundTables {
                tables: vec![],
                applied: applied(count),
            };
            to_migrate(&found, &ours, opening, "here", "").ok()
        };
        for (count, expected) in [
            (0, [Some(true), Some(true), None]),
            (all - 1, [Some(true), None, None]),
            (all, [Some(false); 3]),
        ] {
            let got = [Opening::Migrate, Opening::Use, Opening::Look].map(|opening| asked(count, opening));
            assert_eq!(got, expected, "{count} migrations");
        }
    }

    #[test]
    fn a_few_names_are_told_and_how_many_more_there_are() {
        assert_eq!(listed(&tables(&["a", "b\u{1b}[2J"])), "a, b\u{fffd}[2J");
        assert_eq!(
            listed(&tables(&["a", "b", "c", "d", "e", "f", "g"])),
            "a, b, c, d, e and 2 more"
        );
    }
}
