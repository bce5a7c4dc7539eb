//! What a machine keeps of what it has written and cannot read back.
//!
//! A host that has no identity writes into a repository and reads nothing. To say what is new it
//! has to know what it has stored, and to prove that a block comes back it needs the packs that the
//! block is rebuilt from: so it keeps them, as they were before they were encrypted, in a directory
//! that only its user may read. The samples in them lie in the data directory of its Prometheus as
//! well, or did. What no archive of its own needs any more is removed after each backup.
//!
//! Each entry is a file named like the object, with `_` for `/`: the object's bytes, and behind
//! them 48 more that say in which form the store has it (`narthex` and a zero byte, the size, the
//! SHA-256 digest). It is written before the object is published, under another name, and gets its
//! own when that has been: so it is there whole or not at all, also when two runs are at it. What
//! is lost here costs bytes (blocks are stored anew), never data.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind, Result};
use crate::repository::digest::Hasher;
use crate::repository::layout::WAL;
use crate::repository::{Archive, MAX_MANIFEST_BYTES, StoredObject, is_plain_id};
use crate::store::{
    ObjectName, PendingObject, Store, StoredForm, beyond_end, no_object, too_large, write_error,
};

/// How the end of an entry begins.
const MAGIC: &[u8; 8] = b"narthex\0";
/// Bytes of the end of an entry: [`MAGIC`], size and digest of what is stored.
const END: usize = 48;

/// How names of files begin that are no entries yet.
const NEW: &str = "new-";

/// For how long what nobody seems to need is kept: a run that works beside this one may have
/// written it.
const PATIENCE: Duration = Duration::from_hours(24);

/// Bytes of an object that are read at a time.
const STEP: u64 = 4 << 20;

/// A directory with what a machine has written into a repository and cannot read back.
#[derive(Clone, Debug)]
pub struct Memory {
    dir: PathBuf,
}

