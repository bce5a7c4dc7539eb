//! Getting a file's bytes: by memory map, or by reading it.
//!
//! This file and `processor.rs` are the only ones of the crate with `unsafe` in them.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, Result};

/// How [`FileBytes::open`] gets at a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Map the file into memory: no copy, and the pages belong to the page cache.
    #[default]
    Map,
    /// Read it into memory (`--no-mmap`), for file systems that may truncate or lose files under a reader.
    Read,
}

/// The content of one file, immutable while it is held.
// What is inside is nobody else's to make: `release` relies on every map being one of a file.
#[derive(Debug)]
pub struct FileBytes(Content);

#[derive(Debug)]
enum Content {
    /// Mapped pages of a file, shared and never written to.
    Mapped(memmap2::Mmap),
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
        // Asked before it is opened: opening a named pipe waits for a writer that may never come.
        let metadata = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
        if !metadata.is_file() {
            return Err(not_regular(path));
        }
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
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
        #[expect(
            unsafe_code,
            reason = "a memory map cannot be made without; see SAFETY"
        )]
        // SAFETY: the map is read-only. What Rust cannot rule out is that the file changes or
        // shrinks under it: then a read may see other bytes, or the process gets SIGBUS. Prometheus never
        // does that to a block: index and segments are written under a temporary directory name and never
        // modified afterwards; deletion unlinks, which leaves open maps intact. meta.json and tombstones
        // are replaced by rename, which leaves the old inode to us. Files that are appended to in place
        // (WAL) only grow. For file systems that break these promises there is `ReadMode::Read`.
        let map = unsafe { memmap2::Mmap::map(file) };
        map.map(|map| FileBytes(Content::Mapped(map)))
            .map_err(|e| Error::io("map", path, e))
    }

    /// Says that the bytes from `start` to `end` are not needed soon, so that mapped pages of them do not count as memory of this process. They
    /// can be read all the same, from the page cache or the file. Advice only: where it cannot be given, nothing happens.
    pub fn release(&self, start: usize, end: usize) {
        let Content::Mapped(map) = &self.0 else {
            return;
        };
        let end = end.min(map.len());
        let Some(len) = end.checked_sub(start).filter(|len| *len > 0) else {
            return;
        };
        #[expect(unsafe_code, reason = "memmap2 cannot know what is mapped; see SAFETY")]
        // SAFETY: MADV_DONTNEED may change what slices of the map hold if pages are anonymous, or private and written to: they would
        // come back as zeros, or as the file has them. Neither is possible here. Every map is made by `Mmap::map` in this file, of a
        // file, shared, and read-only; nobody else can make a `Content::Mapped`. Its pages are those of the page cache, which
        // dropping does not change: the next access, by whoever holds a slice, maps the same page again. Whole pages are dropped,
        // also what of them lies beside the range, to which the same applies. If the file is changed or cut meanwhile, reads see
        // what they would see without this, see `FileBytes::of`.
        let advised =
            unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
        // Advice that is not taken costs memory and nothing else.
        drop(advised);
    }
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
