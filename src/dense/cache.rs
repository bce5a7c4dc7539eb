//! What this machine remembers of packs, so that known samples are recognized without reading them
//! back.
//!
//! Of each pack: its directory, symbols and labels, and the digests of its series. An entry is
//! bound to the pack by the pack's own digest and sealed by one over the entry; one that is stale,
//! damaged or missing is made anew from the repository. So the cache saves time, and losing it
//! costs time, never data. Its format is nobody else's business, and may change.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use super::stored_pack::StoredPack;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::{KnownPack, Pack, PackBytes};
use crate::repository::{Digest, Hasher, StoredObject, is_plain_id};
use crate::store::{ObjectName, Store};

/// First bytes of an entry's footer: they change with the format.
const MAGIC: [u8; 8] = *b"narthexK";
/// Bytes of the footer: magic number, digest of the pack, its length, lengths of three parts,
/// whether it is sound.
const FOOTER: u64 = 8 + 32 + 8 + 3 * 8 + 1;
/// Bytes of the seal behind it.
const SEAL: u64 = 32;
/// Most bytes of a part that is kept in memory.
const MAX_PART: u64 = 1 << 30;
/// Entries that nobody has needed for so long are removed.
const LIFETIME: Duration = Duration::from_hours(24 * 90);

/// A directory of entries, or none.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    dir: Option<PathBuf>,
}

/// An entry that is being written. Writing never fails: a cache that cannot be written is one that
/// is not there.
#[derive(Debug)]
pub struct NewEntry {
    file: Option<BufWriter<NamedTempFile>>,
    sha256: Hasher,
    digests: u64,
}

/// An entry that was found sound, or made anew.
#[derive(Debug)]
pub struct CachedPack<'s> {
    pack: StoredPack<'s>,
    file: File,
    /// Length of the digests, which come first.
    digests: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    is_sound: bool,
}

impl Cache {
    /// The cache in `dir`, of the repository with this id; the directory is made when it is needed.
    pub fn new(dir: &Path, repository: &str) -> Self {
        Cache {
            dir: Some(dir.join(repository)).filter(|_| is_plain_id(repository)),
        }
    }

    /// Begins an entry.
    pub fn begin(&self) -> NewEntry {
        let file = self.dir.as_ref().and_then(|dir| {
            let mut making = fs::DirBuilder::new();
            making.recursive(true).mode(0o700).create(dir).ok()?;
            tempfile::Builder::new()
                .prefix("new-")
                .tempfile_in(dir)
                .ok()
        });
        NewEntry {
            file: file.map(BufWriter::new),
            sha256: Hasher::default(),
            digests: 0,
        }
    }

    /// Somewhere to write what is far away once it is written: whoever has it here does not have to
    /// read it back. `None` where nothing is remembered.
    pub fn copy(&self) -> Option<PackCopy> {
        let file = tempfile::tempfile_in(self.dir.as_ref()?).ok()?;
        Some(PackCopy {
            file: Some(BufWriter::new(file)),
            bytes: 0,
        })
    }

    /// Keeps an entry for the pack `object`, which has been published; `copy` has its bytes, if
    /// they were kept.
    pub fn keep(
        &self,
        entry: NewEntry,
        copy: Option<PackCopy>,
        store: &dyn Store,
        object: &StoredObject,
        is_sound: bool,
    ) {
        // Whatever goes wrong, the entry is made anew when it is needed.
        let _ = match copy.and_then(PackCopy::done) {
            Some(copy) if copy.bytes == object.bytes => {
                self.try_keep(entry, &copy, object, is_sound)
            }
            _ => self.try_keep(entry, &StoredPack::of(store, object), object, is_sound),
        };
    }

