//! The recorded cases that lie beside a checkout, where they do.

use std::path::PathBuf;

use serde_json::Value;

/// The folder with recorded cases; prints one line and answers `None` when it is not there.
pub fn folder() -> Option<PathBuf> {
    let root = match std::env::var_os("AMP_SHARED_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let providers = root.join("providers");
    if providers.is_dir() {
        return Some(providers);
    }
    println!("skipped: there are no recorded cases at {}", providers.display());
    None
}

/// The rows of a file of JSON lines.
pub fn rows(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}
