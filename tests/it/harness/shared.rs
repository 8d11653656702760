//! Recorded cases that lie beside a checkout, where they do.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// This folder or file of theirs. Prints a line and answers `None` when it is not there.
pub fn recorded(path: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("AMP_SHARED_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// The rows of a file of JSON lines.
pub fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
