//! Files of a stored block, as they were.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{INDEX, META, StoredReader};
use crate::block::{META_VERSION, Meta};
use crate::dense::read_packed;
use crate::error::{Error, ErrorKind, InFile as _, Result};
use crate::index::{Index, IndexFormat};
use crate::model::{MAX_META_BYTES, Ulid};
use crate::progress::{Progress, Silent as NoProgress};
use crate::raw::{FileBytes, ReadMode};
use crate::repository::portable::{FileEntry, NoVisitor, Object, Root, Visitor, read_stored};
use crate::repository::{Digest, FilePath, StoredFile, StoredObject};
use crate::store::{ObjectName, Store};

impl StoredReader<'_> {
    /// Passes all files to visitors: an index that is rebuilt to `index`, while segments go to
    /// `files`; all others to `files`. Each is held to its size and its digest, and each object
    /// that holds files to its own.
    ///
    /// # Errors
    ///
    /// `Corrupt` when a file does not come back as it was; whatever a visitor says. What was passed
    /// on then is of no use.
    pub fn read_all(
        &self,
        files: &mut dyn Visitor,
        index: &mut dyn Visitor,
        progress: &dyn Progress,
    ) -> Result<()> {
        let root = Root::Block(self.block.ulid);
        for object in self.block.file_objects() {
            let held = self.block.files_from(object);
            read_stored(self.store, object, root, held, files, progress)?;
        }
        if self.is_packed() {
            self.expect_packs()?;
            read_packed(self.store, self.block, files, index, progress)?;
        }
        Ok(())
    }

    /// Writes the bytes of `file`, one of the block's, to `out`. Of an object that holds files only
    /// the parts with this one and with the names of all are read; to rebuild a file takes all
    /// the packs.
    ///
    /// # Errors
    ///
    /// `Corrupt` when they are not what the manifest says; when they cannot be written. What was
    /// written then is of no use.
    pub fn read_file(&self, file: &StoredFile, out: &mut (dyn Write + Send)) -> Result<()> {
        Objects::of(*self).read_file(file, out)
    }

    /// The content of `file`, one of the block's that has at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// `Unsupported` when it is larger; as [`StoredReader::read_file`].
    pub fn content(&self, file: &StoredFile, max_bytes: u64) -> Result<Vec<u8>> {
        Objects::of(*self).content(file, max_bytes)
    }

    /// The content of the file `name`, of at most `max_bytes`, which the block's own object holds
    /// beside the block's files; `None` where there is none. No manifest has its digest: it is
    /// held to the checksum of the part that it is in.
    ///
    /// # Errors
    ///
    /// When the object, or that part of it, cannot be read; when the file is larger.
    pub fn content_beside(&self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        let stored = &self.block.object.name;
        let mut object = Object::open(self.store, stored, Root::Block(self.block.ulid))?;
        let entries = object.entries()?;
        let mut entries = entries.iter();
        let entry = entries.find(|entry| entry.name.as_str() == name);
        entry
            .map(|entry| object.read_file(entry, max_bytes))
            .transpose()
    }
}

/// The content of `wanted`, a file of the block `ulid` of at most `max_bytes`, in the object
/// `name`, whatever that was stored for; `None` where it is not there, or not as it should be.
///
/// # Errors
///
/// When the object, or the part of it that holds the file, cannot be read.
pub fn content_in(
    store: &dyn Store,
    name: &ObjectName,
    ulid: Ulid,
    wanted: &StoredFile,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>> {
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    for entry in object.entries()? {
        if entry.name == wanted.name && entry.bytes == wanted.bytes {
            let content = object.read_file(&entry, max_bytes)?;
            return Ok(Some(content).filter(|content| Digest::of(content) == wanted.sha256));
        }
    }
    Ok(None)
}

/// The objects of a block that hold files, opened as they are needed.
#[derive(Debug)]
pub(super) struct Objects<'s> {
    reader: StoredReader<'s>,
    opened: Vec<Opened<'s>>,
}

#[derive(Debug)]
struct Opened<'s> {
    stored: &'s StoredObject,
    object: Object<'s>,
    entries: Vec<FileEntry>,
}

impl<'s> Objects<'s> {
    /// The objects of the block of `reader`, none of them open.
    pub(super) fn of(reader: StoredReader<'s>) -> Self {
        Objects {
            reader,
            opened: Vec::new(),
        }
    }

