//! Files of one block, or of the logs, on their way to the disk.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::permissions::Permissions;
use crate::error::{Error, ErrorKind, Result};
use crate::raw::Folder;
use crate::repository::portable::Visitor;
use crate::repository::{Digest, FilePath};
use crate::stored::Sink;

/// How many files of one block may be on their way to the disk while the next one is written.
const MAX_SYNCING: usize = 4;

/// Writes the files of one block, or of the logs, below a staged directory.
#[derive(Debug)]
pub(super) struct Writer {
    root: Arc<Folder>,
    permissions: Permissions,
    /// The directory that was written to last, by its name below the root.
    last: Option<(PathBuf, Folder)>,
    current: Option<(PathBuf, File)>,
    /// Files that are complete and on their way to the disk.
    syncing: VecDeque<(PathBuf, JoinHandle<io::Result<()>>)>,
    /// Set when the target failed, not the repository: then nothing can go on.
    failed: bool,
}

impl Writer {
    /// Writes below `root`, which is empty. Files and directories get `permissions` when they are
    /// made durable.
    pub(super) fn new(root: Folder, permissions: Permissions) -> Self {
        Writer {
            root: Arc::new(root),
            permissions,
            last: None,
            current: None,
            syncing: VecDeque::new(),
            failed: false,
        }
    }

    /// Another writer below the same directory, for files that are written at the same time.
    pub(super) fn beside(&self) -> Self {
        Writer {
            root: Arc::clone(&self.root),
            permissions: self.permissions,
            last: None,
            current: None,
            syncing: VecDeque::new(),
            failed: false,
        }
    }

    /// Takes over what a writer beside this one has begun.
    pub(super) fn join(&mut self, other: Writer) {
        self.syncing.extend(other.syncing);
        self.failed |= other.failed;
    }

    /// Removes what has been written, to begin anew.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.current = None;
        self.last = None;
        self.await_syncs(0)?;
        let entries = self.root.entries();
        let removed = entries.and_then(|entries| {
            let mut entries = entries.iter();
            entries.try_for_each(|entry| self.root.remove_all(&entry.name))
        });
        self.check(removed)
    }

    /// Makes the directory `name`, and those above it.
    pub(super) fn make_dir(&mut self, name: &str) -> Result<()> {
        let made = self.folder(name.as_ref()).map(drop);
        self.check(made)
    }

    /// Removes what was written as `name`, if there is any.
    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        self.last = None;
        self.await_syncs(0)?;
        match self.root.remove_all(name.as_ref()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => self.check(removed),
        }
    }

    /// Makes everything durable: files, then the directories they are in.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.await_syncs(0)?;
        let synced = self.permissions.finish(&self.root);
        self.failed |= synced.is_err();
        synced
    }

    /// The directory `name` below the root, made if need be.
    fn folder(&mut self, name: &Path) -> Result<&Folder> {
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last == name);
        if !is_last {
            let mut folder = self.root.again()?;
            for part in name {
                folder = match folder.make(part) {
                    Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                        folder.folder(part.as_ref())?
                    }
                    made => made?,
                };
            }
            self.last = Some((name.to_owned(), folder));
        }
        let folder = self.last.as_ref().map(|(_, folder)| folder);
        folder.ok_or_else(|| Error::invalid(name.display().to_string()))
    }

    fn create(&mut self, name: &FilePath) -> Result<File> {
        let path: &Path = name.as_ref();
        let last = path.file_name().unwrap_or(OsStr::new(""));
        let parent = path.parent().unwrap_or(Path::new(""));
        self.folder(parent)?.create(last)
    }

    /// Waits until at most `max` files are on their way to the disk.
    fn await_syncs(&mut self, max: usize) -> Result<()> {
        while self.syncing.len() > max
            && let Some((path, thread)) = self.syncing.pop_front()
        {
            let gone = |_| Err(io::Error::other("the thread that synced it has died"));
            let synced = thread.join().unwrap_or_else(gone);
            self.check(synced.map_err(|e| Error::io("sync", &path, e)))?;
        }
        Ok(())
    }

    /// Tells trouble with the target from trouble that the names themselves make, when a manifest
    /// says that something is a file and a directory at once or gives one name twice.
    fn check<T>(&mut self, done: Result<T>) -> Result<T> {
        done.map_err(|error| {
            if is_of_names(&error) {
                return Error::corrupt("expected names that fit beside each other")
                    .with_source(error);
            }
            self.failed = true;
            error
        })
    }
}

fn is_of_names(error: &Error) -> bool {
    use io::ErrorKind as Io;
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    let kind = source.map(io::Error::kind);
    matches!(
        kind,
        Some(Io::AlreadyExists | Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename)
    )
}

impl Visitor for Writer {
    fn begin(&mut self, name: &FilePath, _bytes: u64) -> Result<()> {
        let created = self.create(name);
        let file = self.check(created)?;
        self.current = Some((self.root.path().join(name), file));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((path, file)) = &mut self.current else {
            return Ok(());
        };
        let written = file
            .write_all(bytes)
            .map_err(|e| Error::io("write", path, e));
        self.check(written)
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        let Some((path, file)) = self.current.take() else {
            return Ok(());
        };
        // The disk works on this file while the next one is computed.
        let begun = thread::Builder::new().spawn(move || file.sync_all());
        let begun = begun.map_err(|e| Error::io("sync", &path, e));
        let thread = self.check(begun)?;
        self.syncing.push_back((path, thread));
        self.await_syncs(MAX_SYNCING)
    }
}

impl Sink for Writer {
    fn takes(&self, _name: &FilePath) -> bool {
        true
    }

    fn abandon(&mut self) -> Result<()> {
        let Some((path, _)) = self.current.take() else {
            return Ok(());
        };
        let name = path
            .strip_prefix(self.root.path())
            .unwrap_or(&path)
            .to_owned();
        let parent = name.parent().unwrap_or(Path::new(""));
        let last = name.file_name().unwrap_or(OsStr::new(""));
        let removed = self
            .folder(parent)
            .and_then(|folder| folder.remove_all(last));
        self.check(removed)
    }

    fn has_failed(&self) -> bool {
        self.failed
    }
}

/// Writes files below a directory of a writer.
pub(super) struct Below<'w> {
    /// The directory.
    pub(super) prefix: &'w str,
    /// The writer.
    pub(super) writer: &'w mut Writer,
}

impl Visitor for Below<'_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        let name = FilePath::new(format!("{}/{name}", self.prefix))?;
        self.writer.begin(&name, bytes)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.data(bytes)
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        self.writer.end(name, sha256)
    }
}
