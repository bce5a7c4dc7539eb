//! Who is at work in a directory, as far as this machine tells.

use std::fs;
use std::path::{Path, PathBuf};

/// A process that has something of a directory open.
#[derive(Debug)]
pub(super) struct User {
    /// Its number.
    pub(super) pid: u32,
    /// Its name.
    pub(super) name: String,
    /// What it has open.
    pub(super) path: PathBuf,
}

/// Another process that has a file below `dir` open. Those of other users are seen by root alone,
/// and those of another machine or container by nobody here.
pub(super) fn user_of(dir: &Path) -> Option<User> {
    let dir = dir.canonicalize().ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let mut others = pids.filter(|pid: &u32| *pid != std::process::id());
    others.find_map(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut paths = open.filter_map(|file| fs::read_link(file.path()).ok());
        let path = paths.find(|path| path.starts_with(&dir) && *path != dir)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(User {
            pid,
            name: name.trim().to_owned(),
            path,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_has_a_file_open_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        fs::write(&path, "").unwrap();
        // What this process has open itself does not count.
        let own = fs::File::open(&path).unwrap();
        assert!(user_of(dir.path()).is_none());
        let mut other = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(own))
            .spawn()
            .unwrap();
        let found = user_of(dir.path());
        other.kill().unwrap();
        other.wait().unwrap();
        let found = found.unwrap();
        assert_eq!(found.pid, other.id());
        assert!(found.path.ends_with("index"), "{}", found.path.display());
    }
}
