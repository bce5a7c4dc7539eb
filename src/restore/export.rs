//! A stored block as a plain tar stream, whatever codec it is kept in.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};

use super::permissions::Permissions;
use super::stage::refuse_without_room;
use super::stand_in::{StandIn, undeletes};
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::raw::{Folder, Links, temporary_dir};
use crate::repository::copies::Copies;
use crate::repository::lineage::{has_problems, is_better_told, is_damaged};
use crate::repository::portable::{TAR_BLOCK, TAR_BLOCK_BYTES, Visitor, tar_header};
use crate::repository::{Digest, FilePath, StoredBlock};
use crate::store::Store;
use crate::stored::StoredReader;
use crate::stored::{Detour, fetch_block};

/// `block` as another archive has it, if it was damaged when it was archived, or had wrong
/// metadata, and is sound there.
pub fn sound_copy<'c>(
    copies: &'c Copies,
    block: &StoredBlock,
) -> Option<(&'c StoredBlock, StandIn)> {
    if !has_problems(block) {
        return None;
    }
    let mut variants = copies.variants(block.ulid).into_iter();
    let copy = variants
        .find(|copy| is_better_told(copy, block) || is_damaged(block) && !is_damaged(copy))?;
    let undeleted = undeletes(copy, block);
    let stand_in = StandIn::new(block.ulid, vec![block.ulid], undeleted);
    Some((copy, stand_in))
}

/// Writes the files of `block` to `out` as a tar stream, below a directory that is called as its
/// ULID. An index that is rebuilt is kept in an unnamed temporary file meanwhile, because a tar
/// stream has one file after the other.
///
/// The objects are read through once before the first byte is written. If one of them is damaged,
/// the block is put together from whatever is sound, in a temporary directory; the answer says
/// where it came from.
///
/// # Errors
///
/// When nothing in the repository gives a file of the block, or `out` cannot be written. What was
/// written then is of no use.
pub fn export_tar(
    copies: &Copies,
    block: &StoredBlock,
    out: &mut (dyn Write + Send),
    progress: &dyn Progress,
) -> Result<Option<Detour>> {
    progress.begin("export", Some(block.bytes()));
    let mut tar = TarOut {
        out,
        root: block.ulid.to_string(),
        left: 0,
        padding: 0,
    };
    let is_sound = block.objects().all(|object| copies.is_sound(object));
    let detour = if is_sound {
        export_straight(copies.store(), block, &mut tar, progress)?;
        None
    } else {
        Some(export_fetched(copies, block, &mut tar, progress)?)
    };
    progress.end();
    tar.finish()?;
    Ok(detour)
}

fn export_straight(
    store: &dyn Store,
    block: &StoredBlock,
    tar: &mut TarOut<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let mut index = Spool::default();
    StoredReader::new(store, block).read_all(tar, &mut index, progress)?;
    index.pass_on(tar)
}

/// Puts the block together on disk first: what turns out wrong cannot be taken back from a stream.
fn export_fetched(
    copies: &Copies,
    block: &StoredBlock,
    tar: &mut TarOut<'_>,
    progress: &dyn Progress,
) -> Result<Detour> {
    let dir = temporary_dir()?;
    refuse_without_room(dir.path(), block.bytes())?;
    let whole = dir.path().join(block.ulid.to_string());
    let folder = Folder::open(dir.path(), Links::Refused)?.make(block.ulid.to_string().as_ref())?;
    let mut writer = Writer::new(folder, Permissions::default());
    let mut index = writer.beside();
    let fetched = fetch_block(copies, block, &mut writer, &mut index);
    writer.join(index);
    let detour = fetched?.outcome(&block.ulid.to_string(), None)?;
    let mut buffer = vec![0; 1 << 20];
    let mut files: Vec<_> = block.files.iter().collect();
    files.sort_by_key(|file| (file.packed, file.name.as_str() == "index"));
    for stored in files {
        let path = whole.join(&stored.name);
        let mut file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
        tar.begin(&stored.name, stored.bytes)?;
        loop {
            let read = file.read(&mut buffer);
            let read = read.map_err(|e| Error::io("read", &path, e))?;
            match buffer.get(..read) {
                Some(bytes) if !bytes.is_empty() => {
                    tar.data(bytes)?;
                    progress.advance(bytes.len() as u64);
                }
                _ => break,
            }
        }
        tar.end(&stored.name, stored.sha256)?;
    }
    Ok(detour)
}

/// Writes files as entries of a tar stream.
struct TarOut<'o> {
    out: &'o mut (dyn Write + Send),
    root: String,
    /// Bytes that the open entry still wants.
    left: u64,
    /// Zeros behind it.
    padding: u64,
}

impl TarOut<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(write_error)
    }

    fn finish(mut self) -> Result<()> {
        self.put(&[0; 2 * TAR_BLOCK_BYTES])?;
        self.out.flush().map_err(write_error)
    }
}

impl Visitor for TarOut<'_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        let header = tar_header(&format!("{}/{name}", self.root), bytes)?;
        self.left = bytes;
        self.padding = bytes.next_multiple_of(TAR_BLOCK) - bytes;
        self.put(&header)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| Error::corrupt("expected fewer bytes of a file"))?;
        self.put(bytes)
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        if self.left > 0 {
            return Err(Error::corrupt("expected more bytes of a file"));
        }
        let zeros = io::repeat(0).take(self.padding);
        io::copy(&mut { zeros }, self.out).map_err(write_error)?;
        Ok(())
    }
}

/// Keeps one file on disk, without a name, from when it begins.
#[derive(Default)]
struct Spool {
    file: Option<File>,
    kept: Option<(FilePath, u64, Digest)>,
    bytes: u64,
}

impl Spool {
    fn pass_on(self, tar: &mut TarOut<'_>) -> Result<()> {
        let Some(((name, bytes, sha256), mut file)) = self.kept.zip(self.file) else {
            return Ok(());
        };
        file.rewind().map_err(spool_error)?;
        tar.begin(&name, bytes)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer).map_err(spool_error)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            tar.data(bytes)?;
        }
        tar.end(&name, sha256)
    }
}

impl Visitor for Spool {
    fn begin(&mut self, _name: &FilePath, _bytes: u64) -> Result<()> {
        self.bytes = 0;
        self.file = Some(tempfile::tempfile().map_err(spool_error)?);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let mut file = self.file.as_ref().into_iter();
        file.try_for_each(|mut file| file.write_all(bytes))
            .map_err(spool_error)
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        self.kept = Some((name.clone(), self.bytes, sha256));
        Ok(())
    }
}

fn write_error(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot write the tar stream").with_source(source)
}

fn spool_error(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot keep an index in a temporary file").with_source(source)
}
