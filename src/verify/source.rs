//! The files of a block, opened: all that verification needs of one, wherever it lies.
//!
//! [`BlockSource::open`] is the one function that opens files of a block to be verified. What
//! cannot be opened is kept as the error that it was: the checks say what it means.

use std::path::{Path, PathBuf};

use crate::block::{BlockFiles, Meta, read_meta_bytes, read_meta_file};
use crate::error::Result;
use crate::raw::{FileBytes, Folder, Links, ReadMode};

/// The files of one block as bytes, or why there are none. The block need not lie in a directory.
#[derive(Debug)]
pub struct BlockSource {
    /// What there is. Findings name paths below its directory.
    pub files: BlockFiles,
    /// `meta.json`.
    pub meta: Result<FileBytes>,
    /// `index`.
    pub index: Result<FileBytes>,
    /// `tombstones`, if the block has such a file.
    pub tombstones: Option<Result<FileBytes>>,
    /// The segments, in the order in which `files` names them.
    pub segments: Vec<Result<FileBytes>>,
    /// The directory with the files that metadata of Thanos declare. Without one they are not
    /// compared with it.
    pub declared_in: Option<PathBuf>,
}

/// Where declared files lie.
pub(super) struct Declared {
    /// Whatever is named.
    pub(super) named: Folder,
    /// Without what links lead to, which may be nobody's business.
    pub(super) own: Folder,
}

impl BlockSource {
    /// Opens the files of the block in `dir`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed; [`NotFound`](crate::ErrorKind::NotFound) when there is
    /// none.
    pub fn open(dir: &Path, mode: ReadMode) -> Result<Self> {
        let files = BlockFiles::scan(dir)?;
        let tombstones = files.has_tombstones.then(|| files.tombstones());
        let segments = files.segments.iter().map(|name| files.segment(name));
        Ok(BlockSource {
            meta: read_meta_bytes(&files),
            index: FileBytes::open(&files.index(), mode),
            tombstones: tombstones.map(|path| FileBytes::open(&path, mode)),
            segments: segments.map(|path| FileBytes::open(&path, mode)).collect(),
            declared_in: Some(dir.to_owned()),
            files,
        })
    }

    /// Opens the directory with declared files.
    pub(super) fn declared(&self) -> Option<Declared> {
        let dir = self.declared_in.as_ref()?;
        Some(Declared {
            named: Folder::open(dir, Links::Followed).ok()?,
            own: Folder::open(dir, Links::Refused).ok()?,
        })
    }
}

/// What `meta.json` says in a directory that cannot be listed, where it can be read all the same.
pub(super) fn meta_of_unlisted(dir: &Path) -> Option<Meta> {
    let content = read_meta_file(&dir.join("meta.json")).ok()?;
    Meta::parse(&content).ok()
}