    fn try_keep(
        &self,
        entry: NewEntry,
        pack: &impl PackBytes,
        object: &StoredObject,
        is_sound: bool,
    ) -> Result<()> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        if let Some(file) = entry.seal(pack, object, is_sound)? {
            let path = dir.join(file_name(&object.name));
            file.persist(&path)
                .map_err(|e| Error::io("write", &path, e.error))?;
        }
        Ok(())
    }

    /// What is known of the pack `object`: from the cache, or else from the repository.
    ///
    /// # Errors
    ///
    /// When it is not in the cache, and cannot be read.
    pub fn recall<'s>(
        &self,
        store: &'s dyn Store,
        object: &'s StoredObject,
    ) -> Result<CachedPack<'s>> {
        if let Some(entry) = self.find(store, object) {
            return Ok(entry);
        }
        let pack = StoredPack::of(store, object);
        store.expect(&[object.listed()]);
        let mut entry = self.begin();
        if entry.file.is_none() {
            let file = tempfile::Builder::new().prefix("narthex-").tempfile();
            let file = file.map_err(|e| Error::io("create a file in", &std::env::temp_dir(), e))?;
            entry.file = Some(BufWriter::new(file));
        }
        Pack::open(&pack)?.digests(&mut entry)?;
        // What is in the pack has not been judged anew.
        let sealed = entry.seal(&pack, object, false)?;
        let sealed =
            sealed.ok_or_else(|| Error::new(ErrorKind::Io, "cannot write to the cache"))?;
        let file = sealed
            .reopen()
            .map_err(|e| Error::io("open", sealed.path(), e))?;
        if let Some(dir) = &self.dir {
            let _ = sealed.persist(dir.join(file_name(&object.name)));
        }
        CachedPack::read(file, pack, object)
    }

    fn find<'s>(&self, store: &'s dyn Store, object: &'s StoredObject) -> Option<CachedPack<'s>> {
        let entry = self.remembered(store, object)?;
        let _ = entry.file.set_modified(SystemTime::now());
        Some(entry)
    }

    /// What is remembered of the pack `object`, which may be damaged or gone: directory, symbols
    /// and labels can be read from it all the same.
    pub fn remembered<'s>(
        &self,
        store: &'s dyn Store,
        object: &'s StoredObject,
    ) -> Option<CachedPack<'s>> {
        let path = self.dir.as_ref()?.join(file_name(&object.name));
        // A pipe of that name is not waited for.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut opening = File::options();
        let file = opening.read(true).custom_flags(flags).open(&path).ok()?;
        file.metadata().ok().filter(fs::Metadata::is_file)?;
        CachedPack::read(file, StoredPack::of(store, object), object).ok()
    }

    /// Removes entries that have not been needed for a long time.
    pub fn sweep(&self) {
        let entries = self
            .dir
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flatten();
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|meta| meta.modified());
            let age = age.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > LIFETIME) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn file_name(pack: &ObjectName) -> String {
    pack.as_str().replace('/', "-")
}

/// The bytes of a pack on this machine, while it is written to a place far away.
#[derive(Debug)]
pub struct PackCopy {
    /// Nothing, when it could not be written.
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl PackCopy {
    fn done(self) -> Option<CopiedPack> {
        let file = self.file?.into_inner().ok()?;
        Some(CopiedPack {
            file,
            bytes: self.bytes,
        })
    }
}

impl Write for PackCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut();
        if file.is_some_and(|file| file.write_all(bytes).is_err()) {
            self.file = None;
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pack whose bytes are on this machine.
struct CopiedPack {
    file: File,
    bytes: u64,
}

impl PackBytes for CopiedPack {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let failed = |e| Error::new(ErrorKind::Io, "cannot read the copy of a pack").with_source(e);
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes);
        end.ok_or_else(|| Error::corrupt("expected more bytes of a pack"))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(failed)?;
        Ok(bytes)
    }

    fn describe(&self) -> String {
        "the copy of a pack".to_owned()
    }
}

