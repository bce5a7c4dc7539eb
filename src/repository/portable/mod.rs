//! The portable codec: files as a tar stream in independent zstd frames, with a seek table.
//!
//! `zstd -d | tar -x` reads an object without narthex; narthex itself writes and reads it in
//! parallel and takes single files out of the middle. `docs/repository-format.md` has every byte.
//!
//! Writing is deterministic: the same files at the same level give the same bytes. Everything is
//! streamed; a call holds at most two batches of [`frames_in_flight`] frames, raw and compressed.
//! That bound holds for calls from plain threads. A call from a rayon worker may be interrupted by
//! another one on the same stack, so do not spread objects over rayon's workers: the frames of one
//! object keep them busy.

mod buffer;
mod read;
mod seek_table;
mod spread;
mod stored;
mod tar_read;
mod tar_write;
mod visitor;
mod write;

use std::fs::File;
use std::io;

pub use read::{FileEntry, Object};
pub use spread::spread;
pub use stored::read_stored;
pub(crate) use tar_write::{
    BLOCK as TAR_BLOCK, BLOCK_BYTES as TAR_BLOCK_BYTES, header as tar_header,
};
pub use visitor::{NoVisitor, Visitor};
pub use write::{Staged, write};

use super::layout::FilePath;
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::raw::FileBytes;

/// Compression level used where none is asked for.
pub const DEFAULT_LEVEL: i32 = 2;

/// Raw bytes in every frame but the last.
pub const FRAME_BYTES: usize = 4 << 20;

/// Largest frame a reader accepts, in raw bytes: bounds what a hostile object can make it allocate.
const MAX_FRAME_BYTES: u32 = 16 << 20;

/// Most files a reader accepts in one object, for the same reason. Blocks have a few, WALs some
/// hundred.
const MAX_FILES: usize = 1 << 20;

/// The section that errors in the tar stream name.
const TAR: &str = "tar stream";

/// Frames in one batch: two for each thread, so that a slow one does not leave the others idle for
/// long, but at most four, because of the memory and because two large objects are in work at a
/// time.
pub fn frames_in_flight() -> usize {
    (2 * rayon::current_num_threads()).clamp(2, 4)
}

/// Under which directory the files of an object extract by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Files of a block: below a directory that has its ULID for a name.
    Block(Ulid),
    /// Files of a data directory (`wal/…`, `wbl/…`): as they are called there.
    Data,
}

impl Root {
    /// The path of a file in the tar stream.
    fn path(self, name: &FilePath) -> String {
        match self {
            Root::Block(ulid) => format!("{ulid}/{name}"),
            Root::Data => name.to_string(),
        }
    }

    /// The file that has `path` in the tar stream.
    fn name(self, path: &str) -> Result<FilePath> {
        let inside = match self {
            Root::Data => Some(path),
            Root::Block(ulid) => path
                .strip_prefix(&ulid.to_string())
                .and_then(|rest| rest.strip_prefix('/')),
        };
        match inside {
            Some(name) => FilePath::new(name),
            None => Err(Error::refused(format!(
                "expected a file below the block's directory, found {path:?}"
            ))),
        }
    }
}

/// Bytes of one file to be stored, readable at any offset from any thread.
pub trait SourceContent: Sync {
    /// Their number; asked for before the first byte is read and again after the last.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when there are not that many.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// A file to be stored.
#[derive(Clone)]
pub struct SourceFile<'a> {
    /// Its name below the [`Root`].
    pub name: FilePath,
    /// Its bytes.
    pub content: &'a dyn SourceContent,
}

impl std::fmt::Debug for SourceFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceFile").field(&self.name).finish()
    }
}

impl SourceContent for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.saturating_add(buffer.len());
        let bytes = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl SourceContent for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl SourceContent for FileBytes {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl SourceContent for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}
