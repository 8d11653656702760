//! The map of CONTRIBUTING.md, held against the imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The texts between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Which modules of the crate a file names, apart from its unit tests.
fn used(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let word = |rest: &str| {
        rest.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .next()
            .map(str::to_owned)
    };
    lines
        .flat_map(|line| line.split("crate::").skip(1).filter_map(word).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect()
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_module_uses_what_the_map_does_not_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let rows: Vec<Vec<&str>> = map
        .lines()
        .skip_while(|line| !line.starts_with("| module |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').collect())
        .collect();
    let ground = names(rows.last().expect("a table")[1]);
    let mut below = BTreeSet::new();
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter().rev() {
        let uses = if row[3].trim() == "everything" {
            below.clone()
        } else {
            names(row[3])
        };
        assert!(
            uses.is_subset(&below),
            "{}: what it uses stands below it: {uses:?}",
            row[1]
        );
        for module in names(row[1]) {
            allowed.insert(module, uses.union(&ground).cloned().collect());
        }
        below.extend(names(row[1]));
    }
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    for file in found {
        let inside = file.strip_prefix(root.join("src")).unwrap();
        let module = inside.iter().next().unwrap().to_string_lossy().replace(".rs", "");
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = allowed
            .get(&module)
            .unwrap_or_else(|| panic!("`{module}` is not in the map"));
        let mut new = used(&file);
        new.retain(|word| {
            *word != module
                && !allowed.contains(word)
                && root.join("src").join(word).exists() | root.join("src").join(format!("{word}.rs")).exists()
        });
        assert!(
            new.is_empty(),
            "{} uses {new:?}: not in the map of CONTRIBUTING.md",
            inside.display()
        );
        let is_router = inside == Path::new("cli/serve.rs");
        assert!(
            module != "cli" || is_router || !used(&file).contains("api"),
            "{} knows `api`",
            inside.display()
        );
    }
}