    /// The object that holds `file` whole, by its number, and where in it.
    pub(super) fn find(&mut self, file: &StoredFile) -> Result<(usize, FileEntry)> {
        let stored = self.reader.object_of(file)?;
        let known = self.opened.iter().position(|known| known.stored == stored);
        let number = known.unwrap_or(self.opened.len());
        if known.is_none() {
            let known = stored.codec.expect_files();
            known.map_err(|e| e.context(format!("object {}", stored.name)))?;
            let root = Root::Block(self.reader.block.ulid);
            let mut object = Object::open(self.reader.store, &stored.name, root)?;
            let entries = object.entries()?;
            self.opened.push(Opened {
                stored,
                object,
                entries,
            });
        }
        let opened = self.opened.get(number).into_iter();
        let mut entries = opened.flat_map(|opened| &opened.entries);
        let entry = entries.find(|entry| entry.name == file.name && entry.bytes == file.bytes);
        let entry = entry.ok_or_else(|| {
            let (object, name, bytes) = (&stored.name, &file.name, file.bytes);
            Error::corrupt(format!(
                "object {object}: expected file {name} of {bytes} bytes, found none"
            ))
        })?;
        Ok((number, entry.clone()))
    }

    /// The object of this number.
    pub(super) fn at(&mut self, number: usize) -> Result<&mut Object<'s>> {
        let opened = self.opened.get_mut(number);
        let opened = opened.ok_or_else(|| Error::corrupt("expected more objects"))?;
        Ok(&mut opened.object)
    }

    /// As [`StoredReader::read_file`].
    pub(super) fn read_file(
        &mut self,
        file: &StoredFile,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        let mut only = Only {
            name: &file.name,
            out,
            is_open: false,
            found: None,
        };
        if file.packed {
            let mut others = NoVisitor;
            let (files, index): (&mut dyn Visitor, &mut dyn Visitor) =
                if file.name.as_str() == INDEX {
                    (&mut others, &mut only)
                } else {
                    (&mut only, &mut others)
                };
            self.reader.expect_packs()?;
            let (store, block) = (self.reader.store, self.reader.block);
            read_packed(store, block, files, index, &NoProgress)?;
        } else {
            let (number, entry) = self.find(file)?;
            self.at(number)?.pass_on(&entry, &mut only)?;
        }
        if only.found == Some(file.sha256) {
            return Ok(());
        }
        let object = self.reader.object_of(file);
        let object = object.unwrap_or(&self.reader.block.object);
        Err(Error::corrupt(format!(
            "object {}: expected file {} to have SHA-256 {}, found another",
            object.name, file.name, file.sha256
        )))
    }

    /// As [`StoredReader::content`].
    pub(super) fn content(&mut self, file: &StoredFile, max_bytes: u64) -> Result<Vec<u8>> {
        if file.bytes > max_bytes {
            return Err(Error::unsupported(format!(
                "expected file {} to be at most {max_bytes} bytes, found {}",
                file.name, file.bytes
            )));
        }
        let mut content = Vec::new();
        self.read_file(file, &mut content)?;
        Ok(content)
    }

    /// As [`StoredReader::meta`].
    pub(super) fn meta(&mut self) -> Result<Meta> {
        let ulid = self.reader.block.ulid;
        let missing = || Error::not_found(format!("block {ulid} has no {META}"));
        let file = self.reader.file(META).ok_or_else(missing)?;
        let meta = Meta::parse(&self.content(file, MAX_META_BYTES)?)?;
        // Prometheus 2.1 wrote metadata of version 2.
        if meta.version == META_VERSION || meta.version == 2 {
            return Ok(meta);
        }
        Err(Error::unsupported(format!(
            "block {ulid}: expected metadata of version {META_VERSION}, found {}",
            meta.version
        )))
    }

    /// The index, in an unnamed temporary file.
    pub(super) fn index(&mut self) -> Result<FileBytes> {
        let missing = || Error::corrupt(format!("block {} has no index", self.reader.block.ulid));
        let file = self.reader.file(INDEX).ok_or_else(missing)?;
        let mut kept = tempfile::tempfile().map_err(keep_error)?;
        self.read_file(file, &mut kept)?;
        reopen(kept)
    }
}

/// The index `bytes` of the block that `meta` describes.
pub(super) fn open_index<'b>(bytes: &'b [u8], meta: &Meta) -> Result<Index<'b>> {
    let index = Index::open(bytes).in_file(Path::new(INDEX))?;
    let is_2_1 = meta.version == 2 && index.version() == 1;
    Ok(if is_2_1 {
        index.read_as(IndexFormat::V2)
    } else {
        index
    })
}

fn reopen(mut kept: File) -> Result<FileBytes> {
    std::io::Seek::rewind(&mut kept).map_err(keep_error)?;
    FileBytes::of(&kept, Path::new(INDEX), ReadMode::Map)
}

fn keep_error(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot keep an index in a temporary file").with_source(source)
}

/// Writes one of the files that pass.
struct Only<'o> {
    name: &'o FilePath,
    out: &'o mut (dyn Write + Send),
    is_open: bool,
    found: Option<Digest>,
}

impl Visitor for Only<'_> {
    fn begin(&mut self, name: &FilePath, _bytes: u64) -> Result<()> {
        self.is_open = name == self.name;
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.is_open {
            return Ok(());
        }
        let written = self.out.write_all(bytes);
        written.map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot write file {}", self.name)).with_source(e)
        })
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        if name == self.name {
            self.found = Some(sha256);
        }
        self.is_open = false;
        Ok(())
    }
}
