//! One version of Rust, wherever it is named.

use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("a file of the repository")
}

#[test]
fn the_toolchain_is_the_one_that_the_package_the_image_and_the_readme_name() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    for (file, part) in [
        ("rust-toolchain.toml", format!("channel = \"{version}.")),
        ("Dockerfile", format!("FROM rust:{version}-slim")),
        ("README.md", format!("Rust {version} or later")),
    ] {
        assert!(read(file).contains(&part), "{file} does not say {part}");
    }
}