impl Memory {
    /// The memory in `dir`, which is made if it does not exist, for its user alone.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    fn open(dir: &Path) -> Result<Self> {
        let mut making = fs::DirBuilder::new();
        let made = making.recursive(true).mode(0o700).create(dir);
        made.map_err(|e| Error::io("create", dir, e))?;
        Ok(Memory {
            dir: dir.to_owned(),
        })
    }

    /// The memory of the repository with this id, below `dir`.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when the id is not one of letters and digits; when it cannot be made.
    pub fn of(dir: &Path, repository: &str) -> Result<Self> {
        if !is_plain_id(repository) {
            return Err(Error::corrupt(format!(
                "expected a repository with an id of letters and digits, found {repository:?}"
            )));
        }
        Self::open(&dir.join(repository))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it holds nothing at all.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        let entries = fs::read_dir(&self.dir);
        let mut entries = entries.map_err(|e| Error::io("read", &self.dir, e))?;
        Ok(entries.next().is_none())
    }

    /// Whether the object `name` is remembered.
    pub fn has(&self, name: &ObjectName) -> bool {
        self.open_file(name).is_ok()
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.dir.join(flat(name))
    }

    /// The entry of an object, how many bytes the object has, and in which form it is stored.
    fn open_file(&self, name: &ObjectName) -> Result<(File, u64, StoredForm)> {
        let path = self.path(name);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => no_object(name),
            _ => Error::io("read", &path, e),
        };
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let wrong = || {
            Error::corrupt(format!(
                "expected what was written as {name} in {}, found something else",
                path.display()
            ))
        };
        let bytes = length.checked_sub(END as u64).ok_or_else(wrong)?;
        let mut end = [0; END];
        file.read_exact_at(&mut end, bytes).map_err(failed)?;
        let [magic, size, sha256 @ ..] = end.as_chunks::<8>().0 else {
            return Err(wrong());
        };
        if magic != MAGIC {
            return Err(wrong());
        }
        let form = StoredForm {
            bytes: u64::from_le_bytes(*size),
            sha256: sha256.as_flattened().try_into().map_err(|_| wrong())?,
        };
        Ok((file, bytes, form))
    }

    /// Size of an object as it was written, in bytes.
    pub(super) fn size(&self, name: &ObjectName) -> Result<u64> {
        Ok(self.open_file(name)?.1)
    }

    /// The object, at most `max_bytes` of it.
    pub(super) fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let bytes = self.size(name)?;
        if bytes > max_bytes {
            return Err(too_large(name, bytes, max_bytes));
        }
        self.get_range(name, 0..bytes)
    }

    /// Some of its bytes.
    pub(super) fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let (file, bytes, _) = self.open_file(name)?;
        if range.start > range.end || range.end > bytes {
            return Err(beyond_end(name, bytes, &range));
        }
        let length = usize::try_from(range.end - range.start)
            .map_err(|_| Error::invalid("a range beyond all memory"))?;
        let mut content = vec![0; length];
        let read = file.read_exact_at(&mut content, range.start);
        read.map_err(|e| Error::io("read", &self.path(name), e))?;
        Ok(content)
    }

    /// The form in which the store has it.
    pub(super) fn form(&self, name: &ObjectName) -> Result<StoredForm> {
        Ok(self.open_file(name)?.2)
    }

    /// Keeps `content` beside the object `name`, which is about to be published.
    pub(super) fn keep(&self, name: &ObjectName, content: &[u8], form: StoredForm) -> Result<Kept> {
        let mut file = self.create()?;
        self.write(&mut file, content)?;
        self.kept(name, file, form)
    }

    /// A file that only its user can read, and that is gone when it is dropped.
    fn create(&self) -> Result<NamedTempFile> {
        let made = tempfile::Builder::new().prefix(NEW).tempfile_in(&self.dir);
        made.map_err(|e| Error::io("write to", &self.dir, e))
    }

    fn write(&self, file: &mut NamedTempFile, content: &[u8]) -> Result<()> {
        let written = file.write_all(content);
        written.map_err(|e| Error::io("write to", &self.dir, e))
    }

    /// Ends the file of an object that is about to be published.
    fn kept(&self, name: &ObjectName, mut file: NamedTempFile, form: StoredForm) -> Result<Kept> {
        let end = [&MAGIC[..], &form.bytes.to_le_bytes(), &form.sha256].concat();
        self.write(&mut file, &end)?;
        let synced = file.as_file().sync_all();
        synced.map_err(|e| Error::io("write to", &self.dir, e))?;
        Ok(Kept {
            memory: self.clone(),
            name: name.clone(),
            file,
        })
    }

    /// Writes the object `name` here as well as to `pending`. Logs are not kept: nothing is rebuilt
    /// from them.
    pub(super) fn beside(
        &self,
        name: &ObjectName,
        pending: Box<dyn PendingObject>,
    ) -> Result<Box<dyn PendingObject>> {
        if name.as_str().starts_with(WAL) {
            return Ok(pending);
        }
        Ok(Box::new(Beside {
            file: Some(self.create()?),
            memory: self.clone(),
            name: name.clone(),
            pending,
        }))
    }

    /// Takes in what a host needs to go on that made `archive`: the manifest, and all objects but
    /// logs. `store` reads them.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or is not what the manifest says.
    pub fn recall(&self, store: &dyn Store, archive: &Archive) -> Result<()> {
        for (_, object) in archive.objects() {
            if !object.name.as_str().starts_with(WAL) && !self.has(&object.name) {
                self.recall_object(store, object)?;
            }
        }
        let name = archive.manifest_name()?.object()?;
        let plain = store.get(&name, MAX_MANIFEST_BYTES)?;
        let form = store
            .stored_form(&name)?
            .ok_or_else(|| not_encrypted(&name))?;
        self.keep(&name, &plain, form)?.confirm()
    }

    fn recall_object(&self, store: &dyn Store, object: &StoredObject) -> Result<()> {
        let name = &object.name;
        let form = object.encrypted.ok_or_else(|| not_encrypted(name))?;
        let mut file = self.create()?;
        let mut sha256 = Hasher::default();
        let mut start = 0;
        while start < object.bytes {
            let end = object.bytes.min(start.saturating_add(STEP));
            let content = store.get_range(name, start..end)?;
            sha256.update(&content);
            self.write(&mut file, &content)?;
            start = end;
        }
        let found = sha256.finish();
        if found != object.sha256 {
            return Err(Error::corrupt(format!(
                "object {name}: expected SHA-256 {}, found {found}",
                object.sha256
            )));
        }
        let form = StoredForm {
            bytes: form.bytes,
            sha256: *form.sha256.as_bytes(),
        };
        self.kept(name, file, form)?.confirm()
    }

    /// Does not remember `name` any more.
    pub(super) fn forget(&self, name: &ObjectName) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Forgets all but `needed`, and what is younger than a day.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn sweep(&self, needed: &BTreeSet<&ObjectName>) -> Result<()> {
        let needed: BTreeSet<String> = needed.iter().map(|name| flat(name)).collect();
        let failed = |e| Error::io("read", &self.dir, e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if needed.contains(&*entry.file_name().to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            let removed = match entry.metadata().and_then(|metadata| metadata.modified()) {
                Ok(time) if time.elapsed().is_ok_and(|age| age > PATIENCE) => {
                    fs::remove_file(&path)
                }
                found => found.map(|_| ()),
            };
            match removed {
                // Another run was faster.
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The name of the entry of an object.
fn flat(name: &ObjectName) -> String {
    name.as_str().replace('/', "_")
}

fn not_encrypted(name: &ObjectName) -> Error {
    Error::corrupt(format!(
        "expected an encrypted object {name}, found one in clear"
    ))
}

/// An entry that counts when its object has been published.
#[derive(Debug)]
pub(super) struct Kept {
    memory: Memory,
    name: ObjectName,
    file: NamedTempFile,
}

impl Kept {
    /// The object has been published.
    pub(super) fn confirm(self) -> Result<()> {
        let path = self.memory.path(&self.name);
        let renamed = self.file.persist(&path);
        renamed.map_err(|e| Error::io("write", &path, e.error))?;
        crate::raw::sync_dir(&self.memory.dir)
    }

    /// It is not known whether it has been. An older entry is as likely.
    pub(super) fn may_be(self) -> Result<()> {
        if self.memory.has(&self.name) {
            return Ok(());
        }
        self.confirm()
    }
}

/// Writes an object to its store and to the memory.
struct Beside {
    file: Option<NamedTempFile>,
    memory: Memory,
    name: ObjectName,
    pending: Box<dyn PendingObject>,
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.pending.write(bytes)?;
        if let Some(file) = &mut self.file {
            file.write_all(bytes.get(..count).unwrap_or(bytes))?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pending.flush()
    }
}

impl PendingObject for Beside {
    fn finish(&mut self) -> Result<Option<StoredForm>> {
        self.pending.finish()
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        let form = self.pending.finish()?;
        let file = self.file.take();
        let (Some(form), Some(file)) = (form, file) else {
            return Err(write_error(&self.name, io::ErrorKind::BrokenPipe.into()));
        };
        let kept = self.memory.kept(&self.name, file, form)?;
        let Beside { pending, .. } = *self;
        match pending.publish() {
            Ok(()) => kept.confirm(),
            Err(error) => {
                if error.kind() != ErrorKind::AlreadyExists {
                    kept.may_be()?;
                }
                Err(error)
            }
        }
    }
}
