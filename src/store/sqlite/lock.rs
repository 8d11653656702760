//! One process for one file, whatever it is called.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::store::ConnectError;

/// What this process holds of a database, as long as the store lives: the operating system lets go of it when the process
/// dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    /// The lock file beside it: what earlier versions, and systems without the other one, go by.
    _beside: File,
    /// The file itself, which a link, a move or another mount cannot rename.
    _itself: Itself,
}

impl Lock {
    /// Takes the file, and makes it when it is not there.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub(super) fn take(database: &Path) -> Result<Self, ConnectError> {
        let failed = |path: &Path, error: std::io::Error| ConnectError::File {
            path: path.display().to_string(),
            cause: error.to_string(),
        };
        let in_use = || ConnectError::InUse {
            path: database.display().to_string(),
        };
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            options.open(path).map_err(|error| failed(path, error))
        };
        let itself = Itself(Some(open(database)?));
        // Through a symbolic link everything, the log and the lock, lies beside the file itself.
        let real = std::fs::canonicalize(database).map_err(|error| failed(database, error))?;
        let path = super::beside(&real, ".lock");
        let beside = open(&path)?;
        match beside.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
        if !itself.try_lock() {
            return Err(in_use());
        }
        tell_of_other_names(&real);
        Ok(Self {
            _beside: beside,
            _itself: itself,
        })
    }
}

/// The open database file. It is never closed: closing any descriptor of a file ends all of the process's record locks on it,
/// those of SQLite's own connections too. The few that a process opens go with it.
#[derive(Debug)]
struct Itself(Option<File>);

impl Itself {
    /// On Linux these locks and those of SQLite do not mind each other. Elsewhere they may be the same ones, and SQLite would
    /// wait for this process itself; and a file system that has none cannot be asked.
    fn try_lock(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return true;
        }
        let held = self.0.as_ref().map(File::try_lock);
        !matches!(held, Some(Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Itself {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // Fails only for what is not locked.
            let _ = file.unlock();
            std::mem::forget(file);
        }
    }
}

/// SQLite finds the log of a file by the file's name: under another name, what is in the log would be missing.
fn tell_of_other_names(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path)
        && std::os::unix::fs::MetadataExt::nlink(&metadata) > 1
    {
        tracing::warn!(
            path = %path.display(),
            "the database file has more than one name (hard links): always start amp-write with this one, or what was \
             written last can be missing; better remove the others"
        );
    }
    #[cfg(not(unix))]
    let _ = path;
}
