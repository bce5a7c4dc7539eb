//! Runs reading commands as a user does, on fixtures or on copies that can be damaged; no tests of
//! its own.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

use crate::fixtures::fixture;

/// What a command left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `narthex` in `fixtures/`, so that paths in its output are the same everywhere.
pub(crate) fn narthex(arguments: &[&str]) -> Ran {
    narthex_in(&fixture(""), arguments)
}

pub(crate) fn narthex_in(dir: &Path, arguments: &[&str]) -> Ran {
    let output = Command::cargo_bin("narthex")
        .unwrap()
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A copy of a fixture to damage.
pub(crate) struct Copy {
    dir: tempfile::TempDir,
    /// The one block, where the fixture has one.
    pub(crate) block: PathBuf,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(name), dir.path());
        let block = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        Copy {
            block: block.path(),
            dir,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Adds the blocks of another fixture.
    pub(crate) fn with(self, name: &str) -> Self {
        copy(&fixture(name), self.path());
        self
    }

    /// Changes the content of a file of the block.
    pub(crate) fn edit(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.block.join(file);
        let mut content = fs::read(&path).unwrap();
        change(&mut content);
        fs::write(&path, content).unwrap();
    }

    /// Runs `narthex COMMAND DIR ARGUMENTS` on the copy; its path is shown as DIR.
    pub(crate) fn narthex(&self, command: &str, arguments: &[&str]) -> Ran {
        let arguments = [&[command, "."], arguments].concat();
        narthex_in(self.path(), &arguments)
    }
}

fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let target = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
