//! All files of a block, and what else lies in its directory.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Miss;
use super::file::SourceFile;
use super::slots::{SLOTS, Slots};
use crate::error::Result;
use crate::raw::{Folder, FolderEntry, Links};
use crate::repository::FilePath;

/// How deep directories may be nested inside a block. Prometheus uses one level.
const MAX_DEPTH: usize = 8;

/// All files of a block, open.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    /// `meta.json` first, then by name.
    pub(crate) files: Vec<SourceFile>,
    /// What else the directory holds.
    pub(crate) listing: Listing,
    dir: Folder,
}

impl OpenBlock {
    /// Opens all files of the block in `dir`, which must not be a link itself where links are
    /// refused.
    ///
    /// The directory is listed again afterwards: a block that is deleted file by file (not by
    /// Prometheus, which renames first) shows another list, and is not taken.
    pub(crate) fn open(dir: &Path, links: Links) -> Result<Self, Miss> {
        Self::open_within(&SLOTS, Folder::open_entry(dir, links)?)
    }

    /// As [`OpenBlock::open`], for a block that was given by itself: it may be reached through
    /// links.
    pub(crate) fn open_given(dir: &Path, links: Links) -> Result<Self, Miss> {
        Self::open_within(&SLOTS, Folder::open(dir, links)?)
    }

    pub(super) fn open_within(slots: &'static Slots, dir: Folder) -> Result<Self, Miss> {
        let listing = Listing::of(&dir)?;
        let files = listing
            .files
            .iter()
            .map(|name| SourceFile::open_within(slots, &dir, name.clone()));
        let block = OpenBlock {
            files: files.collect::<Result<_>>()?,
            listing,
            dir,
        };
        if block.is_unchanged() {
            Ok(block)
        } else {
            Err(Miss::Vanished)
        }
    }

    /// Whether the directory still holds what it held when it was opened, and still has its name.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.dir.path().is_dir() && Listing::of(&self.dir).is_ok_and(|now| now == self.listing)
    }

    /// The file with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }

    /// Length of all files together, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Names of everything below a block directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    files: Vec<FilePath>,
    /// Directories that hold nothing.
    pub(crate) empty_dirs: Vec<FilePath>,
    /// Entries that cannot be archived, and why.
    pub(crate) strange: Vec<(PathBuf, &'static str)>,
}

impl Listing {
    fn of(dir: &Folder) -> Result<Self> {
        let mut listing = Listing::default();
        listing.add(dir, None, 0)?;
        listing.files.sort_by_cached_key(|name| {
            let is_meta = name.as_str() == "meta.json";
            (!is_meta, name.clone())
        });
        listing.empty_dirs.sort();
        listing.strange.sort();
        Ok(listing)
    }

    /// Whether something that Prometheus would read is not among the files.
    pub(crate) fn lacks_part(&self, dir: &Path) -> bool {
        self.strange.iter().any(|(path, _)| {
            let name = path.strip_prefix(dir).unwrap_or(path);
            let first = name.components().next();
            let parts = ["meta.json", "index", "tombstones", "chunks"];
            first.is_some_and(|first| parts.iter().any(|part| first.as_os_str() == *part))
        })
    }

    /// Adds what is in `dir`, which is called `inside` within the block, and says whether there was
    /// anything.
    fn add(&mut self, dir: &Folder, inside: Option<&FilePath>, depth: usize) -> Result<bool> {
        let entries = dir.entries()?;
        let any = !entries.is_empty();
        for FolderEntry {
            name,
            kind,
            is_link,
        } in entries
        {
            let path = dir.path().join(&name);
            let Some(full) = self::name(&path, inside) else {
                self.strange
                    .push((path, "expected a name that is plain text"));
                continue;
            };
            match kind {
                FileType::RegularFile => self.files.push(full),
                // Links to directories could lead in circles; only `chunks` on another disk has a
                // meaning.
                FileType::Directory
                    if depth < MAX_DEPTH && (!is_link || full.as_str() == "chunks") =>
                {
                    if !self.add(&dir.folder(name.as_ref())?, Some(&full), depth + 1)? {
                        self.empty_dirs.push(full);
                    }
                }
                FileType::Symlink => self.strange.push((
                    path,
                    "it is a symbolic link, which is not followed (--follow-links follows those that lead somewhere)",
                )),
                _ => self
                    .strange
                    .push((path, "expected a regular file or a directory")),
            }
        }
        Ok(any)
    }
}

/// What the entry at `path` is called within the block; `None` when a repository cannot hold the
/// name.
fn name(path: &Path, inside: Option<&FilePath>) -> Option<FilePath> {
    let own = path.file_name()?.to_str()?;
    let full = match inside {
        Some(dir) => format!("{dir}/{own}"),
        None => own.to_owned(),
    };
    FilePath::new(full).ok()
}
