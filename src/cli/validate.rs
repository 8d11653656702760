//! `amp-write validate`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::connectors::Catalog;
use crate::manifest;
use crate::rules;

/// The largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Which manifest.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The manifest
    #[arg(default_value = "amp.yaml", value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &ValidateArgs) -> Result<(), String> {
    let (name, source) = read_manifest(&args.file)?;
    match rules::parse(&source, &Catalog::builtin()) {
        Ok(parsed) => {
            if !parsed.warnings.is_empty() {
                eprint!("{}", manifest::render_warnings(&parsed.warnings, &name));
            }
            let integrations = parsed.integrations.len();
            println!(
                "{name} is valid: {integrations} integration{}",
                if integrations == 1 { "" } else { "s" }
            );
            Ok(())
        }
        Err(issues) => {
            eprint!("{}", manifest::render(&issues, &name));
            Err(format!("{name} cannot be deployed; mend what is listed above"))
        }
    }
}

/// Reads a manifest; answers its name for messages, and its text.
pub(super) fn read_manifest(file: &Path) -> Result<(String, String), String> {
    let name = file.display().to_string();
    let size = std::fs::metadata(file)
        .map_err(|error| format!("{name} cannot be read: {error}"))?
        .len();
    if size > MAX_BYTES {
        return Err(format!(
            "{name} is larger than {MAX_BYTES} bytes; a manifest is a small file"
        ));
    }
    let source = std::fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok((name, source))
}
