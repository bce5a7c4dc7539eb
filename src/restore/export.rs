//! A stored block as a plain tar stream, whatever codec it is kept in.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};

use crate::dense::read_packed;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::repository::portable::{Root, Visitor, read_stored};
use crate::repository::{Digest, FilePath, StoredBlock};
use crate::store::Store;

/// Bytes of one tar block.
const BLOCK_BYTES: usize = 512;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Writes the files of `block` to `out` as a tar stream, below a directory that is called as its ULID. An index that is rebuilt
/// is kept in an unnamed temporary file meanwhile, because a tar stream has one file after the other.
///
/// # Errors
///
/// When the block is damaged in the repository, or `out` cannot be written. What was written then is of no use.
pub fn export_tar(
    store: &dyn Store,
    block: &StoredBlock,
    out: &mut (dyn Write + Send),
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin("export", Some(block.bytes()));
    let mut tar = TarOut {
        out,
        root: block.ulid.to_string(),
        left: 0,
        padding: 0,
    };
    let root = Root::Block(block.ulid);
    for object in block.file_objects() {
        read_stored(
            store,
            object,
            root,
            block.files_from(object),
            &mut tar,
            progress,
        )?;
    }
    if !block.packs.is_empty() {
        let mut index = Spool::new()?;
        read_packed(store, block, &mut tar, &mut index, progress)?;
        index.pass_on(&mut tar)?;
    }
    progress.end();
    tar.finish()
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
        self.put(&[0; 2 * BLOCK_BYTES])?;
        self.out.flush().map_err(write_error)
    }
}

impl Visitor for TarOut<'_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(bytes);
        let path = format!("{}/{name}", self.root);
        // Longer paths than a header holds go into an entry of their own before it.
        if header.set_path(&path).is_err() {
            let mut long = tar::Header::new_gnu();
            long.set_entry_type(tar::EntryType::GNULongName);
            long.set_size(path.len() as u64 + 1);
            long.set_mode(0o644);
            let _ = long.set_path("././@LongLink");
            long.set_cksum();
            self.put(long.as_bytes())?;
            let mut content = path.clone().into_bytes();
            content.resize((content.len() + 1).next_multiple_of(BLOCK_BYTES), 0);
            self.put(&content)?;
            let short: String = path.chars().take(60).collect();
            let _ = header.set_path(short);
        }
        header.set_cksum();
        self.left = bytes;
        self.padding = bytes.next_multiple_of(BLOCK) - bytes;
        self.put(header.as_bytes())
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

/// Keeps one file on disk, without a name.
struct Spool {
    file: File,
    kept: Option<(FilePath, u64, Digest)>,
    bytes: u64,
}

impl Spool {
    fn new() -> Result<Self> {
        Ok(Spool {
            file: tempfile::tempfile().map_err(spool_error)?,
            kept: None,
            bytes: 0,
        })
    }

    fn pass_on(mut self, tar: &mut TarOut<'_>) -> Result<()> {
        let Some((name, bytes, sha256)) = self.kept.take() else {
            return Ok(());
        };
        self.file.rewind().map_err(spool_error)?;
        tar.begin(&name, bytes)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer).map_err(spool_error)?;
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
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(spool_error)
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
