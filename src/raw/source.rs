//! Getting a file's bytes: by memory map, or by reading it.

use std::fs::{File, Metadata};
use std::io::Read;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::map::{Map, UnreadablePages};
use crate::error::{Error, Result};

/// How [`FileBytes::open`] gets at a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Map the file into memory: no copy, and the pages belong to the page cache.
    #[default]
    Map,
    /// Read it into memory (`--no-mmap`), for file systems that may truncate or lose files under a
    /// reader.
    Read,
}

/// The content of one file, immutable while it is held.
#[derive(Debug)]
pub struct FileBytes(Content);

#[derive(Debug)]
enum Content {
    /// Mapped pages of a file, shared and never written to.
    Mapped(Map),
    /// A copy, or an empty file (which cannot be mapped).
    Owned(Vec<u8>),
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        FileBytes(Content::Owned(bytes))
    }
}

impl FileBytes {
    /// Opens the regular file at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is not a regular file, or cannot be mapped or read.
    pub fn open(path: &Path, mode: ReadMode) -> Result<Self> {
        let file = open_file(path).map_err(|e| Error::io("open", path, e))?;
        Self::of(&file, path, mode)
    }

    /// The content of `file`, already open; `path` is for errors only.
    ///
    /// # Errors
    ///
    /// As [`FileBytes::open`].
    pub fn of(mut file: &File, path: &Path, mode: ReadMode) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| Error::io("stat", path, e))?;
        if !metadata.is_file() {
            return Err(not_regular(path));
        }
        if metadata.len() == 0 || mode == ReadMode::Read {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)
                .map_err(|e| Error::io("read", path, e))?;
            return Ok(bytes.into());
        }
        Map::new(file, path)
            .map(|map| FileBytes(Content::Mapped(map)))
            .map_err(|e| Error::io("map", path, e))
    }

    /// Says that the bytes from `start` to `end` are not needed soon, so that mapped pages of them
    /// do not count as memory of this process. They can be read all the same, from the page
    /// cache or the file. Advice only: where it cannot be given, nothing happens.
    pub fn release(&self, start: usize, end: usize) {
        if let Content::Mapped(map) = &self.0 {
            map.release(start, end);
        }
    }

    /// The pages of the file that the disk could not read so far, which were taken for zeros.
    /// `None` for a file that was read into memory: then opening it failed.
    pub fn unreadable(&self) -> Option<UnreadablePages> {
        match &self.0 {
            Content::Mapped(map) => map.unreadable(),
            Content::Owned(_) => None,
        }
    }
}

/// The content of the regular file at `path`, of which no more than `max_bytes` are ever read.
///
/// # Errors
///
/// When it cannot be opened or read, or is not a regular file; `Corrupt` when it is longer.
pub fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    read_trusted(path, max_bytes, |_| Ok(()))
}

/// The same for a file that is only read if `judge` has nothing against it: what is judged is what
/// is read, whoever puts another in its place meanwhile.
///
/// # Errors
///
/// As [`read_bounded`], and what `judge` says.
pub fn read_trusted(
    path: &Path,
    max_bytes: u64,
    judge: impl FnOnce(&Metadata) -> Result<()>,
) -> Result<Vec<u8>> {
    let file = open_file(path).map_err(|e| Error::io("open", path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io("stat", path, e))?;
    if !metadata.is_file() {
        return Err(not_regular(path));
    }
    judge(&metadata)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(max_bytes.saturating_add(1));
    bounded
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > max_bytes {
        return Err(Error::corrupt(format!(
            "expected at most {max_bytes} bytes in {}, found more",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Opens `path` for reading. A named pipe is not waited for: it opens at once, and is no regular
/// file.
fn open_file(path: &Path) -> std::io::Result<File> {
    let not_waiting = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(not_waiting.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

fn not_regular(path: &Path) -> Error {
    Error::invalid(format!("{} is not a regular file", path.display()))
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Mapped(map) => map,
            Content::Owned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_read_bytes_are_the_same_and_empty_files_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for content in [&b""[..], b"some bytes"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(&*FileBytes::open(&path, ReadMode::Map).unwrap(), content);
            assert_eq!(&*FileBytes::open(&path, ReadMode::Read).unwrap(), content);
        }
        assert!(
            FileBytes::open(dir.path(), ReadMode::Map).is_err(),
            "a directory is no file"
        );
    }

    #[test]
    fn released_bytes_are_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        for mode in [ReadMode::Map, ReadMode::Read] {
            let bytes = FileBytes::open(&path, mode).unwrap();
            assert_eq!(&*bytes, &content[..]);
            for (start, end) in [
                (0, 100_000),
                (5000, 9000),
                (7, 8),
                (9, 3),
                (99_999, usize::MAX),
                (usize::MAX, 0),
            ] {
                bytes.release(start, end);
                assert_eq!(&*bytes, &content[..]);
            }
        }
    }

    #[test]
    fn a_map_outlives_deletion_and_replacement_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meta.json");
        std::fs::write(&path, b"old").unwrap();
        let bytes = FileBytes::open(&path, ReadMode::Map).unwrap();
        std::fs::write(dir.path().join("new"), b"newer").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(&*bytes, b"old");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&*bytes, b"old");
    }
}
