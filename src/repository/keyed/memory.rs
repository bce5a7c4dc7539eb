//! What a machine keeps of what it has written and cannot read back.
//!
//! A host that has no identity writes into a repository and reads nothing. To say what is new it
//! has to know what it has stored, and to prove that a block comes back it needs the packs that the
//! block is rebuilt from: so it keeps them, as they were before they were encrypted, in a directory
//! that only its user may read. The samples in them lie in the data directory of its Prometheus as
//! well, or did. What no archive of its own needs any more is removed after each backup.
//!
//! Each entry is a file with the object's bytes, named like the object, and one with `.form` behind
//! the name, which says in which form the store has it. It is written before the object is
//! published, and counts when that has been. What is lost here costs bytes (blocks are stored
//! anew), never data.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::raw::read_bounded;
use crate::repository::digest::{Digest, Hasher};
use crate::repository::layout::WAL;
use crate::repository::{Archive, MAX_MANIFEST_BYTES, StoredObject};
use crate::store::{
    ObjectName, PendingObject, Store, StoredForm, beyond_end, no_object, too_large, write_error,
};

/// Behind the name of the file that says in which form an object is stored.
const FORM: &str = ".form";
/// Behind the names of files that are not confirmed.
const NEW: &str = ".new";

/// Bytes of an object that are read at a time.
const STEP: u64 = 4 << 20;

/// Largest description of a form, in bytes.
const MAX_FORM: u64 = 4096;

/// A directory of what was written; see the [module](self).
#[derive(Clone, Debug)]
pub struct Memory {
    dir: PathBuf,
}

#[derive(Deserialize, Serialize)]
struct Form {
    bytes: u64,
    sha256: Digest,
}

impl Memory {
    /// The memory in `dir`, which is made if it does not exist, for its user alone.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut making = fs::DirBuilder::new();
        let made = making.recursive(true).mode(0o700).create(dir);
        made.map_err(|e| Error::io("create", dir, e))?;
        Ok(Memory {
            dir: dir.to_owned(),
        })
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
        self.path(name, FORM).is_file() && self.path(name, "").is_file()
    }

    fn path(&self, name: &ObjectName, suffix: &str) -> PathBuf {
        let flat = name.as_str().replace('/', "_");
        self.dir.join(format!("{flat}{suffix}"))
    }

    fn open_file(&self, name: &ObjectName) -> Result<(File, u64)> {
        let path = self.path(name, "");
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => no_object(name),
            _ => Error::io("read", &path, e),
        };
        let file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok((file, bytes))
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
        let (file, bytes) = self.open_file(name)?;
        if range.start > range.end || range.end > bytes {
            return Err(beyond_end(name, bytes, &range));
        }
        let length = usize::try_from(range.end - range.start)
            .map_err(|_| Error::invalid("a range beyond all memory"))?;
        let mut content = vec![0; length];
        let read = file.read_exact_at(&mut content, range.start);
        read.map_err(|e| Error::io("read", &self.path(name, ""), e))?;
        Ok(content)
    }

    /// The form in which the store has it.
    pub(super) fn form(&self, name: &ObjectName) -> Result<StoredForm> {
        let path = self.path(name, FORM);
        let text = read_bounded(&path, MAX_FORM)?;
        let form: Form = serde_json::from_slice(&text).map_err(|cause| {
            Error::corrupt(format!("expected a stored form in {}", path.display()))
                .with_source(cause)
        })?;
        Ok(StoredForm {
            bytes: form.bytes,
            sha256: *form.sha256.as_bytes(),
        })
    }

    /// Keeps `content` beside the object `name`, which is about to be published.
    pub(super) fn keep(&self, name: &ObjectName, content: &[u8], form: StoredForm) -> Result<Kept> {
        let mut file = self.create(name)?;
        let path = self.path(name, NEW);
        let written = file.write_all(content);
        written.map_err(|e| Error::io("write", &path, e))?;
        self.kept(name, &file, form)
    }

    fn create(&self, name: &ObjectName) -> Result<File> {
        let path = self.path(name, NEW);
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        options
            .open(&path)
            .map_err(|e| Error::io("create", &path, e))
    }

    fn kept(&self, name: &ObjectName, file: &File, form: StoredForm) -> Result<Kept> {
        let path = self.path(name, NEW);
        file.sync_all().map_err(|e| Error::io("write", &path, e))?;
        Ok(Kept {
            memory: self.clone(),
            name: name.clone(),
            form,
            is_done: false,
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
            file: Some(self.create(name)?),
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
        let mut file = self.create(name)?;
        let mut sha256 = Hasher::default();
        let mut start = 0;
        while start < object.bytes {
            let end = object.bytes.min(start.saturating_add(STEP));
            let content = store.get_range(name, start..end)?;
            sha256.update(&content);
            let written = file.write_all(&content);
            written.map_err(|e| Error::io("write", &self.path(name, NEW), e))?;
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
        self.kept(name, &file, form)?.confirm()
    }

    /// Does not remember `name` any more.
    pub(super) fn forget(&self, name: &ObjectName) -> Result<()> {
        for suffix in [FORM, "", NEW] {
            let path = self.path(name, suffix);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets all but `needed`.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn sweep(&self, needed: &BTreeSet<&ObjectName>) -> Result<()> {
        let flat = needed.iter().map(|name| name.as_str().replace('/', "_"));
        let flat: BTreeSet<String> = flat.collect();
        let failed = |e| Error::io("read", &self.dir, e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let object = name.strip_suffix(FORM).unwrap_or(&name);
            if !flat.contains(object) {
                let path = entry.path();
                fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
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
    form: StoredForm,
    is_done: bool,
}

impl Kept {
    /// The object has been published.
    pub(super) fn confirm(mut self) -> Result<()> {
        self.is_done = true;
        let memory = &self.memory;
        let form = Form {
            bytes: self.form.bytes,
            sha256: Digest::from(self.form.sha256),
        };
        // The form goes first: without it the entry does not count.
        let (path, form_path) = (memory.path(&self.name, ""), memory.path(&self.name, FORM));
        let failed = |e| Error::io("write", &path, e);
        let _ = fs::remove_file(&form_path);
        fs::rename(memory.path(&self.name, NEW), &path).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(&memory.dir).map_err(failed)?;
        serde_json::to_writer(&mut file, &form)
            .map_err(io::Error::from)
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed)?;
        file.persist(&form_path).map_err(|e| failed(e.error))?;
        crate::raw::sync_dir(&memory.dir)
    }

    /// It is not known whether it has been. An older entry is as likely.
    pub(super) fn may_be(self) -> Result<()> {
        if self.memory.has(&self.name) {
            return Ok(());
        }
        self.confirm()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(self.memory.path(&self.name, NEW));
        }
    }
}

/// Writes an object to its store and to the memory.
struct Beside {
    file: Option<File>,
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
        let kept = self.memory.kept(&self.name, &file, form)?;
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
