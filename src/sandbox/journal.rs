//! The journal: one JSON line per change, written before the answer, replayed at start.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::lock;
use super::message::Provider;

/// One line: whose state changed, and its new form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// The simulator; `None` for what belongs to none (tokens, ledger).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub kind: String,
    pub value: Value,
}

/// A line read back; its value is read by whoever it belongs to.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    #[serde(default)]
    pub provider: Option<Provider>,
    #[serde(default)]
    pub account: Option<String>,
    pub kind: String,
    pub value: Box<RawValue>,
}

impl Line {
    pub fn hubspot(account: &str, kind: &str, value: Value) -> Self {
        Self::account(Provider::HubSpot, account, kind, value)
    }

    pub fn salesforce(account: &str, kind: &str, value: Value) -> Self {
        Self::account(Provider::Salesforce, account, kind, value)
    }

    fn account(provider: Provider, account: &str, kind: &str, value: Value) -> Self {
        Self {
            provider: Some(provider),
            account: Some(account.to_owned()),
            kind: kind.to_owned(),
            value,
        }
    }

    pub fn global(kind: &str, value: Value) -> Self {
        Self {
            provider: None,
            account: None,
            kind: kind.to_owned(),
            value,
        }
    }
}

/// Why a journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be read or written.
    #[error("journal {path}: {source}")]
    Io {
        /// The journal's path.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line in the middle is no journal line.
    #[error(
        "journal {path}, line {line}: {source}; the file was changed by something else, move it away to start afresh"
    )]
    Line {
        /// The journal's path.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What was wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
}

impl Journal {
    /// Opens the journal, makes it when absent, and gives its lines to `each`. A last line that was cut
    /// off by a crash is removed: its request was never answered.
    pub fn open(
        path: &Path,
        mut each: impl FnMut(Kept) -> Result<(), serde_json::Error>,
    ) -> Result<Self, JournalError> {
        let shown = path.display().to_string();
        let io = |source| JournalError::Io {
            path: shown.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(io)?;
        let mut good: u64 = 0;
        let mut reader = BufReader::new(&mut file);
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(io)?;
            if read == 0 || text.last() != Some(&b'\n') {
                break;
            }
            let read_line = serde_json::from_slice::<Kept>(&text).and_then(&mut each);
            read_line.map_err(|source| JournalError::Line {
                path: shown.clone(),
                line: number,
                source,
            })?;
            good += read as u64;
        }
        drop(reader);
        file.set_len(good).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Appends lines with one write. The operating system has them when this returns, so they outlive
    /// the process (though not the machine: there is no fsync).
    pub fn append(&self, lines: &[Line]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        lock(&self.file).write_all(&text)
    }

    /// Empties the journal.
    pub fn clear(&self) -> std::io::Result<()> {
        lock(&self.file).set_len(0)
    }
}
