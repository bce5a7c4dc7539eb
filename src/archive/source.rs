//! Files of a live directory, opened before anything is read of them.
//!
//! Prometheus never changes a block's index and segments, replaces `meta.json` and `tombstones` by rename, and
//! deletes by unlinking: an open file therefore keeps the content it had, whatever happens to its name. What
//! can race is the opening; [`open_block`] notices and says [`Miss::Vanished`], never half a block.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// How deep directories may be nested inside a block. Prometheus uses one level.
const MAX_DEPTH: usize = 8;

/// Why a block or log could not be opened as a whole.
#[derive(Debug)]
pub(super) enum Miss {
    /// It was deleted, or is being deleted or replaced: list again.
    Vanished,
    /// It is there but cannot be read.
    Unreadable(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Miss::Vanished,
            _ => Miss::Unreadable(error),
        }
    }
}

/// One open file, with the length it had when it was opened.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Its path inside the block or data directory, with `/` between components.
    pub(super) name: String,
    /// Where it was, for messages.
    pub(super) path: PathBuf,
    /// Its length in bytes; what is appended later does not count.
    pub(super) bytes: u64,
    file: File,
}

impl SourceFile {
    /// Opens the regular file at `path`.
    pub(super) fn open(path: PathBuf, name: String) -> Result<Self> {
        let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
        let metadata = file.metadata().map_err(|e| Error::io("stat", &path, e))?;
        if !metadata.is_file() {
            let path = path.display();
            return Err(Error::invalid(format!("{path} is not a regular file")));
        }
        Ok(SourceFile {
            bytes: metadata.len(),
            name,
            path,
            file,
        })
    }

    /// Its content from the beginning, as long as it was when it was opened.
    pub(super) fn reader(&self) -> Result<impl Read + Send + '_> {
        self.seek(0)?;
        Ok((&self.file).take(self.bytes))
    }

    /// At most `length` bytes from `offset` on; fewer where the file ends.
    pub(super) fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let offset = offset.min(self.bytes);
        self.seek(offset)?;
        let mut bytes = Vec::new();
        (&self.file)
            .take(length.min(self.bytes - offset))
            .read_to_end(&mut bytes)
            .map_err(|e| self.error("read", e))?;
        Ok(bytes)
    }

    /// An operating-system error that names this file.
    pub(super) fn error(&self, what: &str, source: io::Error) -> Error {
        Error::io(what, &self.path, source)
    }

    fn seek(&self, offset: u64) -> Result<()> {
        (&self.file)
            .seek(SeekFrom::Start(offset))
            .map(drop)
            .map_err(|e| self.error("seek in", e))
    }
}

/// All files of a block, open.
#[derive(Debug)]
pub(super) struct BlockFiles {
    /// `meta.json` first, then by name.
    pub(super) files: Vec<SourceFile>,
    /// Entries that cannot be archived: sockets, dangling links, names that are not UTF-8.
    pub(super) strange: Vec<PathBuf>,
}

impl BlockFiles {
    /// The file with this name.
    pub(super) fn get(&self, name: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Length of all files together, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Opens all files of the block at `dir`.
///
/// The directory is listed again afterwards: a block that is deleted file by file (not by Prometheus, which
/// renames first) shows another list, and is not taken.
pub(super) fn open_block(dir: &Path) -> Result<BlockFiles, Miss> {
    let listing = Listing::of(dir)?;
    let files = listing
        .files
        .iter()
        .map(|name| SourceFile::open(dir.join(name), name.clone()))
        .collect::<Result<Vec<_>>>()?;
    if Listing::of(dir)? != listing {
        return Err(Miss::Vanished);
    }
    Ok(BlockFiles {
        files,
        strange: listing.strange,
    })
}

/// Names of everything below a block directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    files: Vec<String>,
    strange: Vec<PathBuf>,
}

impl Listing {
    fn of(dir: &Path) -> Result<Self> {
        let mut listing = Listing::default();
        listing.add(dir, "", 0)?;
        listing
            .files
            .sort_by(|a, b| (a != "meta.json", a).cmp(&(b != "meta.json", b)));
        listing.strange.sort();
        Ok(listing)
    }

    fn add(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<()> {
        for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
            let entry = entry.map_err(|e| Error::io("list", dir, e))?;
            let path = entry.path();
            let name = entry.file_name();
            // A link counts as what it leads to, as it does for Prometheus when it opens the file. Links to
            // directories could lead in circles; only `chunks` on another disk has a meaning.
            match (name.to_str(), fs::metadata(&path)) {
                (Some(name), Ok(target)) if target.is_file() => {
                    self.files.push(format!("{prefix}{name}"));
                }
                (Some(name), Ok(target))
                    if target.is_dir()
                        && depth < MAX_DEPTH
                        && (!path.is_symlink() || (prefix, name) == ("", "chunks")) =>
                {
                    self.add(&path, &format!("{prefix}{name}/"), depth + 1)?;
                }
                (_, Err(error)) if !is_dangling(&path, &error) => {
                    return Err(Error::io("stat", &path, error));
                }
                _ => self.strange.push(path),
            }
        }
        Ok(())
    }
}

/// A link to nothing stays a link to nothing however often one looks; anything else that is not found has just
/// been deleted.
fn is_dangling(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && path.is_symlink()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(block: &BlockFiles) -> Vec<&str> {
        block.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn a_block_is_opened_whole_with_meta_json_first_and_strange_entries_named() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path();
        fs::create_dir_all(block.join("chunks")).unwrap();
        fs::create_dir_all(block.join("a/b")).unwrap();
        for name in ["index", "meta.json", "chunks/000001", "a/b/c"] {
            fs::write(block.join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", block.join("dangling")).unwrap();
        let opened = open_block(block).unwrap();
        assert_eq!(
            names(&opened),
            ["meta.json", "a/b/c", "chunks/000001", "index"]
        );
        #[cfg(unix)]
        assert_eq!(opened.strange, [block.join("dangling")]);
        assert_eq!(opened.bytes(), 9 + 5 + 13 + 5);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_files_and_chunks_are_followed_and_links_that_lead_in_circles_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        };
        fs::create_dir(dir.path().join("disk2")).unwrap();
        fs::write(dir.path().join("disk2/000001"), b"x").unwrap();
        link("disk2/000001", "index");
        link("disk2", "chunks");
        link("..", "up");
        link(".", "self");
        let block = open_block(dir.path()).unwrap();
        assert_eq!(names(&block), ["chunks/000001", "disk2/000001", "index"]);
        assert_eq!(block.strange.len(), 2);
    }

    #[test]
    fn an_open_file_keeps_its_content_and_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000001");
        fs::write(&path, b"0123456789").unwrap();
        let file = SourceFile::open(path.clone(), "wal/00000001".into()).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, b"appended"))
            .unwrap();
        fs::remove_file(&path).unwrap();
        let mut content = String::new();
        file.reader().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "0123456789");
        assert_eq!(file.read_at(8, 100).unwrap(), b"89");
        assert_eq!(file.read_at(100, 100).unwrap(), b"");
    }

    #[test]
    fn a_block_that_is_gone_has_vanished() {
        let dir = tempfile::tempdir().unwrap();
        let missing = open_block(&dir.path().join("missing"));
        assert!(matches!(missing, Err(Miss::Vanished)));
    }
}
