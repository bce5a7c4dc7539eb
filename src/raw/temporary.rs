//! Temporary directories that nobody else may look into.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::error::{Error, Result};

/// Makes a directory in `TMPDIR` for the owner alone, whatever the process' mask; it is removed
/// when it is dropped. Blocks that are unpacked there hold everybody's labels and samples.
///
/// # Errors
///
/// When it cannot be made.
pub fn temporary_dir() -> Result<TempDir> {
    let made = tempfile::Builder::new()
        .prefix("narthex-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir();
    let made = made.map_err(|e| Error::io("make a directory in", &std::env::temp_dir(), e))?;
    if let Ok(mut all) = MADE.lock() {
        all.retain(|dir| dir.exists());
        all.push(made.path().to_owned());
    }
    Ok(made)
}

/// The directories that [`temporary_dir`] has made and that are still there: a process that is
/// stopped removes none by itself.
pub fn temporary_dirs() -> Vec<PathBuf> {
    let made = MADE.lock().map(|all| all.clone()).unwrap_or_default();
    made.into_iter().filter(|dir| dir.exists()).collect()
}

static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How many bytes this process may still write on the file system of `dir`; `None` where nobody
/// knows.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let found = rustix::fs::statvfs(dir).ok()?;
    // File systems without a size of their own, as some over a network are, say 0.
    let is_known = found.f_blocks > 0;
    let blocks = if rustix::process::geteuid().is_root() {
        found.f_bfree
    } else {
        found.f_bavail
    };
    is_known.then(|| blocks.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_is_for_its_owner_alone() {
        let dir = temporary_dir().unwrap();
        let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