impl Write for NewEntry {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self
            .file
            .as_mut()
            .is_some_and(|file| file.write_all(bytes).is_err())
        {
            self.file = None;
        }
        self.sha256.update(bytes);
        self.digests += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewEntry {
    /// Completes the entry; `None` if there is no file to write to.
    fn seal(
        mut self,
        pack: &impl PackBytes,
        object: &StoredObject,
        is_sound: bool,
    ) -> Result<Option<NamedTempFile>> {
        let Some(mut file) = self.file.take() else {
            return Ok(None);
        };
        let (head, tail) = Pack::open(pack)?.ends();
        let head = pack.read(0, head)?;
        let tail = pack.read(tail, pack.length().saturating_sub(tail))?;
        let lengths = [
            pack.length(),
            self.digests,
            head.len() as u64,
            tail.len() as u64,
        ];
        let mut put = |bytes: &[u8]| {
            self.sha256.update(bytes);
            file.write_all(bytes)
        };
        let written = put(&head)
            .and_then(|()| put(&tail))
            .and_then(|()| put(&MAGIC))
            .and_then(|()| put(object.sha256.as_bytes()))
            .and_then(|()| put(lengths.map(u64::to_le_bytes).as_flattened()))
            .and_then(|()| put(&[u8::from(is_sound)]));
        let seal = std::mem::take(&mut self.sha256).finish();
        let written = written.and_then(|()| file.write_all(seal.as_bytes()));
        let file = written.and_then(|()| file.into_inner().map_err(io::IntoInnerError::into_error));
        Ok(file.ok())
    }
}

impl<'s> CachedPack<'s> {
    /// Reads an entry and compares its seal.
    fn read(mut file: File, pack: StoredPack<'s>, object: &StoredObject) -> Result<Self> {
        let stale = || Error::corrupt("expected another entry of the cache");
        let failed = |e| Error::new(ErrorKind::Io, "cannot read the cache").with_source(e);
        let length = file.metadata().map_err(failed)?.len();
        let content = length
            .checked_sub(SEAL)
            .filter(|content| *content >= FOOTER);
        let content = content.ok_or_else(stale)?;
        let mut footer = vec![0; usize::try_from(FOOTER).unwrap_or(0)];
        file.seek(SeekFrom::Start(content - FOOTER))
            .map_err(failed)?;
        file.read_exact(&mut footer).map_err(failed)?;
        let mut rest = &footer[..];
        let mut take = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count).unwrap_or_default();
            rest = behind;
            taken
        };
        let mut is_ours = take(MAGIC.len()) == MAGIC && take(32) == object.sha256.as_bytes();
        let mut number = || u64::from_le_bytes(take(8).try_into().unwrap_or_default());
        let [bytes, digests, head, tail] = std::array::from_fn(|_| number());
        is_ours &= bytes == object.bytes && head <= MAX_PART && tail <= MAX_PART;
        let parts = digests
            .checked_add(head)
            .and_then(|sum| sum.checked_add(tail));
        if !is_ours
            || parts != Some(content - FOOTER)
            || seal_of(&mut file, content).map_err(failed)?
                != read_seal(&mut file).map_err(failed)?
        {
            return Err(stale());
        }
        file.seek(SeekFrom::Start(digests)).map_err(failed)?;
        let mut part = |length| {
            let mut bytes = Vec::new();
            (&mut file)
                .take(length)
                .read_to_end(&mut bytes)
                .map(|_| bytes)
        };
        Ok(CachedPack {
            head: part(head).map_err(failed)?,
            tail: part(tail).map_err(failed)?,
            pack,
            digests,
            is_sound: take(1) == [1],
            file,
        })
    }

    /// The pack, with what is known of its series.
    ///
    /// # Errors
    ///
    /// When the pack's directory is damaged, or the entry cannot be read.
    pub fn known(&self) -> Result<KnownPack<'_, Self>> {
        let failed = |e| Error::new(ErrorKind::Io, "cannot read the cache").with_source(e);
        let mut file = self.file.try_clone().map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let digests = BufReader::with_capacity(1 << 16, file.take(self.digests));
        Ok(KnownPack::new(
            Pack::open(self)?,
            Box::new(digests),
            self.is_sound,
        ))
    }
}

/// The digest of the first `length` bytes.
fn seal_of(file: &mut File, length: u64) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut left = file.take(length);
    let mut sha256 = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = left.read(&mut buffer)?;
        if read == 0 {
            return Ok(sha256.finish());
        }
        sha256.update(buffer.get(..read).unwrap_or_default());
    }
}

/// The seal that comes next.
fn read_seal(file: &mut File) -> io::Result<Digest> {
    let mut seal = [0; 32];
    file.read_exact(&mut seal)?;
    Ok(Digest::from(seal))
}

impl PackBytes for CachedPack<'_> {
    fn length(&self) -> u64 {
        self.pack.length()
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let tail = self.length().saturating_sub(self.tail.len() as u64);
        let ends = [(0, &self.head), (tail, &self.tail)];
        let found = ends.into_iter().find_map(|(start, end)| {
            let from = usize::try_from(offset.checked_sub(start)?).ok()?;
            let until = from.checked_add(usize::try_from(length).ok()?)?;
            end.get(from..until).map(<[u8]>::to_vec)
        });
        found.map_or_else(|| self.pack.read(offset, length), Ok)
    }

    fn describe(&self) -> String {
        self.pack.describe()
    }
}
